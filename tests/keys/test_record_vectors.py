import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from keys.context import Context
from keys.dek import Dek
from keys.envelope import unseal
from keys.errors import Unreadable

FOLDER = Path(__file__).parents[1] / "vectors"
VECTORS = json.loads((FOLDER / "record.json").read_text())
Case = dict[str, Any]


def parts(case: Case) -> tuple[Dek, bytes, Context]:
    dek = Dek(bytes.fromhex(case["dek_id"]), bytes.fromhex(case["dek"]))
    return dek, bytes.fromhex(case["record"]), Context(**case["context"])


def name(case: Case) -> str:
    return str(case["name"])


@pytest.mark.parametrize("case", VECTORS["good"], ids=name)
def test_good_vectors_open(case: Case) -> None:
    """What a stranger sealed by the published layout opens here, and the context encodes to the same bytes."""
    assert unseal(*parts(case)).hex() == case["plaintext"]
    assert Context(**case["context"]).encode().hex() == case["context_bytes"]


@pytest.mark.parametrize("case", VECTORS["bad"], ids=name)
def test_bad_vectors_are_refused(case: Case) -> None:
    """Each bad record is refused with the one error."""
    with pytest.raises(Unreadable):
        unseal(*parts(case))


def test_the_vectors_are_what_their_command_makes() -> None:
    """The file is the output of the script that it names, byte for byte."""
    made = subprocess.run([sys.executable, FOLDER / "make_record_vectors.py"], capture_output=True, check=True)
    assert made.stdout == (FOLDER / "record.json").read_bytes()


def test_one_ciphertext_under_two_keys() -> None:
    """AES-GCM alone opens the collision under both keys, to different plaintexts; only the commitment refuses one."""
    (good,) = (case for case in VECTORS["good"] if case["name"].startswith("ciphertext of two keys"))
    (bad,) = (case for case in VECTORS["bad"] if case["name"].startswith("ciphertext of two keys"))
    assert good["record"] == bad["record"]
    assert bare_gcm(good) == bytes.fromhex(good["plaintext"])
    assert bare_gcm(bad) != bare_gcm(good)
    assert unseal(*parts(good)) == bare_gcm(good)
    with pytest.raises(Unreadable):
        unseal(*parts(bad))


def bare_gcm(case: Case) -> bytes:
    """The record opened as if there were no commitment."""
    dek, record, context = parts(case)
    out = HKDF(algorithm=SHA256(), length=76, salt=record[18:50], info=b"panless/record/1").derive(dek.key)
    return AESGCM(out[:32]).decrypt(out[32:44], record[82:], record[:50] + context.encode())
