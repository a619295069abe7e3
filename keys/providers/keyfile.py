"""The default root key: one line in a file, `panless-keyfile-1 <key id> <32 bytes in base64>`.

Who has this file and the keystore has everything: it protects a stolen database, not a stolen machine.
"""

import base64
import os
import re
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keys.errors import KeyfileRefused, Unreadable
from keys.rootkey import RootKey

FORMAT = "panless-keyfile-1"
NONCE_BYTES = 12
LINE = re.compile(rf"{FORMAT} (kf_[0-9a-f]{{16}}) ([A-Za-z0-9+/]{{43}}=)\n?")
LONGEST = 256
"""Bytes; a file that is longer is not one of ours, and is not read to its end."""


@dataclass(frozen=True, slots=True)
class Keyfile:
    """A root key out of a file. Its repr shows the id; the key itself stays inside the cipher object."""

    key_id: str
    _cipher: AESGCM = field(repr=False)
    provider: str = "keyfile"

    def wrap(self, plain: bytes) -> bytes:
        """`nonce 12 | ciphertext | tag 16`: AES-256-GCM. The nonce is random; a root key wraps far fewer than 2^32."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plain, self._associated())

    def unwrap(self, wrapped: bytes) -> bytes:
        """What was wrapped. Raises Unreadable."""
        try:
            return self._cipher.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], self._associated())
        except (InvalidTag, ValueError):  # ValueError: too short to hold a nonce
            raise Unreadable from None

    def _associated(self) -> bytes:
        return f"{FORMAT} {self.key_id}".encode()


def create(path: Path) -> None:
    """Write a new random key to `path` with mode 0600, on disk when this returns. Never overwrites: KeyfileRefused."""
    write(path, f"kf_{secrets.token_hex(8)}", os.urandom(32))


def write(path: Path, key_id: str, key: bytes) -> None:
    """Write this key to `path`, as `create` does. Raises KeyfileRefused."""
    write_private(path, f"{FORMAT} {key_id} {base64.b64encode(key).decode()}\n")


def write_private(path: Path, text: str) -> None:
    """Write a new file of mode 0600, on disk when this returns. Never overwrites: KeyfileRefused."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise KeyfileRefused(
            f"{path} exists already and is never overwritten, because everything may hang on the key in it: "
            "use that one, or name another path"
        ) from None
    try:
        with os.fdopen(file, "w", encoding="ascii") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
    except OSError:
        Path(path).unlink()  # half a key must not stand in the way of the next attempt
        raise
    _sync_directory(Path(path).parent)


def load(path: Path) -> RootKey:
    """The root key in `path`; a symlink is followed. Raises KeyfileRefused for anything but a key file of mode 0600."""
    key_id, key = read(path)
    return Keyfile(key_id=key_id, _cipher=AESGCM(key))


def read(path: Path) -> tuple[str, bytes]:
    """The id in a key file, and the key itself. Raises KeyfileRefused, as `load`."""
    match = LINE.fullmatch(read_private(path, LONGEST))
    if not match:
        raise KeyfileRefused(
            f"{path} is not a key file ({FORMAT}): restore it from its backup; a new one opens nothing"
        )
    return match[1], base64.b64decode(match[2])


def read_private(path: Path, longest: int) -> str:
    """The text of a file that its owner alone may read; the very file that is read is the one that was looked at.

    Raises KeyfileRefused.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # NONBLOCK: a pipe must not hang the start
    except OSError as error:
        raise KeyfileRefused(f"{path} can't be opened ({error.strerror}): restore it, or set the right path") from None
    try:
        mode = os.fstat(file).st_mode
        if not stat.S_ISREG(mode):
            raise KeyfileRefused(f"{path} is not a regular file: name the key file itself")
        if stat.S_IMODE(mode) & ~0o600:
            raise KeyfileRefused(f"{path} has mode {stat.S_IMODE(mode):04o}, more than 0600: run `chmod 600 {path}`")
        return os.read(file, longest).decode("ascii", "replace")
    finally:
        os.close(file)


def _sync_directory(directory: Path) -> None:
    """Make the file's name as durable as its content."""
    opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
