import hashlib
import hmac

import pytest

from keys.blindindex import digest, digests, lookup_digest, normalize
from keys.dek import Dek, derive


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
    key = derive(dek, "blind-index/email")
    message = b"\0\0\0\3raw" + b"\0\0\0\5a@b.c"
    assert digest(dek, field="email", form="raw", value="a@b.c") == hmac.digest(key, message, "sha256")[:16]


def test_digests_are_apart(dek: Dek) -> None:
    """Another field, form, value or tenant's key gives another digest."""
    same = {"field": "email", "form": "raw", "value": "a"}
    changed = [same, same | {"field": "phone"}, same | {"form": "sha256"}, same | {"value": "b"}]
    found = {digest(key, **case) for key in (dek, Dek(dek.id, bytes(32))) for case in changed}
    assert len(found) == 8


def test_a_raw_value_is_found(dek: Dek) -> None:
    """A search with the value as somebody else types it finds the row."""
    assert ("raw", lookup_digest(dek, "email", "raw", "ann@example.com ")) in digests(dek, "email", "Ann@Example.com")


@pytest.mark.parametrize("sent", ["Ann@Example.com", "ann@example.com"])
def test_a_hash_is_found(dek: Dek, sent: str) -> None:
    """A search with the SHA-256 of the value as given, or lower-cased, finds the row, in either case of the hex."""
    rows = digests(dek, "email", " Ann@Example.com")
    assert len(rows) == 3
    assert ("sha256", lookup_digest(dek, "email", "sha256", sha256(sent))) in rows
    assert ("sha256", lookup_digest(dek, "email", "sha256", sha256(sent).upper())) in rows


def test_equal_hashes_are_one_row(dek: Dek) -> None:
    """A value that is lower-case already has one row for its hash."""
    assert [form for form, _ in digests(dek, "email", "ann@example.com")] == ["raw", "sha256"]


def test_a_long_value_has_a_digest(dek: Dek) -> None:
    """Length is no error: a value longer than any request is digested like another."""
    assert len(digests(dek, "reference", "x" * 70_000)) == 2
