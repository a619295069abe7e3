"""Ending an intent that a crash or an unknown outcome left open, by asking the processor, not by guessing.

Nothing is sent again here: what is not found is made sure of by burning its key (`burning`). What can't be ended needs
a human and is still looked at every hour; unexpected errors bring it there sooner than outages, which pass.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Row, and_, case, func, or_, select, text, update

from keys.errors import KeysError
from rows.clock import database_clock
from rows.conditions import of_row, together
from rows.engine import reading, transaction
from vault import leases
from vault.cards import deletion, resuming, tokens
from vault.cards import outcomes as token_outcomes
from vault.desk import Desk
from vault.errors import Erased, NeedsHuman, NotUsable, ProcessorRefused, VaultError
from vault.money.charge import looking, steps
from vault.money.refund import outcomes as refund_outcomes
from vault.money.refund import refunds
from vault.people import contact_sending
from vault.processing import intents
from vault.processing.answers import ActionRequired, Authorized, CustomerOpened, Failure, Forgotten, NotFound
from vault.processing.connecting import Connected, connect_to
from vault.recovering import burning, unknown_charges
from vault.tables import intents as intent_table
from vault.tables import processor_accounts as account_table
from vault.tables.work import STILL_OPEN
from vault.workshop import Workshop, desk_of

BATCH = 400
OF_ONE_ACCOUNT = 100
"""Of a batch: an account whose processor is away must not fill it."""

LONGEST_PAUSE, LATER_PAUSE, MANUAL_PAUSE = 20, 600, 3600
"""Seconds between two looks: for an hour, then, and for what needs a human."""

YOUNG, GIVEN_UP_AFTER = timedelta(hours=1), timedelta(days=1)
MOST_EXCEPTIONS = 20
"""Unexpected errors with one intent before a human is to see it: the next try would meet the same."""

CHARGE = "charge.create"
Report = Callable[[str, Exception], None]
Step = TypeVar("Step")


def due(shop: Workshop) -> Sequence[Row[Any]]:
    """Some intents that are open and that nobody works on, of each processor account a few."""
    with reading(shop.records) as connection:
        return connection.execute(_DUE).all()


def resolve_queue(shop: Workshop, queue: Sequence[Row[Any]], report: Report) -> int:
    """Bring some intents of one account to their end, or give them back for later; how many ended.

    An account whose processor did not say what became of one is left alone for the rest of the round.
    """
    charges = [row for row in queue if row.operation == CHARGE]
    ended = _resolve_charges(shop, charges, report) if charges else 0
    for row in queue:
        if row.operation == CHARGE or (intent := take_up(shop, row)) is None:
            continue
        done = attempt(shop, [row], report, partial(_resolve, shop, row, intent))
        if not done:
            later(shop, row, intent, report)
        if done is False:  # one that failed here says nothing of its processor
            break
        ended += done is True
    return ended


def take_up(shop: Workshop, row: Row[Any]) -> intents.Intent | None:
    """Take the lease under a word of its own; None when another worker has it."""
    word = intents.new_word()
    taken = {"attempts": intent_table.c.attempts + 1, "word": word}
    due_still = intent_table.c.state.in_(("pending", "manual"))
    if not leases.take(shop.records, intent_table, row, "lease_until", intents.LEASE_SECONDS, due_still, **taken):
        return None
    return intents.Intent(
        tenant=row.tenant_id,
        intent_id=row.intent_id,
        operation=row.operation,
        resource_id=row.resource_id,
        processor_key=row.processor_key,
        word=word,
    )


def _resolve_charges(shop: Workshop, rows: Sequence[Row[Any]], report: Report) -> int:
    """All charges of one account, of which the list of its payments is read once."""
    taken = {row.intent_id: (row, intent) for row in rows if (intent := take_up(shop, row)) is not None}
    if not taken:
        return 0
    opened = [
        attempt(shop, [row], report, partial(unknown_charges.unknown, shop, row, intent))
        for row, intent in taken.values()
    ]
    ones = [one for one in opened if one is not None]
    step = partial(_looked_up, shop, rows[0], ones, partial(attempt, shop, report=report))
    ended = (attempt(shop, [one.row for one in ones], report, step) if ones else None) or set()
    for intent_id, (row, intent) in taken.items():
        if intent_id not in ended:
            later(shop, row, intent, report)
    return len(ended)


def _looked_up(
    shop: Workshop, row: Row[Any], ones: Sequence[unknown_charges.Unknown], tried: Callable[..., Any]
) -> set[str]:
    account = unknown_charges.opened(shop, row.tenant_id, row.account_id)
    return unknown_charges.resolve(shop, account, ones, lambda of, step: tried([of], step=step))


def attempt(shop: Workshop, rows: Sequence[Row[Any]], report: Report, step: Callable[[], Step]) -> Step | None:
    """What a step with intents comes to; None where it failed, which is reported, and counted where unexpected."""
    try:
        return step()
    except Exception as error:  # noqa: BLE001  # one broken intent must not stop the others
        report(rows[0].operation, error)
        if not _passes(error):
            more = update(intent_table).values(exceptions=intent_table.c.exceptions + 1)
            with transaction(shop.records) as tx:
                for row in rows:
                    tx.execute(more.where(of_row(intent_table, row)))
        return None


def _passes(error: Exception) -> bool:
    """Whether it is an outage, which passes by itself."""
    return isinstance(error, VaultError | KeysError) and error.retryable


def _resolve(shop: Workshop, row: Row[Any], intent: intents.Intent) -> bool:
    return _RESOLVERS[row.operation](shop, desk_of(shop, row.tenant_id, live=row.live), intent, row)


def _resolve_token(shop: Workshop, desk: Desk, intent: intents.Intent, row: Row[Any]) -> bool:
    """Adopt what the processor stored; where the customer is gone, have it forgotten there."""
    try:
        with reading(desk.records) as connection:
            token = tokens.row_of_token(connection, desk.caller, intent.resource_id)
    except Erased:
        return _forget_customer(shop, intent, row)
    storing = resuming.resume(desk, shop.processors, token, intent)
    outcome, opened = resuming.find(storing, since=row.created_at)
    if isinstance(outcome, NotFound):
        if not burning.nothing_comes(shop, row, intent, storing.connected):
            return False
        outcome, opened = resuming.find(storing, since=row.created_at)
    if isinstance(outcome, Failure):  # the processor is away, or refuses our credentials
        return False
    token_outcomes.conclude(storing, outcome, opened)
    return True


def _forget_customer(shop: Workshop, intent: intents.Intent, row: Row[Any]) -> bool:
    """Look for a processor's customer that an erasure did not know of yet, and have it deleted."""
    connected = _connected(shop, row)
    found = connected.processor.find_customer(connected.credentials, id=row.customer_id, since=row.created_at)
    if isinstance(found, NotFound):
        return burning.nothing_comes(shop, row, intent, connected) and _done(shop, intent)
    if not isinstance(found, CustomerOpened):
        return False
    key, reference = f"{intent.processor_key}-forget", found.customer_reference
    told = connected.processor.forget_customer(connected.credentials, customer_reference=reference, key=key)
    return isinstance(told, Forgotten) and _done(shop, intent)


def _resolve_step(shop: Workshop, desk: Desk, intent: intents.Intent, row: Row[Any]) -> bool:
    """Ask where the charge stands; where the step was not taken, make sure that it is not taken any more."""
    resumed = steps.resume(desk, shop.processors, intent)
    if resumed is None:
        return _done(shop, intent)
    underway, step = resumed
    outcome = looking.ask(underway)
    if isinstance(outcome, Authorized | ActionRequired):
        if not burning.nothing_comes(shop, row, intent, underway.connected):
            return False
        outcome = looking.ask(underway)
    if isinstance(outcome, Failure):  # the processor is away, or refuses our credentials
        return False
    with suppress(ProcessorRefused, NotUsable):  # the client that would hear of it is gone; the record says it
        steps.settle(underway, step, outcome)
    return True


def _resolve_refund(shop: Workshop, desk: Desk, intent: intents.Intent, row: Row[Any]) -> bool:
    refunding = refunds.resume(desk, shop.processors, intent)
    outcome = refunds.look_up(refunding)
    if isinstance(outcome, NotFound):
        if not burning.nothing_comes(shop, row, intent, refunding.connected):
            return False
        outcome = refunds.look_up(refunding)
    if isinstance(outcome, Failure):  # the processor is away, or refuses our credentials
        return False
    refund_outcomes.conclude(refunding, outcome)
    return True


def _resolve_forget(shop: Workshop, _: Desk, intent: intents.Intent, row: Row[Any]) -> bool:
    """Tell the processor to forget what a deleted or twin token left there."""
    told = deletion.left_to_forget(shop.keyring, row)
    connected = _connected(shop, row)
    processor, credentials, key = connected.processor, connected.credentials, intent.processor_key
    answers: list[object] = [
        processor.forget(credentials, reference=reference, key=f"{key}-{number}")
        for number, reference in enumerate(told["payment_methods"])
    ]
    if told["customer"]:
        answers.append(processor.forget_customer(credentials, customer_reference=told["customer"], key=key or ""))
    return all(isinstance(answer, Forgotten) for answer in answers) and _done(shop, intent)


def _resolve_contact(shop: Workshop, desk: Desk, intent: intents.Intent, row: Row[Any]) -> bool:
    """Send a corrected contact on to the processor."""
    connected, key = _connected(shop, row), intent.processor_key or ""
    sent = contact_sending.send(desk, connected, row.customer_id, row.account_id, key)
    return sent and _done(shop, intent)


_RESOLVERS: Mapping[str, Callable[[Workshop, Desk, intents.Intent, Row[Any]], bool]] = {
    "token.create": _resolve_token,
    "charge.capture": _resolve_step,
    "charge.void": _resolve_step,
    "charge.abandon": _resolve_step,
    "refund.create": _resolve_refund,
    "token.forget": _resolve_forget,
    "contact.send": _resolve_contact,
}


def later(shop: Workshop, row: Row[Any], intent: intents.Intent, report: Report) -> None:
    """Give the lease back, and its word, for a later look: after 2, 4, 8 ... seconds at first.

    It is reported the first time that nobody but a human can end it.
    """
    age = shop.clock() - row.created_at
    with transaction(shop.records) as tx:
        exceptions = tx.scalar(select(intent_table.c.exceptions).where(of_row(intent_table, row)))
        is_stuck = age > GIVEN_UP_AFTER or (exceptions or 0) >= MOST_EXCEPTIONS
        longest = LONGEST_PAUSE if age < YOUNG else LATER_PAUSE
        seconds = MANUAL_PAUSE if is_stuck else leases.pause(row.attempts, first=1, longest=longest)
        kept = {"lease_until": _at(seconds), "state": "manual" if is_stuck else "pending", "word": None}
        mine = and_(of_row(intent_table, row), _OPEN, intent_table.c.word == intent.word)
        is_left = tx.execute(update(intent_table).where(mine).values(kept)).rowcount == 1
    if is_stuck and is_left and row.state != "manual":
        told = f"{row.operation} of {row.resource_id}: see `panless intents show {row.intent_id}`."
        report(row.operation, NeedsHuman(told))


def _at(seconds: int) -> ColumnElement[Any]:
    """No earlier than a used key has settled: there is nothing to be seen before."""
    then = database_clock(seconds)
    return case((intent_table.c.settles_at > then, intent_table.c.settles_at), else_=then)


def _connected(shop: Workshop, row: Row[Any]) -> Connected:
    return connect_to(shop.records, shop.keyring, shop.processors, row.tenant_id, row.account_id)


def _done(shop: Workshop, intent: intents.Intent) -> bool:
    with transaction(shop.records) as tx:
        return intents.finish(tx, intent, parameters=None)


_OPEN = text(f"intents.{STILL_OPEN}")
_SETTLED = or_(intent_table.c.settles_at.is_(None), intent_table.c.settles_at <= database_clock())
_FREE = (
    select(
        intent_table,
        account_table.c.live,
        case((_SETTLED, 1), else_=0).label("is_settled"),
        func.row_number()
        .over(partition_by=(intent_table.c.tenant_id, intent_table.c.account_id), order_by=intent_table.c.lease_until)
        .label("place"),
    )
    .join(account_table, together(account_table, intent_table, "account_id"))
    .where(_OPEN, intent_table.c.lease_until <= database_clock())
    .subquery()
)
_DUE = select(_FREE).where(_FREE.c.place <= OF_ONE_ACCOUNT).order_by(_FREE.c.lease_until).limit(BATCH)
