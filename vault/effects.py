"""What each kind of ledger entry does to the records when it is applied there, in the transaction that applies it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, delete, update

from keys.keystore import Watermark
from vault.columns import database_clock
from vault.tables import blind_index, charges, clients, customers, erasures, intents, processor_references, tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One verified entry of the ledger, and its place there: `mark` is its number and hash."""

    mark: Watermark
    body: dict[str, Any]

    @property
    def at(self) -> datetime:
        """When it was decided."""
        return datetime.fromisoformat(self.body["at"])


def _erase(tx: Connection, entry: Entry) -> None:
    """Delete what was sealed for a customer; its key is destroyed already. Ids, states and retained money stay."""
    customer = (entry.body["tenant"], entry.body["subject_id"])
    gone = {"state": "erased", "contact": None, "erased_at": entry.at}
    _change(tx, customers, customer, **gone)
    _change(tx, tokens, customer, state="detached", card=None, metadata=None, outcome=None)
    _change(tx, charges, customer, details=None)
    _change(tx, intents, customer, parameters=None)
    for table in (processor_references, blind_index):
        tx.execute(delete(table).where(_of(table, customer)))
    # Not when it was decided: until now the key stood, and backups of the keystore have it.
    _change(tx, erasures, customer, state="shredded", shredded_at=database_clock())


def _certify(tx: Connection, entry: Entry) -> None:
    tenant, customer = entry.body["tenant"], entry.body["subject_id"]
    _change(tx, erasures, (tenant, customer), done_entry_id=entry.body["entry_id"])


def _delete_token(tx: Connection, entry: Entry) -> None:
    tenant, token = entry.body["tenant"], entry.body["subject_id"]
    this = (tokens.c.tenant_id == tenant) & (tokens.c.token_id == token)
    tx.execute(update(tokens).where(this).values(state="detached", card=None, metadata=None, outcome=None))
    tx.execute(delete(blind_index).where(blind_index.c.tenant_id == tenant, blind_index.c.token_id == token))


def _revoke_client(tx: Connection, entry: Entry) -> None:
    tenant, client = entry.body["tenant"], entry.body["subject_id"]
    this = (clients.c.tenant_id == tenant) & (clients.c.client_id == client) & clients.c.revoked_at.is_(None)
    tx.execute(update(clients).where(this).values(revoked_at=entry.at))


def _note(_tx: Connection, _entry: Entry) -> None:
    """Nothing: the entry only says that it happened (a correction was made when it was decided)."""


EFFECTS: dict[str, Callable[[Connection, Entry], None]] = {
    "erase.intent": _erase,
    "erase.done": _certify,
    "token.delete": _delete_token,
    "client.revoke": _revoke_client,
    "contact.corrected": _note,
}


def _of(table: Table, customer: tuple[str, str]) -> ColumnElement[bool]:
    return (table.c.tenant_id == customer[0]) & (table.c.customer_id == customer[1])


def _change(tx: Connection, table: Table, customer: tuple[str, str], **values: object) -> None:
    tx.execute(update(table).where(_of(table, customer)).values(**values))
