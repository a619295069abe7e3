"""The door's outer side: who has no turn is answered here, for a hundredth of the CPU that the application takes.

What is refused for overload must cost next to nothing, or refusing is what a process is busy with: there is one answer
for all, made beforehand, and neither a log line nor a database for each. How many there were is counted by `Admission`.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any

from api.admission import ARRIVED, LONG, TURN, Admission, Overloaded, has_hung_up
from api.door import new_request_id
from api.problems import answer_to_overload
from api.routes.health import PROBES
from api.wire.headers import FIXED, UNDER_TLS

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def admitted(application: Application, admission: Admission) -> Application:
    """The WSGI application, of which a request has a turn; probes need none, whatever there is to do."""
    refuse = _refusing()

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] in PROBES:
            return application(environ, start_response)
        environ[ARRIVED] = time.perf_counter()
        try:
            turn = environ[TURN] = admission.enter()
        except Overloaded:
            return refuse(environ, start_response)
        try:
            if turn.waited >= LONG and has_hung_up(environ):
                return refuse(environ, start_response)
            return application(environ, start_response)
        finally:
            turn.leave()

    return serve


def _refusing() -> Application:
    told = answer_to_overload()
    body = told.get_data()
    fixed = [*told.headers.items(), *FIXED.items()]

    def refuse(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        secure = [("Strict-Transport-Security", UNDER_TLS)] if environ["wsgi.url_scheme"] == "https" else []
        start_response(told.status, [*fixed, *secure, ("Request-Id", new_request_id())])
        return [body]

    return refuse
