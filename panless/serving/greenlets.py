"""gunicorn's gevent worker, whose clients must finish their TLS handshake in time.

gunicorn's master imports this before a worker patches the standard library: it must import no room of the house.
"""

import ssl
from functools import partial
from typing import Any

from gevent.pool import Pool  # type: ignore[import-untyped]  # it has none
from gevent.server import StreamServer  # type: ignore[import-untyped]  # as above
from gunicorn.workers.ggevent import GeventWorker  # type: ignore[import-untyped]  # it has none

AT_ONCE = 16
"""Connections that a process takes each time it looks. With gunicorn's one, a process that is busy looks so seldom that
those who come wait for seconds before they can be refused; with many, one process would take them from all others."""


class Greenlets(GeventWorker):  # type: ignore[misc]  # as above
    """A greenlet for each connection."""

    def server_class(self, listener: Any, *, spawn: Pool, **given: Any) -> StreamServer:  # noqa: ANN401  # gunicorn has no types
        """What takes connections, in place of gunicorn's own, to which it is the same but for how many at once."""
        tls = {"ssl_context": given["ssl_context"]} if "ssl_context" in given else {}
        server = StreamServer(listener, handle=partial(self.handle, listener), spawn=spawn, **tls)
        server.max_accept = AT_ONCE
        return server

    def handle(self, listener: Any, client: Any, addr: Any) -> None:  # noqa: ANN401  # gunicorn has no types
        """Shake hands, then serve; who speaks no TLS of ours, or too slowly, is hung up on.

        The server leaves the handshake to this (panless/serving/with_gunicorn.py): its own has no deadline, and logs a
        traceback for every client that fails. The application in front bounds it as it does for threads.
        """
        if isinstance(client, ssl.SSLSocket):
            try:
                with self.wsgi.wsgi_app.arriving(lambda: client):
                    client.do_handshake()
            except OSError:
                return
        super().handle(listener, client, addr)
