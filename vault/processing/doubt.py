"""Doubt: whether these records may have lost commits since a processor account was last walked through.

They may where their database is another instance than the one on which the account is known (`known_on`): a failover, a
restore, a restart. It is read in the statement that commits an intent, and only the worker's walk ends it (`walking`).
In doubt, the processor's key of an obligation guards its own account, because whoever was first sent the same one; it
does so for as long as the processor certainly keeps it. What other accounts may have been paid it can't know.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Engine, and_, bindparam, exists, literal, or_, select, update

from rows import changes
from rows.changes import Change
from rows.clock import database_clock
from rows.conditions import given
from rows.engine import reading, transaction
from rows.instances import instance
from rows.prepared import Prepared
from vault.caller import Caller
from vault.desk import Desk
from vault.errors import InDoubt
from vault.personal import Secret
from vault.processing.answers import NotReached, PaymentPage, Refused, Unknown
from vault.processing.processor import Processor
from vault.processing.sending import BUDGET
from vault.tables import beats
from vault.tables import processor_accounts as accounts

CLOCKS = 60
"""Seconds by which clocks of servers, databases and processors may be apart; a beat may be as old as that, too."""

FIRST_LOOK = timedelta(days=1)
"""How far back an account is looked through that these records never knew, where its processor keeps no keys."""

Outcome = TypeVar("Outcome")
REFUSED_IN_DOUBT = Unknown(reason="refused_in_doubt")


def settling(processor: Processor) -> int:
    """Seconds after which a list of this processor has whatever a call did that was sent before now."""
    return int(BUDGET + processor.call_timeout + processor.list_lag.total_seconds())


def guarded_for(processor: Processor) -> int:
    """Seconds after the last beat of an instance for which keys sent from it are certainly still kept."""
    if processor.key_lifetime is None:
        return 0
    return int(processor.key_lifetime.total_seconds()) - settling(processor) - 2 * CLOCKS


def none(caller: Caller, processor: Processor, account_id: str) -> Change:
    """What `write_whole` must find: nothing in doubt that could have paid what a new order at this account pays."""
    return changes.held(_NONE, _asked(caller, processor, account_id))


def want(desk: Desk) -> None:
    """Note that an order waits for this tenant's accounts: they are walked through before others."""
    mine = and_(
        accounts.c.tenant_id == desk.caller.tenant, accounts.c.live == desk.caller.live, accounts.c.wanted_at.is_(None)
    )
    with transaction(desk.records) as tx:
        tx.execute(update(accounts).where(mine, is_in_doubt()).values(wanted_at=database_clock()))


def refuse(tx: Connection, caller: Caller, processor: Processor, account_id: str) -> None:
    """Raise InDoubt where `none` would not be found."""
    if _FOUND.one_or_none(tx, _asked(caller, processor, account_id)) is None:
        raise InDoubt("These records are being compared with the processor. Try again soon, with the same key.")


def is_doubted(connection: Connection, tenant: str, account_id: str) -> bool:
    """Whether records of this one account may be lost, as the statement sees it."""
    return _ONE.one_or_none(connection, {"of_tenant": tenant, "of_account": account_id}) is not None


def is_any(connection: Connection, caller: Caller) -> bool:
    """Whether records of any account of the caller's mode may be lost."""
    theirs = accounts.c.tenant_id == caller.tenant, accounts.c.live == caller.live, accounts.c.deleted_at.is_(None)
    return connection.execute(select(accounts.c.account_id).where(*theirs, is_in_doubt()).limit(1)).first() is not None


def known_on(desk: Desk, processor: Processor, key: Secret) -> str | None:
    """The instance of the records on which nothing of ours is there to be known; None where it must be walked."""
    with reading(desk.records) as connection:
        here: str | None = connection.scalar(select(instance()))
    since = desk.caller.at - (processor.key_lifetime or FIRST_LOOK)
    page = processor.list_payments(key, since=since, until=None, after=None)
    if isinstance(page, PaymentPage) and page.after is None and not any(each.marks for each in page.payments):
        return here
    return None


def believed(records: Engine, tenant: str, account_id: str, outcome: Outcome) -> Outcome | Unknown | NotReached:
    """The outcome, or, of a refusal in doubt, Unknown: the same call may have been sent by a history that is not ours.

    That one may still arrive, and be carried out. Where the credentials are refused this call certainly did nothing,
    and nothing may be left of it: the other one has the same id, and is written again under it.
    """
    if not isinstance(outcome, Refused):
        return outcome
    with reading(records) as connection:
        if not is_doubted(connection, tenant, account_id):
            return outcome
    return NotReached(reason=outcome.code) if outcome.credentials else REFUSED_IN_DOUBT


def since(connection: Connection, account: Any) -> datetime | None:  # noqa: ANN401  # a row of `processor_accounts`
    """From when on commits may be lost, as these records know it; None where they never knew the account."""
    at: datetime | None = connection.scalar(select(beats.c.at).where(beats.c.instance == account.known_on))
    return at - timedelta(seconds=CLOCKS) if at is not None else None


def is_in_doubt() -> ColumnElement[bool]:
    """The condition for a row of `processor_accounts`."""
    return accounts.c.known_on.is_distinct_from(instance())


def _asked(caller: Caller, processor: Processor, account_id: str) -> Mapping[str, Any]:
    guarded = -guarded_for(processor)
    return {"of_tenant": caller.tenant, "of_live": caller.live, "of_account": account_id, "guarded": guarded}


_ITSELF = accounts.alias()
_SAME = or_(
    accounts.c.account_id == bindparam("of_account"),
    exists(select(_ITSELF.c.account_id).where(given(_ITSELF, "account_id"), _ITSELF.c.named == accounts.c.named)),
)
"""Two rows may name one account of the processor: a key guards it as a whole."""

_IN_THE_WAY = (
    select(accounts.c.account_id)
    .outerjoin(beats, beats.c.instance == accounts.c.known_on)
    .where(
        given(accounts, "live"),
        accounts.c.deleted_at.is_(None),
        is_in_doubt(),
        ~and_(_SAME, beats.c.at.is_not(None), beats.c.at > database_clock(bindparam("guarded"))),
    )
)
_ONE = Prepared(select(accounts.c.account_id).where(given(accounts, "account_id"), is_in_doubt()))
_NONE = select(literal(1).label("none")).where(~exists(_IN_THE_WAY))
_FOUND = Prepared(_NONE)
