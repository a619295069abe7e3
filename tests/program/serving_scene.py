"""`panless serve`, running."""

import socket
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil
from commands import PLAIN
from program_scene import answers, until


class Server:
    """A server that runs, its address and its log."""

    def __init__(self, command: list[str], env: Mapping[str, str], log: Path) -> None:
        self.url = f"http://{env['PANLESS_BIND']}"
        self._log = log
        with log.open("wb") as file:
            self.process = subprocess.Popen(command, env=PLAIN | dict(env), stderr=file, cwd=log.parent)
        ready = self._listens if "PANLESS_TLS_KEY_FILE" in env else lambda: answers(f"{self.url}/livez")
        until(lambda: self.process.poll() is not None or ready())

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection(self.address, 1):
            return True
        return False

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.url.partition("//")[2].split(":")
        return host, int(port)

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def raw(self, sent: bytes) -> bytes:
        """What it answers to these bytes."""
        with socket.create_connection(self.address, 10) as connection:
            connection.sendall(sent)
            return connection.recv(65536)
