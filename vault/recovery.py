"""What the worker does: ends what a crash or an unknown outcome left open, by asking the processor, not by guessing."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from time import monotonic
from typing import Any

from sqlalchemy import ColumnElement, Engine, Row, and_, delete, select, update

from keys.database import reading, transaction
from keys.keyring import Keyring
from vault import (
    callbacks,
    charge_outcomes,
    charging,
    contact_sending,
    erasure_completion,
    intents,
    package_building,
    packages,
    processor_accounts,
    refunds,
    retention,
    rights,
    rights_execution,
    token_outcomes,
    tokenizing,
    tokens,
)
from vault.callbacks import Tell
from vault.caller import Caller
from vault.columns import database_clock
from vault.errors import Erased, ProcessorRefused
from vault.ids import new_id
from vault.ledger import Ledger, settle
from vault.notices import notices_of
from vault.policy import Policy
from vault.processing import Processors, connect
from vault.processor import CustomerOpened, Forgotten, NotFound, NotReached, Refused, Unknown
from vault.rights_execution import Work
from vault.tables import intents as intent_table
from vault.tables import processor_accounts as account_table

BATCH = 100
KEY_WINDOW = timedelta(hours=23)
"""How long a processor certainly remembers an idempotency key (Stripe: at least 24 h): resend only inside it."""

LONGEST_PAUSE = 3600
TELLING_SECONDS = 5.0
"""Once this is over no further callback is begun in a row: servers that hang must not hold up erasures."""

UNDECIDED = (NotReached, Unknown, Refused)
"""Answers to a look-up that leave the question open: the processor is away, or refuses our credentials."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What the worker works with."""

    records: Engine
    ledger: Ledger
    processors: Processors
    policy: Policy
    clock: Callable[[], datetime]
    tellers: Mapping[str, Tell]
    """How others are told of rights requests, by protocol."""

    @property
    def keyring(self) -> Keyring:
        """The keys of the deployment."""
        return self.ledger.keyring


def work_once(shop: Workshop, report: Callable[[str, Exception], None]) -> int:
    """One round over all that is open; how many things came to an end, or a step nearer to it.

    One that fails is reported, left for a later round, and stops no other.
    """
    _guarded(report, "ledger", partial(_settle, shop))
    ended = _tell_all(shop, report)  # before the round moves on what they wait to hear of
    for row in _due(shop):
        if _take_up(shop, row):
            ended += _guarded(report, row.operation, partial(_resolve, shop, row))
    for request in rights_execution.left_approved(shop.records):
        ended += _guarded(report, "rights_request", partial(_execute_whole, shop, request))
    for target in rights_execution.open_targets(shop.records):
        if rights_execution.take_up(shop.records, target):
            ended += _guarded(report, "rights_request", partial(_execute, shop, target))
    for erasure in erasure_completion.open_erasures(shop.records):
        if erasure_completion.take_up(shop.records, erasure.tenant_id, erasure.erasure_id):
            ended += _guarded(report, "erasure", partial(_carry_on, shop, erasure))
    for package in packages.open_packages(shop.records, shop.clock()):
        ended += _guarded(report, "package", partial(_work_on_package, shop, package))
    for request in rights_execution.packages_to_finish(shop.records):
        ended += _guarded(report, "rights_request", partial(_finish_package, shop, request))
    ended += _tell_all(shop, report)
    _forget_old_keys(shop)
    return ended


def purge_once(shop: Workshop, report: Callable[[str, Exception], None]) -> int:
    """Delete some of what is not to be kept any longer; of how many customers something went."""
    gone = 0
    for customer in retention.expired(shop.records, shop.policy, shop.clock()):
        gone += _guarded(report, "retention", partial(_purge, shop, customer))
    return gone


def _purge(shop: Workshop, customer: Row[str, str, bool]) -> bool:
    caller = _caller(shop, customer.tenant_id, live=customer.live)
    return retention.purge(shop.records, shop.keyring, shop.policy, caller, customer.customer_id) > 0


def _settle(shop: Workshop) -> bool:
    settle(shop.ledger, shop.records)
    return True


def _guarded(report: Callable[[str, Exception], None], what: str, step: Callable[[], bool]) -> bool:
    try:
        return step()
    except Exception as error:  # noqa: BLE001  # one broken row must not stop the worker; it is reported
        report(what, error)
        return False


def _due(shop: Workshop) -> Sequence[Row[Any]]:
    of_account = and_(
        account_table.c.tenant_id == intent_table.c.tenant_id,
        account_table.c.account_id == intent_table.c.account_id,
    )
    statement = (
        select(intent_table, account_table.c.live)
        .join(account_table, of_account)
        .where(intent_table.c.state == "pending", intent_table.c.lease_until <= database_clock())
        .order_by(intent_table.c.lease_until)
        .limit(BATCH)
    )
    with reading(shop.records) as connection:
        return connection.execute(statement).all()


def _take_up(shop: Workshop, row: Row[Any]) -> bool:
    """Take the lease, longer after each attempt; False when another worker has it."""
    seconds = min(intents.LEASE_SECONDS * 2 ** max(row.attempts - 4, 0), LONGEST_PAUSE)
    free = and_(_this(row), intent_table.c.state == "pending", intent_table.c.lease_until <= database_clock())
    taken = {"lease_until": database_clock(seconds), "attempts": intent_table.c.attempts + 1}
    with transaction(shop.records) as tx:
        return tx.execute(update(intent_table).where(free).values(taken)).rowcount == 1


def _resolve(shop: Workshop, row: Row[Any]) -> bool:
    caller = _caller(shop, row.tenant_id, live=row.live)
    intent = intents.Intent(
        tenant=row.tenant_id,
        intent_id=row.intent_id,
        operation=row.operation,
        resource_id=row.resource_id,
        processor_key=row.processor_key,
    )
    return _RESOLVERS[row.operation](shop, caller, intent, row)


def _resolve_token(shop: Workshop, caller: Caller, intent: intents.Intent, row: Row[Any]) -> bool:
    """Adopt what the processor stored; where the customer is gone, have it forgotten there."""
    try:
        with reading(shop.records) as connection:
            token = tokens.row_of_token(connection, caller, intent.resource_id)
    except Erased:
        return _forget_customer(shop, intent, row)
    storing = tokenizing.resume(shop.records, shop.keyring, shop.processors, caller, token, intent)
    outcome, opened = tokenizing.find(shop.keyring, storing, since=row.created_at)
    if isinstance(outcome, UNDECIDED):
        return _retry_soon(shop, row)
    token_outcomes.conclude(shop.records, shop.keyring, storing, outcome, opened)
    return True


def _forget_customer(shop: Workshop, intent: intents.Intent, row: Row[Any]) -> bool:
    """Look for a processor's customer that an erasure did not know of yet, and have it deleted."""
    with reading(shop.records) as connection:
        account = processor_accounts.by_id(connection, row.tenant_id, row.account_id)
    connected = connect(shop.processors, shop.keyring, row.tenant_id, account)
    tag = intents.tag(shop.keyring, row.tenant_id, row.customer_id)
    found = connected.processor.find_customer(connected.credentials, tag=tag, since=row.created_at)
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
    outcome = charging.look_up(shop.keyring, resumed)
    if isinstance(outcome, NotFound) and _key_holds(shop, row):
        outcome = charging.send_again(shop.keyring, resumed)
        if isinstance(outcome, Refused) and not outcome.credentials:
            return _refused(lambda: charge_outcomes.conclude(shop.records, shop.keyring, resumed.charging, outcome))
    if isinstance(outcome, UNDECIDED):
        return _retry_soon(shop, row)
    charge_outcomes.conclude(shop.records, shop.keyring, resumed.charging, outcome)
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
    "refund.create": _resolve_refund,
    "token.forget": _resolve_forget,
    "contact.send": _resolve_contact,
}


def _execute(shop: Workshop, target: Row[str, str, str, bool]) -> bool:
    """Carry out what was approved for one customer; whether it is blocked no more."""
    work = _work(shop, target.tenant_id, live=target.live)
    rights_execution.carry_on(work, target.request_id, target.customer_id)
    request = rights.read(shop.records, work.caller, target.request_id)
    return any(each.customer == target.customer_id and each.status != "blocked" for each in request.targets)


def _execute_whole(shop: Workshop, request: Row[str, str, bool]) -> bool:
    work = _work(shop, request.tenant_id, live=request.live)
    rights_execution.execute(work, rights.read(shop.records, work.caller, request.request_id))
    return True


def _finish_package(shop: Workshop, request: Row[str, str, bool]) -> bool:
    rights_execution.finish_package(_work(shop, request.tenant_id, live=request.live), request.request_id)
    return True


def _work(shop: Workshop, tenant: str, *, live: bool) -> Work:
    return Work(records=shop.records, ledger=shop.ledger, policy=shop.policy, caller=_caller(shop, tenant, live=live))


def _carry_on(shop: Workshop, erasure: Row[str, str, bool]) -> bool:
    caller = _caller(shop, erasure.tenant_id, live=erasure.live)
    erasure_completion.carry_on(shop.records, shop.ledger, shop.processors, shop.policy, caller, erasure.erasure_id)
    return True


def _work_on_package(shop: Workshop, package: Row[Any]) -> bool:
    """One turn at building a package, so that no large one holds up the rest; or its end. Whether it moved on."""
    caller = _caller(shop, package.tenant_id, live=package.live)
    if package.state != "building":
        packages.end(shop.records, shop.ledger, caller, package.package_id)
    elif not packages.take_up(shop.records, package):
        return False
    else:
        package_building.build(shop.records, shop.keyring, notices_of(shop.policy), caller, package.package_id)
        packages.put_back(shop.records, package)
    return True


def _tell_all(shop: Workshop, report: Callable[[str, Exception], None]) -> int:
    """Tell everybody who wants to hear how a rights request stands, and has not heard of it."""
    told, end = 0, monotonic() + TELLING_SECONDS
    for row in callbacks.due(shop.records):
        if monotonic() > end:  # whoever is slow has a pause before the next attempt: the others' turn comes
            break
        if callbacks.take_up(shop.records, row):
            told += _guarded(report, "callback", partial(_tell, shop, row))
    return told


def _tell(shop: Workshop, row: Row[Any]) -> bool:
    caller = _caller(shop, row.tenant_id, live=row.live)
    return callbacks.tell(shop.records, shop.keyring, shop.tellers, caller, row)


def _retry_soon(shop: Workshop, row: Row[Any]) -> bool:
    """Give the lease back early: the first retries come after 2, 4, 8 ... seconds."""
    seconds = min(2 ** min(row.attempts, 12), LONGEST_PAUSE)
    with transaction(shop.records) as tx:
        tx.execute(update(intent_table).where(_this(row)).values(lease_until=database_clock(seconds)))
    return False


def _done(shop: Workshop, intent: intents.Intent) -> bool:
    with transaction(shop.records) as tx:
        intents.finish(tx, intent, parameters=None)
    return True


def _key_holds(shop: Workshop, row: Row[Any]) -> bool:
    return bool(shop.clock() - row.created_at < KEY_WINDOW)


def _forget_old_keys(shop: Workshop) -> None:
    """Delete what is left of intents whose idempotency key need not be remembered any more."""
    old = and_(
        intent_table.c.state == "done", intent_table.c.finished_at < database_clock(-intents.KEEP_DAYS * 24 * 3600)
    )
    with transaction(shop.records) as tx:
        tx.execute(delete(intent_table).where(old))


def _caller(shop: Workshop, tenant: str, *, live: bool) -> Caller:
    """The program itself: no client, and each deed under a request id of its own."""
    return Caller(tenant=tenant, client="", live=live, at=shop.clock(), request_id=new_id("req", tenant))


def _this(row: Row[Any]) -> ColumnElement[bool]:
    return and_(intent_table.c.tenant_id == row.tenant_id, intent_table.c.intent_id == row.intent_id)
