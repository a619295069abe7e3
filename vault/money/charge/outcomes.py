"""What becomes of a charge once the processor has answered or was looked up: one transaction, which ends the intent."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, delete, update

from keys.dek import Dek
from rows.changes import Change, each, updated, write
from vault import audit
from vault.charge_states import FOLLOWS, UNSETTLED
from vault.desk import Desk
from vault.errors import ProcessorNotReached, ProcessorRefused
from vault.events import raising
from vault.money import by_hand
from vault.money.by_hand import ByHand
from vault.money.charge import retrying
from vault.money.charge.charges import Charge, charge_of, read, seal_details, seal_retained, shown_in_event
from vault.money.findings import NeverCharged, PaidElsewhere
from vault.processing import intents, references
from vault.processing.answers import (
    ActionRequired,
    Approved,
    Authorized,
    ChargeOutcome,
    Declined,
    NotReached,
    Refused,
    Unknown,
    Voided,
)
from vault.tables import charges as charge_table
from vault.tables import tokens as token_table


class _Overtaken(Exception):
    """Another process ended the same charge first, or has its lease: nothing of ours is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Charging:
    """A charge under way: its row, and what is sealed in it. No intent, where somebody just looked how it stands."""

    desk: Desk
    intent: intents.Intent | None
    dek: Dek | None
    """The customer's key; None of a charge whose customer these records have lost."""
    row: Mapping[str, Any] = field(repr=False)
    retained: dict[str, Any] = field(repr=False)
    details: dict[str, Any] = field(repr=False)
    first_of: references.Kept | None = None
    """Where the network transaction id of the card's first charge is kept; None where it is already."""

    @property
    def begun(self) -> intents.Intent:
        """The intent, which everybody has who calls the processor. Raises LookupError for who only looks."""
        if self.intent is None:
            raise LookupError("this charge was looked at, nothing was begun with it")
        return self.intent


def conclude(charging: Charging, outcome: ChargeOutcome | NeverCharged | PaidElsewhere | ByHand) -> Charge:
    """Write down what the processor answered, or a human says. Raises ProcessorRefused, ProcessorNotReached."""
    try:
        return _concluded(charging, outcome)
    except _Overtaken:
        return read(charging.desk, charging.row["charge_id"])


def _concluded(  # noqa: C901, PLR0911  # one case an outcome
    charging: Charging, outcome: ChargeOutcome | NeverCharged | PaidElsewhere | ByHand
) -> Charge:
    match outcome:
        case Approved():
            return _succeed(charging, outcome)
        case Authorized():
            return _authorize(charging, outcome)
        case Voided():
            return _void(charging, outcome)
        case Declined():
            return _decline(charging, outcome)
        case ActionRequired():
            return _await_person(charging, outcome)
        case Refused():
            return _refuse(charging, outcome)
        case Unknown():
            return _leave(charging)
        case NotReached():
            return _take_back(charging, outcome)
        case NeverCharged():
            return _fail(charging)
        case PaidElsewhere():
            return _give_way(charging, outcome)
        case ByHand():
            return _believe(charging, outcome)


def _succeed(charging: Charging, outcome: Approved) -> Charge:
    state = "captured" if charging.row["capture_method"] == "manual" else "succeeded"
    changes = {"state": state, "amount_captured": outcome.amount}
    also = _first(charging, outcome)
    return _end(charging, changes, retained=_named(outcome), also=also)


def _authorize(charging: Charging, outcome: Authorized) -> Charge:
    also = _first(charging, outcome)
    return _end(charging, {"state": "authorized"}, retained=_named(outcome), also=also)


def _first(charging: Charging, outcome: Approved | Authorized) -> tuple[Change, ...]:
    """The card's first charge: later ones refer to its network transaction id (Visa's and Mastercard's frameworks)."""
    if charging.first_of is None or charging.dek is None or outcome.network_transaction_id is None:
        return ()
    return (references.chained(charging.desk.keyring, charging.dek, charging.first_of, outcome.network_transaction_id),)


def _named(outcome: Approved | Authorized) -> dict[str, Any]:
    return {"reference": outcome.reference, "network_transaction_id": outcome.network_transaction_id}


def _void(charging: Charging, outcome: Voided) -> Charge:
    """Called off. What nobody called off but the worker, because the person never came, is a decline to its client."""
    retained = {"reference": outcome.reference}
    if charging.row["step"] != "abandon":
        return _end(charging, {"state": "voided"}, retained=retained)
    details = {"declined": asdict(Declined(code="authentication_abandoned"))}
    return _end(charging, {"state": "declined"}, retained=retained, details=details)


GAVE_BACK = {"state": "failed", "key_number": None}
"""Failed, and nothing proves that the processor knows the key that it was sent with: the next one takes it."""


def _decline(charging: Charging, outcome: Declined) -> Charge:
    details = asdict(outcome)
    retained = {"reference": details.pop("reference")}
    also = _blocked(charging, retrying.code_for_good(outcome))
    changes = {"state": "declined"}
    return _end(charging, changes, retained=retained, details={"declined": details}, also=also)


def _blocked(charging: Charging, code: str | None) -> tuple[Change, ...]:
    """The token is not to be charged again before its card is renewed."""
    key = {"of_tenant": charging.desk.caller.tenant, "of_token": charging.row["token_id"]}
    return () if code is None else each({**key, "why": code}, _BLOCK)


_BLOCK = (
    update(token_table)
    .where(token_table.c.tenant_id == bindparam("of_tenant"), token_table.c.token_id == bindparam("of_token"))
    .values(blocked_code=bindparam("why"))
)


def _await_person(charging: Charging, outcome: ActionRequired) -> Charge:
    details = {"next_action": outcome.next_action}
    changes = {"state": "requires_action"}
    return _end(charging, changes, retained={"reference": outcome.reference}, details=details)


def _refuse(charging: Charging, outcome: Refused) -> Charge:
    details = {"refused": {"code": outcome.code, "param": outcome.param}}
    _end(charging, GAVE_BACK, details=details)
    raise ProcessorRefused(outcome.code, outcome.param, credentials=outcome.credentials)


def _leave(charging: Charging) -> Charge:
    """Nobody knows: say so, and leave it to the worker to look it up."""
    changes = {"state": "unknown", "updated_at": charging.desk.caller.at}
    with audit.transaction(charging.desk.records) as tx:
        told = _told(charging, charge_of({**charging.row, **changes}, charging.retained, charging.details))
        left, noted = intents.left_to_worker(charging.begun), entry(charging, tx, "charge.unknown")
        if not all(write(tx, _moved(charging, changes), left, told, noted)):
            raise _Overtaken
    return charge_of({**charging.row, **changes}, charging.retained, charging.details)


def _take_back(charging: Charging, outcome: NotReached) -> Charge:
    """Nothing happened: no charge is left, obligation and idempotency key are free again."""
    with audit.transaction(charging.desk.records) as tx:
        if not intents.forget_attempt(tx, charging.begun):
            raise _Overtaken
        if tx.execute(delete(charge_table).where(_open(charging))).rowcount != 1:
            raise _Overtaken
        write(tx, entry(charging, tx, "charge.not_sent"))
    raise ProcessorNotReached(f"The processor was not reached ({outcome.reason}); nothing was charged. Try again.")


def _fail(charging: Charging) -> Charge:
    """It was never carried out and can't be any more: it failed, and its obligation is free, under another key."""
    refused = {"code": "never_charged", "param": None}
    return _end(charging, {"state": "failed"}, details={"refused": refused})


def _give_way(charging: Charging, outcome: PaidElsewhere) -> Charge:
    """Another charge paid the obligation: this one took nothing, and says which did."""
    refused = {"code": "already_paid", "param": None, "charge": outcome.charge_id}
    return _end(charging, GAVE_BACK, details={"refused": refused})


def _believe(charging: Charging, said: ByHand) -> Charge:
    """A human says how it, or the step that is being taken with it, ended."""
    changes, details = by_hand.end_of(charging.row, said)
    details |= by_hand.with_evidence(charging.details, charging.begun, said)
    return _end(charging, changes, details=details, how="_by_hand")


def _end(
    charging: Charging,
    changes: dict[str, Any],
    *,
    retained: Mapping[str, Any] | None = None,
    details: Mapping[str, Any] | None = None,
    also: tuple[Change, ...] = (),
    how: str = "",
) -> Charge:
    changes = {**changes, "updated_at": charging.desk.caller.at, "step": None, "step_amount": None}
    if charging.row["state"] == "requires_action":
        details = {"next_action": None, **(details or {})}
    retained_now = {**charging.retained, **(retained or {})}
    details_now = {**charging.details, **(details or {})}
    if retained and retained_now != charging.retained:
        changes |= _sealed_retained(charging, retained_now)
    if details:
        changes |= _sealed_details(charging, details_now)
    charge = charge_of({**charging.row, **changes}, retained_now, details_now)
    written = [_moved(charging, changes), _told(charging, charge), *_intent_ended(charging), *also]
    action = f"charge.{changes['state']}{how}"
    if not audit.write_whole(charging.desk.records, lambda tx: [*written, entry(charging, tx, action)]):
        raise _Overtaken
    return charge


def _sealed_retained(charging: Charging, value: dict[str, Any]) -> dict[str, Any]:
    tenant, version = charging.desk.caller.tenant, charging.row["retained_version"] + 1
    sealed = seal_retained(charging.desk.keyring, tenant, charging.row["charge_id"], version, value)
    reference = value.get("reference")  # a decline may come without a payment
    named = (
        references.digest(charging.desk.keyring, tenant, charging.row["account_id"], reference) if reference else None
    )
    return {"retained": sealed, "retained_version": version, "reference_digest": named}


def _sealed_details(charging: Charging, value: dict[str, Any]) -> dict[str, Any]:
    if charging.dek is None:  # nobody's: there is no key that it could be sealed under
        return {}
    version = charging.row["details_version"] + 1
    return {
        "details": seal_details(charging.desk.keyring, charging.dek, charging.row, version, value),
        "details_version": version,
    }


def _moved(charging: Charging, changes: dict[str, Any]) -> Change:
    """The charge changed if it is where that may follow: only one process ends it, and none moves it back."""
    key = {"tenant_id": charging.desk.caller.tenant, "charge_id": charging.row["charge_id"]}
    return updated(charge_table, key, changes, _MAY_COME_TO[changes["state"]])


_MAY_COME_TO = {state: charge_table.c.state.in_(before) for state, before in FOLLOWS.items()}
_OPEN = charge_table.c.state.in_(UNSETTLED)


def _intent_ended(charging: Charging) -> tuple[Change, ...]:
    """The intent that brought it here; without one, whatever intent of it is open: its question is answered."""
    if charging.intent is not None:
        return (intents.finished(charging.intent),)
    return intents.finished_of(charging.desk.caller.tenant, charging.row["charge_id"])


def _told(charging: Charging, charge: Charge) -> Change:
    return raising.made(charging.desk.caller, f"charge.{charge.status}", charge.id, shown_in_event(charge))


def _open(charging: Charging) -> ColumnElement[bool]:
    return and_(
        charge_table.c.tenant_id == charging.desk.caller.tenant,
        charge_table.c.charge_id == charging.row["charge_id"],
        _OPEN,
    )


def entry(charging: Charging, tx: Connection, action: str) -> Change:
    """What the audit log says of something that was done with a charge."""
    row = charging.row
    details = {"amount": row["amount"], "currency": row["currency"]}
    return audit.entry(
        charging.desk, tx, action, customer=row["customer_id"], resource=row["charge_id"], details=details
    )
