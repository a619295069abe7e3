"""How gunicorn serves: its configuration module. `panless serve` adds address, kind and number of workers.

gunicorn reads this in its master, before a gevent worker patches the standard library in its own process: nothing
imported here may import a database driver or an HTTP client, or those would block without a word.
"""

import json
import logging
import os
import secrets
import shutil
import signal
import ssl
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from gunicorn import glogging, util  # type: ignore[import-untyped]  # it has none
from gunicorn.config import Config  # type: ignore[import-untyped]  # as above

from api.wire.headers import FIXED, UNDER_TLS
from panless.process import logs
from panless.process.hardening import harden, memory_folder
from panless.serving import tls
from panless.serving.slow_clients import Threads


class Log(glogging.Logger):  # type: ignore[misc]  # as above
    """gunicorn's own log, through our scrubber, and without what clients sent."""

    def setup(self, cfg: Config) -> None:
        """Have our logging write what gunicorn says; below INFO it would quote unfinished requests."""
        super().setup(cfg)
        logs.start(cfg.loglevel.upper())
        self.error_log.setLevel(max(self.loglevel, logging.INFO))
        self.error_log.propagate = True

    def warning(self, msg: str, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # logging's own signature
        """Log a warning; of a request that is no HTTP, only where it came from."""
        if msg.startswith("Invalid request"):
            msg = msg.partition(": ")[0]
            structlog.contextvars.clear_contextvars()  # they are those of the request before, in this thread
            structlog.contextvars.bind_contextvars(request_id=_request_id())
        super().warning(msg, *args, **kwargs)

    def exception(self, msg: str, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # logging's own signature
        """Log an exception; of the request that it broke, no path and no query. A slow client breaks nothing."""
        if isinstance(sys.exception(), TimeoutError):
            self.info("A client did not take its answer in time")
            return
        if msg.startswith("Error handling request"):
            msg, args = "Error handling request", ()
        super().exception(msg, *args, **kwargs)


logger_class = Log
errorlog = None  # `Log` hands it on
accesslog = None  # the application logs its requests itself, without paths and queries
proc_name = "panless"
control_socket_disable = True

timeout = 60
graceful_timeout = 60  # a request in the middle of its calls to a processor is given the time to write down the outcome
keepalive = 5
limit_request_line = 4094
limit_request_fields = 64
limit_request_field_size = 8190
forwarded_allow_ips = ""  # nothing here depends on where a request says that it came from
umask = 0o077
worker_tmp_dir = memory_folder()


def on_starting(_server: object) -> None:
    """Harden the master, which hands the umask and the limits on."""
    harden()


def ssl_context(config: Config, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """The TLS that is spoken, where a certificate is set. Who serves the connection shakes hands, in its own time."""
    context = tls.harden(default())
    if not issubclass(config.worker_class, Threads):  # they are told so; gevent's server takes no word about it
        later = partial(context.wrap_socket, do_handshake_on_connect=False)
        context.wrap_socket = later  # type: ignore[method-assign]  # a cycle, but of one context for the process
    return context


def post_fork(_server: object, _worker: object) -> None:
    """Harden a worker, and have it answer what it can't even parse without repeating it."""
    harden()
    util.write_error = write_problem  # gunicorn has no setting for it, and its own page quotes the request line


_GUARDED = "".join(f"{name}: {value}\r\n" for name, value in FIXED.items())


def _request_id() -> str:
    """As the application makes them (api/door.py), which never sees these requests."""
    return f"req_{secrets.token_hex(16)}"


def write_problem(sock: Any, status: int, reason: str, _quoting: str) -> None:  # noqa: ANN401  # gunicorn has no types
    """Answer a request that is no HTTP in problem details, without a word of what was sent."""
    doc = "/docs#problem-bad-request"
    detail = "This is not HTTP that can be read."
    problem = {"type": doc, "title": reason, "status": status, "detail": detail, "code": "bad_request", "doc": doc}
    body = json.dumps(problem)
    request_id = structlog.contextvars.get_contextvars().get("request_id") or _request_id()
    # looked up as late as this: gevent puts its own in place of it
    secure = f"Strict-Transport-Security: {UNDER_TLS}\r\n" if isinstance(sock, ssl.SSLSocket) else ""
    head = (
        f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: application/problem+json\r\n"
        f"Content-Length: {len(body)}\r\nRequest-Id: {request_id}\r\n{_GUARDED}{secure}\r\n"
    )
    util.write_nonblock(sock, (head + body).encode("latin1"))


def post_worker_init(_worker: object) -> None:
    """Leave Ctrl-C to the master, which tells its workers.

    In a terminal it reaches both, and gunicorn's threaded worker locks up when it is told to stop a second time while
    it stops: its handler shuts the same thread pool down twice.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def child_exit(_server: object, worker: Any) -> None:  # noqa: ANN401  # gunicorn has no types
    """Forget what a dead worker said of the present; what it counted stays."""
    if folder := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        for file in Path(folder).glob(f"gauge_live*_{worker.pid}.db"):
            file.unlink(missing_ok=True)


def on_exit(_server: object) -> None:
    """Remove the folder that `panless serve` made for the metrics."""
    if folder := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        shutil.rmtree(folder, ignore_errors=True)
