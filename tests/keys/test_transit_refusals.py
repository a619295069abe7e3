"""What a transit engine refuses is no broken value: each refusal is denied, and names what mends it."""

from collections.abc import Callable, Iterator

import pytest
from keys_scene import DEPLOYMENT, NOW, TENANT
from root_key_scenes import TransitScene
from sqlalchemy import Engine
from transit_standin import AEADS, KV, MOUNT, Key

from keys.errors import RootKeyDenied, Unreadable
from keys.keyring import Keyring

KEK = bytes(range(64))


@pytest.fixture
def scene() -> Iterator[TransitScene]:
    made = TransitScene()
    yield made
    made.transit.front.stop()


def soft_deleted(scene: TransitScene) -> None:
    scene.transit.keys["root"].soft_deleted = True


def restored(scene: TransitScene) -> None:
    scene.transit.keys["root"].versions.pop()


def too_old(scene: TransitScene) -> None:
    scene.transit.keys["root"].rotate()
    scene.transit.keys["root"].min_decryption_version = 3


def derived(scene: TransitScene) -> None:
    scene.transit.keys["root"].derived = True


def of_another_type(scene: TransitScene) -> None:
    scene.transit.keys["root"].type = "rsa-2048"


def missing(scene: TransitScene) -> None:
    del scene.transit.keys["root"]


REFUSALS = [
    (soft_deleted, "soft-delete-restore"),
    (restored, "restored from before"),
    (too_old, "min_decryption_version"),
    (derived, "derived"),
    (of_another_type, "aes256-gcm96"),
    (missing, "the key, which is not there"),
]


@pytest.mark.parametrize(("refuse", "mend"), REFUSALS)
def test_what_is_refused_is_denied_with_its_mend(
    scene: TransitScene, refuse: Callable[[TransitScene], None], mend: str
) -> None:
    """To open what was wrapped before: never unreadable, never tried for ever."""
    scene.transit.keys["root"].rotate()
    root = scene.root()
    wrapped = root.wrap(KEK)
    refuse(scene)
    with pytest.raises(RootKeyDenied, match=mend):
        root.unwrap(wrapped)


@pytest.mark.parametrize(("refuse", "mend"), [refusal for refusal in REFUSALS if refusal[0] not in {restored, too_old}])
def test_what_can_not_wrap_says_the_same_mend(
    scene: TransitScene, refuse: Callable[[TransitScene], None], mend: str
) -> None:
    """Also where the token may only update, and the engine answers 403 to a key that is missing."""
    refuse(scene)
    with pytest.raises(RootKeyDenied, match=mend):
        scene.root().wrap(KEK)


def test_words_that_nobody_knows_are_no_broken_value(scene: TransitScene) -> None:
    """A refusal of a server to come is denied, and its words are not repeated."""
    root = scene.root()
    wrapped = root.wrap(KEK)
    with (
        scene.transit.front.answering("400 X", "application/json", b'{"errors":["canary"]}'),
        pytest.raises(RootKeyDenied) as denied,
    ):
        root.unwrap(wrapped)
    assert "canary" not in str(denied.value)


def test_a_keyring_tells_a_refusal_from_damage(scene: TransitScene, keystore: Engine) -> None:
    """What no root key is let open is denied; only what was damaged is unreadable."""
    ring = Keyring(keystore=keystore, roots=[scene.root()], deployment=DEPLOYMENT, now=lambda: NOW, kek_ttl=0)
    ring.create_tenant(TENANT)
    kek = ring.keks.newest(TENANT)
    soft_deleted(scene)
    with pytest.raises(RootKeyDenied):
        ring.keks.kek(TENANT, kek)
    scene.transit.keys["root"] = Key()
    with pytest.raises(Unreadable):
        ring.keks.kek(TENANT, kek)


def test_a_kv_engine_is_denied_and_gets_no_kek(scene: TransitScene) -> None:
    """It takes whatever it is sent, and would show the KEK to all who may read there: it is asked first."""
    root = scene.key("root", mount=KV)
    for call in (lambda: root.wrap(KEK), lambda: root.unwrap(scene.root().wrap(KEK))):
        with pytest.raises(RootKeyDenied, match="no transit engine"):
            call()
    assert not any("plaintext" in kept for kept in scene.transit.kept.values())


@pytest.mark.parametrize("kind", AEADS)
def test_each_type_with_associated_data_wraps(scene: TransitScene, kind: str) -> None:
    """Before and after the key rotates, and damage is found."""
    scene.transit.keys["root"] = Key(type=kind)
    root = scene.root()
    first = root.wrap(KEK)
    scene.transit.keys["root"].rotate()
    assert [root.unwrap(wrapped) for wrapped in (first, root.wrap(KEK))] == [KEK, KEK]
    with pytest.raises(Unreadable):
        root.unwrap(scene.other().wrap(KEK))
    assert MOUNT in root.key_id
