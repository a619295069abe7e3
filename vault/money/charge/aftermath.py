"""What happened to a payment while its charge was unknown here: it was given back, or disputed.

Events of it may have been lost or given up. So a charge that a look-up brings to its end leaves word to list both.
"""

from rows.changes import Change
from vault.desk import Desk
from vault.money import disputes
from vault.money.refund import elsewhere
from vault.processing import inbox
from vault.processing.connecting import Connected

KIND = "panless.looked_up"
"""The type of what is left in the inbox; no processor sends such an event."""


def awaited(desk: Desk, account_id: str, payment: str) -> Change:
    """Word for the worker to list the payment's refunds and disputes, to be written with the end of its charge.

    `payment` is the processor's name of it. Kept once for each payment.
    """
    return inbox.kept(
        desk.keyring,
        desk.caller.tenant,
        account_id,
        event=f"{KIND} {payment}",
        kind=KIND,
        named={"payment": payment},
        at=desk.caller.at,
    )


def follow(desk: Desk, connected: Connected, account_id: str, charge_id: str, payment: str) -> bool:
    """Ask the processor for a payment's refunds and disputes and follow each; whether it said of all of them."""
    if not elsewhere.follow(desk, connected, account_id, charge_id, payment):
        return False
    listed = connected.processor.disputes_of(connected.credentials, reference=payment)
    if not isinstance(listed, list):
        return False
    return all(disputes.follow(desk, connected, account_id, charge_id, each.reference) for each in listed)
