"""Charging: intent, one call to the processor, outcome. One obligation is paid once; an unknown end is called so.

The request itself is the only sender, and it sends once. What becomes of a call whose answer is lost is the worker's to
find out (`vault/recovering/unknown_charges.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Connection, and_, or_, select
from sqlalchemy.exc import SQLAlchemyError

from keys.errors import KeysError
from rows.changes import Change, inserted, write
from vault import audit
from vault.caller import Caller
from vault.cards import updates
from vault.charge_states import OPEN, UNPAID
from vault.desk import Desk
from vault.errors import DoNotRetry, InDoubt, Invalid, MovedOn, NotUsable, ObligationTaken
from vault.money.charge import chargeable, charges, recovered
from vault.money.charge.chargeable import Route
from vault.money.charge.charges import Charge
from vault.money.charge.outcomes import Charging, conclude
from vault.money.charge.retrying import Caps
from vault.once import Once
from vault.processing import doubt, intents, sending
from vault.processing.answers import ChargeOutcome, Refused
from vault.processing.connecting import Processors
from vault.tables import charges as charge_table


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


class _Recovered(Exception):  # no error: what rolls back all that was to begin
    """What the order pays was paid by a charge that was written again from what the processor has."""

    def __init__(self, charge_id: str) -> None:
        super().__init__()
        self.charge_id = charge_id


def charge(desk: Desk, processors: Processors, caps: Caps, order: Order, attempt: intents.Attempt) -> Once[Charge]:
    """Charge a token, once per idempotency key and once per obligation.

    Raises Invalid, NotFoundHere, Erased, Restricted, NotUsable, DoNotRetry, ObligationTaken, InDoubt, KeyReused,
    InProgress, ProcessorRefused, ProcessorNotReached.
    """
    if order.initiator == "merchant" and order.obligation is None:
        raise Invalid("obligation", "A charge that the merchant initiates names what it pays.")
    obligation = charges.obligation_digest(desk, order.obligation)
    try:
        route = chargeable.find(desk, processors, caps, order.token, obligation)
    except (NotUsable, DoNotRetry):  # what was charged with this key may be gone, or blocked, since
        replay = _replay(desk, attempt)
        if replay is None:
            raise
        return replay
    _refuse_misfit(route, order)
    try:
        charging = _begin(desk, order, attempt, route)
    except intents.Known:
        if (replay := _replay(desk, attempt)) is None:
            raise MovedOn("The first call with this Idempotency-Key has just been taken back. Try again.") from None
        return replay
    except InDoubt:
        doubt.want(desk)
        raise
    except _Recovered as found:
        _adopt(desk, found.charge_id, order, attempt, route)
        return Once(charges.read(desk, found.charge_id), replayed=True)
    outcome = sending.once(desk.caller, _call(charging, order, route))
    if isinstance(outcome, Refused):  # perhaps because the card was detached there, of which nobody told us
        updates.detached_there(desk, route.connected, order.token, route.reference, outcome)
    return Once(_concluded(charging, outcome))


def _adopt(desk: Desk, charge_id: str, order: Order, attempt: intents.Attempt, route: Route) -> None:
    """Give a charge that was written again what only its client knew: this order is its replay."""
    known = {
        "token_id": route.token.token_id,
        "customer_id": route.token.customer_id,
        "initiator": order.initiator,
        "reason": order.reason,
    }
    texts = {"obligation": order.obligation, "details": _details(order)}
    intent = intents.known(desk, attempt, charge_id)
    recovered.complete(desk, charge_id, route.dek, known, texts, intent)


def _refuse_misfit(route: Route, order: Order) -> None:
    misfit = route.connected.processor.misfit(amount=order.amount, currency=order.currency)
    if misfit is not None:
        raise Invalid(misfit.field, misfit.message)


def _concluded(charging: Charging, outcome: ChargeOutcome) -> Charge:
    """Write the outcome down. Where that fails nobody may be told to try again: what was sent is unknown."""
    try:
        believed = doubt.believed(
            charging.desk.records, charging.desk.caller.tenant, charging.row["account_id"], outcome
        )
        return conclude(charging, believed)
    except (SQLAlchemyError, KeysError):
        return charges.charge_of({**charging.row, "state": "unknown"}, charging.retained, charging.details)


def _begin(desk: Desk, order: Order, attempt: intents.Attempt, route: Route) -> Charging:
    """Commit the intent and the pending charge. Raises Known when the client's key was used before."""
    charge_id = intents.resource_id(desk, "chg", attempt)
    row = pending(desk, order, route, charge_id)
    intent, begun = intents.begun(
        desk,
        attempt,
        resource_id=charge_id,
        customer_id=route.token.customer_id,
        account_id=route.token.account_id,
        has_own_key=order.obligation is None,
    )
    charge = inserted(charge_table, row, if_absent=True)
    needed = [chargeable.held(desk.caller, order.token), charge, begun, *_free_to_pay(desk.caller, route, row)]
    if not audit.write_whole(desk.records, lambda _: needed):
        _begin_slowly(desk, order, route, begun, charge)
    defaults = {"kind": route.token.kind, "amount_captured": 0, "amount_refunded": 0, "step": None, "recovered": False}
    return Charging(
        desk=desk,
        intent=intent,
        dek=route.dek,
        row={**row, **defaults},
        retained={"obligation": order.obligation},
        details=_details(order),
        first_of=route.kept if route.network_transaction_id is None else None,
    )


def _free_to_pay(caller: Caller, route: Route, row: dict[str, Any]) -> list[Change]:
    """What must be so in the statement that commits an order for an obligation."""
    obligation = row["obligation_digest"]
    if obligation is None:
        return []
    clear = doubt.none(caller, route.connected.processor, route.token.account_id)
    return [clear, chargeable.number_is_free(route, obligation)]


def _begin_slowly(desk: Desk, order: Order, route: Route, begun: Change, charge: Change) -> None:
    """Begin where something stands in the way, and say what. Raises as `charge` does, Known and _Recovered."""
    with audit.transaction(desk.records) as tx:
        chargeable.hold(tx, desk.caller, order.token)
        is_unpaid, is_first = write(tx, charge, begun)
        if not is_first:
            raise intents.Known
        if not is_unpaid:
            raise _taken(tx, desk.caller, order, charge)
        free_to_pay = _free_to_pay(desk.caller, route, dict(charge.values))
        if free_to_pay:
            doubt.refuse(tx, desk.caller, route.connected.processor, route.token.account_id)
            if not write(tx, free_to_pay[-1])[0]:
                raise MovedOn("Another charge for this obligation has just been declined. Try again.")


def _details(order: Order) -> dict[str, Any]:
    return {"statement_descriptor": order.statement_descriptor, "metadata": order.metadata}


def pending(desk: Desk, order: Order, route: Route, charge_id: str) -> dict[str, Any]:
    """The row of a charge that is about to be sent over this route."""
    token = route.token
    named = {"tenant_id": desk.caller.tenant, "charge_id": charge_id, "customer_id": token.customer_id}
    obligation = charges.obligation_digest(desk, order.obligation)
    return {
        **named,
        "token_id": token.token_id,
        "account_id": token.account_id,
        "live": desk.caller.live,
        "state": "pending",
        "amount": order.amount,
        "currency": order.currency,
        "capture_method": order.capture_method,
        "initiator": order.initiator,
        "reason": order.reason,
        "obligation_digest": obligation,
        "key_number": None if obligation is None else route.key_number,
        "retained_version": 1,
        "details_version": 1,
        "retained": charges.seal_retained(
            desk.keyring, desk.caller.tenant, charge_id, 1, {"obligation": order.obligation}
        ),
        "details": charges.seal_details(desk.keyring, route.dek, named, 1, _details(order)),
        "created_at": desk.caller.at,
        "updated_at": desk.caller.at,
    }


def _call(charging: Charging, order: Order, route: Route) -> Callable[[], ChargeOutcome]:
    """The one call, with all that has to be read for it read.

    Its body is a function of the committed order alone, so that a replay is known as one.
    """
    row = charging.row
    return partial(
        route.connected.processor.charge,
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
        marks=intents.marks(
            charging.desk.keyring, charging.desk.caller.tenant, row["charge_id"], row["obligation_digest"]
        ),
        key=charges.processor_key(charging.desk.keyring, charging.begun, row, route.token),
    )


def _taken(tx: Connection, caller: Caller, order: Order, charge: Change) -> ObligationTaken | MovedOn | _Recovered:
    """Why a charge could not be added: its obligation is taken, or its very id is there."""
    obligation, charge_id = charge.values["obligation_digest"], charge.values["charge_id"]
    of_obligation = charge_table.c.obligation_digest == obligation, charge_table.c.state.not_in(UNPAID)
    columns = [charge_table.c[name] for name in ("charge_id", "state", "recovered", "amount", "currency")]
    this = charge_table.c.tenant_id == caller.tenant, or_(charge_table.c.charge_id == charge_id, and_(*of_obligation))
    first = tx.execute(select(*columns).where(*this)).first()
    if first is None:
        return MovedOn("Another charge for this obligation has just been declined. Try again.")
    if first.recovered and (first.amount, first.currency) == (order.amount, order.currency):
        return _Recovered(first.charge_id)
    return ObligationTaken(first.charge_id, in_doubt=first.state in OPEN)


def _replay(desk: Desk, attempt: intents.Attempt) -> Once[Charge] | None:
    first = intents.replayed(desk, attempt)
    if first is None:
        return None
    return Once(charges.read(desk, first.resource_id), replayed=True)
