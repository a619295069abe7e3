"""Looking how a charge stands at the processor, and writing down what is seen: forward only, whoever looks."""

from dataclasses import dataclass, field, replace
from functools import partial

from keys.envelope import dek_id_of
from rows.engine import reading
from vault.charge_states import OPEN
from vault.desk import Desk
from vault.money.charge import charges
from vault.money.charge.charges import Charge
from vault.money.charge.outcomes import Charging, conclude
from vault.processing import intents, sending
from vault.processing.answers import ActionRequired, Approved, Authorized, ChargeOutcome, Declined, Voided
from vault.processing.connecting import Connected, Processors, connect_to

DEFINITE = (Approved, Authorized, ActionRequired, Voided, Declined)
AS_BEFORE = {ActionRequired: "requires_action", Authorized: "authorized"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Underway:
    """A charge that the processor has, the processor, and the name that it goes by there."""

    charging: Charging
    connected: Connected
    reference: str = field(repr=False)

    @property
    def charge(self) -> Charge:
        """The charge as its row says it stands."""
        return charges.charge_of(self.charging.row, self.charging.retained, self.charging.details)


def find(desk: Desk, processors: Processors, charge_id: str, intent: intents.Intent | None = None) -> Underway | None:
    """A charge that is open, None for one whose end is known or of which the processor never told a name.

    Raises NotFoundHere, NotUsable.
    """
    charging = begun(desk, charge_id, intent)
    reference = charging.retained.get("reference")
    if charging.row["state"] not in OPEN or not reference:
        return None
    connected = connect_to(desk.records, desk.keyring, processors, desk.caller.tenant, charging.row["account_id"])
    return Underway(charging=charging, connected=connected, reference=reference)


def begun(desk: Desk, charge_id: str, intent: intents.Intent | None) -> Charging:
    """A charge that was begun before, from its row. Raises NotFoundHere."""
    with reading(desk.records) as connection:
        row = charges.row_of_charge(connection, desk.caller, charge_id)
    dek = desk.keyring.dek(desk.caller.tenant, dek_id_of(row.details)) if row.details is not None else None
    return Charging(
        desk=desk,
        intent=intent,
        dek=dek,
        row=row._asdict(),
        retained=charges.open_retained(desk.keyring, row),
        details=charges.open_details(desk.keyring, row, {dek.id: dek} if dek is not None else {}),
    )


def look(desk: Desk, processors: Processors, charge_id: str) -> Charge:
    """How a charge stands, asked of the processor if its end is open. Raises NotFoundHere, NotUsable."""
    underway = find(desk, processors, charge_id)
    if underway is None:
        return charges.read(desk, charge_id)
    return seen(underway, ask(underway))


def ask(underway: Underway) -> ChargeOutcome:
    """Where the payment stands at the processor."""
    connected = underway.connected
    return connected.processor.read_charge(connected.credentials, reference=underway.reference)


def seen(underway: Underway, outcome: ChargeOutcome) -> Charge:
    """Write down what was seen, where it is news; what decides nothing changes nothing."""
    charging = underway.charging
    if not isinstance(outcome, DEFINITE) or charging.row["state"] == AS_BEFORE.get(type(outcome)):
        return underway.charge
    if isinstance(outcome, Declined) and _may_be_paid(charging):
        return _failed_for_good(underway, outcome)
    return conclude(charging, outcome)


def _may_be_paid(charging: Charging) -> bool:
    """Whether a person may have the page on which what failed is tried again: also where our commit of it was lost."""
    return bool(charging.row["state"] == "requires_action" or charging.row["initiator"] == "customer")


def _failed_for_good(underway: Underway, declined: Declined) -> Charge:
    """The person's page could still pay what failed there, with another card: call it off before it is called declined.

    Paid meanwhile is paid. Where the processor does not say, it stays as it is, and is looked at again.
    """
    charging, connected = underway.charging, underway.connected
    attempt = intents.Attempt(operation="charge.release", key=charging.row["charge_id"], fingerprint=b"")
    key = intents.processor_key(charging.desk, attempt)
    void = partial(connected.processor.void, connected.credentials, reference=underway.reference, key=key)
    off = sending.once(charging.desk.caller, void)
    outcome = off if isinstance(off, DEFINITE) else ask(underway)
    if isinstance(outcome, Voided):
        return conclude(charging, replace(declined, reference=underway.reference))
    if isinstance(outcome, Approved | Authorized):
        return conclude(charging, outcome)
    return underway.charge
