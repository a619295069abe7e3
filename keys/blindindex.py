"""Keyed digests by which a sealed value is found again without being readable.

Never over a PAN: there are few enough card numbers that whoever gets the index key could try them all. Cards are
recognized by the processor's own fingerprint.
"""

import hashlib
import hmac
import unicodedata
from typing import Literal

from keys.framing import frame

NORMALIZATION = 1
"""The version of `normalize`; digests made under another version don't find each other."""

DIGEST_BYTES = 16

Form = Literal["raw", "sha256"]


def label(field: str) -> str:
    """Under which label a field's key, which the functions below take, is derived from the tenant's index DEK."""
    return f"blind-index/{field}"


def digest(key: bytes, *, form: str, value: str) -> bytes:
    """16 bytes of HMAC-SHA256 (RFC 2104) over the framed form and value, under the tenant's key for the field.

    The value is taken as it is: `digests` and `lookup_digest` normalize. Never over a PAN.
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


def digests(key: bytes, field: str, value: str) -> list[tuple[Form, bytes]]:
    """The index rows of one value, two or three: its `raw` digest, and one `sha256` digest per hash of it.

    Privacy protocols send hex SHA-256 of what a person typed, as given or lower-cased: both are found.
    """
    as_given = value.strip()
    hashes = dict.fromkeys(_hex_sha256(text) for text in (as_given, as_given.lower()))
    raw: tuple[Form, bytes] = ("raw", lookup_digest(key, field, "raw", value))
    return [raw, *(("sha256", lookup_digest(key, field, "sha256", each)) for each in hashes)]


def lookup_digest(key: bytes, field: str, form: Form, value: str) -> bytes:
    """The digest to search for: of a value (`raw`), or of a hex SHA-256 that somebody sent (`sha256`)."""
    given = normalize(field, value) if form == "raw" else value.strip().lower()
    return digest(key, form=form, value=given)


def _dialled(phone: str) -> str:
    kept = [
        str(unicodedata.decimal(each)) if each.isdecimal() else each
        for each in phone
        if each.isdecimal() or each == "+"
    ]
    return "+" * (kept[:1] == ["+"]) + "".join(kept).replace("+", "")


def _hex_sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
