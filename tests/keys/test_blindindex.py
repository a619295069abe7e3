import hashlib
import hmac

import pytest

from keys.blindindex import digest, digests, label, lookup_digest, normalize
from keys.dek import Dek, derive


@pytest.fixture
def key(dek: Dek) -> bytes:
    """A tenant's key for one field."""
    return derive(dek, label("email"))


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


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


def test_a_raw_value_is_found(key: bytes) -> None:
    """A search with the value as somebody else types it finds the row."""
    assert ("raw", lookup_digest(key, "email", "raw", "ann@example.com ")) in digests(key, "email", "Ann@Example.com")


@pytest.mark.parametrize("sent", ["Ann@Example.com", "ann@example.com"])
def test_a_hash_is_found(key: bytes, sent: str) -> None:
    """A search with the SHA-256 of the value as given, or lower-cased, finds the row, in either case of the hex."""
    rows = digests(key, "email", " Ann@Example.com")
    assert len(rows) == 3
    assert ("sha256", lookup_digest(key, "email", "sha256", sha256(sent))) in rows
    assert ("sha256", lookup_digest(key, "email", "sha256", sha256(sent).upper())) in rows


def test_equal_hashes_are_one_row(key: bytes) -> None:
    """A value that is lower-case already has one row for its hash."""
    assert [form for form, _ in digests(key, "email", "ann@example.com")] == ["raw", "sha256"]


def test_a_long_value_has_a_digest(key: bytes) -> None:
    """Length is no error: a value longer than any request is digested like another."""
    assert len(digests(key, "reference", "x" * 70_000)) == 2
