"""What the port `keys.rootkey.RootKey` promises, asked of every provider."""

import os
import pprint
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from keys_scene import DEPLOYMENT, NOW, TENANT
from root_key_scenes import Scene, run_scene
from sqlalchemy import Engine, select, update

from keys.errors import KeysError, RootKeyAway, RootKeyDenied, Unreadable
from keys.keyring import Keyring
from keys.keystore import KEK_WRAPS, KEKS
from rows.engine import reading, transaction

PROVIDERS = ["keyfile", "pkcs11", "aws-kms", "hashicorp-transit"]
REAL = ["real-transit"] if "PANLESS_TEST_TRANSIT_ADDR" in os.environ else []

# What has no meaning for one of them, and why. Everything else is asked of all.
WITHOUT_MEANING = {
    ("keyfile", "unknown"): "the key is what is in the file; a file without one is refused when it is read",
    ("keyfile", "refused"): "who may not read the file is refused when it is read; afterwards nobody is asked",
    ("keyfile", "away"): "it is read once, at the start; afterwards the key is in memory",
    ("keyfile", "slow"): "nobody is asked",
    ("real-transit", "away"): "a test does not stop a server that is not its own",
    ("real-transit", "slow"): "a test does not stop a server that is not its own",
}
KEK = b"a KEK, and beside it the digest of its place, together 64 bytes."


def asked_of(case: str = "") -> pytest.MarkDecorator:
    """All providers for which the case has a meaning."""
    those = [provider for provider in PROVIDERS + REAL if (provider, case) not in WITHOUT_MEANING]
    return pytest.mark.parametrize("scene", those, indirect=True)


pytestmark = pytest.mark.xdist_group("root-keys")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Scene]]:
    """Each provider set up once, with what it needs in the environment."""
    before, made = dict(os.environ), {}
    with ExitStack() as running:

        def scene(provider: str) -> Scene:
            if provider not in made:
                folder = tmp_path_factory.mktemp(provider)
                made[provider] = running.enter_context(run_scene(provider, folder))
            return made[provider]

        yield scene
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def scene(scenes: Callable[[str], Scene], request: pytest.FixtureRequest) -> Scene:
    return scenes(request.param)


@asked_of()
def test_what_was_wrapped_unwraps(scene: Scene) -> None:
    """What one object wrapped, another for the same key unwraps; no wrap shows what is in it."""
    root = scene.root()
    wrapped = root.wrap(KEK)
    assert root.unwrap(wrapped) == scene.root().unwrap(wrapped) == KEK
    assert KEK[:8] not in wrapped


@asked_of()
def test_no_two_wraps_are_alike(scene: Scene) -> None:
    """A plaintext that is wrapped twice gives two wraps."""
    root = scene.root()
    assert len({root.wrap(KEK) for _ in range(5)}) == 5


@asked_of()
def test_a_key_goes_by_the_same_name_always(scene: Scene) -> None:
    """Two objects for one key have one id, two keys have two; to ask for it asks no provider."""
    one, same, other = scene.root(), scene.root(), scene.other()
    assert (one.provider, one.key_id) == (same.provider, same.key_id)
    assert one.key_id != other.key_id


@asked_of()
def test_what_another_key_wrapped_is_unreadable(scene: Scene) -> None:
    """A wrap by another key of the same provider does not open."""
    with pytest.raises(Unreadable):
        scene.root().unwrap(scene.other().wrap(KEK))


@asked_of()
def test_damage_is_unreadable(scene: Scene) -> None:
    """A wrap with a bit flipped in any byte does not open."""
    root = scene.root()
    wrapped = root.wrap(KEK)
    for at in range(len(wrapped)):
        with pytest.raises(Unreadable):
            root.unwrap(wrapped[:at] + bytes([wrapped[at] ^ 1]) + wrapped[at + 1 :])
    assert root.unwrap(wrapped) == KEK


@asked_of()
def test_what_is_cut_or_empty_or_noise_is_unreadable(scene: Scene) -> None:
    """No length of a wrap but its own opens, nor anything longer than any wrap, nor noise."""
    root = scene.root()
    wrapped = root.wrap(KEK)
    cut = [wrapped[:length] for length in range(0, len(wrapped), 5)]
    for wrong in (*cut, wrapped[:-1], wrapped + b"\0", wrapped * 2, bytes(10_000), os.urandom(len(wrapped))):
        with pytest.raises(Unreadable):
            root.unwrap(wrong)
    assert root.unwrap(wrapped) == KEK


@asked_of("unknown")
def test_a_key_that_is_not_there_is_denied(scene: Scene) -> None:
    """A key that the provider does not have is no outage: it is fatal, and the message names it."""
    wrapped, unknown = scene.root().wrap(KEK), scene.unknown()
    for call in (lambda: unknown.wrap(KEK), lambda: unknown.unwrap(wrapped)):
        with pytest.raises(RootKeyDenied, match=r"nobody|00000000") as denied:
            call()
        assert not denied.value.retryable


@asked_of("refused")
def test_what_the_provider_does_not_allow_is_denied(scene: Scene) -> None:
    """Wrong credentials, missing rights and keys out of use are fatal, each time, and no secret is in the message."""
    wrapped = scene.root().wrap(KEK)
    for refused in scene.refused():
        for _ in range(2):
            for call in (lambda root=refused: root.wrap(KEK), lambda root=refused: root.unwrap(wrapped)):
                with pytest.raises(RootKeyDenied) as denied:
                    call()
                assert not denied.value.retryable
                assert_silent(scene, told(denied.value))


@asked_of("away")
def test_one_that_is_away_is_away_and_comes_back(scene: Scene) -> None:
    """An object that worked, and one that never did, say RootKeyAway in time while it is gone, and work afterwards."""
    worked, fresh = scene.root(), scene.root()
    wrapped = worked.wrap(KEK)
    with scene.away():
        for root in (worked, fresh):
            for call in (lambda root=root: root.unwrap(wrapped), lambda root=root: root.wrap(KEK)):
                away = in_time(scene, call)
                assert away.retryable
                assert_silent(scene, told(away))
    assert worked.unwrap(wrapped) == fresh.unwrap(wrapped) == KEK
    assert fresh.unwrap(worked.wrap(KEK)) == KEK


@asked_of("slow")
def test_one_that_hangs_is_away_in_time(scene: Scene) -> None:
    """A provider that does not answer is RootKeyAway within its time; the same object works once it answers again."""
    root = scene.root()
    wrapped = root.wrap(KEK)
    with scene.slow():
        in_time(scene, lambda: root.unwrap(wrapped))
    assert root.unwrap(wrapped) == KEK


@asked_of("slow")
def test_threads_do_not_queue_behind_one_that_hangs(scene: Scene) -> None:
    """Of 16 threads that ask a provider which hangs, each has its error in time."""
    root = scene.root()
    wrapped = root.wrap(KEK)
    with scene.slow(), ThreadPoolExecutor(16) as threads:
        waiting = [threads.submit(in_time, scene, lambda: root.unwrap(wrapped)) for _ in range(16)]
        assert [one.result().retryable for one in waiting] == [True] * 16


@asked_of()
def test_threads_ask_at_once(scene: Scene) -> None:
    """16 threads that share an object nobody has asked yet each get their own answer."""
    root = scene.root()
    plains = [bytes([number]) * 64 for number in range(16)]
    with ThreadPoolExecutor(16) as threads:
        assert [*threads.map(lambda plain: root.unwrap(root.wrap(plain)), plains * 4)] == plains * 4


@asked_of()
def test_it_works_on_both_sides_of_a_fork(scene: Scene) -> None:
    """An object that was used before a fork works in the child, and goes on working in the parent meanwhile."""
    root = scene.root()
    wrapped = root.wrap(KEK)
    child = os.fork()
    if child == 0:
        works = False
        try:
            works = all(root.unwrap(wrapped) == KEK for _ in range(5))
        finally:
            os._exit(0 if works else 1)
    assert all(root.unwrap(root.wrap(KEK)) == KEK for _ in range(5))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@asked_of()
def test_it_shows_no_secret(scene: Scene) -> None:
    """However a root key is printed, once it was used, no credential is; its id is."""
    root = scene.root()
    root.wrap(KEK)
    text = repr(root) + pprint.pformat(root) + pprint.pformat(getattr(root, "__dict__", None))
    assert root.key_id in text
    assert_silent(scene, text)


@asked_of()
def test_no_error_shows_what_was_wrapped(scene: Scene) -> None:
    """The error for a wrap that does not open carries neither the wrap nor a secret."""
    wrong = scene.root().wrap(KEK)[:-1] + b"\0"
    with pytest.raises(KeysError) as failure:
        scene.root().unwrap(wrong)
    assert_silent(scene, told(failure.value))
    assert repr(wrong)[2:20] not in told(failure.value)


@asked_of()
def test_a_kek_in_another_tenants_row_is_unreadable(scene: Scene, keystore: Engine) -> None:
    """No provider binds a place, so the keyring does: a wrap that was moved to another tenant does not open there."""
    ring = Keyring(keystore=keystore, roots=[scene.root()], deployment=DEPLOYMENT, now=lambda: NOW)
    for tenant in (TENANT, "ten_2"):
        ring.create_tenant(tenant)
    with transaction(keystore) as connection:
        theirs = connection.scalar(KEK_WRAPS.select().with_only_columns(KEK_WRAPS.c.wrapped).where(OTHERS))
        connection.execute(update(KEK_WRAPS).where(~OTHERS).values(wrapped=theirs))
    with reading(keystore) as connection:
        keks = {row.tenant_id: row.kek_id for row in connection.execute(select(KEKS.c.tenant_id, KEKS.c.kek_id))}
    assert ring.keks.kek("ten_2", keks["ten_2"])
    with pytest.raises(Unreadable):
        ring.keks.kek(TENANT, keks[TENANT])


OTHERS = KEK_WRAPS.c.tenant_id == "ten_2"


def test_what_has_no_meaning_has_a_reason() -> None:
    """The exceptions to this contract are for providers and cases that there are, each with its reason."""
    assert {provider for provider, _ in WITHOUT_MEANING} <= {*PROVIDERS, "real-transit"}
    assert {case for _, case in WITHOUT_MEANING} == {"unknown", "refused", "away", "slow"}
    assert all(len(reason) > 10 for reason in WITHOUT_MEANING.values())


def in_time(scene: Scene, call: Callable[[], bytes]) -> RootKeyAway:
    """The error of a call that must say RootKeyAway within the provider's time."""
    start = time.monotonic()
    with pytest.raises(RootKeyAway) as away:
        call()
    assert time.monotonic() - start < scene.longest_call + 1
    return away.value


def told(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))


def assert_silent(scene: Scene, text: str) -> None:
    assert not [secret for secret in scene.secrets if secret in text]
    assert "canary" not in text.replace("AKIDCANARY", "")
    assert KEK.decode()[:12] not in text
