"""How fast DEKs move to a new KEK, by one process: alone, and beside a server that has work."""

import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor

from sqlalchemy import insert

from bench.databases import settle
from bench.figures import Figure
from bench.http import ours, tokenizations
from bench.load import opened, to_wire
from bench.scene import Scene
from keys import keks
from keys.dek import ID_BYTES, KEY_BYTES, Dek
from keys.keyring import Keyring
from keys.keystore import DEKS
from keys.rewrapping import rewrap
from keys.wrapping import dek_place, wrap_dek
from rows.engine import transaction

COUNT, AT_ONCE = 100_000, 10_000
RATE, SECONDS = 50, 25
"""Longer than it takes to make and to move them."""


def figures(scene: Scene) -> list[Figure]:
    """DEKs in a second; on PostgreSQL also while a server answers requests, none of which may fail."""
    found = [_figure(scene, "rewrap, DEKs/s", *_moved(scene, "ten_alone"))]
    if scene.backend == "postgresql":
        alone = multiprocessing.get_context("spawn")  # as clients are: their work must not hold up ours
        with ours(scene) as (url, _), ProcessPoolExecutor(1, mp_context=alone) as pool:
            reads = [to_wire(call) for call in scene.path("contact").make(RATE * SECONDS // 2)]
            calls = [[raw] for both in zip(tokenizations(scene, len(reads)), reads, strict=True) for raw in both]
            load = pool.submit(opened, url, calls, rate=RATE, seconds=SECONDS)
            measured, note = _moved(scene, "ten_loaded")
        if load.result().failed:
            raise RuntimeError(f"{load.result().failed} requests failed while DEKs moved")
        found.append(_figure(scene, f"rewrap at {RATE} requests/s, DEKs/s", measured, f"{note}, no request failed"))
    return found


def _moved(scene: Scene, tenant: str) -> tuple[float, str]:
    """How many DEKs a second moved to a new KEK, and in words."""
    ring = scene.house.components.keyring
    ring.create_tenant(tenant)
    old = ring.keks.newest(tenant)
    settle(ring.keystore)  # the worst case: statistics that are there, and know nothing of this tenant
    scene.say(f"making {COUNT} DEKs")
    fill(ring, tenant, COUNT)
    keks.rotate(ring, tenant)
    scene.say("moving them")
    began = time.monotonic()
    moved = rewrap(ring, tenant, old)
    seconds = time.monotonic() - began
    if not keks.note_empty(ring, tenant, old):
        raise RuntimeError("DEKs were left on the old KEK")
    return moved / seconds, f"{moved} DEKs in {seconds:.1f} s, one process"


def _figure(scene: Scene, name: str, measured: float, note: str) -> Figure:
    must = 20_000 if scene.backend == "postgresql" else None
    return Figure(name=name, on=scene.backend, must=must, reach=60_000, measured=measured, at_least=True, note=note)


def fill(ring: Keyring, tenant: str, count: int) -> None:
    """Give a tenant that many DEKs under its newest KEK, each for a customer of its own."""
    kek_id = ring.keks.newest(tenant)
    for start in range(0, count, AT_ONCE):
        numbers = range(start, min(start + AT_ONCE, count))
        with transaction(ring.keystore) as tx:
            tx.execute(insert(DEKS), [_row(ring, tenant, kek_id, f"cus_{number:028}") for number in numbers])


def _row(ring: Keyring, tenant: str, kek_id: bytes, subject: str) -> dict[str, object]:
    dek = Dek(id=os.urandom(ID_BYTES), key=os.urandom(KEY_BYTES))
    place = dek_place(ring.deployment, tenant, dek.id, "customer", subject)
    wrapped = wrap_dek(ring.keks.kek(tenant, kek_id), dek, place)
    keys = {"tenant_id": tenant, "dek_id": dek.id, "kek_id": kek_id, "wrapped": wrapped}
    return keys | {"purpose": "customer", "subject_id": subject, "created_at": ring.now()}
