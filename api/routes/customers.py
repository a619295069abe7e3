"""`/v1/customers`: the people who pay; their billing contact is read for a purpose, on the record."""

from dataclasses import replace
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from api.door import Blueprint, needs, passed, replay_headers
from api.wire.fields import ContactFields, Moment, Strict, name, of_type, text
from vault.people import contacts, customers
from vault.people.contacts import Corrected
from vault.people.customers import Customer
from vault.personal import BillingContact

blueprint = Blueprint("customers", __name__, description="The people who pay")


class CustomerOrder(Strict):
    """A new customer."""

    reference = name()
    billing_contact = fields.Nested(ContactFields)


class CustomerShown(Schema):
    """States and counts of a customer; nothing of who it is."""

    id = fields.String()
    object = of_type("customer")
    status = fields.String()
    restricted = fields.Boolean()
    tokens = fields.Integer()
    charges = fields.Integer()
    created_at = Moment()


class CustomersFound(Schema):
    """What a search found."""

    data = fields.List(fields.Nested(CustomerShown))
    next_cursor = fields.String(allow_none=True)


class Search(Strict):
    """Exactly one thing to look for."""

    email = fields.String(validate=validate.Length(min=1, max=254))
    phone = text(40)
    reference = name()

    @validates_schema
    def _one(self, data: dict[str, Any], **_kwargs: Any) -> None:  # noqa: ANN401  # marshmallow's
        if len(data) != 1:
            raise ValidationError("Send exactly one of email, phone and reference.", "email")


class ContactShown(ContactFields):
    """A billing contact."""

    object = of_type("billing_contact")


class CorrectedShown(Schema):
    """That a contact was changed; not what."""

    object = of_type("billing_contact_change")
    customer = fields.String()
    version = fields.Integer()


@blueprint.route("/v1/customers", methods=["POST"])
@needs("customers:write", body=True)
@blueprint.arguments(CustomerOrder)
@blueprint.response(201, CustomerShown)
def create(order: dict[str, Any]) -> tuple[Customer, int, dict[str, str]]:
    """Make a customer."""
    here = passed()
    contact = order.get("billing_contact")
    made = customers.create(
        here.desk,
        reference=order.get("reference"),
        contact=BillingContact(**contact) if contact else None,
        attempt=here.attempt("customer.create"),
    )
    return made.value, 201, replay_headers(replayed=made.replayed)


@blueprint.route("/v1/customers/<customer_id>", methods=["GET"])
@needs("customers:read")
@blueprint.response(200, CustomerShown)
def read(customer_id: str) -> Customer:
    """Look at a customer's states and counts."""
    here = passed()
    return customers.read(here.desk, customer_id)


@blueprint.route("/v1/customers/search", methods=["POST"])
@needs("contacts:read", purpose=True, body=True)
@blueprint.arguments(Search)
@blueprint.response(200, CustomersFound)
def search(wanted: dict[str, str]) -> dict[str, Any]:
    """Find customers by exactly this email, phone or reference. The look is on the record."""
    here = passed()
    [(field, value)] = wanted.items()
    found = customers.search(here.desk, field, value)
    return {"data": found, "next_cursor": None}


@blueprint.route("/v1/customers/<customer_id>/billing-contact", methods=["GET"])
@needs("contacts:read", purpose=True, refusals=frozenset({423}))
@blueprint.response(200, ContactShown)
def read_contact(customer_id: str) -> BillingContact:
    """Read the billing contact. The look is on the record before the answer goes out."""
    here = passed()
    return contacts.read(here.desk, customer_id)


@blueprint.route("/v1/customers/<customer_id>/billing-contact", methods=["PUT"])
@needs("contacts:write", body=True)
@blueprint.arguments(ContactFields)
@blueprint.response(200, CorrectedShown)
def replace_contact(contact: dict[str, Any], customer_id: str) -> Corrected:
    """Put a new billing contact in the old one's place."""
    return _change(customer_id, lambda _old: BillingContact(**contact))


@blueprint.route("/v1/customers/<customer_id>/billing-contact", methods=["PATCH"])
@needs("contacts:write", body=True)
@blueprint.arguments(ContactFields)
@blueprint.response(200, CorrectedShown)
def correct_contact(changes: dict[str, Any], customer_id: str) -> Corrected:
    """Correct some fields of the billing contact; null takes one away."""
    return _change(customer_id, lambda old: replace(old, **changes))


def _change(customer_id: str, edit: Any) -> Corrected:  # noqa: ANN401  # a function of BillingContact
    here = passed()
    house = here.parts
    return contacts.change(house.desk(here.caller), house.ledger, customer_id, edit)
