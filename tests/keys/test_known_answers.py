"""AES-GCM and HKDF through the functions of `keys` that call them, against Wycheproof's vectors."""

import os
from collections import Counter

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from wycheproof import Case, cases, octets

from keys.dek import Dek, derive
from keys.envelope import _record_key
from keys.errors import Unreadable
from keys.wrapping import unwrap_dek, wrap_dek

DEK_ID = bytes(16)
LONGEST_HKDF = 255 * 32


def gcm_cases() -> tuple[list[Case], list[Case]]:
    """AES-GCM's vectors: those of the sizes that are used here (key 32, nonce 12, tag 16), and the others."""
    found = cases("Cipher/aes_gcm_test.json")
    ours = [each for each in found if (each["keySize"], each["ivSize"], each["tagSize"]) == (256, 96, 128)]
    return ours, [each for each in found if each not in ours]


def test_a_wrapped_dek_opens_as_aes_gcm_does() -> None:
    """Each valid ciphertext unwraps to its plaintext, and each invalid one is refused with the one error."""
    seen = Counter[str]()
    for case in gcm_cases()[0]:
        key, nonce, place, plain, ciphertext, tag = octets(case, "key", "iv", "aad", "msg", "ct", "tag")
        seen[case["result"]] += 1
        if case["result"] == "valid":
            dek = unwrap_dek(AESGCM(key), DEK_ID, nonce + ciphertext + tag, place)
            assert dek == Dek(DEK_ID, plain), case["tcId"]
        else:
            with pytest.raises(Unreadable):
                unwrap_dek(AESGCM(key), DEK_ID, nonce + ciphertext + tag, place)
    assert seen["valid"] > 35
    assert seen["invalid"] > 25
    assert set(seen) == {"valid", "invalid"}


def test_a_dek_is_wrapped_as_aes_gcm_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the nonce of a valid vector drawn, a wrap is that nonce, its ciphertext and its tag."""
    valid = [case for case in gcm_cases()[0] if case["result"] == "valid"]
    for case in valid:
        key, nonce, place, plain, ciphertext, tag = octets(case, "key", "iv", "aad", "msg", "ct", "tag")
        with monkeypatch.context() as patched:
            patched.setattr(os, "urandom", {12: nonce}.__getitem__)
            wrapped = wrap_dek(AESGCM(key), Dek(DEK_ID, plain), place)
        assert wrapped == nonce + ciphertext + tag, case["tcId"]
    assert len(valid) > 35


def test_the_cipher_beyond_our_sizes() -> None:
    """With other keys and nonces the cipher opens what is valid; what it does not support it refuses, all of it."""
    refused = Counter[str]()
    others = gcm_cases()[1]
    for case in others:
        key, nonce, associated, plain, ciphertext, tag = octets(case, "key", "iv", "aad", "msg", "ct", "tag")
        if case["result"] == "valid" and 8 <= len(nonce) <= 128:
            assert AESGCM(key).decrypt(nonce, ciphertext + tag, associated) == plain, case["tcId"]
        else:
            with pytest.raises((InvalidTag, ValueError)):
                AESGCM(key).decrypt(nonce, ciphertext + tag, associated)
            refused[case["result"]] += 1
    assert len(others) > 240
    assert refused["invalid"] > 55
    assert refused["valid"] < 40


def test_a_records_key_comes_as_hkdf_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Key, nonce and commitment are, in this order, the 76 bytes that HKDF-SHA256 gives for DEK, salt and info."""
    valid = [case for case in cases("Protocol/hkdf_sha256_test.json") if case["result"] == "valid"]
    for case in valid:
        key, salt, info, expected = octets(case, "ikm", "salt", "info", "okm")
        monkeypatch.setattr("keys.envelope.INFO", info)
        out = b"".join(_record_key(Dek(DEK_ID, key), salt))
        assert len(out) == 76
        assert out[: len(expected)] == expected[:76], case["tcId"]
    assert len(valid) > 80


def test_a_subkey_comes_as_hkdf_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """A subkey is what HKDF-SHA256 without salt gives for its info, to the last byte, and never longer than it can."""
    found = cases("Protocol/hkdf_sha256_test.json")
    unsalted = [case for case in found if case["result"] == "valid" and not case["salt"]]
    for case in unsalted:
        key, info, expected = octets(case, "ikm", "info", "okm")
        monkeypatch.setattr("keys.dek.DERIVE_INFO", info)
        assert derive(Dek(DEK_ID, key), "", case["size"]) == expected, case["tcId"]
    assert len(unsalted) > 20
    too_long = [case for case in found if case["result"] == "invalid"]
    for case in too_long:
        assert case["size"] > LONGEST_HKDF
        with pytest.raises(ValueError, match="derive"):
            derive(Dek(DEK_ID, bytes.fromhex(case["ikm"])), "", case["size"])
    assert len(too_long) > 2
