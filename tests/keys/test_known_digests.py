"""The blind index's HMAC-SHA256 against answers that others published: RFC 4231's, and Wycheproof's for HKDF."""

import hmac

import pytest
from wycheproof import cases, octets

from keys import blindindex

RFC_4231 = [
    (b"\x0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
    (b"Jefe", b"what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
    (b"\xaa" * 20, b"\xdd" * 50, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
    (bytes(range(1, 26)), b"\xcd" * 50, "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"),
    (b"\x0c" * 20, b"Test With Truncation", "a3b6167473100ee06e0c796c2955552b"),
    (
        b"\xaa" * 131,
        b"Test Using Larger Than Block-Size Key - Hash Key First",
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    ),
    (
        b"\xaa" * 131,
        (
            b"This is a test using a larger than block-size key and a larger than block-size data. "
            b"The key needs to be hashed before being used by the HMAC algorithm."
        ),
        "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
    ),
]
"""RFC 4231, section 4: key, data, HMAC-SHA-256; the fifth is published cut to the 128 bits that an index keeps."""


def index_digest(monkeypatch: pytest.MonkeyPatch, key: bytes, message: bytes) -> bytes:
    """A blind index digest over a message that is no frame of ours."""
    monkeypatch.setattr(blindindex, "frame", lambda *_parts: message)
    return blindindex.digest(key, form="raw", value="")


def test_an_index_digest_is_a_cut_hmac(monkeypatch: pytest.MonkeyPatch) -> None:
    """A blind index digest is the first 16 bytes of the HMAC-SHA256 that RFC 4231 publishes."""
    for key, data, published in RFC_4231:
        assert index_digest(monkeypatch, key, data) == bytes.fromhex(published)[:16]


def test_an_index_digest_makes_hkdf(monkeypatch: pytest.MonkeyPatch) -> None:
    """HKDF's first block is an HMAC under an HMAC (RFC 5869): made of digests, its first 16 bytes are Wycheproof's."""
    valid = [case for case in cases("Protocol/hkdf_sha256_test.json") if case["result"] == "valid"]
    for case in valid:
        key, salt, info, expected = octets(case, "ikm", "salt", "info", "okm")
        extracted = hmac.digest(salt, key, "sha256")
        digest = index_digest(monkeypatch, extracted, info + b"\1")
        assert digest[: len(expected)] == expected[:16], case["tcId"]
    assert len(valid) > 80
