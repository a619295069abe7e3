"""How fast DEKs move to a new KEK on PostgreSQL, by one process, nothing else running."""

import os
import time

from sqlalchemy import insert

from bench.figures import Figure
from bench.scene import Scene
from keys import keks
from keys.database import transaction
from keys.dek import ID_BYTES, KEY_BYTES, Dek
from keys.keyring import Keyring
from keys.keystore import DEKS
from keys.rewrapping import rewrap
from keys.wrapping import dek_place, wrap_dek

COUNT, AT_ONCE = 100_000, 10_000
TENANT = "ten_rewrap"


def figures(scene: Scene) -> list[Figure]:
    """DEKs in a second."""
    ring = scene.house.components.keyring
    ring.create_tenant(TENANT)
    old = ring.newest_kek(TENANT)
    scene.say(f"making {COUNT} DEKs")
    fill(ring, TENANT, COUNT)
    keks.rotate(ring, TENANT)
    scene.say("moving them")
    began = time.monotonic()
    moved = rewrap(ring, TENANT, old)
    seconds = time.monotonic() - began
    if not keks.note_empty(ring, TENANT, old):
        raise RuntimeError("DEKs were left on the old KEK")
    return [
        Figure(
            name="rewrap, DEKs/s",
            on=scene.backend,
            must=20_000 if scene.backend == "postgresql" else None,
            reach=60_000,
            measured=moved / seconds,
            at_least=True,
            note=f"{moved} DEKs in {seconds:.1f} s, one process",
        )
    ]


def fill(ring: Keyring, tenant: str, count: int) -> None:
    """Give a tenant that many DEKs under its newest KEK, each for a customer of its own."""
    kek_id = ring.newest_kek(tenant)
    for start in range(0, count, AT_ONCE):
        numbers = range(start, min(start + AT_ONCE, count))
        with transaction(ring.keystore) as tx:
            tx.execute(insert(DEKS), [_row(ring, tenant, kek_id, f"cus_{number:028}") for number in numbers])


def _row(ring: Keyring, tenant: str, kek_id: bytes, subject: str) -> dict[str, object]:
    dek = Dek(id=os.urandom(ID_BYTES), key=os.urandom(KEY_BYTES))
    place = dek_place(ring.deployment, tenant, dek.id, "customer", subject)
    wrapped = wrap_dek(ring.kek(tenant, kek_id), dek, place)
    keys = {"tenant_id": tenant, "dek_id": dek.id, "kek_id": kek_id, "wrapped": wrapped}
    return keys | {"purpose": "customer", "subject_id": subject, "created_at": ring.now()}
