"""Ending an intent that a crash or an unknown outcome left open, by asking the processor, not by guessing."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, delete, func, select, update

from keys.database import reading, transaction
from vault.caller import Caller
from vault.cards import token_outcomes, token_resuming, tokens
from vault.columns import database_clock
from vault.errors import Erased, NeedsHuman, NotUsable, ProcessorRefused
from vault.money import charge_looking, charge_outcomes, charge_steps, charging, refunds
from vault.people import contact_sending
from vault.processing import intents, processor_accounts
from vault.processing.processing import connect
from vault.processing.processor_answers import (
    ActionRequired,
    Authorized,
    CustomerOpened,
    Forgotten,
    NotFound,
    NotReached,
    Refused,
    Unknown,
)
from vault.tables import intents as intent_table
from vault.tables import processor_accounts as account_table
from vault.workshop import Workshop, caller_of

BATCH = 100
OF_ONE_ACCOUNT = 25
"""Of a batch: an account whose processor is away must not fill it."""

KEY_WINDOW = timedelta(hours=23)
"""How long a processor certainly remembers an idempotency key (Stripe: at least 24 h): resend only inside it."""

LONGEST_PAUSE = 20
"""Seconds between two looks for what is young: a processor that is back is asked again within them.

So an unknown outcome is known, at the latest, the lease of whoever died (60 s), a round (1 s), one pause (20 s) and the
call itself (23 s) after the processor answers again: 104 s of the 120 that are promised.
"""

GIVEN_UP_AFTER = KEY_WINDOW + timedelta(hours=24)
"""When the worker stops asking: the processor has been away, or refuses our credentials, for a day and more."""

YOUNG = timedelta(hours=1)
LONGEST_PAUSE_LATER = 600
"""The same for what is older than `YOUNG`: whatever it is, it is not a matter of seconds any more."""
UNDECIDED = (NotReached, Unknown, Refused)
"""Answers to a look-up that leave the question open: the processor is away, or refuses our credentials."""


def due(shop: Workshop) -> Sequence[Row[Any]]:
    """Some intents that are open and that nobody works on, of each processor account a few."""
    of_account = and_(
        account_table.c.tenant_id == intent_table.c.tenant_id,
        account_table.c.account_id == intent_table.c.account_id,
    )
    place = func.row_number().over(
        partition_by=(intent_table.c.tenant_id, intent_table.c.account_id), order_by=intent_table.c.lease_until
    )
    free = (
        select(intent_table, account_table.c.live, place.label("place"))
        .join(account_table, of_account)
        .where(intent_table.c.state == "pending", intent_table.c.lease_until <= database_clock())
        .subquery()
    )
    statement = select(free).where(free.c.place <= OF_ONE_ACCOUNT).order_by(free.c.lease_until).limit(BATCH)
    with reading(shop.records) as connection:
        return connection.execute(statement).all()


def by_account(rows: Sequence[Row[Any]]) -> list[list[Row[Any]]]:
    """The same intents, those of one processor account together, in their order."""
    queues: dict[tuple[str, str], list[Row[Any]]] = {}
    for row in rows:
        queues.setdefault((row.tenant_id, row.account_id), []).append(row)
    return [*queues.values()]


def take_up(shop: Workshop, row: Row[Any]) -> bool:
    """Take the lease; False when another worker has it."""
    free = and_(_this(row), intent_table.c.state == "pending", intent_table.c.lease_until <= database_clock())
    taken = {"lease_until": database_clock(intents.LEASE_SECONDS), "attempts": intent_table.c.attempts + 1}
    with transaction(shop.records) as tx:
        return tx.execute(update(intent_table).where(free).values(taken)).rowcount == 1


def resolve(shop: Workshop, row: Row[Any]) -> bool:
    """Bring one to its end, or give it back for later; whether it ended."""
    caller = caller_of(shop, row.tenant_id, live=row.live)
    intent = intents.Intent(
        tenant=row.tenant_id,
        intent_id=row.intent_id,
        operation=row.operation,
        resource_id=row.resource_id,
        processor_key=row.processor_key,
        key_digest=row.key_digest,
        fingerprint=row.fingerprint,
    )
    return _RESOLVERS[row.operation](shop, caller, intent, row)


def _resolve_token(shop: Workshop, caller: Caller, intent: intents.Intent, row: Row[Any]) -> bool:
    """Adopt what the processor stored; where the customer is gone, have it forgotten there."""
    try:
        with reading(shop.records) as connection:
            token = tokens.row_of_token(connection, caller, intent.resource_id)
    except Erased:
        return _forget_customer(shop, intent, row)
    storing = token_resuming.resume(shop.records, shop.keyring, shop.processors, caller, token, intent)
    outcome, opened = token_resuming.find(storing, since=row.created_at)
    if isinstance(outcome, UNDECIDED):
        return _retry_soon(shop, row)
    token_outcomes.conclude(shop.records, shop.keyring, storing, outcome, opened)
    return True


def _forget_customer(shop: Workshop, intent: intents.Intent, row: Row[Any]) -> bool:
    """Look for a processor's customer that an erasure did not know of yet, and have it deleted."""
    with reading(shop.records) as connection:
        account = processor_accounts.by_id(connection, row.tenant_id, row.account_id)
    connected = connect(shop.processors, shop.keyring, row.tenant_id, account)
    found = connected.processor.find_customer(connected.credentials, id=row.customer_id, since=row.created_at)
    if isinstance(found, NotFound):
        return _done(shop, intent)
    if not isinstance(found, CustomerOpened):
        return _retry_soon(shop, row)
    key = f"{intent.processor_key}-forget"
    told = connected.processor.forget_customer(
        connected.credentials, customer_reference=found.customer_reference, key=key
    )
    return _done(shop, intent) if isinstance(told, Forgotten) else _retry_soon(shop, row)


def _resolve_charge(shop: Workshop, caller: Caller, intent: intents.Intent, row: Row[Any]) -> bool:
    """Look the charge up; send the same key and body again only where nothing is found and the key still holds."""
    resumed = charging.resume(shop.records, shop.keyring, shop.processors, caller, intent)
    outcome = charging.look_up(resumed)
    if isinstance(outcome, NotFound) and _key_holds(shop, row):
        outcome = charging.send_again(shop.keyring, resumed)
        if isinstance(outcome, Refused) and not outcome.credentials:
            return _refused(lambda: charge_outcomes.conclude(shop.records, shop.keyring, resumed.charging, outcome))
    if isinstance(outcome, UNDECIDED):
        return _retry_soon(shop, row)
    charge_outcomes.conclude(shop.records, shop.keyring, resumed.charging, outcome)
    return True


def _resolve_step(shop: Workshop, caller: Caller, intent: intents.Intent, row: Row[Any]) -> bool:
    """Ask where the charge stands; send the step again only where it was not taken and the key still holds."""
    resumed = charge_steps.resume(shop.records, shop.keyring, shop.processors, caller, intent)
    if resumed is None:
        return _done(shop, intent)
    underway, step = resumed
    outcome = charge_looking.ask(underway)
    if isinstance(outcome, UNDECIDED):
        return _retry_soon(shop, row)
    if isinstance(outcome, Authorized | ActionRequired) and _key_holds(shop, row):
        outcome = charge_steps.send(underway, step)
    if isinstance(outcome, NotReached | Unknown) or (isinstance(outcome, Refused) and outcome.credentials):
        return _retry_soon(shop, row)
    with suppress(ProcessorRefused, NotUsable):  # the client that would hear of it is gone; the record says it
        charge_steps.settle(shop.records, shop.keyring, underway, step, outcome)
    return True


def _resolve_refund(shop: Workshop, caller: Caller, intent: intents.Intent, row: Row[Any]) -> bool:
    refunding = refunds.resume(shop.records, shop.keyring, shop.processors, caller, intent)
    outcome = refunds.look_up(shop.keyring, refunding)
    if isinstance(outcome, NotFound) and _key_holds(shop, row):
        outcome = refunds.send(shop.keyring, refunding)
        if isinstance(outcome, Refused) and not outcome.credentials:
            return _refused(lambda: refunds.conclude(shop.records, shop.keyring, refunding, outcome))
    if isinstance(outcome, UNDECIDED):
        return _retry_soon(shop, row)
    refunds.conclude(shop.records, shop.keyring, refunding, outcome)
    return True


def _refused(write_down: Callable[[], object]) -> bool:
    with suppress(ProcessorRefused):  # the client that would hear of it is gone; the record says failed
        write_down()
    return True


def _resolve_forget(shop: Workshop, _: Caller, intent: intents.Intent, row: Row[Any]) -> bool:
    """Tell the processor to forget what a deleted or twin token left there."""
    told = tokens.left_to_forget(shop.keyring, row)
    with reading(shop.records) as connection:
        account = processor_accounts.by_id(connection, row.tenant_id, row.account_id)
    connected = connect(shop.processors, shop.keyring, row.tenant_id, account)
    processor, credentials, key = connected.processor, connected.credentials, intent.processor_key
    answers: list[object] = [
        processor.forget(credentials, reference=reference, key=f"{key}-{number}")
        for number, reference in enumerate(told["payment_methods"])
    ]
    if told["customer"]:
        answers.append(processor.forget_customer(credentials, customer_reference=told["customer"], key=key))
    if not all(isinstance(answer, Forgotten) for answer in answers):
        return _retry_soon(shop, row)
    return _done(shop, intent)


def _resolve_contact(shop: Workshop, caller: Caller, intent: intents.Intent, row: Row[Any]) -> bool:
    """Send a corrected contact on to the processor."""
    with reading(shop.records) as connection:
        account = processor_accounts.by_id(connection, row.tenant_id, row.account_id)
    connected = connect(shop.processors, shop.keyring, row.tenant_id, account)
    sent = contact_sending.send(
        shop.records, shop.keyring, connected, caller, row.customer_id, row.account_id, intent.processor_key
    )
    return _done(shop, intent) if sent else _retry_soon(shop, row)


_RESOLVERS: Mapping[str, Callable[[Workshop, Caller, intents.Intent, Row[Any]], bool]] = {
    "token.create": _resolve_token,
    "charge.create": _resolve_charge,
    "charge.capture": _resolve_step,
    "charge.void": _resolve_step,
    "charge.abandon": _resolve_step,
    "refund.create": _resolve_refund,
    "token.forget": _resolve_forget,
    "contact.send": _resolve_contact,
}


def _retry_soon(shop: Workshop, row: Row[Any]) -> bool:
    """Give the lease back early: the first retries come after 2, 4, 8 ... seconds."""
    if shop.clock() - row.created_at > GIVEN_UP_AFTER:
        return _give_to_a_human(shop, row)
    longest = LONGEST_PAUSE if shop.clock() - row.created_at < YOUNG else LONGEST_PAUSE_LATER
    seconds = min(2 ** min(row.attempts, 12), longest)
    with transaction(shop.records) as tx:
        tx.execute(update(intent_table).where(_this(row)).values(lease_until=database_clock(seconds)))
    return False


def _give_to_a_human(shop: Workshop, row: Row[Any]) -> bool:
    """Neither adopted, nor called off, nor sent again in all that time. Raises NeedsHuman, so that it is reported."""
    with transaction(shop.records) as tx:
        tx.execute(update(intent_table).where(_this(row)).values(state="manual"))
    raise NeedsHuman(f"{row.operation} of {row.resource_id}: see `panless charges manual`.")


def _done(shop: Workshop, intent: intents.Intent) -> bool:
    with transaction(shop.records) as tx:
        intents.finish(tx, intent, parameters=None)
    return True


def _key_holds(shop: Workshop, row: Row[Any]) -> bool:
    return bool(shop.clock() - row.created_at < KEY_WINDOW)


def forget_old_keys(shop: Workshop) -> None:
    """Delete what is left of intents whose idempotency key need not be remembered any more."""
    old = and_(
        intent_table.c.state == "done", intent_table.c.finished_at < database_clock(-intents.KEEP_DAYS * 24 * 3600)
    )
    with transaction(shop.records) as tx:
        tx.execute(delete(intent_table).where(old))


def _this(row: Row[Any]) -> ColumnElement[bool]:
    return and_(intent_table.c.tenant_id == row.tenant_id, intent_table.c.intent_id == row.intent_id)
