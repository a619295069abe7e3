"""Charging: intent, one call to the processor, outcome. One obligation is paid once; an unknown end is called so."""

from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, Row, and_, select

from keys.database import reading
from keys.dek import Dek
from keys.keyring import Keyring
from vault import audit
from vault.caller import Caller
from vault.errors import DoNotRetry, Invalid, MovedOn, NotUsable, ObligationTaken
from vault.money import chargeable, charges
from vault.money.charge_outcomes import Charging, conclude
from vault.money.chargeable import Route
from vault.money.charges import Charge
from vault.money.retrying import Caps
from vault.processing import intents
from vault.processing.processing import Processors, persist
from vault.processing.processor_answers import ChargeOutcome, Marks, NotFound, PaymentPage
from vault.sealing import seal_value
from vault.statements import Change, inserted, write
from vault.tables import OPEN_STATES, UNPAID_STATES
from vault.tables import charges as charge_table

_MARGIN = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a billing service wants paid. `amount` is in minor units of `currency` (ISO 4217, lower-case)."""

    token: str
    amount: int
    currency: str
    initiator: str
    capture_method: str = "automatic"
    reason: str | None = None
    obligation: str | None = None
    statement_descriptor: str | None = field(default=None, repr=False)
    metadata: dict[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Charged:
    """The charge; `replayed` for a known idempotency key."""

    charge: Charge
    replayed: bool = False


def charge(
    records: Engine,
    keyring: Keyring,
    processors: Processors,
    caps: Caps,
    caller: Caller,
    order: Order,
    attempt: intents.Attempt,
) -> Charged:
    """Charge a token, once per idempotency key and once per obligation.

    Raises Invalid, NotFoundHere, Erased, Restricted, NotUsable, DoNotRetry, ObligationTaken, KeyReused, InProgress,
    ProcessorRefused, ProcessorNotReached.
    """
    if order.initiator == "merchant" and order.obligation is None:
        raise Invalid("obligation", "A charge that the merchant initiates names what it pays.")
    try:
        route = chargeable.find(records, keyring, processors, caps, caller, order.token)
    except (NotUsable, DoNotRetry):  # what was charged with this key may be gone, or blocked, since
        replay = _replay(records, keyring, caller, attempt)
        if replay is None:
            raise
        return replay
    try:
        charging = _begin(records, keyring, caller, order, attempt, route)
    except intents.Known:
        if (replay := _replay(records, keyring, caller, attempt)) is None:
            raise MovedOn("The first call with this Idempotency-Key has just been taken back. Try again.") from None
        return replay
    outcome = persist(partial(_send, keyring, charging, order, route))
    return Charged(charge=conclude(records, keyring, charging, outcome))


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """A charge that was begun before, and all that sending the same body again takes."""

    charging: Charging
    route: Route
    order: Order


def resume(
    records: Engine, keyring: Keyring, processors: Processors, caller: Caller, intent: intents.Intent
) -> Resumed:
    """A charge that was begun before, from its rows."""
    with reading(records) as connection:
        row = charges.row_of_charge(connection, caller, intent.resource_id)
    route = chargeable.find_begun(records, keyring, processors, caller, row.token_id)
    retained = charges.open_retained(keyring, row)
    details = charges.unsealed_details(keyring, row)
    order = Order(
        token=row.token_id,
        amount=row.amount,
        currency=row.currency,
        initiator=row.initiator,
        capture_method=row.capture_method,
        reason=row.reason,
        obligation=retained["obligation"],
        statement_descriptor=details["statement_descriptor"],
        metadata=details["metadata"],
    )
    charging = Charging(
        caller=caller,
        intent=intent,
        dek=route.dek,
        row=row._asdict(),
        retained=retained,
        details=details,
        first_of=route.kept if route.network_transaction_id is None else None,
    )
    return Resumed(charging=charging, route=route, order=order)


def look_up(resumed: Resumed) -> ChargeOutcome | NotFound:
    """What the processor has of it."""
    processor, credentials = resumed.route.connected.processor, resumed.route.connected.credentials
    after: str | None = None
    while True:
        since = resumed.charging.row["created_at"] - _MARGIN
        page = processor.list_payments(credentials, since=since, until=None, after=after)
        if not isinstance(page, PaymentPage):
            return page
        own = resumed.charging.row["charge_id"]
        found = [each.outcome for each in page.payments if each.marks is not None and each.marks.id == own]
        if found or page.after is None:
            return found[0] if found else NotFound()
        after = page.after


def send_again(keyring: Keyring, resumed: Resumed) -> ChargeOutcome:
    """Send the same key and body again."""
    return _send(keyring, resumed.charging, resumed.order, resumed.route)


def _begin(
    records: Engine, keyring: Keyring, caller: Caller, order: Order, attempt: intents.Attempt, route: Route
) -> Charging:
    """Commit the intent and the pending charge. Raises Known when the client's key was used before."""
    charge_id = intents.resource_id("chg", keyring, caller, attempt)
    row = pending(keyring, caller, order, route.token, route.dek, charge_id)
    intent, begun = intents.begun(
        keyring,
        caller,
        attempt,
        resource_id=charge_id,
        customer_id=route.token.customer_id,
        account_id=route.token.account_id,
    )
    charge = inserted(charge_table, row, if_absent=True)
    if not audit.write_whole(records, lambda _: [chargeable.held(caller, order.token), begun, charge]):
        _begin_slowly(records, caller, order, begun, charge)
    defaults = {"kind": route.token.kind, "amount_captured": 0, "amount_refunded": 0, "step": None}
    return Charging(
        caller=caller,
        intent=intent,
        dek=route.dek,
        row={**row, **defaults},
        retained={"obligation": order.obligation},
        details=_details(order),
        first_of=route.kept if route.network_transaction_id is None else None,
    )


def _begin_slowly(records: Engine, caller: Caller, order: Order, begun: Change, charge: Change) -> None:
    """Begin where something stands in the way, and say what. Raises Known, ObligationTaken, as `chargeable.find`."""
    with audit.transaction(records) as tx:
        chargeable.hold(tx, caller, order.token)
        is_first, is_unpaid = write(tx, begun, charge)
        if not is_first:
            raise intents.Known
        if not is_unpaid:
            raise _taken(tx, caller, charge.values["obligation_digest"])


def _details(order: Order) -> dict[str, Any]:
    return {"statement_descriptor": order.statement_descriptor, "metadata": order.metadata}


def pending(
    keyring: Keyring, caller: Caller, order: Order, token: Row[Any], dek: Dek, charge_id: str
) -> dict[str, Any]:
    """The row of a charge that is about to be sent, over a token of a customer whose key is `dek`."""
    customer = token.customer_id
    retained = {"obligation": order.obligation}
    retention = keyring.tenant_key(caller.tenant, "retention")
    return {
        "tenant_id": caller.tenant,
        "charge_id": charge_id,
        "customer_id": customer,
        "token_id": token.token_id,
        "account_id": token.account_id,
        "live": caller.live,
        "state": "pending",
        "amount": order.amount,
        "currency": order.currency,
        "capture_method": order.capture_method,
        "initiator": order.initiator,
        "reason": order.reason,
        "obligation_digest": charges.obligation_digest(keyring, caller, order.obligation),
        "retained_version": 1,
        "details_version": 1,
        "retained": seal_value(retention, retained, charges.retained_place(keyring, caller.tenant, charge_id, 1)),
        "details": seal_value(
            dek, _details(order), charges.details_place(keyring, caller.tenant, charge_id, customer, 1)
        ),
        "created_at": caller.at,
        "updated_at": caller.at,
    }


def _send(keyring: Keyring, charging: Charging, order: Order, route: Route) -> ChargeOutcome:
    tag = intents.tag(keyring, charging.caller.tenant, charging.row["charge_id"])
    return route.connected.processor.charge(
        route.connected.credentials,
        reference=route.reference,
        customer_reference=route.customer_reference,
        amount=order.amount,
        currency=order.currency,
        capture=order.capture_method == "automatic",
        off_session=order.initiator == "merchant",
        reason=order.reason,
        network_transaction_id=route.network_transaction_id,
        statement_descriptor=order.statement_descriptor,
        marks=Marks(tag=tag, id=charging.row["charge_id"]),
        key=charging.begun.processor_key,
    )


def _taken(tx: Connection, caller: Caller, digest: bytes) -> ObligationTaken | MovedOn:
    this = and_(
        charge_table.c.tenant_id == caller.tenant,
        charge_table.c.obligation_digest == digest,
        charge_table.c.state.not_in(UNPAID_STATES),
    )
    first = tx.execute(select(charge_table.c.charge_id, charge_table.c.state).where(this)).one_or_none()
    if first is None:
        return MovedOn("Another charge for this obligation has just been declined. Try again.")
    return ObligationTaken(first.charge_id, in_doubt=first.state in OPEN_STATES)


def _replay(records: Engine, keyring: Keyring, caller: Caller, attempt: intents.Attempt) -> Charged | None:
    with reading(records) as connection:
        first = intents.replayed(connection, keyring, caller, attempt)
    if first is None:
        return None
    return Charged(charge=charges.read(records, keyring, caller, first.resource_id), replayed=True)
