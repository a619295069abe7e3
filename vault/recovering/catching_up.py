"""Catching up with the processor after a takeover: what it has and these records have lost is written down again.

Whoever wants to send something to a processor waits until that is done: an obligation that was paid in the seconds that
were lost would be paid again.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Engine, Row, and_, literal, select, update

from keys.database import reading, transaction
from vault.caller import Caller
from vault.columns import database_clock
from vault.errors import CatchingUp, VaultError
from vault.money import charge_looking
from vault.processing.processing import Connected, connect, persist
from vault.processing.processor_answers import PaymentPage, Refused
from vault.recovering import takeovers
from vault.tables import charges
from vault.tables import processor_accounts as accounts
from vault.workshop import Workshop, caller_of

LEASE_SECONDS, EVERY = 60, 5
OPEN = ("authorized", "requires_action")
"""Charges of which a step may be lost: captured, voided, or paid by the person."""


class NotLooked(VaultError):
    """The processor did not say what it has."""

    retryable = True


class CredentialsRefused(NotLooked):
    """The processor refuses this account's credentials: its payments of the lost time are not known here."""

    retryable = False


def refuse_behind(records: Engine, caller: Caller) -> None:
    """Raise CatchingUp while an account of this tenant and mode is behind."""
    takeovers.notice(records)
    mine = and_(accounts.c.tenant_id == caller.tenant, accounts.c.live == caller.live)
    with reading(records) as connection:
        behind = connection.scalar(select(accounts.c.account_id).where(mine, _BEHIND).limit(1))
    if behind is not None:
        raise CatchingUp("The records are being compared with the processor after a failover. Try again soon.")


def due(shop: Workshop) -> Sequence[Row[Any]]:
    """The accounts that are behind and that nobody looks at now."""
    with reading(shop.records) as connection:
        return connection.execute(select(accounts).where(_DUE).limit(10)).all()


def take_up(shop: Workshop, row: Row[Any]) -> bool:
    """Take the lease of a look; whether this process got it."""
    with transaction(shop.records) as tx:
        taken = {"look_at": database_clock(LEASE_SECONDS)}
        return tx.execute(update(accounts).where(_this(row), _DUE).values(taken)).rowcount == 1


def look(shop: Workshop, row: Row[Any]) -> bool:
    """Look once through what the processor has since then; whether something was written, or this was the last look.

    An account whose credentials are refused is not waited for: nobody can say what it has. Raises NotLooked.
    """
    with reading(shop.records) as connection:
        begun = connection.execute(select(database_clock().label("now"))).scalar_one()
    caller = caller_of(shop, row.tenant_id, live=row.live)
    connected = connect(shop.processors, shop.keyring, row.tenant_id, row)
    last = begun >= row.settled_at
    try:
        _walk(connected, row.look_from)
        if last:
            _look_at_open_charges(shop, caller, row)
    except CredentialsRefused:
        _keep(shop, row, {"look_from": None})
        raise
    _keep(shop, row, {"look_from": None} if last else {"look_at": database_clock(EVERY)})
    return bool(last)


def _walk(connected: Connected, since: datetime) -> None:
    """Whether the processor lists its payments at all; what it has more than these records, reconciling tells."""
    after: str | None = None
    while True:
        listed = partial(connected.processor.list_payments, connected.credentials, since=since, until=None, after=after)
        page = persist(listed)
        if isinstance(page, Refused):
            raise CredentialsRefused(f"The processor refuses to list ({page.code}): compare with reconcile.")
        if not isinstance(page, PaymentPage):
            raise NotLooked(f"The processor did not list what it has ({page.reason}).")
        if page.after is None:
            return
        after = page.after


def _look_at_open_charges(shop: Workshop, caller: Caller, row: Row[Any]) -> None:
    open_ones = and_(
        charges.c.tenant_id == row.tenant_id, charges.c.account_id == row.account_id, charges.c.state.in_(OPEN)
    )
    with reading(shop.records) as connection:
        found = connection.scalars(select(charges.c.charge_id).where(open_ones)).all()
    for charge_id in found:
        charge_looking.look(shop.records, shop.keyring, shop.processors, caller, charge_id)
        _keep(shop, row, {"look_at": database_clock(LEASE_SECONDS)})


def _keep(shop: Workshop, row: Row[Any], values: dict[str, Any]) -> None:
    """Unless another takeover came in between."""
    same = accounts.c.settled_at == literal(row.settled_at, accounts.c.settled_at.type)
    with transaction(shop.records) as tx:
        tx.execute(update(accounts).where(_this(row), same).values(values))


def _this(row: Row[Any]) -> ColumnElement[bool]:
    return and_(accounts.c.tenant_id == row.tenant_id, accounts.c.account_id == row.account_id)


_BEHIND = and_(accounts.c.look_from.is_not(None), accounts.c.deleted_at.is_(None))
_DUE = and_(_BEHIND, accounts.c.look_at <= database_clock())
