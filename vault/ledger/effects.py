"""What each kind of ledger entry changes in the records, written in the transaction that applies it there."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Table,
    and_,
    bindparam,
    case,
    delete,
    func,
    update,
)

from keys.keystore import Watermark
from rows.changes import Change, each, updated
from rows.clock import database_clock
from vault.ledger.keys import ANNOUNCED
from vault.ledger.protocol import lifts, sets
from vault.tables import (
    LOST,
    blind_index,
    charges,
    client_keys,
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

Changes = tuple[Change, ...]


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
    def doomed(self) -> list[tuple[str, bytes]]:
        """Tenant and id of each DEK that goes with it: also those before it, which a backup of the keystore has."""
        named = [self.body["dek_id"], *self.body.get("former_dek_ids", ())] if self.body["dek_id"] else []
        return [(self.body["tenant"], bytes.fromhex(each)) for each in named]

    @property
    def at(self) -> datetime:
        """When it was decided."""
        return datetime.fromisoformat(self.body["at"])


def _erase(entry: Entry) -> Changes:
    """Delete what was sealed for a customer; its key is destroyed already. Ids, states and retained money stay."""
    return each({**_subject(entry), "at": entry.at}, *_ERASE)


def _certify(entry: Entry) -> Changes:
    key = {"tenant_id": entry.body["tenant"], "customer_id": entry.body["subject_id"]}
    return (updated(erasures, key, {"done_entry_id": entry.body["entry_id"]}),)


def _delete_token(entry: Entry) -> Changes:
    return each(_subject(entry), *_DELETE_TOKEN)


def _destroy_package(entry: Entry) -> Changes:
    """Its key is destroyed already; what these records still have of it opens no more."""
    return each(_subject(entry), *_DESTROY_PACKAGE)


def _revoke_client(entry: Entry) -> Changes:
    """What its keys are known by goes too: whoever writes in the database can't take the revocation back."""
    return each({**_subject(entry), "at": entry.at}, _REVOKE_CLIENT, _FORGET_KEYS)


def _restrict(entry: Entry) -> Changes:
    """In force unless a newer entry was applied; of two of one version the restrictive one wins."""
    return each(_toggled(entry) | {"new_ground": entry.body["terms"]["ground"], "at": entry.at}, _SET_RESTRICTION)


def _lift_restriction(entry: Entry) -> Changes:
    """Lifted only by a newer entry, or by the one that the customer names as its last: a late lift never wins."""
    return each(_toggled(entry), _LIFT_RESTRICTION)


def _toggled(entry: Entry) -> dict[str, Any]:
    return {**_subject(entry), "of_version": entry.body["version"], "of_entry": entry.body["entry_id"]}


def _lift_hold(entry: Entry) -> Changes:
    return each({**_subject(entry), "of_entry": entry.body["entry_id"], "at": entry.at}, _LIFT_HOLD)


def _close_request(entry: Entry) -> Changes:
    """A backup may have it as it stood before it was denied or withdrawn."""
    return each({**_subject(entry), "closed": entry.body["terms"]["status"], "at": entry.at}, _CLOSE_REQUEST)


def _note(_entry: Entry) -> Changes:
    """Nothing: what it says was done when it was decided (a correction was made), or is no row here (a key)."""
    return ()


def _subject(entry: Entry) -> dict[str, Any]:
    return {"of_tenant": entry.body["tenant"], "of_subject": entry.body["subject_id"]}


EFFECTS: dict[str, Callable[[Entry], Changes]] = {
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
    ANNOUNCED: _note,
    "keys.resealed": _note,
}


def _of(table: Table, column: str = "customer_id") -> ColumnElement[bool]:
    return and_(table.c.tenant_id == bindparam("of_tenant"), table.c[column] == bindparam("of_subject"))


_NOTHING_SEALED = {"card": None, "metadata": None, "outcome": None}
_ERASE = (
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
_REVOKE_CLIENT = (
    update(clients).where(_of(clients, "client_id"), clients.c.revoked_at.is_(None)).values(revoked_at=bindparam("at"))
)
_FORGET_KEYS = update(client_keys).where(_of(client_keys, "client_id")).values(digest=b"")
_LIFT_HOLD = (
    update(holds)
    .where(_of(holds, "hold_id"), holds.c.lifted_at.is_(None))
    .values(lift_entry_id=bindparam("of_entry"), lifted_at=bindparam("at"))
)
_NOTHING_DONE = rights_requests.c.state.in_(("verifying", "received", "approved", "blocked", "executing"))
_CLOSE_REQUEST = (
    update(rights_requests)
    .where(_of(rights_requests, "request_id"), _NOTHING_DONE)
    .values(state=bindparam("closed"), completed_at=bindparam("at"))
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
_DELETE_TOKEN = (
    update(tokens).where(_of(tokens, "token_id"), tokens.c.state != LOST).values(state="detached", **_NOTHING_SEALED),
    delete(blind_index).where(_of(blind_index, "token_id")),
)
_DESTROY_PACKAGE = (
    delete(package_chunks).where(_of(package_chunks, "package_id")),
    update(packages)
    .where(_of(packages, "package_id"))
    .values(state=case((packages.c.state.in_(("building", "ready")), "expired"), else_=packages.c.state), dek_id=None),
)
