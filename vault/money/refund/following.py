"""Refunds that the processor has taken on and not ended: followed until it has, and told when it has."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, and_, func, select, update

from keys.context import Context
from keys.keyring import Keyring
from rows.changes import Change, updated, write
from rows.clock import database_clock
from rows.conditions import given, together
from rows.engine import reading
from vault import audit, leases
from vault.caller import Caller
from vault.desk import Desk
from vault.events import raising
from vault.money.refund.listed import refund_of, shown_in_event
from vault.processing.answers import Refunded
from vault.processing.connecting import connect_to
from vault.sealing import open_own, place_of
from vault.tables import charges as charge_table
from vault.tables import refunds
from vault.turns import a_few_of_each
from vault.workshop import Workshop, desk_of

LOOK_EVERY = 3600
"""Seconds between two looks at a refund that is pending: banks take days, and a webhook tells it sooner."""


def due(shop: Workshop) -> Sequence[Row[Any]]:
    """Some refunds that are pending and were not looked at for a while."""
    with reading(shop.records) as connection:
        return connection.execute(_DUE).all()


def follow_up(shop: Workshop, row: Row[Any]) -> bool | None:
    """Look at one, unless another worker does: True where it came to its end, False where the processor did not say."""
    if not leases.take(shop.records, refunds, row, "next_look_at", LOOK_EVERY, refunds.c.next_look_at.is_not(None)):
        return None
    connected = connect_to(shop.records, shop.keyring, shop.processors, row.tenant_id, row.account_id)
    reference = reference_of(shop.keyring, row)
    outcome = connected.processor.read_refund(connected.credentials, reference=reference)
    if not isinstance(outcome, Refunded):
        return False
    if outcome.status == "pending":
        return None
    with audit.transaction(shop.records) as tx:
        desk = desk_of(shop, row.tenant_id, live=row.live)
        return follow_seen(desk, tx, row, outcome.status)


def follow_seen(desk: Desk, tx: Connection, row: Row[Any], status: str) -> bool:
    """Write down how a refund stands that is known; one that failed gives its amount back. Whether it was news.

    A bank may still return what had succeeded. `row` is of `WITH_CHARGE`.
    """
    if status not in _MAY_COME_FROM:
        return False
    key = {"tenant_id": row.tenant_id, "refund_id": row.refund_id}
    ended = {"state": status, "next_look_at": None, "updated_at": desk.caller.at}
    told = event_of(desk.caller, row, status)
    if not write(tx, updated(refunds, key, ended, _MAY_COME_FROM[status]))[0]:
        return False
    write(tx, told, recorded(desk, tx, row, f"refund.{status}"))
    if status == "failed":
        recount(tx, row.tenant_id, row.charge_id)
    return True


def recount(tx: Connection, tenant: str, charge_id: str) -> None:
    """Have a charge say how much of it was given back or is on its way: all its refunds that have not failed.

    Refunds made at the processor and ours that are still open may add up to more than was taken: one of them fails
    then, and until it does nobody is shown more than that (`charges.given_back`).
    """
    tx.execute(_RECOUNT, {"of_tenant": tenant, "of_charge": charge_id})


def event_of(caller: Caller, row: Row[Any], status: str) -> Change:
    """What a tenant is told of a refund that now stands at `status`; `row` is of `WITH_CHARGE`."""
    refund = replace(refund_of(row), status=status)
    return raising.made(caller, f"refund.{status}", refund.id, shown_in_event(refund))


def refund_place(keyring: Keyring, tenant: str, refund_id: str, version: int) -> Context:
    """Where a refund's processor reference stands."""
    return place_of(keyring, tenant, "refunds", "retained", refund_id, version=version)


def reference_of(keyring: Keyring, row: Row[Any]) -> str:
    """The processor's name of a refund. Raises Unreadable."""
    place = refund_place(keyring, row.tenant_id, row.refund_id, row.retained_version)
    named: str = open_own(keyring, "retention", row.retained, place)["reference"]
    return named


def recorded(desk: Desk, tx: Connection, row: Row[Any], action: str) -> Change:
    """What the audit log says of a refund; `row` is of `WITH_CHARGE`."""
    details = {"charge": row.charge_id, "amount": row.amount}
    return audit.entry(desk, tx, action, customer=row.customer_id, resource=row.refund_id, details=details)


_GIVEN = (
    select(func.coalesce(func.sum(refunds.c.amount), 0))
    .where(given(refunds, "charge_id"), refunds.c.state != "failed")
    .scalar_subquery()
)
_RECOUNT = update(charge_table).where(given(charge_table, "charge_id")).values(amount_refunded=_GIVEN)
_MAY_COME_FROM = {
    "succeeded": refunds.c.state == "pending",
    "failed": refunds.c.state.in_(("pending", "succeeded")),
}
WITH_CHARGE = select(
    refunds, charge_table.c.currency, charge_table.c.customer_id, charge_table.c.account_id, charge_table.c.live
).join(charge_table, together(refunds, charge_table, "charge_id"))
"""Refunds with what is needed of their charges."""
# That it is not NULL, too: of a clock PostgreSQL believes that a third of all refunds are before it.
_LOOKED_AT = and_(refunds.c.next_look_at.is_not(None), refunds.c.next_look_at <= database_clock())
_DUE = a_few_of_each(WITH_CHARGE.where(_LOOKED_AT), refunds.c.next_look_at)
