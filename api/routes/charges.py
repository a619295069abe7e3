"""`/v1/charges`: charge a token, once; look at charges; give money back."""

from typing import Any

from marshmallow import Schema, fields

from api.door import Blueprint, needs, passed, replay_headers
from api.problems import Problem
from api.wire.fields import Ident, Moment, PageOf, Strict, amount, currency, metadata, name, of_type, one_of, text
from vault import cursors
from vault.charge_states import STATES, UNSETTLED
from vault.errors import NotUsable, ObligationTaken, ProcessorRefused
from vault.money.charge import charges, charging, looking, steps
from vault.money.charge.charges import Charge
from vault.money.charge.retrying import caps_of
from vault.money.charge.steps import Step

blueprint = Blueprint("charges", __name__, description="Money")
STEP = frozenset({402, 502})


class ChargeOrder(Strict):
    """What to charge. `obligation` names what it pays: an invoice number, a subscription period."""

    token = Ident("tok", required=True)
    amount = amount(required=True)
    currency = currency(required=True)
    capture_method = one_of("automatic", "manual", load_default="automatic")
    initiator = one_of("customer", "merchant", load_default="merchant")
    reason = one_of("recurring", "installment", "unscheduled")
    obligation = name()
    statement_descriptor = text(22)
    metadata = metadata()


class CaptureOrder(Strict):
    """What to take: all that was authorized where `amount` is missing."""

    amount = amount()


class Failure(Schema):
    """Why a charge failed: the processor's code, or `already_paid` (`charge` paid it) or `never_charged`."""

    code = fields.String()
    param = fields.String(allow_none=True)
    charge = fields.String(allow_none=True)


class ChargeShown(Schema):
    """A charge."""

    id = fields.String()
    object = of_type("charge")
    token = fields.String(allow_none=True)
    customer = fields.String(allow_none=True)
    status = fields.String()
    amount = fields.Integer()
    currency = fields.String()
    amount_captured = fields.Integer()
    amount_refunded = fields.Integer()
    capture_method = fields.String()
    initiator = fields.String(allow_none=True)
    reason = fields.String(allow_none=True)
    obligation = fields.String(allow_none=True)
    statement_descriptor = fields.String(allow_none=True)
    metadata = fields.Dict(keys=fields.String(), values=fields.String())
    next_action = fields.Dict(allow_none=True)
    decline = fields.Dict(attribute="declined", allow_none=True)
    failure = fields.Nested(Failure, attribute="refused", allow_none=True)
    recovered = fields.Boolean(
        metadata={"description": "Written again from what the processor has, after records were lost."}
    )
    step = fields.String(allow_none=True, metadata={"description": "What is being done with it, its outcome open."})
    processor = fields.String()
    created_at = Moment()


class ChargePage(Schema):
    """One page of charges."""

    data = fields.List(fields.Nested(ChargeShown))
    next_cursor = fields.String(allow_none=True)


class ChargeQuery(PageOf):
    """Which charges."""

    customer = Ident("cus")
    token = Ident("tok")
    obligation = name()
    status = one_of(*STATES)


@blueprint.route("/v1/charges", methods=["POST"])
@needs("charges:create", key=True, body=True, refusals=frozenset({402, 423, 502}))
@blueprint.arguments(ChargeOrder)
@blueprint.response(201, ChargeShown)
@blueprint.alt_response(202, schema=ChargeShown, description="What became of it is not known yet, or it is on its way.")
def create(order: dict[str, Any]) -> tuple[Charge, int, dict[str, str]]:
    """Charge a token, once per Idempotency-Key and once per obligation."""
    here = passed()
    house = here.parts
    made = charging.charge(
        house.desk(here.caller),
        house.processors,
        caps_of(house.policy),
        charging.Order(**order),
        here.attempt("charge.create"),
    )
    return _answer(made.value, replay_headers(replayed=made.replayed))


@blueprint.route("/v1/charges/<charge_id>", methods=["GET"])
@needs("charges:read")
@blueprint.response(200, ChargeShown)
def read(charge_id: str) -> Charge:
    """Look at one charge."""
    here = passed()
    return charges.read(here.desk, charge_id)


@blueprint.route("/v1/charges", methods=["GET"])
@needs("charges:read", query=frozenset({"customer", "token", "obligation", "status", "limit", "cursor"}))
@blueprint.arguments(ChargeQuery, location="query")
@blueprint.response(200, ChargePage)
def find(query: dict[str, Any]) -> cursors.Page[Charge]:
    """List charges, newest first."""
    here = passed()
    page = cursors.Wanted(limit=query.pop("limit"), cursor=query.pop("cursor", None))
    return charges.find(here.desk, charges.Filter(**query), page)


@blueprint.route("/v1/charges/<charge_id>/capture", methods=["POST"])
@needs("charges:create", key=True, body=True, optional=True, refusals=STEP)
@blueprint.arguments(CaptureOrder)
@blueprint.response(200, ChargeShown)
@blueprint.alt_response(202, schema=ChargeShown, description="What became of it is not known yet, or it is on its way.")
def capture(order: dict[str, Any], charge_id: str) -> tuple[Charge, int, dict[str, str]]:
    """Take what was authorized, or a part of it: the rest is released."""
    return _step(charge_id, Step(name="capture", amount=order.get("amount")))


@blueprint.route("/v1/charges/<charge_id>/void", methods=["POST"])
@needs("charges:create", key=True, refusals=STEP)
@blueprint.response(200, ChargeShown)
@blueprint.alt_response(202, schema=ChargeShown, description="What became of it is not known yet, or it is on its way.")
def void(charge_id: str) -> tuple[Charge, int, dict[str, str]]:
    """Call off a charge that is authorized, or waits for the person."""
    return _step(charge_id, Step(name="void"))


@blueprint.route("/v1/charges/<charge_id>/confirm", methods=["POST"])
@needs("charges:create", refusals=STEP)
@blueprint.response(200, ChargeShown)
@blueprint.alt_response(202, schema=ChargeShown, description="What became of it is not known yet, or it is on its way.")
def confirm(charge_id: str) -> tuple[Charge, int, dict[str, str]]:
    """Where a charge stands, once the person has authenticated: asked of the processor."""
    here = passed()
    house = here.parts
    charge = looking.look(house.desk(here.caller), house.processors, charge_id)
    return _answer(charge, {}, settled=200)


def _step(charge_id: str, step: Step) -> tuple[Charge, int, dict[str, str]]:
    here = passed()
    house = here.parts
    attempt = here.attempt(f"charge.{step.name}")
    taken = steps.take(house.desk(here.caller), house.processors, charge_id, step, attempt)
    return _answer(taken.value, replay_headers(replayed=taken.replayed), settled=200)


def _answer(charge: Charge, headers: dict[str, str], settled: int = 201) -> tuple[Charge, int, dict[str, str]]:
    """`settled` for a charge whose end is known, 202 while it is not, 402 for a decline."""
    headers |= {"Location": f"/v1/charges/{charge.id}"}
    if charge.declined is not None:
        reasons = {name: charge.declined[name] for name in ("decline_code", "advice_code", "network_decline_code")}
        code = charge.declined["code"]
        raise Problem(
            402, "declined", "The charge was declined.", headers, charge=charge.id, processor_code=code, **reasons
        )
    if charge.refused is not None:
        raise _failure(charge.id, charge.refused)
    return charge, 202 if charge.status in UNSETTLED or charge.step else settled, headers


def _failure(charge_id: str, refused: dict[str, str | None]) -> Exception:
    """What a retry of a charge that failed is told."""
    code = refused["code"] or ""
    if code == "already_paid":
        return ObligationTaken(refused.get("charge") or charge_id, in_doubt=False)
    if code == "never_charged":
        return NotUsable(
            "never_charged", "This call was never carried out, and nothing was charged. Use a new Idempotency-Key."
        )
    return ProcessorRefused(code, refused["param"])
