"""What stands between a client and its PostgreSQL, and has it end at a moment that is chosen."""

import socket
import struct
from contextlib import suppress
from threading import Thread

from sqlalchemy import make_url

_FIELDS = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0"
FATAL = b"E" + struct.pack("!i", 4 + len(_FIELDS)) + _FIELDS
READY = 6
"""Bytes in which a server says, after each answer, that it is ready for the next command."""


class Between:
    """Between a client and its server, which ends or is silent from a moment on that is chosen.

    `ends_at`: it ends once it has answered the next of this command. `is_silent`: it takes all, and says nothing.
    """

    def __init__(self, server: str, port: int = 0) -> None:
        self._server = f"{make_url(server).query['host']}/.s.PGSQL.5432"
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = self._listener.getsockname()[1]
        self.ends_at: bytes | None = None
        self.is_silent = False
        Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, server = self._listener.accept()[0], socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                Thread(target=self._carry, args=(client, server), daemon=True).start()

    def _carry(self, client: socket.socket, server: socket.socket) -> None:
        """One command and its answer at a time, as this driver sends them here."""
        with client, server, suppress(OSError):
            while asked := client.recv(65536):
                if self.is_silent:
                    continue
                server.sendall(asked)
                answer = server.recv(65536)
                if self.ends_at is not None and self.ends_at in asked:
                    self.ends_at = None
                    client.sendall(answer[:-READY] + FATAL)
                    return
                client.sendall(answer)

    def close(self) -> None:
        self._listener.close()
