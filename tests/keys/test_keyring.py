import dataclasses
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from keys_scene import DEPLOYMENT, NOW, TENANT, MemoryRoot
from sqlalchemy import Engine, delete, event, insert, select, update

from keys.errors import KeyDestroyed, KeyMissing, RootKeyAway, Unreadable
from keys.keks import status
from keys.keyring import Keyring
from keys.keystore import BEGINNING, DEKS, KEK_WRAPS, KEKS, TENANT_PURPOSES, Watermark, advance
from keys.providers import keyfile
from keys.wrapping import kek_place, wrap_kek
from rows.engine import open_database, reader_of, reading, transaction


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def another(keystore: Engine, *roots: MemoryRoot, clock: Clock | None = None) -> Keyring:
    return Keyring(keystore=keystore, roots=roots, deployment=DEPLOYMENT, monotonic=clock or Clock(), now=lambda: NOW)


def destroy(keystore: Engine, *deks: bytes, before: Watermark = BEGINNING) -> Watermark:
    after = Watermark(before.seq + 1, bytes([before.seq + 1]) * 32)
    advance(keystore, before=before, after=after, destroyed=[(TENANT, each) for each in deks], at=NOW)
    return after


def test_a_dek_comes_back(ring: Keyring) -> None:
    """A new DEK is found by its id, and each is new."""
    one, other = ring.new_dek(TENANT, "customer", "cus_1"), ring.new_dek(TENANT, "customer", "cus_1")
    assert ring.dek(TENANT, one.id) == one
    assert (len(one.id), len(one.key)) == (16, 32)
    assert one.id != other.id
    assert one.key != other.key


def test_a_destroyed_dek_is_gone_everywhere_at_once(keystore: Engine, ring: Keyring, root: MemoryRoot) -> None:
    """A second keyring on its own engine, its caches warm, answers KeyDestroyed from the destroying commit on."""
    dek = ring.new_dek(TENANT, "customer", "cus_1")
    engine = open_database(keystore.url.render_as_string(hide_password=False))
    second = another(engine, root)
    assert second.dek(TENANT, dek.id) == dek
    assert second.deks(TENANT, [dek.id]) == {dek.id: dek}
    destroy(keystore, dek.id)
    for warm in (second, ring):
        with pytest.raises(KeyDestroyed):
            warm.dek(TENANT, dek.id)
        assert warm.deks(TENANT, [dek.id]) == {}
    engine.dispose()


def test_a_missing_dek_is_not_a_destroyed_one(ring: Keyring) -> None:
    """No row is data loss: KeyMissing, alone or among others; so is another tenant's DEK."""
    dek = ring.new_dek(TENANT, "customer", "cus_1")
    ring.create_tenant("ten_2")
    for tenant, wanted in ((TENANT, bytes(16)), ("ten_2", dek.id), ("ten_3", dek.id)):
        with pytest.raises(KeyMissing):
            ring.dek(tenant, wanted)
        with pytest.raises(KeyMissing):
            ring.deks(tenant, [dek.id, wanted])


def test_several_deks_in_one_statement(keystore: Engine, ring: Keyring) -> None:
    """Several DEKs cost one statement; destroyed ones are left out; none wanted is none found."""
    deks = [ring.new_dek(TENANT, "customer", f"cus_{number}") for number in range(5)]
    destroy(keystore, deks[0].id)
    ids = [dek.id for dek in deks]
    ring.deks(TENANT, ids)  # the KEK is in memory from here on
    statements: list[str] = []
    event.listen(reader_of(keystore), "before_cursor_execute", lambda *call: statements.append(call[2]))
    assert ring.deks(TENANT, [*ids, *ids]) == {dek.id: dek for dek in deks[1:]}
    assert len(statements) == 1
    assert ring.deks(TENANT, []) == {}


def test_every_use_reads_the_row(keystore: Engine, ring: Keyring) -> None:
    """Asking for a DEK twice reads its row twice, and nothing else."""
    dek = ring.new_dek(TENANT, "customer", "cus_1")
    statements: list[str] = []
    event.listen(reader_of(keystore), "before_cursor_execute", lambda *call: statements.append(call[2]))
    ring.dek(TENANT, dek.id)
    ring.dek(TENANT, dek.id)
    assert len(statements) == 2
    assert all("FROM deks" in statement for statement in statements)


def test_a_new_tenant(ring: Keyring) -> None:
    """A tenant starts with one active KEK of epoch 1 and one DEK per purpose of its own."""
    (only,) = status(ring)
    assert (only.tenant_id, only.epoch, only.state, only.created_at) == (TENANT, 1, "active", NOW)
    assert (only.live, only.destroyed) == (len(TENANT_PURPOSES), 0)
    assert len({ring.tenant_key(TENANT, purpose).key for purpose in TENANT_PURPOSES}) == len(TENANT_PURPOSES)


def test_creating_a_tenant_again_changes_nothing(ring: Keyring) -> None:
    """A second time is no error and makes nothing."""
    before = status(ring), ring.tenant_key(TENANT, "index")
    ring.create_tenant(TENANT)
    ring.forget_cached()
    assert (status(ring), ring.tenant_key(TENANT, "index")) == before


TWO_PROCESSES = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from rows.engine import open_database
from keys.keyring import Keyring
from keys.providers import keyfile
from keys.wrapping import kek_place, wrap_kek
url, path = sys.argv[1:]
engine = open_database(url)
ring = Keyring(keystore=engine, roots=[keyfile.load(Path(path))], deployment="dep_1", now=lambda: datetime.now(UTC))
sys.stdin.read(1)
for number in range(20):
    ring.create_tenant(f"both_{number}")
    print(ring.tenant_key(f"both_{number}", "index").id.hex())
"""


def test_two_processes_create_the_same_tenants_at_once(keystore: Engine, tmp_path: Path) -> None:
    """Both end well and with the same keys; each tenant has one KEK and one DEK per purpose."""
    keyfile.create(tmp_path / "root.key")
    url = keystore.url.render_as_string(hide_password=False)
    command = [sys.executable, "-c", TWO_PROCESSES, url, str(tmp_path / "root.key")]
    both = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)]
    for process in both:
        assert process.stdin
        process.stdin.write(b"!")
        process.stdin.flush()
    one, other = (process.communicate(timeout=60)[0] for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert one == other
    with reading(keystore) as connection:
        keks = connection.scalars(select(KEKS.c.tenant_id)).all()
        deks = Counter(connection.scalars(select(DEKS.c.tenant_id)))
    assert sorted(keks) == sorted(f"both_{number}" for number in range(20))
    assert set(deks.values()) == {len(TENANT_PURPOSES)}


def test_a_tenant_key_is_the_newest_living_one(keystore: Engine, ring: Keyring) -> None:
    """Of several of one purpose the newest counts; with only tombstones it is KeyDestroyed, with none KeyMissing."""
    first = ring.tenant_key(TENANT, "index")
    kek_id = status(ring)[0].kek_id
    row = {"tenant_id": TENANT, "kek_id": kek_id}
    newer = dataclasses.replace(first, id=b"n" * 16)
    values = ring._row(newer, ring.keks.kek(TENANT, kek_id), row, "index", "")  # noqa: SLF001 - there is no public way to make a second one
    with transaction(keystore) as connection:
        connection.execute(insert(DEKS), values | {"created_at": NOW + timedelta(days=1)})
    ring.forget_cached()
    assert ring.tenant_key(TENANT, "index") == newer
    mark = destroy(keystore, newer.id)
    ring.forget_cached()
    assert ring.tenant_key(TENANT, "index") == first
    destroy(keystore, first.id, before=mark)
    ring.forget_cached()
    with pytest.raises(KeyDestroyed):
        ring.tenant_key(TENANT, "index")
    with pytest.raises(KeyMissing):
        ring.tenant_key("ten_2", "index")


def test_a_tenant_key_costs_no_statement_while_it_is_cached(keystore: Engine, root: MemoryRoot) -> None:
    """Within the time a KEK is kept, a tenant's own key needs neither the keystore nor the root key; then both."""
    clock = Clock()
    ring = another(keystore, root, clock=clock)
    ring.create_tenant(TENANT)
    key = ring.tenant_key(TENANT, "audit")
    statements: list[str] = []
    event.listen(reader_of(keystore), "before_cursor_execute", lambda *call: statements.append(call[2]))
    assert ring.tenant_key(TENANT, "audit") == key
    assert statements == []
    clock.now = 300
    root.away = True
    with pytest.raises(RootKeyAway):
        ring.tenant_key(TENANT, "audit")


def test_new_deks_are_for_somebody(ring: Keyring) -> None:
    """Another purpose, or nobody, is a programming error; an unknown tenant is KeyMissing."""
    for purpose, subject in (("index", "cus_1"), ("nonsense", "cus_1"), ("customer", "")):
        with pytest.raises(ValueError, match="a new DEK is for"):
            ring.new_dek(TENANT, purpose, subject)
    with pytest.raises(KeyMissing):
        ring.new_dek("ten_2", "customer", "cus_1")


def test_a_kek_serves_until_its_time_is_up(keystore: Engine, ring: Keyring, root: MemoryRoot) -> None:
    """With the root key away, a KEK in memory opens DEKs until its TTL, then RootKeyAway; back, and it opens again."""
    dek, clock = ring.new_dek(TENANT, "customer", "cus_1"), Clock()
    worker = another(keystore, root, clock=clock)
    worker.dek(TENANT, dek.id)
    root.away = True
    clock.now = 299.9
    assert worker.dek(TENANT, dek.id) == dek
    clock.now = 300
    with pytest.raises(RootKeyAway) as away:
        worker.dek(TENANT, dek.id)
    assert away.value.retryable
    root.away = False
    assert worker.dek(TENANT, dek.id) == dek


def test_forget_cached_asks_the_root_key_again(ring: Keyring, root: MemoryRoot) -> None:
    """After `forget_cached` nothing opens without the root key."""
    dek = ring.new_dek(TENANT, "customer", "cus_1")
    root.away = True
    assert ring.dek(TENANT, dek.id) == dek
    ring.forget_cached()
    with pytest.raises(RootKeyAway):
        ring.dek(TENANT, dek.id)


def test_either_of_two_roots_opens(keystore: Engine) -> None:
    """A KEK wrapped by two root keys opens when one is away, or not held; only without both is it RootKeyAway."""
    one, other = MemoryRoot("one"), MemoryRoot("other")
    ring = another(keystore, one, other)
    ring.create_tenant(TENANT)
    dek = ring.new_dek(TENANT, "customer", "cus_1")
    for away in (one, other):
        away.away = True
        assert another(keystore, one, other).dek(TENANT, dek.id) == dek
        away.away = False
    assert another(keystore, other).dek(TENANT, dek.id) == dek
    one.away = other.away = True
    with pytest.raises(RootKeyAway):
        another(keystore, one, other).dek(TENANT, dek.id)
    with pytest.raises(RootKeyAway, match="one, memory other"):
        another(keystore, MemoryRoot("stranger")).dek(TENANT, dek.id)


def test_a_damaged_wrap_does_not_hide_the_other(keystore: Engine) -> None:
    """When one wrap does not open the next is tried; if none opens it is Unreadable, if none is there KeyMissing."""
    one, other = MemoryRoot("one"), MemoryRoot("other")
    another(keystore, one, other).create_tenant(TENANT)
    key = another(keystore, one, other).tenant_key(TENANT, "index")
    with transaction(keystore) as connection:
        connection.execute(update(KEK_WRAPS).where(KEK_WRAPS.c.root_key_id == "one").values(wrapped=bytes(92)))
    assert another(keystore, one, other).tenant_key(TENANT, "index") == key
    with transaction(keystore) as connection:
        connection.execute(update(KEK_WRAPS).values(wrapped=bytes(92)))
    with pytest.raises(Unreadable):
        another(keystore, one, other).tenant_key(TENANT, "index")
    with transaction(keystore) as connection:
        connection.execute(delete(KEK_WRAPS))
    with pytest.raises(KeyMissing):
        another(keystore, one, other).tenant_key(TENANT, "index")


def test_a_stampede_is_one_call(keystore: Engine, ring: Keyring, root: MemoryRoot) -> None:
    """Sixteen threads that need a KEK at once ask the root key once."""
    dek = ring.new_dek(TENANT, "customer", "cus_1")
    worker = another(keystore, root)
    root.unwraps, root.seconds = 0, 0.2
    with ThreadPoolExecutor(16) as threads:
        assert list(threads.map(lambda _: worker.dek(TENANT, dek.id), range(16))) == [dek] * 16
    assert root.unwraps == 1


def test_a_stampede_on_a_root_that_is_away_is_one_call(keystore: Engine, ring: Keyring, root: MemoryRoot) -> None:
    """Those who waited for one failing call share its error instead of each waiting for a timeout of their own."""
    dek = ring.new_dek(TENANT, "customer", "cus_1")
    worker = another(keystore, root)
    root.unwraps, root.seconds, root.away = 0, 0.5, True
    with ThreadPoolExecutor(16) as threads:
        attempts = [threads.submit(worker.dek, TENANT, dek.id) for _ in range(16)]
        assert all(isinstance(attempt.exception(), RootKeyAway) for attempt in attempts)
    assert root.unwraps == 1
    root.away = False
    assert worker.dek(TENANT, dek.id) == dek


@pytest.mark.parametrize("column", ["purpose", "subject_id", "wrapped", "dek_id"])
def test_a_dek_moved_in_the_keystore_is_unreadable(keystore: Engine, ring: Keyring, column: str) -> None:
    """A DEK's wrap opens in its own row alone: not for another purpose, subject or id, and not another DEK's wrap."""
    dek, other = ring.new_dek(TENANT, "customer", "cus_1"), ring.new_dek(TENANT, "customer", "cus_2")
    with reading(keystore) as connection:
        wrapped = connection.scalar(select(DEKS.c.wrapped).where(DEKS.c.dek_id == other.id))
    moved = {"purpose": "erasure", "subject_id": "cus_3", "wrapped": wrapped, "dek_id": bytes(16)}[column]
    with transaction(keystore) as connection:
        connection.execute(update(DEKS).where(DEKS.c.dek_id == dek.id).values({column: moved}))
    with pytest.raises(Unreadable):
        ring.dek(TENANT, bytes(16) if column == "dek_id" else dek.id)


@pytest.mark.parametrize("changed", ["tenant", "kek_id", "epoch", "deployment"])
def test_a_kek_moved_in_the_keystore_is_unreadable(
    keystore: Engine, ring: Keyring, root: MemoryRoot, changed: str
) -> None:
    """A KEK's wrap opens in its own row alone: not for another tenant, id, epoch or deployment."""
    ring.create_tenant("ten_2")
    with reading(keystore) as connection:
        theirs = connection.scalar(select(KEK_WRAPS.c.wrapped).where(KEK_WRAPS.c.tenant_id == "ten_2"))
    with transaction(keystore) as connection:
        if changed == "epoch":
            connection.execute(update(KEKS).values(epoch=2))
        if changed in {"tenant", "kek_id"}:
            connection.execute(update(KEK_WRAPS).where(KEK_WRAPS.c.tenant_id == TENANT).values(wrapped=theirs))
    deployment = "dep_2" if changed == "deployment" else DEPLOYMENT
    worker = Keyring(keystore=keystore, roots=[root], deployment=deployment, now=lambda: NOW)
    with pytest.raises(Unreadable):
        worker.tenant_key(TENANT, "index")


def test_every_new_tenant_needs_every_root(keystore: Engine) -> None:
    """With one of two root keys away no tenant is made, because its KEK would hang on the other alone."""
    one, other = MemoryRoot("one"), MemoryRoot("other", away=True)
    with pytest.raises(RootKeyAway):
        another(keystore, one, other).create_tenant("ten_9")
    assert status(another(keystore, one, other)) == []
    with pytest.raises(ValueError, match="without a root key"):
        another(keystore)


def test_new_deks_go_under_the_active_kek(keystore: Engine, ring: Keyring) -> None:
    """A retired KEK gets no new DEKs; the status counts what is live and what is destroyed on each."""
    dek = ring.new_dek(TENANT, "customer", "cus_1")
    destroy(keystore, dek.id)
    assert [(status.live, status.destroyed) for status in status(ring)] == [(len(TENANT_PURPOSES), 1)]
    with transaction(keystore) as connection:
        connection.execute(update(KEKS).values(state="retired", retired_at=NOW))
    with pytest.raises(KeyMissing):
        ring.new_dek(TENANT, "customer", "cus_1")


def test_a_new_kek_is_used_at_once(keystore: Engine, ring: Keyring, root: MemoryRoot) -> None:
    """A process that remembers the active KEK puts no DEK under it once another process made a newer one."""
    ring.new_dek(TENANT, "customer", "cus_1")
    newer = bytes(range(16))
    wrapped = wrap_kek(root, AESGCM.generate_key(256), kek_place(DEPLOYMENT, TENANT, newer, 2))
    row = {"tenant_id": TENANT, "kek_id": newer}
    with transaction(keystore) as connection:
        connection.execute(insert(KEKS), row | {"epoch": 2, "state": "active", "created_at": NOW})
        wrap = {"root_key_id": root.key_id, "provider": root.provider, "wrapped": wrapped}
        connection.execute(insert(KEK_WRAPS), row | wrap)
    dek = ring.new_dek(TENANT, "customer", "cus_2")
    assert ring.dek(TENANT, dek.id) == dek
    assert [status.live for status in status(ring)] == [len(TENANT_PURPOSES) + 1, 1]


def test_no_transaction_is_open_while_the_root_key_is_asked(keystore: Engine) -> None:
    """Neither wrapping nor unwrapping a KEK holds a connection."""
    held: list[int] = []
    watched = another(keystore, Watching("watched", held=held, keystore=keystore))
    watched.create_tenant(TENANT)
    watched.tenant_key(TENANT, "index")
    watched.new_dek(TENANT, "customer", "cus_1")
    assert held == [0, 0]


@dataclasses.dataclass
class Watching(MemoryRoot):
    held: list[int] = dataclasses.field(default_factory=list)
    keystore: Engine | None = None

    def wrap(self, plain: bytes) -> bytes:
        self.held.append(self.keystore.pool.checkedout())  # type: ignore[union-attr] # a pool that counts
        return super().wrap(plain)

    def unwrap(self, wrapped: bytes) -> bytes:
        self.held.append(self.keystore.pool.checkedout())  # type: ignore[union-attr] # as above
        return super().unwrap(wrapped)
