"""KEK epochs: a new one takes over, DEKs move to it, the old one goes when nothing needs it any more."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier
from time import monotonic

import pytest
from keys_scene import DEPLOYMENT, NOW, TENANT, MemoryRoot
from sqlalchemy import Engine, insert, select, text, update

from keys import keks
from keys.dek import Dek, new_dek
from keys.errors import KeyMissing, RootKeyAway, Unreadable
from keys.keks import KekStatus
from keys.keyring import Keyring
from keys.keystore import BEGINNING, DEKS, TENANT_PURPOSES, Watermark, advance
from keys.rewrapping import BATCH, rewrap
from keys.wrapping import dek_place, wrap_dek
from rows.engine import open_database, reading, transaction

DAY = timedelta(days=1)
OWN = len(TENANT_PURPOSES)


def ring_at(keystore: Engine, root: MemoryRoot, days: float = 0) -> Keyring:
    """Another process's keyring, so many days later."""
    return Keyring(keystore=keystore, roots=[root], deployment=DEPLOYMENT, now=lambda: NOW + days * DAY)


def customers(ring: Keyring, count: int) -> list[Dek]:
    return [ring.new_dek(TENANT, "customer", f"cus_{number}") for number in range(count)]


def epochs(ring: Keyring) -> list[tuple[int, str, int]]:
    return [(kek.epoch, kek.state, kek.live) for kek in keks.status(ring)]


def opened(ring: Keyring, deks: list[Dek]) -> list[Dek]:
    found = ring.deks(TENANT, [dek.id for dek in deks])
    return [found[dek.id] for dek in deks]


def test_a_new_epoch(ring: Keyring, keystore: Engine, root: MemoryRoot) -> None:
    """New DEKs hang on it at once, in every process; what hung on the old one opens as before."""
    other = ring_at(keystore, root)
    before = [*customers(ring, 2), other.new_dek(TENANT, "customer", "cus_elsewhere")]
    made = keks.rotate(ring, TENANT)
    after = [other.new_dek(TENANT, "customer", "cus_later"), ring.new_dek(TENANT, "customer", "cus_last")]
    assert made == ring.keks.newest(TENANT) == other.keks.newest(TENANT)
    assert epochs(ring) == [(1, "retired", OWN + 3), (2, "active", 2)]
    assert [opened(each, [*before, *after]) for each in (ring, other)] == [[*before, *after]] * 2


def test_many_at_once_begin_one_epoch(ring: Keyring, keystore: Engine, root: MemoryRoot) -> None:
    """Whoever finds the epoch made by another says so, and makes none."""
    gate = Barrier(4)
    rings = [ring_at(keystore, root) for _ in range(4)]
    for each in rings:
        each.keks.newest(TENANT)
    slow = [replace(root, seconds=0.0) for _ in rings]
    for each, one in zip(rings, slow, strict=True):
        each.roots = (_Meeting(one, gate),)
    with ThreadPoolExecutor(4) as pool:
        made = [*pool.map(lambda each: keks.rotate(each, TENANT), rings)]
    assert sorted(each is None for each in made) == [False, True, True, True]
    assert epochs(ring) == [(1, "retired", OWN), (2, "active", 0)]


class _Meeting:
    """A root key that answers once all of them are asked."""

    def __init__(self, root: MemoryRoot, gate: Barrier) -> None:
        self.key_id, self.provider, self.unwrap = root.key_id, root.provider, root.unwrap
        self._root, self._gate = root, gate

    def wrap(self, plain: bytes) -> bytes:
        self._gate.wait(10)
        return self._root.wrap(plain)


def test_a_root_key_that_is_away_changes_nothing(ring: Keyring, root: MemoryRoot) -> None:
    """Without it no epoch begins, and the old one stays in use."""
    root.away = True
    with pytest.raises(RootKeyAway):
        keks.rotate(ring, TENANT)
    assert epochs(ring) == [(1, "active", OWN)]


def test_who_is_due(ring: Keyring, keystore: Engine, root: MemoryRoot) -> None:
    """Whose newest KEK was made before that moment; a tenant that has rotated is not."""
    ring.create_tenant("ten_2")
    assert keks.due(ring, NOW) == []
    assert keks.due(ring, NOW + DAY) == [TENANT, "ten_2"]
    keks.rotate(ring_at(keystore, root, days=30), TENANT)
    assert keks.due(ring, NOW + DAY) == ["ten_2"]
    with pytest.raises(KeyMissing):
        keks.rotate(ring, "ten_nobody")


def test_deks_move(ring: Keyring, keystore: Engine, root: MemoryRoot) -> None:
    """All that live, in more than one batch; the same keys open; tombstones stay; nothing is left."""
    made = customers(ring, BATCH + 5)
    gone = made.pop()
    after = Watermark(seq=1, hash=b"1" * 32)
    advance(keystore, before=BEGINNING, after=after, destroyed=[(TENANT, gone.id)], at=NOW)
    old = ring.keks.newest(TENANT)
    keks.rotate(ring, TENANT)
    moved: list[int] = []
    assert rewrap(ring, TENANT, old, moved.append) == sum(moved) == OWN + len(made)
    assert len(moved) > 1
    assert epochs(ring) == [(1, "retired", 0), (2, "active", OWN + len(made))]
    assert opened(ring_at(keystore, root), made) == made
    assert keks.note_empty(ring, TENANT, old)
    assert rewrap(ring, TENANT, old) == 0


def many(ring: Keyring, tenant: str, count: int) -> None:
    """So many DEKs of a new tenant, in one statement."""
    ring.create_tenant(tenant)
    kek_id = ring.keks.newest(tenant)
    common = {"tenant_id": tenant, "kek_id": kek_id, "purpose": "customer", "created_at": NOW}
    rows = []
    for number in range(count):
        dek, subject = new_dek(), f"cus_{number}"
        place = dek_place(DEPLOYMENT, tenant, dek.id, "customer", subject)
        wrapped = wrap_dek(ring.keks.kek(tenant, kek_id), dek, place)
        rows.append({**common, "dek_id": dek.id, "subject_id": subject, "wrapped": wrapped})
    with transaction(ring.keystore) as tx:
        tx.execute(insert(DEKS), rows)


def moving(ring: Keyring, tenant: str, count: int) -> float:
    """Seconds that it takes to move a tenant's DEKs: the better of two moves, as the machine has other work."""
    return min(moving_once(ring, tenant, count) for _ in range(2))


def moving_once(ring: Keyring, tenant: str, count: int) -> float:
    old = ring.keks.newest(tenant)
    keks.rotate(ring, tenant)
    began = monotonic()
    assert rewrap(ring, tenant, old) == count + OWN
    return monotonic() - began


def look_at_tables(keystore: Engine) -> None:
    with keystore.begin() as connection:
        connection.execute(text("ANALYZE deks"))


def test_a_tenant_that_the_statistics_do_not_know_moves_as_fast(ring: Keyring, keystore: Engine) -> None:
    """PostgreSQL takes it to have one DEK; a plan that is right for one would take minutes for a hundred thousand."""
    count = 8 * BATCH
    many(ring, "ten_small", 200)
    look_at_tables(keystore)
    many(ring, "ten_new", count)
    new = moving(ring, "ten_new", count)
    many(ring, "ten_known", count)
    look_at_tables(keystore)
    assert new < 3 * moving(ring, "ten_known", count) + 0.5


def test_several_at_once_do_no_row_twice(ring: Keyring, keystore: Engine, root: MemoryRoot) -> None:
    """Four processes' worth of work on one KEK: what each says it moved adds up to what there was."""
    made = customers(ring, 4 * BATCH)
    old = ring.keks.newest(TENANT)
    keks.rotate(ring, TENANT)
    engines = [open_database(keystore.url.render_as_string(hide_password=False)) for _ in range(4)]
    rings = [ring_at(engine, root) for engine in engines]
    with ThreadPoolExecutor(4) as pool:
        moved = [*pool.map(lambda each: rewrap(each, TENANT, old), rings)]
    assert sum(moved) == OWN + len(made)
    assert sum(count > 0 for count in moved) > (1 if keystore.dialect.name == "postgresql" else 0)
    assert keks.note_empty(ring, TENANT, old)
    assert opened(ring_at(keystore, root), made) == made
    for engine in engines:
        engine.dispose()


def test_one_that_does_not_open_is_told_and_stays(ring: Keyring, keystore: Engine) -> None:
    """The others move; the KEK it hangs on is not empty, and can't be destroyed."""
    made = customers(ring, 3)
    old = ring.keks.newest(TENANT)
    with transaction(keystore) as tx:
        tx.execute(update(DEKS).where(DEKS.c.dek_id == made[1].id).values(wrapped=bytes(60)))
    keks.rotate(ring, TENANT)
    with pytest.raises(Unreadable):
        rewrap(ring, TENANT, old)
    assert epochs(ring) == [(1, "retired", 1), (2, "active", OWN + 2)]
    assert not keks.note_empty(ring, TENANT, old)
    assert not keks.destroy(ring, TENANT, old)


def emptied(ring: Keyring) -> bytes:
    """The id of an old KEK, whose DEKs have moved."""
    old = ring.keks.newest(TENANT)
    keks.rotate(ring, TENANT)
    assert rewrap(ring, TENANT, old)
    assert keks.note_empty(ring, TENANT, old)
    return old


@pytest.mark.parametrize(("backups", "waits"), [(0, 1), (7, 7)])
def test_an_empty_kek_waits_for_the_backups(
    ring: Keyring, keystore: Engine, root: MemoryRoot, backups: int, waits: int
) -> None:
    """It says from when on it may be destroyed, is not due before, and then loses its wraps; a day at the least."""
    old = emptied(ring)
    [status, _] = keks.status(ring)
    assert status.destroyed_from(backups * DAY) == NOW + waits * DAY
    assert keks.to_destroy(ring_at(keystore, root, waits - 0.01), backups * DAY) == []
    later = ring_at(keystore, root, waits)
    assert [row.kek_id for row in keks.to_destroy(later, backups * DAY)] == [old]
    assert keks.destroy(later, TENANT, old)
    [status, _] = keks.status(later)
    assert (status.state, status.roots, status.destroyed_at) == ("destroyed", (), NOW + waits * DAY)
    assert status.destroyed_from(backups * DAY) is None
    with pytest.raises(KeyMissing):
        later.keks.opened(TENANT, old)
    assert not keks.destroy(later, TENANT, old)
    assert later.tenant_key(TENANT, "index") == ring.tenant_key(TENANT, "index")


def test_a_kek_with_a_dek_on_it_is_not_destroyed(ring: Keyring, keystore: Engine) -> None:
    """Not the active one; not an empty one that got a DEK after all: that one is to be emptied again."""
    old = emptied(ring)
    assert not keks.destroy(ring, TENANT, ring.keks.newest(TENANT))
    with transaction(keystore) as tx:
        tx.execute(update(DEKS).where(DEKS.c.purpose == "index").values(kek_id=old))
    assert not keks.destroy(ring, TENANT, old)
    assert [row.kek_id for row in keks.to_empty(ring)] == [old]
    assert ring.keks.opened(TENANT, old)


def test_an_erasure_while_deks_move(ring: Keyring, keystore: Engine) -> None:
    """A DEK that is destroyed at any moment of it stays destroyed."""
    made = customers(ring, 2 * BATCH)
    old = ring.keks.newest(TENANT)
    keks.rotate(ring, TENANT)
    marks = [BEGINNING, *(Watermark(seq=n, hash=bytes([n % 256]) * 32) for n in range(1, 41))]
    other = open_database(keystore.url.render_as_string(hide_password=False))

    def erase(number: int) -> None:
        gone = [(TENANT, made[-number - 1].id)]
        advance(other, before=marks[number], after=marks[number + 1], destroyed=gone, at=NOW)

    with ThreadPoolExecutor(1) as pool:
        erasing = pool.submit(lambda: [erase(number) for number in range(40)])
        rewrap(ring, TENANT, old)
        erasing.result()
    rewrap(ring, TENANT, old)
    with reading(keystore) as connection:
        alive = connection.scalars(select(DEKS.c.dek_id).where(DEKS.c.wrapped.is_not(None))).all()
    assert not {dek.id for dek in made[-40:]} & {*alive}
    assert {dek.id for dek in made[:-40]} <= {*alive}
    assert keks.note_empty(ring, TENANT, old)
    other.dispose()


def test_status_is_plain_data(ring: Keyring) -> None:
    """It names the root keys that open a KEK."""
    [status] = keks.status(ring)
    assert isinstance(status, KekStatus)
    assert status.roots == ("memory:root_1",)
