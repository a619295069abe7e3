"""What each kind of ledger entry does to the records when it is applied there, in the transaction that applies it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    and_,
    bindparam,
    delete,
    func,
    update,
)

from keys.keystore import Watermark
from vault.columns import database_clock
from vault.protocol import lifts, sets
from vault.statements import Several, update_row
from vault.tables import (
    LOST,
    blind_index,
    charges,
    clients,
    customers,
    erasures,
    holds,
    intents,
    package_chunks,
    packages,
    processor_references,
    rights_requests,
    tokens,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One verified entry of the ledger, and its place there: `mark` is its number and hash."""

    mark: Watermark
    body: dict[str, Any]

    @property
    def id(self) -> str:
        """Its own random id."""
        found: str = self.body["entry_id"]
        return found

    @property
    def doomed(self) -> tuple[str, bytes] | None:
        """The tenant and id of the DEK that goes with it."""
        return (self.body["tenant"], bytes.fromhex(self.body["dek_id"])) if self.body["dek_id"] else None

    @property
    def at(self) -> datetime:
        """When it was decided."""
        return datetime.fromisoformat(self.body["at"])


def _erase(tx: Connection, entry: Entry) -> None:
    """Delete what was sealed for a customer; its key is destroyed already. Ids, states and retained money stay."""
    named = {"of_tenant": entry.body["tenant"], "of_subject": entry.body["subject_id"], "at": entry.at}
    _ERASE.run(tx, named)


def _certify(tx: Connection, entry: Entry) -> None:
    key = {"tenant_id": entry.body["tenant"], "customer_id": entry.body["subject_id"]}
    update_row(tx, erasures, key, {"done_entry_id": entry.body["entry_id"]})


def _delete_token(tx: Connection, entry: Entry) -> None:
    named = {"of_tenant": entry.body["tenant"], "of_subject": entry.body["subject_id"]}
    _DELETE_TOKEN.run(tx, named)


def _destroy_package(tx: Connection, entry: Entry) -> None:
    """Its key is destroyed already; what these records still have of it opens no more."""
    named = {"of_tenant": entry.body["tenant"], "of_subject": entry.body["subject_id"]}
    for statement in _DESTROY_PACKAGE:
        tx.execute(statement, named)


def _revoke_client(tx: Connection, entry: Entry) -> None:
    key = {"tenant_id": entry.body["tenant"], "client_id": entry.body["subject_id"]}
    update_row(tx, clients, key, {"revoked_at": entry.at}, _NOT_REVOKED)


def _restrict(tx: Connection, entry: Entry) -> None:
    """In force unless a newer entry was applied; of two of one version the restrictive one wins."""
    named = _toggled(entry) | {"new_ground": entry.body["terms"]["ground"], "at": entry.at}
    tx.execute(_SET_RESTRICTION, named)


def _lift_restriction(tx: Connection, entry: Entry) -> None:
    """Lifted only by a newer entry, or by the one that the customer names as its last: a late lift never wins."""
    tx.execute(_LIFT_RESTRICTION, _toggled(entry))


def _toggled(entry: Entry) -> dict[str, Any]:
    body = entry.body
    return {
        "of_tenant": body["tenant"],
        "of_subject": body["subject_id"],
        "of_version": body["version"],
        "of_entry": body["entry_id"],
    }


def _lift_hold(tx: Connection, entry: Entry) -> None:
    key = {"tenant_id": entry.body["tenant"], "hold_id": entry.body["subject_id"]}
    update_row(tx, holds, key, {"lift_entry_id": entry.body["entry_id"], "lifted_at": entry.at}, _NOT_LIFTED)


def _close_request(tx: Connection, entry: Entry) -> None:
    """A backup may have it as it stood before it was denied or withdrawn."""
    key = {"tenant_id": entry.body["tenant"], "request_id": entry.body["subject_id"]}
    closed = {"state": entry.body["terms"]["status"], "completed_at": entry.at}
    update_row(tx, rights_requests, key, closed, _NOTHING_DONE)


def _note(_tx: Connection, _entry: Entry) -> None:
    """Nothing: what the entry says was done when it was decided (a correction was made, a hold was in force)."""


EFFECTS: dict[str, Callable[[Connection, Entry], None]] = {
    "erase.intent": _erase,
    "erase.done": _certify,
    "erase.closed": _close_request,
    "token.delete": _delete_token,
    "client.revoke": _revoke_client,
    "contact.corrected": _note,
    "package.destroy": _destroy_package,
    "restrict.set": _restrict,
    "restrict.lift": _lift_restriction,
    "hold.set": _note,
    "hold.lift": _lift_hold,
}


def _of(table: Table, column: str = "customer_id") -> ColumnElement[bool]:
    return and_(table.c.tenant_id == bindparam("of_tenant"), table.c[column] == bindparam("of_subject"))


_NOTHING_SEALED = {"card": None, "metadata": None, "outcome": None}
_NOT_REVOKED = clients.c.revoked_at.is_(None)
_NOTHING_DONE = rights_requests.c.state.in_(("verifying", "received", "approved", "blocked", "executing"))
_NOT_LIFTED = holds.c.lifted_at.is_(None)
_ERASE = Several(
    update(customers).where(_of(customers)).values(state="erased", contact=None, erased_at=bindparam("at")),
    update(tokens).where(_of(tokens)).values(state="detached", **_NOTHING_SEALED),
    update(charges).where(_of(charges)).values(details=None),
    update(intents).where(_of(intents)).values(parameters=None),
    delete(processor_references).where(_of(processor_references)),
    delete(blind_index).where(_of(blind_index)),
    # Not when it was decided: until now the key stood, and backups of the keystore have it.
    # And the lease ends: whoever shredded it has done its part, the worker goes on.
    update(erasures)
    .where(_of(erasures))
    .values(state="shredded", shredded_at=database_clock(), lease_until=database_clock()),
)
_THIS_ENTRY: dict[str, Any] = {"version": bindparam("of_version"), "last_entry_id": bindparam("of_entry")}
_SET_RESTRICTION = (
    update(customers)
    .where(_of(customers), sets(bindparam("of_version"), customers.c.version))
    .values(
        restricted=True,
        restriction_ground=bindparam("new_ground"),
        restricted_at=func.coalesce(customers.c.restricted_at, bindparam("at", type_=customers.c.restricted_at.type)),
        **_THIS_ENTRY,
    )
)
_LIFT_RESTRICTION = (
    update(customers)
    .where(
        _of(customers),
        lifts(bindparam("of_version"), customers.c.version, bindparam("of_entry"), customers.c.last_entry_id),
    )
    .values(restricted=False, restriction_ground=None, restricted_at=None, **_THIS_ENTRY)
)
_DELETE_TOKEN = Several(
    update(tokens).where(_of(tokens, "token_id"), tokens.c.state != LOST).values(state="detached", **_NOTHING_SEALED),
    delete(blind_index).where(_of(blind_index, "token_id")),
)
_DESTROY_PACKAGE = (
    delete(package_chunks).where(_of(package_chunks, "package_id")),
    update(packages)
    .where(_of(packages, "package_id"), packages.c.state.in_(("building", "ready")))
    .values(state="expired"),
    update(packages).where(_of(packages, "package_id")).values(dek_id=None),
)
