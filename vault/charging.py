"""Charging: intent, one call to the processor, outcome. One obligation is paid once; an unknown end is called so."""

from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, Row, and_, select

from keys.database import reading
from keys.dek import Dek
from keys.keyring import Keyring
from vault import audit, charges, customers, intents, references, tokens
from vault.caller import Caller
from vault.charge_outcomes import Charging, conclude
from vault.charges import Charge
from vault.errors import Invalid, MovedOn, NotUsable, ObligationTaken
from vault.ids import new_id
from vault.processing import Connected, Processors, connect, persist
from vault.processor import ChargeOutcome, NotFound
from vault.sealing import seal_value
from vault.statements import insert_if_absent
from vault.tables import OPEN_STATES, UNPAID_STATES
from vault.tables import charges as charge_table


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a billing service wants paid. `amount` is in minor units of `currency` (ISO 4217, lower-case)."""

    token: str
    amount: int
    currency: str
    initiator: str
    reason: str | None = None
    obligation: str | None = None
    statement_descriptor: str | None = field(default=None, repr=False)
    metadata: dict[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Charged:
    """The charge; `replayed` for a known idempotency key."""

    charge: Charge
    replayed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What a charge goes over: the token's row and what the processor calls token and customer."""

    token: Row[Any]
    connected: Connected
    dek: Dek
    reference: str = field(repr=False)
    customer_reference: str = field(repr=False)
    network_transaction_id: str | None = field(repr=False)


def charge(
    records: Engine, keyring: Keyring, processors: Processors, caller: Caller, order: Order, attempt: intents.Attempt
) -> Charged:
    """Charge a token, once per idempotency key and once per obligation.

    Raises Invalid, NotFoundHere, Erased, Restricted, NotUsable, ObligationTaken, KeyReused, InProgress,
    ProcessorRefused, ProcessorNotReached.
    """
    if order.initiator == "merchant" and order.obligation is None:
        raise Invalid("obligation", "A charge that the merchant initiates names what it pays.")
    try:
        plan = _plan(records, keyring, processors, caller, order)
    except NotUsable:  # a token that was charged with this key may be gone since
        replay = _replay(records, keyring, caller, attempt)
        if replay is None:
            raise
        return replay
    charging = _begin(records, keyring, caller, order, attempt, plan)
    if charging is None:
        if (replay := _replay(records, keyring, caller, attempt)) is None:
            raise MovedOn("The first call with this Idempotency-Key has just been taken back. Try again.")
        return replay
    outcome = persist(partial(_send, keyring, charging, order, plan))
    return Charged(charge=conclude(records, keyring, charging, outcome))


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """A charge that was begun before, and all that sending the same body again takes."""

    charging: Charging
    plan: _Plan
    order: Order


def resume(
    records: Engine, keyring: Keyring, processors: Processors, caller: Caller, intent: intents.Intent
) -> Resumed:
    """A charge that was begun before, from its rows."""
    with reading(records) as connection:
        row = charges.row_of_charge(connection, caller, intent.resource_id)
        token = tokens.row_of_token(connection, caller, row.token_id)
    plan = _over(records, keyring, processors, token)
    retained = charges.open_retained(keyring, row)
    details = charges.open_details(keyring, row, {plan.dek.id: plan.dek})
    order = Order(
        token=row.token_id,
        amount=row.amount,
        currency=row.currency,
        initiator=row.initiator,
        reason=row.reason,
        obligation=retained["obligation"],
        statement_descriptor=details["statement_descriptor"],
        metadata=details["metadata"],
    )
    charging = Charging(
        caller=caller, intent=intent, dek=plan.dek, row=row._asdict(), retained=retained, details=details
    )
    return Resumed(charging=charging, plan=plan, order=order)


def look_up(keyring: Keyring, resumed: Resumed) -> ChargeOutcome | NotFound:
    """What the processor has of it."""
    charging, plan = resumed.charging, resumed.plan
    tag = intents.tag(keyring, charging.caller.tenant, charging.row["charge_id"])
    return plan.connected.processor.find_charge(
        plan.connected.credentials, tag=tag, customer_reference=plan.customer_reference
    )


def send_again(keyring: Keyring, resumed: Resumed) -> ChargeOutcome:
    """Send the same key and body again."""
    return _send(keyring, resumed.charging, resumed.order, resumed.plan)


def _plan(records: Engine, keyring: Keyring, processors: Processors, caller: Caller, order: Order) -> _Plan:
    with reading(records) as connection:
        token = tokens.row_of_token(connection, caller, order.token)
    _refuse_unchargeable(token)
    return _over(records, keyring, processors, token)


def _refuse_unchargeable(token: Row[Any]) -> None:
    customers.refuse_restricted(token)
    if token.state != "active":
        raise NotUsable("token_not_active", "This token can't be charged: its status says why.")


def _over(records: Engine, keyring: Keyring, processors: Processors, token: Row[Any]) -> _Plan:
    """What a charge of this token goes over. Raises NotUsable when the processor does not know it any more."""
    with reading(records) as connection:
        rows = references.of_charge(connection, token)
    if token.token_id not in rows:
        raise NotUsable("token_not_active", "This token can't be charged: its processor does not have it any more.")
    dek = keyring.dek(token.tenant_id, token.dek_id)
    stored = references.open_with(keyring, dek, rows[token.token_id])
    return _Plan(
        token=token,
        connected=connect(processors, keyring, token.tenant_id, rows[token.token_id]),
        dek=dek,
        reference=stored["reference"],
        customer_reference=references.open_with(keyring, dek, rows[token.customer_id])["reference"],
        network_transaction_id=stored.get("network_transaction_id"),
    )


def _begin(
    records: Engine, keyring: Keyring, caller: Caller, order: Order, attempt: intents.Attempt, plan: _Plan
) -> Charging | None:
    """Commit the intent and the pending charge; None when the client's key was used before."""
    charge_id = new_id("chg", caller.tenant)
    row = _pending(keyring, caller, order, plan, charge_id)
    with audit.transaction(records) as tx:
        _refuse_unchargeable(tokens.held_row_of_token(tx, caller, order.token))
        intent = intents.begin(
            tx,
            keyring,
            caller,
            attempt,
            resource_id=charge_id,
            customer_id=plan.token.customer_id,
            account_id=plan.token.account_id,
        )
        if intent is None:
            return None
        if not insert_if_absent(tx, charge_table, row):
            raise _taken(tx, caller, row["obligation_digest"])
    defaults = {"kind": plan.token.kind, "amount_captured": 0, "amount_refunded": 0}
    return Charging(
        caller=caller,
        intent=intent,
        dek=plan.dek,
        row={**row, **defaults},
        retained={"obligation": order.obligation},
        details=_details(order),
    )


def _details(order: Order) -> dict[str, Any]:
    return {"statement_descriptor": order.statement_descriptor, "metadata": order.metadata}


def _pending(keyring: Keyring, caller: Caller, order: Order, plan: _Plan, charge_id: str) -> dict[str, Any]:
    customer = plan.token.customer_id
    retained = {"obligation": order.obligation}
    retention = keyring.tenant_key(caller.tenant, "retention")
    return {
        "tenant_id": caller.tenant,
        "charge_id": charge_id,
        "customer_id": customer,
        "token_id": plan.token.token_id,
        "account_id": plan.token.account_id,
        "live": caller.live,
        "state": "pending",
        "amount": order.amount,
        "currency": order.currency,
        "capture_method": "automatic",
        "initiator": order.initiator,
        "reason": order.reason,
        "obligation_digest": charges.obligation_digest(keyring, caller, order.obligation),
        "retained_version": 1,
        "details_version": 1,
        "retained": seal_value(retention, retained, charges.retained_place(keyring, caller.tenant, charge_id, 1)),
        "details": seal_value(
            plan.dek, _details(order), charges.details_place(keyring, caller.tenant, charge_id, customer, 1)
        ),
        "created_at": caller.at,
        "updated_at": caller.at,
    }


def _send(keyring: Keyring, charging: Charging, order: Order, plan: _Plan) -> ChargeOutcome:
    return plan.connected.processor.charge(
        plan.connected.credentials,
        reference=plan.reference,
        customer_reference=plan.customer_reference,
        amount=order.amount,
        currency=order.currency,
        off_session=order.initiator == "merchant",
        statement_descriptor=order.statement_descriptor,
        tag=intents.tag(keyring, charging.caller.tenant, charging.row["charge_id"]),
        key=charging.intent.processor_key,
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
