"""How the server's processes take connections."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import gevent
import pytest
from gevent.pool import Pool  # type: ignore[import-untyped]  # it has none

from panless.serving.greenlets import AT_ONCE, Greenlets


class Taking(Greenlets):
    """A process that only notes whom it has taken."""

    def __init__(self) -> None:
        """Begin with none, and without what gunicorn's own would open."""
        self.taken = 0

    def handle(self, _listener: object, client: socket.socket, _addr: object) -> None:
        """Take the connection, and let it go."""
        self.taken += 1
        client.close()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=128) as made:
        made.setblocking(False)  # noqa: FBT003  # as its only parameter says
        yield made


def test_many_are_taken_at_a_look(listener: socket.socket) -> None:
    """Whoever waits to be taken is not kept waiting for as many looks of a busy process as others came before."""
    worker = Taking()
    server = worker.server_class(listener, spawn=Pool(100))
    with ExitStack() as clients:
        for _ in range(AT_ONCE + 1):
            clients.enter_context(socket.create_connection(listener.getsockname()))
        loop = gevent.get_hub().loop
        before = loop.iteration
        server.start()
        while worker.taken < AT_ONCE + 1:
            gevent.sleep(0.001)
        assert loop.iteration - before < AT_ONCE
        server.stop()
