"""`/v1/tokens`: store a card, look at what is stored, delete it."""

from typing import Any

from flask import g
from marshmallow import Schema, ValidationError, fields, validates_schema

from api.door import Blueprint, Passed, needs, passed, replay_headers
from api.problems import Problem
from api.wire.fields import (
    CardShown,
    ContactFields,
    Ident,
    Moment,
    PageOf,
    Strict,
    Whole,
    metadata,
    name,
    of_type,
    one_of,
    whole,
)
from vault import cursors
from vault.cards import deletion, resuming, tokenizing, tokens
from vault.cards.storing import Tokenized
from vault.errors import NotUsable, ProcessorRefused, RawCardsRefused
from vault.ids import pattern
from vault.personal import BillingContact, Card

blueprint = Blueprint("tokens", __name__, description="Stored cards")

Answer = tuple[tokens.Token, int, dict[str, str]]


class CardFields(Strict):
    """A raw card: on its way to the processor, never kept."""

    number = fields.String(required=True, validate=Whole(r"^[0-9]([ -]?[0-9]){11,18}$", error="Not a card number."))
    exp_month = whole(1, 12, required=True)
    exp_year = whole(2000, 2099, required=True)
    cvc = fields.String(validate=Whole(r"^[0-9]{3,4}$", error="Not a card verification code."))


class CustomerFields(Strict):
    """A customer that comes with its card."""

    reference = name()
    billing_contact = fields.Nested(ContactFields)
    contact = one_of(
        "keep",
        "update",
        load_default="keep",
        metadata={
            "description": "What becomes of another contact than the one that is held of a known customer: it is not "
            "taken (`contact_differs` says so), or it corrects that one, which takes contacts:write. The processor is "
            "sent what is held."
        },
    )


class CustomerOrId(fields.Field[Any]):
    """The id of a customer, or a customer that comes with its card."""

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401  # marshmallow's own arguments
        """Make both forms once: a schema made per request costs more than the rest of its validation."""
        super().__init__(**kwargs)
        self._id = Ident("cus")
        self._inline = fields.Nested(CustomerFields)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_kwargs: Any) -> Any:  # noqa: ANN401  # marshmallow's
        form: fields.Field[Any] = self._id if isinstance(value, str) else self._inline
        return form.deserialize(value, attr, data)


class TokenOrder(Strict):
    """What to store: a raw card, or what the processor already made of one."""

    type = one_of("card", required=True)
    card = fields.Nested(CardFields)
    processor_reference = fields.String(validate=Whole(r"^[A-Za-z0-9_-]{3,255}$", error="Not a processor's reference."))
    customer = CustomerOrId(
        metadata={
            "oneOf": [{"type": "string", "pattern": pattern("cus")}, {"$ref": "#/components/schemas/CustomerFields"}]
        }
    )
    processor_account = Ident("pa")
    usage = one_of("on_session", "off_session", load_default="off_session")
    metadata = metadata()

    @validates_schema
    def _one_source(self, data: dict[str, Any], **_kwargs: Any) -> None:  # noqa: ANN401  # marshmallow's
        if ("card" in data) == ("processor_reference" in data):
            raise ValidationError("Send either card or processor_reference.", "card")


class TokenShown(Schema):
    """A stored card."""

    id = fields.String()
    object = of_type("token")
    type = of_type("card")
    customer = fields.String()
    card = fields.Nested(CardShown, allow_none=True)
    fingerprint = fields.String(allow_none=True)
    status = one_of("pending", "requires_action", "active", "failed", "detached", "expired")
    next_action = fields.Dict(allow_none=True)
    usage = fields.String()
    blocked = fields.String(allow_none=True, metadata={"description": "Why it is not to be charged: renew the card."})
    processor = fields.String()
    metadata = fields.Dict(keys=fields.String(), values=fields.String())
    deduplicated = fields.Function(lambda _token: g.get("deduplicated", False), metadata={"type": "boolean"})
    contact_differs = fields.Function(
        lambda _token: g.get("contact_differs", False),
        metadata={
            "type": "boolean",
            "description": "Whether another contact came with the card than the one that is held, and was not taken.",
        },
    )
    created_at = Moment()


class TokenPage(Schema):
    """One page of tokens."""

    data = fields.List(fields.Nested(TokenShown))
    next_cursor = fields.String(allow_none=True)


class TokenQuery(PageOf):
    """Whose tokens."""

    customer = Ident("cus", required=True)


@blueprint.route("/v1/tokens", methods=["POST"])
@needs("tokens:create", body=True, refusals=frozenset({402, 423, 502}))
@blueprint.arguments(TokenOrder)
@blueprint.response(201, TokenShown)
@blueprint.alt_response(200, schema=TokenShown, description="The same card of the same customer: it was stored before.")
@blueprint.alt_response(202, schema=TokenShown, description="Nobody knows yet whether it was stored.")
def create(order: dict[str, Any]) -> Answer:
    """Store a card and get a token for it."""
    here = passed()
    if "card" in order and not here.parts.accept_raw_cards:
        raise RawCardsRefused(
            "This deployment takes no raw cards. Have the processor's own fields tokenize the card and send "
            "processor_reference; or set PANLESS_ACCEPT_RAW_CARDS=true, which puts you in PCI scope."
        )
    wanted = _order(order)
    if wanted.corrects and "contacts:write" not in here.caller.scopes:
        scope = "contacts:write"
        raise Problem(403, "insufficient_scope", f"To update a contact takes the scope {scope}.", scope=scope)
    made = tokenizing.tokenize(
        here.desk, here.parts.ledger, here.parts.processors, wanted, here.attempt("token.create")
    )
    return _answer(made)


@blueprint.route("/v1/tokens/<token_id>/confirm", methods=["POST"])
@needs("tokens:create", refusals=frozenset({402, 423, 502}))
@blueprint.response(200, TokenShown)
@blueprint.alt_response(202, schema=TokenShown, description="Nobody knows yet whether it was stored.")
def confirm(token_id: str) -> Answer:
    """Take a token up again after its person authenticated.

    One with nothing to confirm is only looked at, which takes tokens:read.
    """
    here = passed()
    house = here.parts
    made = resuming.confirm(house.desk(here.caller), house.processors, token_id)
    if made.looked_at:
        _count_look(here)
    token, status, headers = _answer(made)
    return token, 200 if status == 201 else status, headers  # noqa: PLR2004  # nothing was created


@blueprint.route("/v1/tokens/<token_id>", methods=["GET"])
@needs("tokens:read")
@blueprint.response(200, TokenShown)
def read(token_id: str) -> tokens.Token:
    """Look at one token."""
    here = passed()
    here.parts.tallies.looked(here.caller)
    return tokens.read(here.desk, token_id)


@blueprint.route("/v1/tokens", methods=["GET"])
@needs("tokens:read", query=frozenset({"customer", "limit", "cursor"}), refusals=frozenset({404, 410}))
@blueprint.arguments(TokenQuery, location="query")
@blueprint.response(200, TokenPage)
def of_customer(query: dict[str, Any]) -> cursors.Page[tokens.Token]:
    """List a customer's tokens, newest first; those whose storing failed are left out."""
    here = passed()
    wanted = cursors.Wanted(limit=query["limit"], cursor=query.get("cursor"))
    page = tokens.of_customer(here.desk, query["customer"], wanted)
    here.parts.tallies.looked(here.caller, len(page.data))
    return page


@blueprint.route("/v1/tokens/<token_id>", methods=["DELETE"])
@needs("tokens:delete")
@blueprint.response(200, TokenShown)
def delete(token_id: str) -> tokens.Token:
    """Take a token out of use for good; the processor is told to detach it."""
    here = passed()
    return deletion.delete(here.desk, here.parts.ledger, token_id)


def _count_look(here: Passed) -> None:
    """Looking at a token is for who may, and is counted, whichever way it is done."""
    if "tokens:read" not in here.caller.scopes:
        raise Problem(403, "insufficient_scope", "There is nothing to confirm. To look at tokens takes tokens:read.")
    here.parts.tallies.looked(here.caller)


def _order(order: dict[str, Any]) -> tokenizing.Order:
    customer = order.get("customer")
    inline = customer if isinstance(customer, dict) else {}
    contact = inline.get("billing_contact")
    return tokenizing.Order(
        source=_card(order["card"]) if "card" in order else order["processor_reference"],
        customer=customer if isinstance(customer, str) else None,
        reference=inline.get("reference"),
        contact=BillingContact(**contact) if contact else None,
        corrects=inline.get("contact") == "update",
        account=order.get("processor_account"),
        usage=order["usage"],
        metadata=order["metadata"],
    )


def _card(card: dict[str, Any]) -> Card:
    number = "".join(filter(str.isdigit, card["number"]))
    return Card(number=number, exp_month=card["exp_month"], exp_year=card["exp_year"], cvc=card.get("cvc"))


def _answer(made: Tokenized) -> Answer:
    """201 for a new token, 200 for one that is known, 202 while its end is unknown, 402 for a declined card."""
    token = made.token
    headers = replay_headers(replayed=made.replayed)
    g.deduplicated, g.contact_differs = made.deduplicated, made.contact_differs
    if token.declined is not None:
        raise Problem(
            402, "card_declined", "The card was declined.", headers, token=token.id, **_reasons(token.declined)
        )
    if token.refused is not None and token.refused["code"] == "never_stored":
        raise NotUsable("never_stored", "This card was not stored, by no fault of its own. Use a new Idempotency-Key.")
    if token.refused is not None:
        raise ProcessorRefused(token.refused["code"] or "", token.refused["param"])
    if token.status == "pending":
        return token, 202, headers | {"Location": f"/v1/tokens/{token.id}"}
    return token, 200 if made.deduplicated else 201, headers


def _reasons(declined: dict[str, str | None]) -> dict[str, str | None]:
    return {"processor_code": declined["code"], **{name: declined[name] for name in ("decline_code", "advice_code")}}
