"""Legal holds: what is held of a customer is not destroyed while a hold on it is in force.

A hold is in force from the moment it is decided until its end, if it has one, or until it is lifted. Lifting takes
effect once the ledger and both databases have it, so that neither a lost transaction nor a restored backup lifts one.
A hold is set once and lifted once: who needs another sets another.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, bindparam, or_, select

from rows.changes import insert, update_row
from rows.conditions import together
from rows.engine import reading
from vault import audit, cursors
from vault.caller import Caller
from vault.desk import Desk
from vault.errors import Blocked, Erased, Invalid, NotFoundHere
from vault.ids import new_id
from vault.ledger.book import Ledger
from vault.ledger.deciding import decide
from vault.ledger.settling import settle
from vault.once import Once
from vault.people.customer_rows import lone_row_of, row_of
from vault.processing import intents
from vault.tables import customers, holds

REASONS = ("litigation", "investigation", "audit", "regulatory", "dispute")
"""Codes, because the ledger and the audit log hold no free text."""

CLASSES = ("contact", "card", "metadata", "transactions")
"""The record classes, each of which can be held for itself."""

LATEST = datetime(9999, 1, 1, tzinfo=UTC)
"""No end lies after it: in another time zone it would leave the calendar."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """What is held of a customer, why, by whom and until when; `in_force` is as of the caller's moment."""

    id: str
    customer: str
    reason: str
    classes: Sequence[str]
    until: datetime | None
    client: str
    actor: str | None
    created_at: datetime
    lifted_at: datetime | None
    in_force: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to hold of which customer; without `until` it holds until it is lifted."""

    customer: str
    reason: str
    classes: Collection[str] = CLASSES
    until: datetime | None = None


def hold(desk: Desk, ledger: Ledger, order: Order, attempt: intents.Attempt) -> Once[Hold]:
    """Set a hold. Raises NotFoundHere, Erased, Invalid, KeyReused.

    A replay settles too: the first call may have ended before the ledger had its entry.
    """
    first = intents.replayed(desk, attempt)
    hold_id = first.resource_id if first else new_id("hold", desk.caller.tenant)
    if first is None and not _decide(desk, ledger, hold_id, order, attempt):
        return hold(desk, ledger, order, attempt)  # a twin of this call was faster
    settle(ledger, desk.records)
    return Once(_read(desk, hold_id), replayed=first is not None)


def lift(desk: Desk, ledger: Ledger, hold_id: str) -> Hold:
    """Lift a hold. Lifting again changes nothing, and waits for the first. Raises NotFoundHere, Erased."""
    with audit.transaction(desk.records) as tx:
        row = _there(tx.execute(_ONE_HELD, _asked(desk.caller, of_hold=hold_id)).one_or_none())
        if row.lift_entry_id is None:
            entry_id = decide(tx, ledger, desk.caller, "hold.lift", hold_id, version=2)
            update_row(tx, holds, {"tenant_id": desk.caller.tenant, "hold_id": hold_id}, {"lift_entry_id": entry_id})
            audit.record(desk, tx, "hold.lift", customer=row.customer_id, resource=hold_id)
    settle(ledger, desk.records)
    return _read(desk, hold_id)


def of_customer(desk: Desk, customer_id: str, wanted: cursors.Wanted) -> cursors.Page[Hold]:
    """A customer's holds, newest first, those that are over too. Raises NotFoundHere, Erased, Invalid."""
    with reading(desk.records) as connection:
        row_of(connection, desk.caller, customer_id)
        statement = select(holds).where(holds.c.tenant_id == desk.caller.tenant, holds.c.customer_id == customer_id)
        return cursors.page(
            connection, statement, (holds.c.created_at, holds.c.hold_id), wanted, partial(_all, desk.caller)
        )


def in_force(tx: Connection, caller: Caller, customer_id: str) -> Sequence[Hold]:
    """What holds a customer's records at the caller's moment, oldest first.

    Who destroys something because this is empty has the customer's row locked in `tx` before: setting a hold waits
    for that lock, and whoever waits for it meets the hold.
    """
    return _all(caller, tx.execute(_IN_FORCE, _asked(caller, of_customer=customer_id, now=caller.at)).all())


def blocking(tx: Connection, caller: Caller, customer_id: str) -> Sequence[Hold]:
    """The holds in force that an erasure must wait for. Held transactions stay anyway; their hold keeps them longer."""
    return [each for each in in_force(tx, caller, customer_id) if set(each.classes) != {"transactions"}]


def refuse(held: Collection[Hold], *others: str) -> None:
    """Raise Blocked where something is held, or for the `others` that stand in the way."""
    if reasons := [*others, *(["hold"] if held else [])]:
        ends = [one.until for one in held if one.until is not None]
        raise Blocked(reasons, {"hold": max(ends)} if ends and len(ends) == len(held) else None)


def row_of_terms(tenant: str, hold_id: str, at: datetime, terms: Mapping[str, Any]) -> dict[str, Any]:
    """The row that the ledger's `hold.set` speaks of: the same when it is decided and when it is replayed."""
    return {
        "tenant_id": tenant,
        "hold_id": hold_id,
        "customer_id": terms["customer"],
        "reason": terms["reason"],
        "classes": " ".join(terms["classes"]),
        "until": datetime.fromisoformat(terms["until"]) if terms["until"] else None,
        "client_id": terms["client"],
        "actor": terms["actor"],
        "created_at": at,
    }


def _decide(desk: Desk, ledger: Ledger, hold_id: str, order: Order, attempt: intents.Attempt) -> bool:
    """Whether it was decided: not if the same key began before."""
    terms = _terms(desk.caller, order)
    with audit.transaction(desk.records) as tx:
        lone_row_of(tx, desk.caller, order.customer)
        intent = intents.begin(desk, tx, attempt, resource_id=hold_id, customer_id=order.customer)
        if intent is None:
            return False
        decide(tx, ledger, desk.caller, "hold.set", hold_id, version=1, terms=terms)
        insert(tx, holds, row_of_terms(desk.caller.tenant, hold_id, desk.caller.at, terms))
        intents.finish(tx, intent)
        details = {name: terms[name] for name in ("reason", "classes", "until") if terms[name] is not None}
        audit.record(desk, tx, "hold.set", customer=order.customer, resource=hold_id, details=details)
    return True


def _terms(caller: Caller, order: Order) -> dict[str, Any]:
    """What the ledger keeps of a hold: codes, moments and ids. Raises Invalid."""
    if order.reason not in REASONS:
        raise Invalid("reason", f"One of: {', '.join(REASONS)}.")
    if not order.classes or not set(order.classes) <= set(CLASSES):
        raise Invalid("classes", f"Some of: {', '.join(CLASSES)}.")
    if order.until is not None and not caller.at < order.until < LATEST:
        raise Invalid("until", "A hold ends in the future, and before the year 9999.")
    return {
        "customer": order.customer,
        "reason": order.reason,
        "classes": [each for each in CLASSES if each in order.classes],
        "until": order.until.astimezone(UTC).isoformat() if order.until else None,
        "client": caller.client,
        "actor": caller.actor,
    }


def _read(desk: Desk, hold_id: str) -> Hold:
    with reading(desk.records) as connection:
        row = _there(connection.execute(_ONE, _asked(desk.caller, of_hold=hold_id)).one_or_none())
    return _all(desk.caller, [row])[0]


def _there(row: Row[Any] | None) -> Row[Any]:
    if row is None:
        raise NotFoundHere("No such hold.")
    if row.state != "active" and row.classes != "transactions":  # what is retained can be held, and freed, still
        raise Erased("This hold's customer was erased.")
    return row


def _all(caller: Caller, rows: Sequence[Row[Any]]) -> list[Hold]:
    return [
        Hold(
            id=row.hold_id,
            customer=row.customer_id,
            reason=row.reason,
            classes=row.classes.split(),
            until=row.until,
            client=row.client_id,
            actor=row.actor,
            created_at=row.created_at,
            lifted_at=row.lifted_at,
            in_force=row.lifted_at is None and (row.until is None or row.until > caller.at),
        )
        for row in rows
    ]


def _asked(caller: Caller, **named: str | datetime) -> dict[str, Any]:
    return {"of_tenant": caller.tenant, "of_live": caller.live, **named}


_MINE = (
    select(holds, customers.c.state)
    .join(customers, together(customers, holds, "customer_id"))
    .where(holds.c.tenant_id == bindparam("of_tenant"), customers.c.live == bindparam("of_live"))
)
_ONE = _MINE.where(holds.c.hold_id == bindparam("of_hold"))
_ONE_HELD = _ONE.with_for_update(of=holds)
_IN_FORCE = _MINE.where(
    holds.c.customer_id == bindparam("of_customer"),
    holds.c.lifted_at.is_(None),
    or_(holds.c.until.is_(None), holds.c.until > bindparam("now", type_=holds.c.until.type)),
).order_by(holds.c.created_at, holds.c.hold_id)
