"""What the cryptography of one operation costs, alone: microseconds of CPU."""

import os
import time
from collections.abc import Callable
from statistics import median

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bench.figures import Figure
from keys.blindindex import digest, label
from keys.context import Context
from keys.dek import Dek, derive
from keys.envelope import seal, unseal
from keys.wrapping import dek_place, unwrap_dek, wrap_dek

CALLS, ROUNDS = 2000, 7
PLACE = Context(
    deployment="dep_" + 28 * "a",
    tenant="ten_" + 28 * "b",
    table="tokens",
    column="card",
    row="tok_" + 28 * "c",
    customer="cus_" + 28 * "d",
    version=1,
)


def figures() -> list[Figure]:
    """Each over a value as long as a card's metadata."""
    dek, kek = Dek(os.urandom(16), os.urandom(32)), AESGCM(os.urandom(32))
    key = derive(dek, label("email"))
    plain, place = bytes(120), dek_place("dep", "ten", dek.id, "customer", "cus")
    record, wrapped = seal(dek, plain, PLACE), wrap_dek(kek, dek, place)
    acts: dict[str, Callable[[], object]] = {
        "seal": lambda: seal(dek, plain, PLACE),
        "unseal": lambda: unseal(dek, record, PLACE),
        "wrap a DEK": lambda: wrap_dek(kek, dek, place),
        "unwrap a DEK": lambda: unwrap_dek(kek, dek.id, wrapped, place),
        "derive a subkey": lambda: derive(dek, "label"),
        "blind index digest": lambda: digest(key, form="raw", value="ada@example.com"),
    }
    return [Figure(name=name, on="-", measured=_microseconds(act), unit="us") for name, act in acts.items()]


def _microseconds(act: Callable[[], object]) -> float:
    return median(_round(act) for _ in range(ROUNDS))


def _round(act: Callable[[], object]) -> float:
    start = time.process_time_ns()
    for _ in range(CALLS):
        act()
    return (time.process_time_ns() - start) / 1000 / CALLS
