"""Canonical JSON (RFC 8785) of audit leaves and ledger entries.

They hold texts, whole numbers below 2^53, truth values and null, in lists and in objects whose names are ASCII. For
these the standard library writes the canonical form: ASCII sorts alike by code point and by UTF-16, and the escapes are
the RFC's. What it would write differently, fractions, they never hold. A test holds this against the rfc8785 package,
whose general answer takes fifteen times as long, several times in each charge and each erasure.
"""

import json
from collections.abc import Mapping, Sequence

Plain = str | int | bool | None | Sequence["Plain"] | Mapping[str, "Plain"]

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical(value: Mapping[str, Plain]) -> bytes:
    """The canonical bytes of an object. Raises TypeError for what JSON does not know."""
    return _ENCODER.encode(value).encode()
