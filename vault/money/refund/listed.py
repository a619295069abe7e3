"""Refunds as their clients see them. `refunds.py` makes them, `following.py` follows them to their end."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, and_, select

from rows.conditions import together
from rows.engine import reading
from vault import cursors
from vault.caller import Caller
from vault.canonical import Plain
from vault.desk import Desk
from vault.errors import NotFoundHere
from vault.money.charge.charges import row_of_charge
from vault.tables import charges, refunds


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """One refund. `origin` is `processor` for one that was made there, by somebody else."""

    id: str
    charge: str
    status: str
    amount: int
    currency: str
    reason: str | None
    origin: str
    created_at: datetime


def read(desk: Desk, refund_id: str) -> Refund:
    """One refund. Raises NotFoundHere."""
    with reading(desk.records) as connection:
        row = connection.execute(_mine(desk.caller).where(refunds.c.refund_id == refund_id)).one_or_none()
    if row is None:
        raise NotFoundHere("No such refund.")
    return refund_of(row)


def of_charge(desk: Desk, charge_id: str, page: cursors.Wanted) -> cursors.Page[Refund]:
    """The refunds of a charge, newest first. Raises NotFoundHere, Invalid for a bad cursor."""
    with reading(desk.records) as connection:
        row_of_charge(connection, desk.caller, charge_id)
        order = (refunds.c.created_at, refunds.c.refund_id)
        return cursors.page(connection, _mine(desk.caller).where(refunds.c.charge_id == charge_id), order, page, _all)


def shown_in_event(refund: Refund) -> dict[str, Plain]:
    """What of a refund leaves the house in an event."""
    return {"object": "refund", **{name: value for name, value in asdict(refund).items() if name != "created_at"}}


def _mine(caller: Caller) -> Select[Any]:
    its = together(refunds, charges, "charge_id")
    mine = and_(refunds.c.tenant_id == caller.tenant, charges.c.live == caller.live)
    return select(refunds, charges.c.currency).join(charges, its).where(mine)


def _all(rows: Sequence[Row[Any]]) -> list[Refund]:
    return [refund_of(row) for row in rows]


def refund_of(row: Row[Any]) -> Refund:
    """A refund from its row, which has its charge's currency."""
    return Refund(
        id=row.refund_id,
        charge=row.charge_id,
        status=row.state,
        amount=row.amount,
        currency=row.currency,
        reason=row.reason,
        origin=row.origin,
        created_at=row.created_at,
    )
