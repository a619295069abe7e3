"""Deciding what the erasure ledger will hold: an entry in the outbox, in the transaction of what it is about."""

from collections.abc import Mapping, Sequence
from typing import Any, Required, TypedDict, Unpack

from sqlalchemy import Connection

from rows.changes import Change, inserted, write
from vault.caller import Caller
from vault.canonical import canonical
from vault.ids import new_id
from vault.ledger.book import Ledger
from vault.ledger.entries import VERSION
from vault.ledger.watermarks import identity
from vault.tables import ledger_outbox


class Said(TypedDict, total=False):
    """What an entry says besides its kind, whose it is, by whom and when."""

    version: Required[int]
    dek_id: bytes | None
    """Destroyed with the entry."""
    former: Sequence[bytes]
    """Destroyed again: the DEKs that it replaced, which a backup of the keystore has."""
    certificate: Mapping[str, Any]
    terms: Mapping[str, Any]


def decide(tx: Connection, ledger: Ledger, caller: Caller, kind: str, subject_id: str, **said: Unpack[Said]) -> str:
    """Put an entry into the outbox of `tx`; its id. From the commit on it will reach the ledger, whatever happens.

    What is decided rests on what these records say: raises Refused, DatabaseReplaced if they are not the same any more.
    """
    expected = ledger.witness.vouched
    ledger.witness.check(identity(tx), expected)
    entry_id, change = decided(ledger, caller, kind, subject_id, **said)
    write(tx, change)
    return entry_id


def decided(ledger: Ledger, caller: Caller, kind: str, subject_id: str, **said: Unpack[Said]) -> tuple[str, Change]:
    """An entry for the outbox and its id, to be written with what it is about, by who has checked the identity."""
    entry_id, dek_id = new_id("led", caller.tenant), said.get("dek_id")
    body: dict[str, Any] = {
        "v": VERSION,
        "deployment": ledger.keyring.deployment,
        "entry_id": entry_id,
        "kind": kind,
        "tenant": caller.tenant,
        "subject_id": subject_id,
        "dek_id": dek_id.hex() if dek_id else None,
        "version": said["version"],
        "live": caller.live,
        "at": caller.at.isoformat(timespec="microseconds"),
        "certificate": said.get("certificate"),
        "terms": said.get("terms"),
    }
    if said.get("former"):
        body["former_dek_ids"] = [each.hex() for each in said["former"]]
    row = {
        "tenant_id": caller.tenant,
        "entry_id": entry_id,
        "decided_at": caller.at,
        "body": canonical(body).decode(),
    }
    return entry_id, inserted(ledger_outbox, row)
