"""Calls a WSGI application as a server does, with as little around it as can be, and the same around every one."""

import io
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from json import dumps
from typing import Any

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_EVERY = {
    "SCRIPT_NAME": "",
    "QUERY_STRING": "",
    "SERVER_NAME": "127.0.0.1",
    "SERVER_PORT": "8080",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "REMOTE_ADDR": "127.0.0.1",
    "HTTP_HOST": "127.0.0.1:8080",
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "http",
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
}


@dataclass(frozen=True)
class Call:
    """One request, ready to be handed over; `body` is read anew each time."""

    environ: dict[str, Any]
    body: bytes


def prepare(method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> Call:
    """A call with a JSON body, or none."""
    raw = b"" if body is None else dumps(body).encode()
    sent = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in (headers or {}).items()}
    content = {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(raw))} if raw else {}
    place, _, query = path.partition("?")
    asked = {"REQUEST_METHOD": method, "PATH_INFO": place, "QUERY_STRING": query}
    return Call({**_EVERY, **asked, **content, **sent}, raw)


def hand_over(application: Application, call: Call) -> tuple[int, bytes]:
    """The status and body that come back."""
    statuses: list[str] = []

    def start(status: str, _headers: Sequence[tuple[str, str]], _error: object = None) -> None:
        statuses.append(status)

    answer = application({**call.environ, "wsgi.input": io.BytesIO(call.body)}, start)
    try:
        return int(statuses[0][:3]) if statuses else 0, b"".join(answer)
    finally:
        if hasattr(answer, "close"):
            answer.close()
