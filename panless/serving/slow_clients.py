"""Clients that are slow cost a connection, and nobody else's turn.

A request must have arrived whole within so many seconds, or its connection is cut; each piece of an answer must be
taken within as many. The body is read here, before the application is asked, and so before the request waits for its
turn (api/admission.py): who is slow holds up nobody.

gunicorn's master imports this before gevent patches the standard library: it must import no room of the house.
"""

import io
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

from gunicorn import util  # type: ignore[import-untyped]  # it has none
from gunicorn.workers.gthread import TConn, ThreadWorker  # type: ignore[import-untyped]  # as above

KEPT = 64 * 1024 + 1
"""Bytes of a body that the application gets to see: one more than it takes."""

MOST_UNREAD = 1024 * 1024
"""Bytes of a body that are waited for: who is cut off before may lose the answer that says why."""

ENDED = -1
"""The number of a socket that is closed."""

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class SlowClients:
    """A WSGI application in front of another one, which it gives whole requests only."""

    def __init__(self, application: Application, *, seconds: float) -> None:
        """Take the application, and the time for a request to arrive."""
        self._application = application
        self._seconds = seconds
        self._lock = threading.Lock()
        self._arriving: dict[int, tuple[float, Callable[[], socket.socket]]] = {}
        threading.Thread(target=self._cut_late, name="slow-clients", daemon=True).start()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Read the body, then hand the request on."""
        client = environ["gunicorn.socket"]
        if environ.get("CONTENT_LENGTH", "0") != "0" or "HTTP_TRANSFER_ENCODING" in environ:
            with self.arriving(lambda: client):
                environ["wsgi.input"] = _read(environ["wsgi.input"])
        answer = self._application(environ, start_response)
        client.settimeout(self._seconds)
        return answer

    @contextmanager
    def arriving(self, client: Callable[[], socket.socket]) -> Iterator[None]:
        """Cut a client off whose request has not arrived in time, counted from the outermost of these."""
        me = threading.get_ident()  # of a thread or a greenlet
        self._arriving.setdefault(me, (time.monotonic() + self._seconds, client))
        try:
            yield
        finally:
            with self._lock:
                self._arriving.pop(me, None)

    def _cut_late(self) -> None:
        while True:
            time.sleep(min(1.0, self._seconds / 4))
            now = time.monotonic()
            for me, (end, _) in list(self._arriving.items()):
                if end <= now:
                    self._cut(me)

    def _cut(self, me: int) -> None:
        """Let a client say no more; it still hears the answer. It is not gone as long as it is in the list."""
        with self._lock, suppress(OSError, ValueError):
            if late := self._arriving.pop(me, None):
                twin = socket.socket(fileno=os.dup(late[1]().fileno()))  # TLS would forget its keys
                with twin:
                    twin.shutdown(socket.SHUT_RD)


class _Body(io.RawIOBase):
    """What was read of a body, then what went wrong."""

    def __init__(self, kept: bytes, error: Exception | None) -> None:
        self._kept = io.BytesIO(kept)
        self._error = error

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  # anything to write into
        part = self._kept.read(len(buffer))
        if not part and self._error is not None:
            raise self._error
        buffer[: len(part)] = part
        return len(part)


def _read(body: Any) -> _Body:  # noqa: ANN401  # the server's
    """The beginning of a body; what is more is read and forgotten, up to a limit."""
    kept, count = b"", 0
    try:
        while count < MOST_UNREAD and (part := body.read(KEPT)):
            kept = (kept + part)[:KEPT] if len(kept) < KEPT else kept
            count += len(part)
    except Exception as error:  # noqa: BLE001  # the application says what a broken body is answered
        return _Body(kept, error)
    return _Body(kept, None)


class Threads(ThreadWorker):  # type: ignore[misc]  # as above
    """gunicorn's threaded worker, with a thread for each connection: most of them wait for clients."""

    def get_thread_pool(self) -> ThreadPoolExecutor:
        """Threads, made as they are needed."""
        return ThreadPoolExecutor(max_workers=self.cfg.worker_connections)

    def handle(self, conn: TConn) -> Any:  # noqa: ANN401  # gunicorn has no types
        """Have the request arrive in time, its TLS handshake and its head too; end the connection here if it ends.

        gunicorn would wait for the client to hang up in the loop that all connections share.
        """
        with self.wsgi.wsgi_app.arriving(lambda: conn.sock):
            goes_on = super().handle(conn)
        if not goes_on:
            util.close_graceful(conn.sock)
        return goes_on

    def finish_request(self, conn: TConn, outcome: Future[Any]) -> None:
        """Count a connection that has ended, or do with it what gunicorn does."""
        if conn.sock.fileno() == ENDED:
            self.nr_conns -= 1
        else:
            super().finish_request(conn, outcome)
