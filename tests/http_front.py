"""What stands before a simulated server in tests: it can be gone, be slow, or refuse."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from werkzeug.serving import WSGIRequestHandler, make_server

Application = Callable[..., Iterable[bytes]]


class Front:
    """A server on a port of its own that keeps its port when it goes away and comes back."""

    def __init__(self, behind: Application, handler: type[WSGIRequestHandler] = WSGIRequestHandler) -> None:
        self._behind, self._handler = behind, handler
        self.seconds = 0.0
        self.answer: tuple[str, str, bytes] | None = None
        """Status, content type and body of what is answered to everything."""
        self.port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        time.sleep(self.seconds)
        if self.answer is None:
            return self._behind(environ, start_response)
        status, kind, body = self.answer
        start_response(status, [("Content-Type", kind)])
        return [body]

    def start(self) -> None:
        self._server = make_server("127.0.0.1", self.port, self, threaded=True, request_handler=self._handler)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @contextmanager
    def gone(self) -> Iterator[None]:
        self.stop()
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def slow(self, seconds: float) -> Iterator[None]:
        self.seconds = seconds
        try:
            yield
        finally:
            self.seconds = 0.0

    @contextmanager
    def answering(self, status: str, kind: str, body: bytes) -> Iterator[None]:
        self.answer = (status, kind, body)
        try:
            yield
        finally:
            self.answer = None
