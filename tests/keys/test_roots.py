"""Root keys come and go while everything runs."""

import pytest
from keys_scene import DEPLOYMENT, NOW, TENANT, MemoryRoot
from sqlalchemy import Engine

from keys import keks, roots
from keys.errors import RootKeyAway, RootKeyNeeded
from keys.keyring import Keyring


def ring_of(keystore: Engine, *some: MemoryRoot) -> Keyring:
    return Keyring(keystore=keystore, roots=some, deployment=DEPLOYMENT, now=lambda: NOW)


@pytest.fixture
def second() -> MemoryRoot:
    return MemoryRoot("root_2")


def test_a_root_is_added(ring: Keyring, keystore: Engine, root: MemoryRoot, second: MemoryRoot) -> None:
    """Every KEK that stands opens by it alone, the retired ones too; adding it again changes nothing."""
    keks.rotate(ring, TENANT)
    ring.create_tenant("ten_2")
    both = ring_of(keystore, root, second)
    assert [*roots.add(both, second)] == [True] * 3
    assert [*roots.add(both, second)] == []
    alone = ring_of(keystore, second)
    for kek in keks.status(ring):
        assert alone.keks.opened(kek.tenant_id, kek.kek_id) == ring.keks.opened(kek.tenant_id, kek.kek_id)
        assert kek.roots == ("memory:root_1", "memory:root_2")


def test_a_root_is_dropped(ring: Keyring, keystore: Engine, root: MemoryRoot, second: MemoryRoot) -> None:
    """Once another opens each KEK; it opens nothing from then on."""
    both, key = ring_of(keystore, root, second), ring.tenant_key(TENANT, "index")
    assert sum(roots.add(both, second)) == 1
    assert roots.drop(both, "memory", "root_1") == 1
    with pytest.raises(RootKeyAway):
        ring_of(keystore, root).tenant_key(TENANT, "index")
    assert ring_of(keystore, second).tenant_key(TENANT, "index") == key


def test_a_root_that_is_needed_stays(ring: Keyring, keystore: Engine, root: MemoryRoot, second: MemoryRoot) -> None:
    """The only one here; one beside which no other was added; one whose other is away. Nothing is lost."""
    both = ring_of(keystore, root, second)
    with pytest.raises(RootKeyNeeded, match="the only root key"):
        roots.drop(ring, "memory", "root_1")
    with pytest.raises(RootKeyNeeded, match="its wrap stays"):
        roots.drop(both, "memory", "root_1")
    assert sum(roots.add(both, second)) == 1
    second.away = True
    with pytest.raises(RootKeyNeeded, match="its wrap stays"):
        roots.drop(both, "memory", "root_1")
    assert keks.status(ring)[0].roots == ("memory:root_1", "memory:root_2")
    assert ring_of(keystore, root).tenant_key(TENANT, "index")


def test_a_new_epoch_under_one_root_alone(keystore: Engine, root: MemoryRoot, second: MemoryRoot) -> None:
    """A move to another provider: the next KEK is wrapped by the named root key, and by no other."""
    ring_of(keystore, root).create_tenant(TENANT)
    both = ring_of(keystore, root, second)
    keks.rotate(both, TENANT, [second])
    assert [kek.roots for kek in keks.status(both)] == [("memory:root_1",), ("memory:root_2",)]
    made = both.new_dek(TENANT, "customer", "cus_1")
    assert ring_of(keystore, second).dek(TENANT, made.id) == made
    with pytest.raises(RootKeyAway):
        ring_of(keystore, root).dek(TENANT, made.id)
