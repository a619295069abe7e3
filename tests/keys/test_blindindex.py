import hmac

import pytest

from keys.blindindex import digest, label, normalize
from keys.dek import Dek, derive


@pytest.mark.parametrize(
    ("field", "typed", "compared"),
    [
        ("email", " Ann@Example.COM\n", "ann@example.com"),
        ("email", "\uff41nn@example.com", "ann@example.com"),  # full-width a
        ("email", "STRASSE@example.com", "strasse@example.com"),
        ("email", "stra\u00dfe@example.com", "strasse@example.com"),
        ("phone", "+49 (0)30 / 12-34", "+490301234"),
        ("phone", "\uff0b49 30", "+4930"),  # full-width plus
        ("phone", "(+49) 30+1", "+49301"),
        ("phone", "030 1234 ext. 5", "03012345"),
        ("phone", "\u0660\u0661\u0662", "012"),  # Arabic-Indic digits
        ("reference", " A-1 ", "A-1"),
        ("reference", "\uff21-1", "A-1"),
        ("fingerprint", " Ab ", " Ab "),
    ],
)
def test_normalization_version_1(field: str, typed: str, compared: str) -> None:
    """What people type differently and mean alike is compared alike; other fields stay as given."""
    assert normalize(field, typed) == compared
    assert normalize(field, compared) == compared


def test_the_digest_is_the_published_one(dek: Dek) -> None:
    """A digest is 16 bytes of HMAC-SHA256 under the field's subkey, over form and value with their lengths."""
    assert label("email") == "blind-index/email"
    key = derive(dek, label("email"))
    message = b"\0\0\0\3raw" + b"\0\0\0\5a@b.c"
    assert digest(key, form="raw", value="a@b.c") == hmac.digest(key, message, "sha256")[:16]


def test_digests_are_apart(dek: Dek) -> None:
    """Another field, form, value or tenant's key gives another digest."""
    keys = [derive(each, label(field)) for each in (dek, Dek(dek.id, bytes(32))) for field in ("email", "phone")]
    cases = [{"form": "raw", "value": "a"}, {"form": "sha256", "value": "a"}, {"form": "raw", "value": "b"}]
    assert len({digest(key, **case) for key in keys for case in cases}) == 12
