import base64
import pprint
import traceback
from pathlib import Path

import pytest
from keys_scene import DEPLOYMENT, NOW, TENANT
from sqlalchemy import Engine, update
from sqlalchemy.exc import DBAPIError

from keys.context import Context
from keys.dek import Dek
from keys.envelope import seal, unseal
from keys.errors import KeysError
from keys.keyring import Keyring
from keys.keystore import BEGINNING, DEKS, KEK_WRAPS, Watermark, advance
from keys.providers import keyfile
from rows.engine import transaction


def shows(text: str, secret: bytes) -> bool:
    """Whether `text` shows `secret`, or its first half, in any usual writing."""
    writings = (
        repr(secret)[2:-1],
        secret.hex(),
        secret.hex(" "),
        base64.b64encode(secret).decode()[:-2],
        str([*secret]),
    )
    return any(writing[: len(writing) // 2] in text for writing in writings)


def test_a_dek_shows_its_id_alone(dek: Dek) -> None:
    """However a DEK is printed, its key is not."""
    texts = [repr(dek), str(dek), f"{dek}", f"{dek!r}", pprint.pformat([dek]), repr({"dek": dek})]
    assert all(dek.id.hex() in text for text in texts)
    assert not any(shows(text, dek.key) for text in texts)


def test_a_root_key_shows_its_id_alone(tmp_path: Path) -> None:
    """A root key from a file prints its id and provider."""
    keyfile.create(tmp_path / "root.key")
    root = keyfile.load(tmp_path / "root.key")
    key = base64.b64decode((tmp_path / "root.key").read_text().split(" ")[2])
    assert not shows(repr(root) + pprint.pformat(root), key)
    assert root.key_id in repr(root)


def test_no_error_shows_a_key_or_a_plaintext(keystore: Engine, ring: Keyring, context: Context) -> None:
    """Neither our errors nor the database's, with all their causes, show a key, a plaintext or a wrap."""
    dek, gone = ring.new_dek(TENANT, "customer", "cus_1"), ring.new_dek(TENANT, "customer", "cus_2")
    record = seal(dek, b"a secret of some length", context)
    advance(keystore, before=BEGINNING, after=Watermark(1, b"1" * 32), destroyed=[(TENANT, gone.id)], at=NOW)
    stranger = Keyring(keystore=keystore, roots=[NoRoot()], deployment=DEPLOYMENT, now=lambda: NOW)
    attempts = [
        lambda: unseal(Dek(dek.id, bytes(32)), record, context),
        lambda: unseal(dek, record[:-1], context),
        lambda: ring.dek(TENANT, gone.id),
        lambda: ring.dek(TENANT, bytes(16)),
        lambda: ring.deks(TENANT, [bytes(16)]),
        lambda: stranger.dek(TENANT, dek.id),
        lambda: _damage(keystore, ring, dek),
    ]
    for attempt in attempts:
        with pytest.raises(KeysError) as failure:
            attempt()
        text = "".join(traceback.format_exception(failure.value)) + repr(failure.value)
        assert not shows(text, dek.key)
        assert not shows(text, gone.key)
        assert not shows(text, b"a secret of some length")


def test_a_database_error_shows_no_parameters(keystore: Engine, ring: Keyring) -> None:
    """A statement that the database refuses does not print what it was given."""
    dek = ring.new_dek(TENANT, "customer", "cus_1")
    values = {"wrapped": b"wrapped bytes, forty or so of them", "kek_id": bytes(16)}
    with pytest.raises(DBAPIError) as failure, transaction(keystore) as connection:
        connection.execute(update(DEKS).where(DEKS.c.dek_id == dek.id).values(values))
    assert not shows("".join(traceback.format_exception(failure.value)), b"wrapped bytes, forty or so of them")


def test_a_keyring_shows_nothing(ring: Keyring) -> None:
    """A keyring with warm caches prints neither keys nor where they are."""
    dek = ring.tenant_key(TENANT, "index")
    assert repr(ring).startswith("<keys.keyring.Keyring object at")
    assert not shows(pprint.pformat(vars(ring)), dek.key)


class NoRoot:
    provider = "none"
    key_id = "none"

    def wrap(self, plain: bytes) -> bytes:
        raise NotImplementedError

    def unwrap(self, wrapped: bytes) -> bytes:
        raise NotImplementedError


def _damage(keystore: Engine, ring: Keyring, dek: Dek) -> None:
    with transaction(keystore) as connection:
        connection.execute(update(KEK_WRAPS).values(wrapped=bytes(92)))
    ring.forget_cached()
    ring.dek(TENANT, dek.id)
