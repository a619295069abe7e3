"""Checkpoints as C2SP writes them: tlog-checkpoint texts in signed notes, Ed25519 (RFC 8032).

    <origin>
    <size, decimal>
    <root hash, base64>
    <empty line>
    — <key name> <base64 of 4 bytes of key id and 64 of signature>

A key's id is the first 4 bytes of SHA-256 over its name, a line feed, 0x01 and the 32 bytes of the public key. Sources:
C2SP signed-note and tlog-checkpoint.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from vault.tlog.merkle import HASH_BYTES

ED25519 = b"\x01"
_TEXT = re.compile(r"(?P<origin>[^\n]+)\n(?P<size>0|[1-9][0-9]{0,18})\n(?P<root>[A-Za-z0-9+/]{43}=)\n")
_LINE = re.compile(r"— (?P<name>[^\s+]+) (?P<blob>[A-Za-z0-9+/]+={0,2})")
_VERIFIER = re.compile(r"(?P<name>[^\s+]+)\+(?P<id>[0-9a-f]{8})\+(?P<key>[A-Za-z0-9+/]+={0,2})")


class NotGenuine(ValueError):
    """A checkpoint that is malformed, or that none of the keys signed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The state of a log: `size` entries, whose tree has this root."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """What is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


@dataclass(frozen=True, slots=True)
class Verifier:
    """A public key, 32 bytes, under the name that its signatures carry."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        """4 bytes."""
        return hashlib.sha256(self.name.encode() + b"\n" + ED25519 + self.public).digest()[:4]

    def __str__(self) -> str:
        """As signed-note writes a verifier key: name, id in hex, and the key in base64, with + between."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(ED25519 + self.public).decode()}"


def parse_verifier(text: str) -> Verifier:
    """The key of a verifier line. Raises ValueError, which says what is wrong."""
    found = _VERIFIER.fullmatch(text.strip())
    if found is None:
        raise ValueError("A verifier key looks like NAME+8 hex digits+base64; `panless audit key` prints it.")
    raw = _decoded(found["key"])
    verifier = Verifier(found["name"], raw[1:])
    if raw[:1] != ED25519 or len(raw) != 1 + HASH_BYTES or verifier.key_id.hex() != found["id"]:
        raise ValueError("This verifier key is not whole: its id does not fit. Copy it again.")
    return verifier


def sign(checkpoint: Checkpoint, keys: Iterable[tuple[Verifier, Ed25519PrivateKey]]) -> bytes:
    """The note: the checkpoint's text and one line of signature a key."""
    text = checkpoint.text
    lines = (
        f"— {verifier.name} {base64.b64encode(verifier.key_id + private.sign(text.encode())).decode()}\n"
        for verifier, private in keys
    )
    return f"{text}\n{''.join(lines)}".encode()


def open_note(note: bytes, verifiers: Sequence[Verifier]) -> Checkpoint:
    """The checkpoint in a note that one of these keys signed; signatures by unknown keys are passed over.

    Raises NotGenuine: also where a known key's signature is wrong, whatever the others say.
    """
    text, lines = _parts(note)
    found = _TEXT.fullmatch(text)
    if found is None:
        raise NotGenuine("This is no checkpoint: origin, size and root hash are its first three lines.")
    ours = [(verifier, blob) for name, blob in lines for verifier in verifiers if _fits(verifier, name, blob)]
    signed = [_holds(verifier, text, blob) for verifier, blob in ours]
    if not signed:
        raise NotGenuine("None of the keys given signed this checkpoint.")
    if not all(signed):
        raise NotGenuine("A signature of this checkpoint is wrong: it was changed, or never signed.")
    return Checkpoint(origin=found["origin"], size=int(found["size"]), root=_decoded(found["root"]))


def _parts(note: bytes) -> tuple[str, list[tuple[str, bytes]]]:
    try:
        text, gap, rest = note.decode().rpartition("\n\n")
    except UnicodeDecodeError:
        raise NotGenuine("This is no checkpoint: it is not text.") from None
    found = [_LINE.fullmatch(line) for line in rest.removesuffix("\n").split("\n")]
    if not gap or not rest.endswith("\n") or not all(found):
        raise NotGenuine("This is no checkpoint: it does not end in lines of signatures.")
    return f"{text}\n", [(each["name"], _decoded(each["blob"])) for each in found if each]


def _fits(verifier: Verifier, name: str, blob: bytes) -> bool:
    return verifier.name == name and verifier.key_id == blob[:4]


def _holds(verifier: Verifier, text: str, blob: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(verifier.public).verify(blob[4:], text.encode())
    except InvalidSignature:
        return False
    return True


def _decoded(text: str) -> bytes:
    """Strict base64: the one spelling of these bytes."""
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise NotGenuine("There is broken base64 in this checkpoint or key.") from None
    if base64.b64encode(raw).decode() != text:
        raise NotGenuine("There is base64 in this checkpoint or key that is not in its one form.")
    return raw
