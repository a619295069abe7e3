"""Replaying the erasure ledger into restored databases: what a backup brought back goes again, before anyone is served.

The keystore follows the ledger to its head first, then the records, one entry in one transaction: learn the entry if
these records never decided it, apply its effect, move the watermark, and say so in the audit log. So it may be stopped
and started anywhere, and two may run at once. Holds don't stop an erasure that was decided.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, or_, select, tuple_

from keys import keystore as keystores
from keys.errors import KeysError
from keys.keyring import Keyring
from keys.keystore import BEGINNING, Watermark
from rows.changes import Change, insert_if_absent, update_row, write
from rows.conditions import given
from rows.engine import reading
from rows.pages import pages
from vault import audit
from vault.caller import Caller
from vault.canonical import Plain, canonical
from vault.desk import Desk, desk_for
from vault.ids import is_id, new_id
from vault.ledger.book import Ledger, chain
from vault.ledger.effects import EFFECTS, Entry
from vault.ledger.settling import follow
from vault.ledger.watermarks import move_watermark, watermark
from vault.people import holds
from vault.recovering import replay_erasures
from vault.tables import LOST, customers, ledger_outbox, processor_accounts, tenants, tokens
from vault.tables import holds as hold_table

AT_ONCE = 500
"""Customers whose keys are asked for together."""

UNSIGNED = ("seq", "prev_hash", "key_id", "signature")
"""What the ledger adds to the body that an outbox row holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """How many entries these records had not followed, and what could not be done as it should be."""

    entries: int
    keyless: Sequence[str]
    """Customers whose key this keystore does not have."""
    unrecorded: Sequence[str]
    """Tenants whose audit key does not open: their log does not tell of it."""


def replay(ledger: Ledger, records: Engine, progress: Callable[[int, int], None]) -> Replayed:
    """Bring restored databases to the ledger's head; `progress` is told entries done and entries in all.

    Raises LedgerAway, LedgerBroken when a watermark is not on the chain: a ledger that was cut can't be replayed.
    """
    mark, entries = _behind(ledger, records)
    total, unrecorded = len(entries), set[str]()
    follow(ledger, BEGINNING)
    while entries:
        for entry in entries:
            tenant = entry.body["tenant"]
            if tenant not in unrecorded and not _opens(ledger.keyring, tenant):
                unrecorded.add(tenant)  # not asked again: a root key that is away would take its time for each entry
            if not _take(ledger, records, mark, entry, is_recorded=tenant not in unrecorded):
                break
            mark = entry.mark
            progress(total - (entries[-1].mark.seq - mark.seq), total)
        mark, entries = _behind(ledger, records)  # another replay was faster, or somebody appended meanwhile
        follow(ledger, BEGINNING)
    return Replayed(entries=total, keyless=_keyless(ledger, records), unrecorded=sorted(unrecorded))


def _behind(ledger: Ledger, records: Engine) -> tuple[Watermark, list[Entry]]:
    """Where the records stand, and the entries after that; both watermarks are held against the chain."""
    with reading(records) as connection:
        mark = watermark(connection)
    with reading(ledger.keystore) as connection:
        chain(ledger, keystores.watermark(connection))
    return mark, chain(ledger, mark)


def _opens(keyring: Keyring, tenant: str) -> bool:
    """Whether there is a key to put anything of the tenant on the record with: no erasure waits for one.

    Asked before rows are locked, since this may ask a root key; it is kept for the transaction that follows.
    """
    try:
        keyring.subkey(tenant, *audit.LEAF_KEY)
    except KeysError:
        return False
    return True


def _take(ledger: Ledger, records: Engine, mark: Watermark, entry: Entry, *, is_recorded: bool) -> bool:
    """Learn and apply one entry; False when another process moved the watermark first."""
    kind = entry.body["kind"]
    with audit.transaction(records) as tx:
        if not move_watermark(tx, mark, entry.mark):
            return False
        if _learn(tx, entry) and kind in _UNDONE:
            _UNDONE[kind](tx, entry)
        told = [_told(_desk(ledger, records, entry), tx, entry)] if is_recorded else []
        write(tx, *EFFECTS[kind](entry), *told)
    return True


def _desk(ledger: Ledger, records: Engine, entry: Entry) -> Desk:
    tenant, at = entry.body["tenant"], ledger.keyring.now()
    request_id = new_id("req", tenant)
    caller = Caller(tenant=tenant, client="", live=entry.body["live"], at=at, request_id=request_id)
    return desk_for(records, ledger.keyring, caller)


def _told(desk: Desk, tx: Connection, entry: Entry) -> Change:
    body = entry.body
    customer = body["subject_id"] if is_id(body["subject_id"], "cus") else None
    details: dict[str, Plain] = {"kind": body["kind"], "seq": entry.mark.seq}
    return audit.entry(desk, tx, "ledger.replay", customer=customer, resource=entry.id, details=details)


def _learn(tx: Connection, entry: Entry) -> bool:
    """Note that the entry is applied; whether these records had never decided it."""
    body = {name: value for name, value in entry.body.items() if name not in UNSIGNED}
    if body["tenant"] != body["deployment"]:
        insert_if_absent(tx, tenants, {"tenant_id": body["tenant"], "name": "", "created_at": entry.at})
    key = {"tenant_id": body["tenant"], "entry_id": body["entry_id"]}
    row = {**key, "decided_at": entry.at, "body": canonical(body).decode(), "seq": entry.mark.seq}
    if insert_if_absent(tx, ledger_outbox, row):
        return True
    update_row(tx, ledger_outbox, key, {"seq": entry.mark.seq})
    return False


def _bury_token(tx: Connection, entry: Entry) -> None:
    """A token that these records are too old to know: a tombstone, so that its id answers 410.

    Its customer may be as new: that one was not erased, so it is there again, without what is lost with the records.
    Where its processor account is newer too, nothing is left that a row could hang on.
    """
    body, terms = entry.body, entry.body["terms"]
    key = {"tenant_id": body["tenant"], "account_id": terms["account"]}
    if tx.execute(_ACCOUNT, {"of_tenant": key["tenant_id"], "of_account": key["account_id"]}).first() is None:
        return
    theirs = {"tenant_id": body["tenant"], "customer_id": terms["customer"], "live": body["live"]}
    dek_id = bytes.fromhex(terms["customer_dek"])
    shell = {**theirs, "state": "active", "dek_id": dek_id, "contact_usable": False, "created_at": entry.at}
    insert_if_absent(tx, customers, shell)
    tomb = {**key, **theirs, "token_id": body["subject_id"], "state": LOST, "usage": "", "created_at": entry.at}
    insert_if_absent(tx, tokens, tomb)


def _doubt_contact(tx: Connection, entry: Entry) -> None:
    """The correction is lost with these records: the old contact is known to be wrong until it is entered again."""
    key = {"tenant_id": entry.body["tenant"], "customer_id": entry.body["subject_id"]}
    update_row(tx, customers, key, {"contact_usable": False})


def _hold_again(tx: Connection, entry: Entry) -> None:
    """The hold is in force again; not one of a customer that is lost with these records: nothing is left to hold."""
    body = entry.body
    row = holds.row_of_terms(body["tenant"], body["subject_id"], entry.at, body["terms"])
    if tx.execute(_KNOWN, {"of_tenant": row["tenant_id"], "of_customer": row["customer_id"]}).first() is not None:
        insert_if_absent(tx, hold_table, row)


_KNOWN = select(customers.c.customer_id).where(given(customers, "customer_id"))
_ACCOUNT = select(processor_accounts.c.account_id).where(given(processor_accounts, "account_id"))
_UNDONE: dict[str, Callable[[Connection, Entry], Any]] = {
    "erase.intent": replay_erasures.begin,
    "erase.done": replay_erasures.end,
    "token.delete": _bury_token,
    "contact.corrected": _doubt_contact,
    "hold.set": _hold_again,
}
"""What an entry did when it was decided, and its effect does not repeat."""


def _keyless(ledger: Ledger, records: Engine) -> list[str]:
    """Customers in these records whose DEK has no row at all, or was replaced by a reseal: that is data loss.

    Not those whose DEK an entry of the ledger destroyed.
    """
    key = [*customers.primary_key.columns]
    found: list[str] = []
    for page in pages(records, select(*key, customers.c.dek_id), key, AT_ONCE):
        with reading(ledger.keystore) as connection:
            known = set(connection.scalars(_KEYS, {"these": [(row.tenant_id, row.dek_id) for row in page]}))
        found += [row.customer_id for row in page if row.dek_id not in known]
    return sorted(found)


_KEYS = select(keystores.DEKS.c.dek_id).where(
    tuple_(keystores.DEKS.c.tenant_id, keystores.DEKS.c.dek_id).in_(bindparam("these", expanding=True)),
    or_(keystores.DEKS.c.wrapped.is_not(None), keystores.DEKS.c.destroyed_by_seq.is_not(None)),
)
