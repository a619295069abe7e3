"""A billing contact as Stripe's parameter `billing_details`."""

from vault.personal import BillingContact
from vault.processors.stripe.errors import Object

ADDRESS = ("line1", "line2", "city", "state", "postal_code", "country")


def billing_details(contact: BillingContact | None) -> Object:
    """What is there of it, for a new payment method."""
    if contact is None:
        return {}
    address = {name: contact.address[name] for name in ADDRESS if contact.address.get(name)}
    details = {"name": contact.name, "email": contact.email, "phone": contact.phone, "address": address}
    return {"billing_details": details}


def whole_billing_details(contact: BillingContact) -> Object:
    """All of it, in place of what a payment method had: an empty text unsets a field at Stripe, or a whole address."""
    address = {name: contact.address.get(name) or "" for name in ADDRESS}
    details = {
        "name": contact.name or "",
        "email": contact.email or "",
        "phone": contact.phone or "",
        "address": address if any(address.values()) else "",
    }
    return {"billing_details": details}
