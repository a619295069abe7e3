"""Keyed digests by which a sealed value is found again without being readable.

Never over a PAN: there are few enough card numbers that whoever gets the index key could try them all. Cards are
recognized by the processor's own fingerprint.
"""

import hmac
import unicodedata
from typing import Literal

from keys.framing import frame

NORMALIZATION = 1
"""The version of `normalize`; digests made under another version don't find each other. Version 2, of emails and
phones: vault/people/identities.py."""

DIGEST_BYTES = 16

Form = Literal["raw", "sha256"]


def label(field: str) -> str:
    """Under which label a field's key, which the functions below take, is derived from the tenant's index DEK."""
    return f"blind-index/{field}"


def digest(key: bytes, *, form: str, value: str) -> bytes:
    """16 bytes of HMAC-SHA256 (RFC 2104) over the framed form and value, under the tenant's key for the field.

    The value is taken as it is: whoever asks normalizes. Never over a PAN.
    """
    return hmac.digest(key, frame(form.encode(), value.encode()), "sha256")[:DIGEST_BYTES]


def normalize(field: str, value: str) -> str:
    """`value` as it is compared, by version 1 of these rules; every one begins with Unicode NFKC.

    `email`: stripped, case folded. `phone`: decimal digits, as ASCII, and a `+` before all of them; the rest dropped.
    `reference`: stripped, case kept. Any other field: as given, without NFKC.
    """
    match field:
        case "email":
            return unicodedata.normalize("NFKC", value).strip().casefold()
        case "phone":
            return _dialled(unicodedata.normalize("NFKC", value))
        case "reference":
            return unicodedata.normalize("NFKC", value).strip()
        case _:
            return value


def _dialled(phone: str) -> str:
    kept = [
        str(unicodedata.decimal(each)) if each.isdecimal() else each
        for each in phone
        if each.isdecimal() or each == "+"
    ]
    return "+" * (kept[:1] == ["+"]) + "".join(kept).replace("+", "")
