"""`/v1/processor-accounts`: the accounts at processors. Credentials go in, never out."""

from typing import Any

from flask.typing import ResponseReturnValue
from marshmallow import Schema, fields

from api.door import Blueprint, needs, passed, replay_headers
from api.wire.fields import Flag, Moment, Strict, Whole, of_type, text
from vault.errors import Invalid
from vault.processing import accounts
from vault.processing.accounts import Account

blueprint = Blueprint("processor_accounts", __name__, description="Accounts at processors")
SECRET = Whole(r"^[!-~]{8,255}$", error="Use 8 to 255 visible ASCII characters.")


class CredentialFields(Strict):
    """What the processor gave for this account."""

    api_key = fields.String(required=True, load_only=True, validate=SECRET)
    webhook_secret = fields.String(load_only=True, validate=SECRET)


class AccountChange(Strict):
    """Other credentials, those that are named."""

    api_key = fields.String(load_only=True, validate=SECRET)
    webhook_secret = fields.String(load_only=True, validate=SECRET)


class AccountOrder(Strict):
    """A new processor account, in the mode of the client that adds it."""

    kind = text(20, required=True)
    label = text(100, least=0, load_default="")
    credentials = fields.Nested(CredentialFields, required=True)
    default = Flag(load_default=False)


class AccountShown(Schema):
    """A processor account without its credentials."""

    id = fields.String()
    object = of_type("processor_account")
    kind = fields.String()
    live = fields.Boolean()
    label = fields.String()
    is_default = fields.Boolean(data_key="default")
    is_proven = fields.Boolean(data_key="proven")
    created_at = Moment()


class AccountList(Schema):
    """All processor accounts of the mode."""

    data = fields.List(fields.Nested(AccountShown))
    next_cursor = fields.String(allow_none=True)


@blueprint.route("/v1/processor-accounts", methods=["POST"])
@needs("accounts:write", body=True)
@blueprint.arguments(AccountOrder)
@blueprint.response(201, AccountShown)
def add(order: dict[str, Any]) -> tuple[Account, int, dict[str, str]]:
    """Add a processor account; the first of a mode is its default."""
    here = passed()
    if order["kind"] not in here.parts.processors:
        raise Invalid("kind", f"This deployment has: {', '.join(sorted(here.parts.processors))}.")
    made = accounts.add(
        here.desk,
        here.parts.processors,
        kind=order["kind"],
        label=order["label"],
        credentials=order["credentials"],
        default=order["default"],
        attempt=here.attempt("processor_account.add"),
    )
    return made.value, 201, replay_headers(replayed=made.replayed)


@blueprint.route("/v1/processor-accounts", methods=["GET"])
@needs("accounts:write")
@blueprint.response(200, AccountList)
def list_all() -> dict[str, Any]:
    """List the processor accounts."""
    here = passed()
    return {"data": accounts.list_accounts(here.desk), "next_cursor": None}


@blueprint.route("/v1/processor-accounts/<account_id>", methods=["GET"])
@needs("accounts:write")
@blueprint.response(200, AccountShown)
def read(account_id: str) -> Account:
    """Look at one processor account."""
    here = passed()
    return accounts.read(here.desk, account_id)


@blueprint.route("/v1/processor-accounts/<account_id>", methods=["PATCH"])
@needs("accounts:write", body=True)
@blueprint.arguments(AccountChange)
@blueprint.response(200, AccountShown)
def change(credentials: dict[str, Any], account_id: str) -> Account:
    """Put new credentials in place: the secret that webhooks are signed with is known once they are set up."""
    here = passed()
    house = here.parts
    return accounts.change(house.desk(here.caller), house.processors, account_id, credentials)


@blueprint.route("/v1/processor-accounts/<account_id>", methods=["DELETE"])
@needs("accounts:write")
@blueprint.response(204)
def delete(account_id: str) -> ResponseReturnValue:
    """Take a processor account out of use and destroy its credentials."""
    here = passed()
    accounts.delete(here.desk, account_id)
    return "", 204
