"""Ids that clients see: prefix, two characters of cell, 130 random bits. No time in them, never reused."""

import base64
import re
import secrets

CELL = re.compile(r"[a-z0-9]{2}")
BODY_LENGTH = 28
"""Two characters of cell and 26 of base32."""

_LETTERS = bytes(b"abcdefghijklmnopqrstuvwxyz234567"[byte % 32] for byte in range(256))
"""Each random byte gives one letter of base32: 26 of them carry 130 bits."""

_ID = re.compile(r"[a-z]{2,4}_[a-z0-9]{2}[a-z2-7]{26}")


def base32(raw: bytes) -> str:
    """Lower-case base32 (RFC 4648, section 6) without padding."""
    return base64.b32encode(raw).decode().rstrip("=").lower()


def new_id(prefix: str, home: str) -> str:
    """A new id of the kind `prefix`, in the cell of `home`: a cell's two characters, or any id that lives there."""
    return f"{prefix}_{cell_of(home)}{secrets.token_bytes(BODY_LENGTH - 2).translate(_LETTERS).decode()}"


def derived_id(prefix: str, home: str, seed: bytes) -> str:
    """An id of the kind `prefix` that `seed` alone decides: 26 or more bytes that nobody else can know."""
    return f"{prefix}_{cell_of(home)}{seed[: BODY_LENGTH - 2].translate(_LETTERS).decode()}"


def pattern(prefix: str) -> str:
    """The form of an id of that kind, for who reads our documents."""
    return f"^{prefix}_[a-z0-9]{{2}}[a-z2-7]{{26}}$"


def cell_of(home: str) -> str:
    """The cell that an id (or a bare cell) names."""
    return home.rpartition("_")[2][:2]


def is_id(value: str, prefix: str) -> bool:
    """Whether `value` has the form of an id of that kind."""
    return value.startswith(f"{prefix}_") and _ID.fullmatch(value) is not None
