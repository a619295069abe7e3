"""A root key in an HSM, behind PKCS#11. The HSM's library runs in a program of its own, one for each of our processes.

Such a library is C: it can hang where no timeout reaches, crash, block every greenlet of a process, and none survives a
fork. A program can be killed and started anew.
"""

import base64
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from threading import Lock
from time import monotonic
from urllib.parse import quote

from keys.errors import KeysError, RootKeyAway, RootKeyDenied, Unreadable
from keys.providers.of_process import OfProcess

LONGEST_CALL = 5.0
"""Seconds for one call: the start of the program, a login and waiting for other threads included."""

_ROOT = Path(__file__).parents[2]
_PROGRAM = (sys.executable, "-P", "-m", "keys.providers.pkcs11_session")
_ERRORS = {error.__name__: error for error in (RootKeyAway, RootKeyDenied)}


class Pkcs11Key:
    """An AES key by the labels of its token and itself. Safe for threads, and after a fork.

    A call takes LONGEST_CALL at most.
    """

    provider = "pkcs11"

    def __init__(self, *, module: Path, token: str, label: str, pin: str) -> None:
        self.key_id = f"{quote(token, safe='')}/{quote(label, safe='')}"
        opening = {"module": str(module), "token": token, "label": label, "pin": pin}
        self._session = OfProcess(lambda: _Session(opening))

    def __repr__(self) -> str:
        return f"Pkcs11Key({self.key_id!r})"

    def wrap(self, plain: bytes) -> bytes:
        """`nonce 12 | ciphertext | tag 16`: AES-GCM by the HSM. Raises RootKeyAway, RootKeyDenied."""
        return self._session.get().ask("wrap", plain)

    def unwrap(self, wrapped: bytes) -> bytes:
        """What was wrapped. Raises RootKeyAway, RootKeyDenied, Unreadable."""
        return self._session.get().ask("unwrap", wrapped)


class _Session:
    """The program that holds a session, started when it is first asked, and again after it was lost."""

    def __init__(self, opening: dict[str, str]) -> None:
        self._opening = opening
        self._owner = os.getpid()
        self._one_at_a_time = Lock()
        self._program: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None

    def ask(self, what: str, value: bytes) -> bytes:
        end = monotonic() + LONGEST_CALL
        if not self._one_at_a_time.acquire(timeout=LONGEST_CALL):
            raise RootKeyAway("the HSM is busy with others' calls")
        try:
            return _meaning(self._exchange({"do": what, "value": base64.b64encode(value).decode()}, end))
        except (OSError, ValueError):
            self._end()
            raise RootKeyAway(f"the HSM did not answer within {LONGEST_CALL:.0f} s, or its library crashed") from None
        finally:
            self._one_at_a_time.release()

    def _exchange(self, request: dict[str, str], end: float) -> bytes:
        line = self._started(end)
        _send(line, request, end)
        answer = b""
        while not answer.endswith(b"\n"):
            answer += _some(line, end)
        return answer

    def _started(self, end: float) -> socket.socket:
        if self._line is None or self._program is None or self._program.poll() is not None:
            self._end()
            self._line, theirs = socket.socketpair()
            with theirs:
                path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
                environment = os.environ | {"PYTHONPATH": path}
                self._program = subprocess.Popen(_PROGRAM, stdin=theirs.fileno(), stdout=2, env=environment)  # noqa: S603  # ours
            _send(self._line, self._opening, end)
        return self._line

    def __del__(self) -> None:
        if os.getpid() == self._owner:  # in a fork the program is still the parent's
            self._end()

    def _end(self) -> None:
        if self._line is not None:
            self._line.close()
        if self._program is not None:
            self._program.kill()
            self._program.wait()
        self._line = self._program = None


def _send(line: socket.socket, message: dict[str, str], end: float) -> None:
    line.settimeout(max(end - monotonic(), 0.001))
    line.sendall(json.dumps(message).encode() + b"\n")


def _some(line: socket.socket, end: float) -> bytes:
    line.settimeout(max(end - monotonic(), 0.001))
    received = line.recv(65536)
    if not received:
        raise ConnectionResetError
    return received


def _meaning(answer: bytes) -> bytes:
    """The value in an answer, or the error that it tells of."""
    told: dict[str, str] = json.loads(answer)
    if "value" in told:
        return base64.b64decode(told["value"])
    error: type[KeysError] | None = _ERRORS.get(told["error"])
    raise error(told["message"]) if error else Unreadable
