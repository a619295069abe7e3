"""What a human says of a call that nobody could bring to an end: how it ended, and by which evidence.

The word of a human ends a charge, a step or a refund here. It proves nothing of the processor's key, so that a charge
that took nothing gives its number back: what is wrongly said to be over is met again at the processor by the next one.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from keys.envelope import dek_id_of
from keys.keyring import Keyring
from vault.money.charge import charges
from vault.processing.answers import Declined
from vault.processing.intents import Intent
from vault.sealing import unseal_value


@dataclass(frozen=True, slots=True, kw_only=True)
class ByHand:
    """How a call ended, as somebody saw it at the processor; `evidence` is that person's own words."""

    succeeded: bool
    evidence: str = field(repr=False)


def end_of(row: Mapping[str, Any], said: ByHand) -> tuple[dict[str, Any], dict[str, Any]]:
    """Which columns of the charge in `row` change, and what of its details: all of a step is done, or of the charge."""
    if not said.succeeded:
        return {**_NOTHING_TAKEN, "state": "failed"}, {"refused": {"code": "settled_by_hand", "param": None}}
    match row["step"]:
        case "void":
            return {**_NOTHING_TAKEN, "state": "voided"}, {}
        case "abandon":
            abandoned = Declined(code="authentication_abandoned")
            return {**_NOTHING_TAKEN, "state": "declined"}, {"declined": asdict(abandoned)}
        case "capture":
            return {"state": "captured", "amount_captured": row["step_amount"] or row["amount"]}, {}
        case _:
            state = "captured" if row["capture_method"] == "manual" else "succeeded"
            return {"state": state, "amount_captured": row["amount"]}, {}


_NOTHING_TAKEN = {"key_number": None}


def with_evidence(details: Mapping[str, Any], intent: Intent, said: ByHand) -> dict[str, Any]:
    """The details of a charge with this evidence, each under the intent that it ended."""
    return {**details, "settled": {**details.get("settled", {}), intent.intent_id: said.evidence}}


def sealed_evidence(keyring: Keyring, row: Mapping[str, Any], intent: Intent, said: ByHand) -> dict[str, Any]:
    """The columns of a charge that keep the evidence of its step or refund. Raises KeyMissing, Unreadable."""
    tenant, charge_id, version = row["tenant_id"], row["charge_id"], row["details_version"]
    dek = keyring.dek(tenant, dek_id_of(row["details"]))
    place = charges.details_place(keyring, tenant, charge_id, row["customer_id"], version)
    details = with_evidence(unseal_value(dek, row["details"], place), intent, said)
    sealed = charges.seal_details(keyring, dek, row, version + 1, details)
    return {"details": sealed, "details_version": version + 1}
