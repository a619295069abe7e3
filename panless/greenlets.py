"""gunicorn's gevent worker, whose clients must finish their TLS handshake in time.

gunicorn's master imports this before a worker patches the standard library: it must import no room of the house.
"""

import ssl
from typing import Any

from gunicorn.workers.ggevent import GeventWorker  # type: ignore[import-untyped]  # it has none


class Greenlets(GeventWorker):  # type: ignore[misc]  # as above
    """A greenlet for each connection."""

    def handle(self, listener: Any, client: Any, addr: Any) -> None:  # noqa: ANN401  # gunicorn has no types
        """Shake hands, then serve; who speaks no TLS of ours, or too slowly, is hung up on.

        The server leaves the handshake to this (panless/serving.py): its own has no deadline, and logs a traceback for
        every client that fails. The application in front bounds it as it does for threads.
        """
        if isinstance(client, ssl.SSLSocket):
            try:
                with self.wsgi.wsgi_app.arriving(lambda: client):
                    client.do_handshake()
            except OSError:
                return
        super().handle(listener, client, addr)
