"""What is done with a charge later: captured, voided, called off where nobody came. One step at a time, each an intent.

While the outcome of a step is open, the charge stays what it was and names the step. A processor takes each step once,
by the payment's own state: who asks where the payment stands knows whether the step was taken.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from keys.errors import KeysError
from rows.changes import updated, write
from vault import audit
from vault.charge_states import STEPS
from vault.desk import Desk
from vault.errors import Invalid, MovedOn, NotUsable, ProcessorNotReached, ProcessorRefused
from vault.money import by_hand
from vault.money.by_hand import ByHand
from vault.money.charge import charges, looking
from vault.money.charge.charges import Charge
from vault.money.charge.looking import DEFINITE, Underway
from vault.money.charge.outcomes import Charging, conclude, entry
from vault.once import Once
from vault.processing import intents, sending
from vault.processing.answers import (
    ActionRequired,
    Authorized,
    ChargeOutcome,
    Declined,
    NotReached,
    Refused,
    Unknown,
)
from vault.processing.connecting import Processors
from vault.tables import charges as charge_table


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step that was begun, or is to be: `name` is one of `vault.charge_states.STEPS`, `amount` what to capture."""

    name: str
    amount: int | None = None


def take(desk: Desk, processors: Processors, charge_id: str, step: Step, attempt: intents.Attempt) -> Once[Charge]:
    """Take a step with a charge, once per idempotency key.

    Raises Invalid, NotFoundHere, NotUsable, KeyReused, InProgress, ProcessorRefused, ProcessorNotReached.
    """
    replay = _replay(desk, attempt)
    if replay is not None:
        return replay
    underway = looking.find(desk, processors, charge_id)
    if underway is None:
        raise _unfit(step, charges.read(desk, charge_id))
    step = _whole(step, underway.charge)
    begun = _begin(underway, step, attempt)
    if begun is None:
        replay = _replay(desk, attempt)
        if replay is None:
            raise MovedOn("The first call with this Idempotency-Key has just been taken back. Try again.")
        return replay
    outcome = send(begun, step)
    try:
        return Once(settle(begun, step, outcome))
    except (SQLAlchemyError, KeysError):  # it was sent, so nobody may be told to try again
        return Once(begun.charge)


def resume(desk: Desk, processors: Processors, intent: intents.Intent) -> tuple[Underway, Step] | None:
    """A step that was begun before, from its charge's row; None where it came to its end by another way."""
    underway = looking.find(desk, processors, intent.resource_id, intent)
    if underway is None or underway.charging.row["step"] is None:
        return None
    row = underway.charging.row
    return underway, Step(name=row["step"], amount=row["step_amount"])


def send(underway: Underway, step: Step) -> ChargeOutcome:
    """Ask the processor for the step, once."""
    connected, key = underway.connected, underway.charging.begun.processor_key or ""
    call = partial(connected.processor.void, connected.credentials, reference=underway.reference, key=key)
    if step.name == "capture":
        amount, captured = step.amount or underway.charge.amount, connected.processor.capture
        of_payment = partial(captured, connected.credentials, reference=underway.reference, key=key)
        call = partial(of_payment, amount=amount, currency=underway.charge.currency)
    return sending.once(underway.charging.desk.caller, call)


def settle(underway: Underway, step: Step, outcome: ChargeOutcome) -> Charge:
    """Write down what became of the step. Raises ProcessorRefused, ProcessorNotReached, NotUsable."""
    refusal = outcome if isinstance(outcome, Declined | Refused) else None
    if refusal is not None and not _of_credentials(refusal):  # it may have been done before, or be over there
        outcome = looking.ask(underway)
        outcome = outcome if isinstance(outcome, DEFINITE) else Unknown(reason="refused")
    if isinstance(outcome, Unknown):
        return _leave(underway, step)
    if isinstance(outcome, NotReached):
        if not _release(underway.charging, f"charge.{step.name}_not_sent", intents.forget_attempt):
            return charges.read(underway.charging.desk, underway.charge.id)
        raise ProcessorNotReached(f"The processor was not reached ({outcome.reason}); nothing was done. Try again.")
    if isinstance(outcome, Authorized | ActionRequired | Refused):
        certain = refusal is not None and _of_credentials(refusal)  # nothing was done: the same key may begin again
        end = intents.forget_attempt if certain else intents.finish
        if not _release(underway.charging, f"charge.{step.name}_refused", end):
            return charges.read(underway.charging.desk, underway.charge.id)
        raise _refused(step, refusal)
    charge = conclude(underway.charging, outcome)
    if charge.status not in _DONE[step.name] and charge.step is None:  # else the worker has it, and will end it
        raise _unfit(step, charge)
    return charge


def believe(charging: Charging, said: ByHand) -> Charge:
    """Write down what a human says of a step: that it was taken, or that it was not and another one may be."""
    if said.succeeded:
        return conclude(charging, said)
    sealed = by_hand.sealed_evidence(charging.desk.keyring, charging.row, charging.begun, said)
    _release(charging, f"charge.{charging.row['step']}_failed_by_hand", intents.finish, **sealed)
    return charges.read(charging.desk, charging.row["charge_id"])


def _begin(underway: Underway, step: Step, attempt: intents.Attempt) -> Underway | None:
    """Commit the intent, and the step in the charge's row; None where the same key began before. Raises NotUsable."""
    desk, row = underway.charging.desk, underway.charging.row
    intent, begun = intents.begun(
        desk, attempt, resource_id=row["charge_id"], customer_id=row["customer_id"], account_id=row["account_id"]
    )
    named = {"step": step.name, "step_amount": step.amount, "updated_at": desk.caller.at}
    taken = updated(charge_table, _key_of(underway.charging), named, _NO_STEP, _STEPPABLE[step.name])
    if not audit.write_whole(desk.records, lambda _: [taken, begun]):
        if intents.replayed(desk, attempt) is None:  # not the key: the charge is not fit any more
            raise _unfit(step, charges.read(desk, row["charge_id"]))
        return None
    charging = replace(underway.charging, intent=intent, row={**row, **named})
    return replace(underway, charging=charging)


def _leave(underway: Underway, step: Step) -> Charge:
    """Nobody knows: the step stays open, and the worker looks it up."""
    with audit.transaction(underway.charging.desk.records) as tx:
        if intents.leave_to_worker(tx, underway.charging.begun):
            write(tx, entry(underway.charging, tx, f"charge.{step.name}_unknown"))
    return underway.charge


def _release(
    charging: Charging,
    action: str,
    end: Callable[[Connection, intents.Intent], bool],
    **also: Any,  # noqa: ANN401  # columns of the charge
) -> bool:
    """The step was not taken: the charge is free for another one. Whether this process still had its lease."""
    nothing = {"step": None, "step_amount": None, "updated_at": charging.desk.caller.at, **also}
    with audit.transaction(charging.desk.records) as tx:
        if not end(tx, charging.begun):
            return False
        write(tx, updated(charge_table, _key_of(charging), nothing), entry(charging, tx, action))
    return True


def _of_credentials(refusal: Declined | Refused) -> bool:
    return isinstance(refusal, Refused) and refusal.credentials


def _whole(step: Step, charge: Charge) -> Step:
    """The step with its amount. Raises Invalid, NotUsable."""
    if charge.status not in STEPS[step.name] or charge.step is not None:
        raise _unfit(step, charge)
    if step.name != "capture" or step.amount is None:
        return replace(step, amount=charge.amount if step.name == "capture" else None)
    if step.amount > charge.amount:
        raise Invalid("amount", "The amount is more than was authorized.")
    return step


def _unfit(step: Step, charge: Charge) -> NotUsable:
    if charge.step is not None:
        return NotUsable("charge_in_progress", f"The outcome of a {charge.step} of this charge is still open.")
    fit = " or ".join(STEPS[step.name])
    return _not_taken(step, f"This charge is {charge.status}, not {fit}.")


def _not_taken(step: Step, why: str) -> NotUsable:
    if step.name == "capture":
        return NotUsable("charge_not_capturable", why)
    return NotUsable("charge_not_voidable", why)


def _refused(step: Step, refusal: Declined | Refused | None) -> ProcessorRefused | NotUsable:
    if refusal is None:
        return _not_taken(step, f"The processor did not take the {step.name}. Try again.")
    param = refusal.param if isinstance(refusal, Refused) else None
    return ProcessorRefused(refusal.code, param, credentials=_of_credentials(refusal))


def _replay(desk: Desk, attempt: intents.Attempt) -> Once[Charge] | None:
    first = intents.replayed(desk, attempt)
    if first is None:
        return None
    return Once(charges.read(desk, first.resource_id), replayed=True)


def _key_of(charging: Charging) -> dict[str, str]:
    return {"tenant_id": charging.desk.caller.tenant, "charge_id": charging.row["charge_id"]}


_DONE = {"capture": ("captured",), "void": ("voided",), "abandon": ("declined", "voided")}
_NO_STEP = charge_table.c.step.is_(None)
_STEPPABLE = {name: charge_table.c.state.in_(states) for name, states in STEPS.items()}
