"""What is signed here, and what signatures are believed, against answers that others published."""

import json
from base64 import b64decode, b64encode
from collections import Counter
from datetime import UTC, datetime
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_der_private_key
from standardwebhooks.webhooks import Webhook
from wycheproof import cases, octets

from vault.ledger import entries
from vault.ledger.keys import pair_of
from vault.protocols import opendsr

RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
            "d25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
            "387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
            "4a7c15e9716ed28dc027beceea1ec40a"
        ),
    ),
]
"""RFC 8032, 7.1, tests 1 to 3: secret key, public key, message, signature."""

OPENDSR_FILES = [f"Signature/rsa_pkcs1_{bits}_sig_gen_test.json" for bits in (2048, 3072, 4096)]


def test_the_ledger_believes_what_ed25519_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry whose signature is valid for its text and key is genuine; with each invalid one it is refused.

    Vectors that either answer is right for are about public keys of small or mixed order, which no seed gives.
    """
    seen = Counter[str]()
    for case in cases("Signature/ed25519_test.json"):
        message, signature = octets(case, "msg", "sig")
        public = bytes.fromhex(case["publicKey"]["pk"])
        entry = json.dumps({"case": case["tcId"], "signature": b64encode(signature).decode()}).encode()
        monkeypatch.setattr(entries, "canonical", lambda _entry, message=message: message)
        seen[case["result"]] += 1
        if case["result"] == "valid":
            assert entries.genuine(entry, public)["case"] == case["tcId"]
        elif case["result"] == "invalid":
            with pytest.raises(ValueError, match="does not fit"):
                entries.genuine(entry, public)
    assert seen["valid"] > 110
    assert seen["invalid"] > 60


@pytest.mark.parametrize(("seed", "public", "message", "signature"), RFC_8032)
def test_the_ledger_signs_as_ed25519_does(seed: str, public: str, message: str, signature: str) -> None:
    """The key pair out of a seed is the RFC's, and so is what it signs."""
    pair = pair_of(bytes.fromhex(seed))
    assert pair.public.hex() == public
    assert pair.private.sign(bytes.fromhex(message)).hex() == signature


@cache  # OpenSSL looks whether each key's factors are primes
def processor(pkcs8: bytes) -> opendsr.Processor:
    key = load_der_private_key(pkcs8, password=None)
    assert isinstance(key, RSAPrivateKey)
    return opendsr.Processor(domain="example.com", certificate=b"", key=key)


@pytest.mark.parametrize("file", OPENDSR_FILES)
def test_opendsr_signs_as_pkcs_1_does(file: str) -> None:
    """With keys of the lengths that are taken here, a body is signed with the bytes that Wycheproof has for it."""
    ours = [case for case in cases(file) if (case["sha"], case["result"]) == ("SHA-256", "valid")]
    for case in ours:
        pkcs8, body, signature = octets(case, "privateKeyPkcs8", "msg", "sig")
        headers = opendsr.signed(processor(pkcs8), body)
        assert b64decode(headers["X-OpenDSR-Signature"]) == signature, case["tcId"]
    assert len(ours) > 7


def test_events_are_signed_as_standard_webhooks_are() -> None:
    """The signer of events gives the signature that stands in the tests of Standard Webhooks' own libraries."""
    signer, at = Webhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), datetime.fromtimestamp(1614265330, UTC)
    signature = signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", at, '{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
