"""Reconciling every day, by the worker: each processor account, over the last days, and whoever is to know is told."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, and_, or_, select, update

from rows.changes import write
from rows.clock import database_clock
from rows.conditions import of_row
from rows.engine import reading, transaction
from vault import leases
from vault.events import raising
from vault.money import comparing
from vault.processing import accounts as processor_accounts
from vault.processing.connecting import connect
from vault.tables import processor_accounts as accounts
from vault.workshop import Workshop, desk_of

OVER = timedelta(days=3)
EVERY, LEASE_SECONDS = 24 * 3600, 3600


class Differs(Exception):  # what the worker reports: there is something to look at
    """Processor and records do not agree on something."""


def due(shop: Workshop) -> Sequence[Row[Any]]:
    """The accounts that were not compared for a day."""
    with reading(shop.records) as connection:
        return connection.execute(select(accounts).where(_DUE).limit(10)).all()


def take_up(shop: Workshop, row: Row[Any]) -> bool:
    """Take the lease of a comparison; whether this process got it."""
    return leases.take(shop.records, accounts, row, "reconcile_at", LEASE_SECONDS, accounts.c.deleted_at.is_(None))


def compare(shop: Workshop, row: Row[Any], report: Callable[[str, Exception], None]) -> bool:
    """Compare one account and write down how many differences there are; an event and a report tell of any.

    One that is not proven is asked first whose it is: by now a customer may be there that shows it.
    """
    desk = desk_of(shop, row.tenant_id, live=row.live)
    if row.proven_at is None:
        processor = connect(shop.processors, desk.keyring, row.tenant_id, row).processor
        processor_accounts.prove(desk, processor, row)
    found = comparing.compare(desk, shop.processors, row.account_id, desk.caller.at - OVER).differences
    with transaction(desk.records) as tx:
        done = {"reconcile_at": database_clock(EVERY), "reconciled_at": desk.caller.at, "differences": len(found)}
        tx.execute(update(accounts).where(of_row(accounts, row)).values(done))
        if found:
            data = {"id": row.account_id, "object": "processor_account", "differences": len(found)}
            write(tx, raising.made(desk.caller, "reconcile.differences", row.account_id, data))
    if found:
        report("reconcile", Differs(f"{len(found)} differences at {row.account_id}: panless charges reconcile"))
    return True


_DUE = and_(
    accounts.c.deleted_at.is_(None), or_(accounts.c.reconcile_at.is_(None), accounts.c.reconcile_at <= database_clock())
)
