"""Deciding what the erasure ledger will hold: an entry in the outbox, in the transaction of what it is about."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from vault.caller import Caller
from vault.canonical import canonical
from vault.ids import new_id
from vault.ledger import Ledger
from vault.ledger_entries import VERSION
from vault.statements import Change, inserted, write
from vault.tables import ledger_outbox
from vault.watermarks import identity


def decide(
    tx: Connection,
    ledger: Ledger,
    caller: Caller,
    kind: str,
    subject_id: str,
    *,
    version: int,
    dek_id: bytes | None = None,
    former: Sequence[bytes] = (),
    certificate: Mapping[str, Any] | None = None,
    terms: Mapping[str, Any] | None = None,
) -> str:
    """Put an entry into the outbox of `tx`; its id. From the commit on it will reach the ledger, whatever happens.

    `dek_id` is destroyed with it, and `former` again: the DEKs that it replaced, which a backup of the keystore has.
    What is decided rests on what these records say: raises Refused, DatabaseReplaced if they are not the same any more.
    """
    expected = ledger.witness.vouched
    ledger.witness.check(identity(tx), expected)
    entry_id, change = decided(
        ledger,
        caller,
        kind,
        subject_id,
        version=version,
        dek_id=dek_id,
        former=former,
        certificate=certificate,
        terms=terms,
    )
    write(tx, change)
    return entry_id


def decided(
    ledger: Ledger,
    caller: Caller,
    kind: str,
    subject_id: str,
    *,
    version: int,
    dek_id: bytes | None = None,
    former: Sequence[bytes] = (),
    certificate: Mapping[str, Any] | None = None,
    terms: Mapping[str, Any] | None = None,
) -> tuple[str, Change]:
    """The same entry and its id, to be written together with what it is about, by who has checked the identity."""
    entry_id = new_id("led", caller.tenant)
    body: dict[str, Any] = {
        "v": VERSION,
        "deployment": ledger.keyring.deployment,
        "entry_id": entry_id,
        "kind": kind,
        "tenant": caller.tenant,
        "subject_id": subject_id,
        "dek_id": dek_id.hex() if dek_id else None,
        "version": version,
        "live": caller.live,
        "at": caller.at.isoformat(timespec="microseconds"),
        "certificate": certificate,
        "terms": terms,
    }
    if former:
        body["former_dek_ids"] = [each.hex() for each in former]
    row = {
        "tenant_id": caller.tenant,
        "entry_id": entry_id,
        "decided_at": caller.at,
        "body": canonical(body).decode(),
    }
    return entry_id, inserted(ledger_outbox, row)
