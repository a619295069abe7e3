"""What only one provider of root keys does: how it reads the answers of its own, and what it sends."""

import base64
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hsm import PIN, Hsm, session_programs
from http_front import Front
from kms_standin import KIND, refusal
from root_key_scenes import KmsScene, TransitScene, transit_key
from transit_standin import MOUNT, TOKEN

from keys.errors import KeysError, RootKeyAway, RootKeyDenied, Unreadable
from keys.providers.aws_kms import KmsKey
from keys.providers.of_process import OfProcess

pytestmark = pytest.mark.xdist_group("root-keys")
JSON = "application/json"


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def kms() -> Iterator[KmsScene]:
    scene = KmsScene()
    yield scene
    scene.kms.front.stop()


@pytest.fixture
def transit() -> Iterator[TransitScene]:
    scene = TransitScene()
    yield scene
    scene.transit.front.stop()


@pytest.fixture
def hsm(tmp_path: Path) -> Hsm:
    return Hsm(tmp_path)


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        ("400 X", "ThrottlingException", RootKeyAway),
        ("400 X", "KeyUnavailableException", RootKeyAway),
        ("500 X", "KMSInternalException", RootKeyAway),
        ("503 X", "Anything", RootKeyAway),
        ("429 X", "Anything", RootKeyAway),
        ("400 X", "NotFoundException", RootKeyDenied),
        ("400 X", "AccessDeniedException", RootKeyDenied),
        ("400 X", "ExpiredTokenException", RootKeyDenied),
        ("400 X", "DisabledException", RootKeyDenied),
        ("400 X", "InvalidCiphertextException", Unreadable),
        ("400 X", "IncorrectKeyException", Unreadable),
    ],
)
def test_what_kms_answers_is_told_apart(kms: KmsScene, status: str, code: str, error: type[KeysError]) -> None:
    """Each code of KMS is what its documentation means by it; its own message is not repeated."""
    root = kms.root()
    wrapped = root.wrap(b"k" * 64)
    with kms.kms.front.answering(status, KIND, refusal(code)), pytest.raises(error) as failure:
        root.unwrap(wrapped)
    assert "canary" not in str(failure.value)


def test_kms_is_always_told_which_key(kms: KmsScene) -> None:
    """Every call names the key by its ARN, with a context that says nothing of anybody."""
    root = kms.root()
    kms.kms.seen.clear()
    root.unwrap(root.wrap(b"k" * 64))
    assert [asked["KeyId"] for asked in kms.kms.seen] == [root.key_id] * 2
    assert [asked["EncryptionContext"] for asked in kms.kms.seen] == [{"panless": "kek"}] * 2


@pytest.mark.parametrize("length", [0, 6145])
def test_what_kms_would_call_a_wrong_request_is_not_sent(kms: KmsScene, length: int) -> None:
    """Lengths that KMS does not take are no wrap of it, and no reason to look for a mistake in a policy."""
    kms.kms.seen.clear()
    with pytest.raises(Unreadable):
        kms.root().unwrap(bytes(length))
    assert kms.kms.seen == []


def test_a_fork_has_its_own() -> None:
    """What a process made is made anew in its fork, and stays what it was in itself; two asks make one."""
    made = OfProcess(object)
    before = made.get()
    child = os.fork()
    if child == 0:
        mine = made.get()
        os._exit(0 if mine is not before and mine is made.get() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert made.get() is before


def test_no_credentials_are_denied(kms: KmsScene) -> None:
    """A process without AWS credentials is told so; trying again does not help."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del os.environ[name]
    os.environ |= {"AWS_EC2_METADATA_DISABLED": "true", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}
    with pytest.raises(RootKeyDenied, match="credentials"):
        KmsKey(kms.root().key_id, "eu-central-1").wrap(b"k" * 64)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        ("400 X", b'{"errors":["invalid ciphertext"]}', Unreadable),
        ("400 X", b'{"errors":["ciphertext version is disallowed by policy (too old)"]}', RootKeyDenied),
        ("403 X", b'{"errors":["canary"]}', RootKeyDenied),
        ("404 X", b'{"errors":[]}', RootKeyDenied),
        ("429 X", b'{"errors":["canary"]}', RootKeyAway),
        ("500 X", b'{"errors":["canary"]}', RootKeyAway),
        ("503 X", b'{"errors":["Vault is sealed"]}', RootKeyAway),
        ("473 X", b"{}", RootKeyAway),
        ("307 X", b"", RootKeyAway),
        ("200 X", b"<html>", RootKeyAway),
        ("200 X", b'{"data":null}', RootKeyAway),
        ("200 X", b'{"data":{"plaintext":"*"}}', RootKeyAway),
    ],
)
def test_what_a_transit_engine_answers_is_told_apart(
    transit: TransitScene, status: str, body: bytes, error: type[KeysError]
) -> None:
    """Each status of the engine, and each answer that none of its kind gives, is one error of ours."""
    root = transit.root()
    wrapped = root.wrap(b"k" * 64)
    with transit.transit.front.answering(status, JSON, body), pytest.raises(error) as failure:
        root.unwrap(wrapped)
    assert "canary" not in str(failure.value)


def test_a_wrong_request_to_wrap_is_denied(transit: TransitScene) -> None:
    """What would be a forged wrap on the way back is, on the way there, a key that can't do this."""
    root = transit.root()
    root.wrap(b"k" * 64)
    with (
        transit.transit.front.answering("400 X", JSON, b'{"errors":["unsupported"]}'),
        pytest.raises(RootKeyDenied, match="log says of this call"),
    ):
        root.wrap(b"k" * 64)


def test_a_forged_wrap_is_unreadable_to_older_servers_too(transit: TransitScene) -> None:
    """They answer it with 500, which would else be tried for ever."""
    transit.transit.older = True
    with pytest.raises(Unreadable):
        transit.root().unwrap(transit.other().wrap(b"k" * 64))


def test_a_wrap_of_a_transit_engine_is_written_in_one_way(transit: TransitScene) -> None:
    """Base64 has bits that decoders ignore, and a version can be written with zeros: neither opens."""
    root = transit.root()
    wrapped = root.wrap(b"k" * 64)
    assert wrapped.endswith(b"=")
    letters = (*b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",)
    others = [wrapped[:-2] + bytes([letter]) + b"=" for letter in letters if letter != wrapped[-2]]
    for wrong in (*others, wrapped.replace(b":v1:", b":v01:"), wrapped + b"\n", wrapped[:40] + b"\n" + wrapped[40:]):
        with pytest.raises(Unreadable):
            root.unwrap(wrong)


def test_a_redirect_is_not_followed(transit: TransitScene) -> None:
    """It would carry the token to whoever the answer names."""

    def redirect(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("307 X", [("Location", transit.transit.front.url + environ["PATH_INFO"])])
        return []

    front = Front(redirect)
    try:
        with pytest.raises(RootKeyAway):
            transit_key(front.url, MOUNT, "root", TOKEN).wrap(b"k" * 64)
    finally:
        front.stop()
    assert transit.transit.seen == transit.transit.asked == []


def test_a_transit_engine_binds_the_format(transit: TransitScene) -> None:
    """Every call has the same associated data, which says nothing of anybody."""
    root = transit.root()
    root.unwrap(root.wrap(b"k" * 64))
    assert {base64.b64decode(asked["associated_data"]) for asked in transit.transit.seen} == {b"panless/kek/1"}


def test_a_program_that_was_killed_is_started_again(hsm: Hsm) -> None:
    """A library that crashes takes its own program with it: the next call is answered by another."""
    root = hsm.key()
    wrapped = root.wrap(b"k" * 64)
    (program,) = session_programs()
    program.kill()
    program.wait(5)
    assert root.unwrap(wrapped) == b"k" * 64
    assert [one.pid for one in session_programs()] != [program.pid]


def test_a_refused_pin_is_tried_once(hsm: Hsm) -> None:
    """Tokens lock themselves after some wrong PINs: after one, the HSM is not asked again, even for the right token."""
    root = hsm.key(pin="wrong")
    with pytest.raises(RootKeyDenied, match="PANLESS_PKCS11_PIN"):
        root.wrap(b"k" * 64)
    with hsm.unplugged(), pytest.raises(RootKeyDenied, match="refuses the PIN"):
        root.wrap(b"k" * 64)


def test_the_program_is_not_told_the_pin_where_others_see_it(hsm: Hsm) -> None:
    """Neither its command line nor its environment has the PIN; nobody may read its memory."""
    root = hsm.key()
    root.wrap(b"k" * 64)
    (program,) = session_programs()
    assert PIN not in " ".join(program.cmdline())
    assert PIN not in " ".join(program.environ().values())


def test_the_program_ends_with_its_owner(hsm: Hsm) -> None:
    """Once nobody holds the root key any more, no program holds a session."""
    root = hsm.key()
    root.wrap(b"k" * 64)
    (program,) = session_programs()
    del root
    assert program.wait(5) is not None or not program.is_running()
