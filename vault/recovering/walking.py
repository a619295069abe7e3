"""Walks: a processor account looked through for what these records have lost, which ends their doubt about it.

From the last beat of the instance on which the account was known, every payment of the account is looked at. Charges of
ours that are not here are written again (`recovered`), with their refunds; customers and cards that were made in the
lost seconds are not: nobody holds a token for them, so they are deleted at the processor, or left there for a human and
named in the audit log where something was paid with them. Accounts take turns (`walk_turns`).
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Row, and_, func, literal, select, update

from rows.changes import updated, write
from rows.conditions import given, of_row
from rows.engine import reading, transaction
from rows.instances import instance
from vault import audit
from vault.charge_states import OPEN
from vault.desk import Desk
from vault.errors import Invalid, NeedsHuman, NotUsable, VaultError
from vault.money.charge import looking, recovered
from vault.money.refund import elsewhere
from vault.processing import accounts as processor_accounts
from vault.processing import beats, doubt, intents, references
from vault.processing.answers import Forgotten, Made, MadePage, NotFound, PaymentPage, Refused
from vault.processing.connecting import Connected, connect, each_page
from vault.recovering.walk_turns import LEASE_SECONDS, whole
from vault.tables import beats as beat_table
from vault.tables import charges, customers, tokens
from vault.tables import processor_accounts as accounts
from vault.tables import processor_references as known_names
from vault.workshop import Workshop, desk_of

MISSING = "resource_missing"
"""Of a charge that is open here: the account was walked through by then, and does not have it."""


PREFIXES = {"card": "tok", "customer": "cus"}
"""How our id begins of each kind of what is made at a processor."""


class NotWalked(VaultError):
    """The processor did not say what it has."""

    retryable = True


def walk(shop: Workshop, row: Row[Any]) -> bool:
    """Walk through an account; whether its doubt ended. Raises NotWalked, NotUsable, NeedsHuman."""
    desk = desk_of(shop, row.tenant_id, live=row.live)
    connected = connect(shop.processors, desk.keyring, row.tenant_id, row)
    if row.proven_at is None:
        row = _asked(shop, desk, row, connected)
    since, paying = _since(shop, row, connected), set[str | None]()
    for payment in _payments(shop, row, connected, since):
        paying |= {payment.customer, payment.method}
        recovered.write_again(desk, row.account_id, payment)
        if payment.refunded and intents.is_ours(desk.keyring, desk.caller.tenant, payment.marks, "chg"):
            _book_refunds(desk, row, connected, payment.marks.id if payment.marks else "", payment.reference)
    left = _clear_away(desk, row, connected, since, paying)
    _look_at_open_charges(shop, desk, row)
    with audit.transaction(desk.records) as tx:
        is_known = end_doubt(tx, row)
        for made in left if is_known else ():  # with the end of the doubt: no later walk would find them again
            audit.record(desk, tx, f"{made.kind}.left", resource=made.marks.id)
        beats.forget_old(tx)
    if left:
        named = ", ".join(made.marks.id for made in left)
        raise NeedsHuman(f"{row.account_id} has what these records lost, and it stays there: {named}.")
    return is_known


def _asked(shop: Workshop, desk: Desk, row: Row[Any], connected: Connected) -> Row[Any]:
    """The account, once it was asked whose it is: what another one does not have says nothing of this one."""
    try:
        processor_accounts.prove(desk, connected.processor, row)
    except NotUsable as error:
        raise NeedsHuman(f"{row.account_id}: {error} Until its own key is put in place, it is in doubt.") from None
    except Invalid as error:
        raise NotWalked(f"{row.account_id}: {error}") from None
    return whole(shop, row)


def _since(shop: Workshop, row: Row[Any], connected: Connected) -> datetime:
    """The moment that these records know; for an account that they never knew, the tenant's oldest, or a key's life."""
    processor = connected.processor
    with reading(shop.records) as connection:
        since = doubt.since(connection, row)
        if since is None:
            asked = {"of_tenant": row.tenant_id, "of_live": row.live}
            oldest = connection.scalar(_OLDEST, asked)
            back = row.now - (processor.key_lifetime or doubt.FIRST_LOOK)
            since = min(back, oldest) if oldest is not None else back
    moment: datetime = since - timedelta(seconds=doubt.settling(processor))
    return moment


def _payments(shop: Workshop, row: Row[Any], connected: Connected, since: datetime) -> Iterator[Any]:
    listed = partial(connected.processor.list_payments, connected.credentials, since=since, until=None)
    for page in each_page(listed):
        if not isinstance(page, PaymentPage):
            raise NotWalked(f"The processor did not list the payments of {row.account_id}: {_why(page)}.")
        yield from page.payments
        if page.after is not None:
            _keep_lease(shop, row)


def _why(failure: Any) -> str:  # noqa: ANN401  # a Failure
    return str(getattr(failure, "reason", None) or getattr(failure, "code", "unknown"))


def _book_refunds(desk: Desk, row: Row[Any], connected: Connected, charge_id: str, payment: str) -> None:
    with reading(desk.records) as connection:
        its = and_(charges.c.tenant_id == row.tenant_id, charges.c.charge_id == charge_id)
        is_here = connection.scalar(select(charges.c.charge_id).where(its)) is not None
    if is_here and not elsewhere.follow(desk, connected, row.account_id, charge_id, payment):
        raise NotWalked(f"The processor did not list the refunds of a payment of {row.account_id}.")


def _clear_away(
    desk: Desk, row: Row[Any], connected: Connected, since: datetime, paying: Collection[str | None]
) -> list[Made]:
    """What stays of cards and customers that these records have lost: who paid. The processor forgets the others."""
    left = []
    for kind, column in (("card", tokens.c.token_id), ("customer", customers.c.customer_id)):
        pages = _made(row, connected, kind, since)
        for made in chain.from_iterable(_lost(desk, row, page, column) for page in pages):
            has_paid = bool({made.reference, made.method}.intersection(paying) - {None})
            if (has_paid and kind == "customer") or not (has_paid or _forget(desk, connected, made)):
                left.append(made)
    return left


def _made(row: Row[Any], connected: Connected, kind: str, since: datetime) -> Iterator[Sequence[Made]]:
    for page in each_page(partial(connected.processor.list_made, connected.credentials, kind=kind, since=since)):
        if not isinstance(page, MadePage):
            raise NotWalked(f"The processor did not list what was made at {row.account_id}: {_why(page)}.")
        yield page.made


def _lost(desk: Desk, row: Row[Any], page: Sequence[Made], column: Any) -> list[Made]:  # noqa: ANN401  # a column of ids
    """Those that are ours, by the tag that only we can make, and of which these records have neither id nor name.

    The card of a token that gave way to its twin is known by its name alone: the twin goes on with it.
    """
    digest = partial(references.digest, desk.keyring, desk.caller.tenant, row.account_id)
    ours = [
        (each, digest(_called(each)))
        for each in page
        if intents.is_ours(desk.keyring, desk.caller.tenant, each.marks, PREFIXES[each.kind])
    ]
    by_id = column.in_([made.marks.id for made, _ in ours])
    by_name = known_names.c.reference_digest.in_([called for _, called in ours])
    with reading(desk.records) as connection:
        ids = {*connection.scalars(select(column).where(column.table.c.tenant_id == desk.caller.tenant, by_id))}
        names = select(known_names.c.reference_digest).where(known_names.c.tenant_id == desk.caller.tenant, by_name)
        called_here = {*connection.scalars(names)}
    return [made for made, called in ours if made.marks.id not in ids and called not in called_here]


def _called(made: Made) -> str:
    return (made.method if made.kind == "card" else made.reference) or ""


def _forget(desk: Desk, connected: Connected, made: Made) -> bool:
    """Whether the processor says that it is gone; False where it refuses. Raises NotWalked where it says neither."""
    processor, credentials, key = connected.processor, connected.credentials, f"panless-lost-{made.marks.tag}"
    if made.kind == "customer":
        told = processor.forget_customer(credentials, customer_reference=made.reference, key=key)
    elif made.method is None:
        return True
    else:
        told = processor.forget(credentials, reference=made.method, key=key)
    if isinstance(told, Forgotten):
        with audit.transaction(desk.records) as tx:
            audit.record(desk, tx, f"{made.kind}.lost", resource=made.marks.id)
        return True
    if isinstance(told, NotFound) or (isinstance(told, Refused) and not told.credentials):
        return False
    raise NotWalked(f"The processor did not say whether it forgot {made.marks.id}: {_why(told)}.")


def _look_at_open_charges(shop: Workshop, desk: Desk, row: Row[Any]) -> None:
    """Of charges that wait here a step may be lost: captured, voided, paid by the person."""
    waiting = [state for state in OPEN if state not in {"pending", "unknown"}]
    its = and_(charges.c.tenant_id == row.tenant_id, charges.c.account_id == row.account_id)
    with reading(desk.records) as connection:
        found = connection.scalars(select(charges.c.charge_id).where(its, charges.c.state.in_(waiting))).all()
    for charge_id in found:
        _look_at(shop, desk, charge_id)
        _keep_lease(shop, row)


def _look_at(shop: Workshop, desk: Desk, charge_id: str) -> None:
    """Raises NotWalked where the processor does not say how the charge stands."""
    underway = looking.find(desk, shop.processors, charge_id)
    if underway is None:
        return
    outcome = looking.ask(underway)
    if not isinstance(outcome, looking.DEFINITE) and _why(outcome) != MISSING:
        raise NotWalked(f"The processor did not say how {charge_id} stands: {_why(outcome)}.")
    looking.seen(underway, outcome)


def _keep_lease(shop: Workshop, row: Row[Any]) -> None:
    """Unless its credentials changed: then it is walked through at once with those."""
    key = {name: getattr(row, name) for name in ("tenant_id", "account_id", "credentials_version")}
    with transaction(shop.records) as tx:
        write(tx, updated(accounts, key, {}, clocks={"walk_at": LEASE_SECONDS}))


def end_doubt(tx: Connection, row: Row[Any]) -> bool:
    """Have the account known on the instance that `row.here` names; whether the records still lie on that one.

    A later one needs another walk.
    """
    same = literal(row.here) == instance()
    known = update(accounts).where(of_row(accounts, row), same).values(known_on=row.here, walk_at=None, wanted_at=None)
    return tx.execute(known).rowcount == 1


_OLDEST = (
    select(func.min(beat_table.c.at))
    .join(accounts, accounts.c.known_on == beat_table.c.instance)
    .where(given(accounts, "live"), doubt.is_in_doubt())
)
