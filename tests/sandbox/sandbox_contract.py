"""The SDK's own classes as the contract: what an answer lacks, has too much, or has in the wrong type."""

from collections.abc import Iterator
from types import UnionType
from typing import Any, ClassVar, ForwardRef, Literal, Union, get_args, get_origin

import stripe
from stripe import ListObject, StripeObject
from stripe._stripe_object import UntypedStripeObject

PREVIEW_EVENTS = {
    f"privacy.redaction_job.{what}" for what in ("canceled", "created", "ready", "succeeded", "validation_error")
}
"""The SDK's preview releases name these types of event, the stable ones don't."""


class RedactedObjects(StripeObject):
    """What a redaction job is about."""

    customers: list[str] | None


class RedactionJob(StripeObject):
    """Stripe's preview, after its reference page: the SDK has a class for it in its own previews only."""

    OBJECT_NAME: ClassVar[str] = "privacy.redaction_job"
    id: str
    object: Literal["privacy.redaction_job"]
    created: int
    livemode: bool
    objects: RedactedObjects | None
    status: Literal["canceled", "canceling", "created", "failed", "ready", "redacting", "succeeded", "validating"]
    validation_behavior: Literal["error", "fix"] | None


RESOURCES = {
    one.OBJECT_NAME: one
    for one in (
        stripe.Account,
        stripe.BalanceTransaction,
        stripe.Charge,
        stripe.Customer,
        stripe.Dispute,
        stripe.Event,
        stripe.PaymentIntent,
        stripe.PaymentMethod,
        stripe.Refund,
        stripe.SetupIntent,
        stripe.Subscription,
        stripe.WebhookEndpoint,
        RedactionJob,
    )
}


def breaches(body: dict[str, Any], where: str = "answer") -> list[str]:
    """Every way in which an answer differs from what the SDK promises its users."""
    if body.get("deleted"):
        return [] if body.keys() <= {"id", "object", "deleted"} else [f"{where}: a stub with more than it may have"]
    if body.get("object") in ("list", "search_result"):
        return [breach for place, row in enumerate(body["data"]) for breach in breaches(row, f"{where}[{place}]")]
    if "error" in body:
        return list(_of_class(body["error"], stripe.ErrorObject, "error"))
    known = body | {"type": "customer.created"} if body.get("type") in PREVIEW_EVENTS else body
    found = list(_of_class(known, RESOURCES[body["object"]], body["object"]))
    if body["object"] == "event":
        found += breaches(body["data"]["object"], "event.data.object")
    return found


def _of_class(value: object, kind: type, where: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where}: not an object"
        return
    promised = {name: hint for name, hint in kind.__annotations__.items() if get_origin(hint) is not ClassVar}
    yield from (f"{where}.{name}: not in the SDK" for name in value.keys() - promised.keys())
    for name, hint in promised.items():
        if name in value:
            yield from _of_hint(value[name], hint, f"{where}.{name}")
        elif type(None) not in get_args(hint):
            yield f"{where}.{name}: missing"


def _of_hint(value: object, hint: object, where: str) -> Iterator[str]:
    named = isinstance(hint, ForwardRef | str)
    return CHECKS.get(get_origin(hint), _of_name if named else _of_type)(value, hint, where)


def _of_union(value: object, hint: object, where: str) -> Iterator[str]:
    tries = [list(_of_hint(value, one, where)) for one in get_args(hint)]
    if all(tries):
        yield f"{where}: fits no part of its type: {tries}"


def _of_literal(value: object, hint: object, where: str) -> Iterator[str]:
    if value not in get_args(hint):
        yield f"{where}: {value!r} is none of the SDK's words"


def _of_list(value: object, hint: object, where: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{where}: not a list"
        return
    for place, one in enumerate(value):
        yield from _of_hint(one, get_args(hint)[0], f"{where}[{place}]")


def _of_page(value: object, hint: object, where: str) -> Iterator[str]:
    rows = value.get("data") if isinstance(value, dict) else None
    return _of_list(rows, hint, f"{where}.data")


def _of_mapping(value: object, _: object, where: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where}: not a mapping"


def _of_name(value: object, hint: ForwardRef | str, where: str) -> Iterator[str]:
    name = hint if isinstance(hint, str) else hint.__forward_arg__
    if hasattr(stripe, name) and isinstance(value, dict):
        yield from _of_class(value, getattr(stripe, name), where)
    else:
        yield f"{where}: not a {name}"


def _of_type(value: object, hint: type, where: str) -> Iterator[str]:
    if hint is Any:
        return
    if issubclass(hint, StripeObject):
        yield from _of_class(value, hint, where)
    elif type(value) is not hint:
        yield f"{where}: {type(value).__name__} in place of {hint.__name__}"


CHECKS = {
    Union: _of_union,
    UnionType: _of_union,
    Literal: _of_literal,
    list: _of_list,
    ListObject: _of_page,
    UntypedStripeObject: _of_mapping,
}


def typed_names(params: type) -> set[str]:
    """The parameters that the SDK's typed mapping knows, without the options of the request itself."""
    return set(params.__annotations__) - set(stripe.RequestOptions.__annotations__)
