"""What we send, against the parameter types of Stripe's own SDK."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Generic, Literal, NotRequired, TypeVar

import pytest
import stripe
import stub_stripe
from marked import marks
from pydantic import ConfigDict, TypeAdapter, ValidationError
from stripe import _request_options, params
from stub_stripe import Request, Stub
from typing_extensions import TypedDict  # pydantic reads no other before Python 3.12

from vault.personal import BillingContact, Card, Secret
from vault.processors.stripe.adapter import StripeProcessor


class RedactionJobObjects(TypedDict):
    """The root objects of a job, as the SDK's preview releases type them."""

    charges: NotRequired[list[str]]
    customers: NotRequired[list[str]]
    payment_intents: NotRequired[list[str]]
    setup_intents: NotRequired[list[str]]


class RedactionJobCreateParams(TypedDict):
    """Stripe's preview, after its reference page: the stable SDK has no types for it."""

    expand: NotRequired[list[str]]
    objects: RedactionJobObjects
    validation_behavior: NotRequired[Literal["error", "fix"]]


class RedactionJobNameParams(TypedDict):
    """To read or to run a job."""

    expand: NotRequired[list[str]]


TYPES: dict[str, Any] = {
    "POST /v1/customers": params.CustomerCreateParams,
    "GET /v1/customers": params.CustomerListParams,
    "DELETE /v1/customers/cus_1": params.CustomerDeleteParams,
    "POST /v1/payment_methods": params.PaymentMethodCreateParams,
    "GET /v1/payment_methods/pm_1": params.PaymentMethodRetrieveParams,
    "POST /v1/payment_methods/pm_1/detach": params.PaymentMethodDetachParams,
    "POST /v1/setup_intents": params.SetupIntentCreateParams,
    "GET /v1/setup_intents": params.SetupIntentListParams,
    "GET /v1/setup_intents/seti_1": params.SetupIntentRetrieveParams,
    "POST /v1/payment_intents": params.PaymentIntentCreateParams,
    "GET /v1/payment_intents": params.PaymentIntentListParams,
    "POST /v1/payment_methods/pm_1": params.PaymentMethodUpdateParams,
    "GET /v1/customers/search": params.CustomerSearchParams,
    "GET /v1/subscriptions": params.SubscriptionListParams,
    "POST /v1/privacy/redaction_jobs": RedactionJobCreateParams,
    "POST /v1/privacy/redaction_jobs/prj_1/run": RedactionJobNameParams,
    "GET /v1/privacy/redaction_jobs/prj_1": RedactionJobNameParams,
    "GET /v1/account": params.AccountRetrieveCurrentParams,
    "GET /v1/customers/cus_1": params.CustomerRetrieveParams,
    "GET /v1/payment_intents/pi_1": params.PaymentIntentRetrieveParams,
    "POST /v1/payment_intents/pi_1/capture": params.PaymentIntentCaptureParams,
    "POST /v1/payment_intents/pi_1/cancel": params.PaymentIntentCancelParams,
    "POST /v1/refunds": params.RefundCreateParams,
    "GET /v1/refunds": params.RefundListParams,
}
OPTIONS = _request_options.RequestOptions.__annotations__.keys()
CREDENTIALS = Secret("sk_test_parameters")
CONTACT = BillingContact(
    name="Ada Lovelace",
    email="ada@example.com",
    phone="+44 20 7946 0000",
    address={
        "line1": "12 St James's Square",
        "city": "London",
        "postal_code": "SW1Y 4LB",
        "country": "GB",
        "floor": "2",
    },
)
SINCE = datetime(2026, 1, 1, tzinfo=UTC)
T = TypeVar("T")


class Untyped(Generic[T]):
    """Stands for the one name that the SDK's parameter types use and do not import."""


def adapter(wanted: type[Any]) -> TypeAdapter[Any]:
    """Reads text as the wire's numbers and booleans, and refuses what the type does not name, at any depth."""
    strict = type(wanted)(wanted.__name__, (wanted,), {"__module__": wanted.__module__, "__annotations__": {}})
    strict.__pydantic_config__ = ConfigDict(extra="forbid", arbitrary_types_allowed=True, defer_build=True)
    names = vars(_request_options) | vars(sys.modules[wanted.__module__]) | {"UntypedStripeObject": Untyped}
    built: TypeAdapter[Any] = TypeAdapter(strict)
    built.rebuild(force=True, _types_namespace=names | {"StripeContext": str})
    return built


def call_all(stripe_: StripeProcessor, card: Card) -> None:
    """Every method, with everything that it can be given, and with as little as it can."""
    it: dict[str, Any] = {"customer_reference": "cus_1", "marks": marks("t")}
    stripe_.open_customer(CREDENTIALS, marks=marks("t"), key="k-customer")
    for usage, contact in (("off_session", CONTACT), ("on_session", None), ("off_session", BillingContact())):
        stripe_.store(CREDENTIALS, source=card, contact=contact, usage=usage, key="k-store", **it)
    stripe_.store(CREDENTIALS, source="pm_1", contact=CONTACT, usage="off_session", key="k-adopt", **it)
    stripe_.confirm(CREDENTIALS, reference="seti_1", key="k-confirm")
    for off_session, descriptor in ((True, "PANLESS 42"), (False, None)):
        paid: dict[str, Any] = {
            "capture": True,
            "reason": None,
            "network_transaction_id": None,
            "reference": "pm_1",
            "amount": 100,
            "currency": "eur",
            "statement_descriptor": descriptor,
        }
        stripe_.charge(CREDENTIALS, off_session=off_session, key="k-charge", **paid, **it)
    for amount, reason in ((30, "requested_by_customer"), (None, None)):
        stripe_.refund(CREDENTIALS, reference="pi_1", amount=amount, reason=reason, marks=marks("t"), key="k-refund")
    stripe_.find_customer(CREDENTIALS, id="id-t", since=SINCE)
    stripe_.find_stored(CREDENTIALS, id="id-t", customer_reference="cus_1", since=SINCE)
    stripe_.list_payments(CREDENTIALS, since=SINCE, until=SINCE, after="pi_0")
    stripe_.find_refund(CREDENTIALS, id="id-t", reference="pi_1")
    stripe_.forget(CREDENTIALS, reference="pm_1", key="k-forget")
    stripe_.search_customer(CREDENTIALS, tag="t")
    stripe_.held(CREDENTIALS, customer_reference="cus_1")
    stripe_.forget_customer(CREDENTIALS, customer_reference="cus_1", key="k-forget-customer")
    for corrected in (CONTACT, BillingContact(name="Ada"), BillingContact()):
        stripe_.correct(CREDENTIALS, reference="pm_1", contact=corrected, key="k-correct")
    stripe_.redact(CREDENTIALS, customer_reference="cus_1", key="k-redact")
    stripe_.run_redaction(CREDENTIALS, job="prj_1", key="k-run")
    stripe_.redaction(CREDENTIALS, job="prj_1")
    stripe_.identify(CREDENTIALS)
    stripe_.read_marks(CREDENTIALS, customer_reference="cus_1")
    for kind in ("customer", "card"):
        stripe_.list_made(CREDENTIALS, kind=kind, since=SINCE, after="x_0")
    stripe_.list_payments(CREDENTIALS, since=SINCE, until=None, after=None)
    stripe_.capture(CREDENTIALS, reference="pi_1", amount=100, currency="eur", key="k-capture")
    stripe_.void(CREDENTIALS, reference="pi_1", key="k-void")
    stripe_.read_charge(CREDENTIALS, reference="pi_1")
    stripe_.burn(CREDENTIALS, key="k-burn", words={"panless_burnt": "w"})


@pytest.fixture
def sent(stub: Stub, card: Callable[..., Card]) -> list[Request]:
    stripe_ = StripeProcessor(base_url=stub.url)
    call_all(stripe_, card())
    stub.plan.append(stub_stripe.answer({"error": {"type": "invalid_request_error"}}, status=400))
    stripe_.forget(CREDENTIALS, reference="pm_1", key="k-forget")
    return stub.requests


def only(sent: list[Request], line: str) -> list[dict[str, Any]]:
    return [request.params for request in sent if f"{request.method} {request.path}" == line]


def test_all_that_we_send_is_what_stripes_own_types_name(sent: list[Request]) -> None:
    """Every parameter of every call stands in the SDK's typed parameters of this version, with a value that fits."""
    assert {f"{request.method} {request.path}" for request in sent} == TYPES.keys()
    for request in sent:
        assert not request.params.keys() & OPTIONS
        adapter(TYPES[f"{request.method} {request.path}"]).validate_python(request.params)


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("POST /v1/payment_intents", {"amount": "100", "currency": "eur", "payment_method_types": ["card"]}),
        ("POST /v1/payment_intents", {"amount": "a lot", "currency": "eur"}),
        ("POST /v1/payment_methods", {"card": {"nummer": "4242"}}),
        ("POST /v1/payment_methods", {"billing_details": {"address": {"floor": "2"}}}),
        ("GET /v1/refunds", {"limit": "many"}),
        ("POST /v1/payment_methods/pm_1", {"billing_details": {"address": {"floor": "2"}}}),
        ("GET /v1/customers/search", {"limit": "1"}),
        ("POST /v1/privacy/redaction_jobs", {"objects": {"customer": ["cus_1"]}}),
        ("POST /v1/privacy/redaction_jobs", {"objects": {}, "validation_behavior": "hope"}),
    ],
)
def test_the_types_refuse_what_is_not_theirs(line: str, wrong: dict[str, Any]) -> None:
    """The check above has teeth, at depth too; `payment_method_types` is no parameter any more."""
    with pytest.raises(ValidationError):
        adapter(TYPES[line]).validate_python(wrong)


def test_a_card_goes_out_once_and_nowhere_but_in_its_own_fields(sent: list[Request]) -> None:
    """Number and CVC stand in `card[...]` of the PaymentMethod; nothing else that we send holds them."""
    assert only(sent, "POST /v1/payment_methods")[0] == {
        "type": "card",
        "card": {"number": "4242424242424242", "exp_month": "12", "exp_year": "2035", "cvc": "123"},
        "billing_details": {
            "name": "Ada Lovelace",
            "email": "ada@example.com",
            "phone": "+44 20 7946 0000",
            "address": {name: value for name, value in CONTACT.address.items() if name != "floor"},
        },
        "metadata": {"panless": "t", "panless_id": "id-t"},
    }
    others = [request for request in sent if request.path != "/v1/payment_methods"]
    assert "4242424242424242" not in repr(others)


def test_storing_asks_for_the_usage_that_was_named(sent: list[Request]) -> None:
    """`usage` reaches Stripe: the SDK's own `raw_request` would drop it, and the default would hide that."""
    stored = [setup for setup in only(sent, "POST /v1/setup_intents") if "confirm" in setup]
    assert [setup["usage"] for setup in stored] == [
        "off_session",
        "on_session",
        "off_session",
        "off_session",
    ]


def test_a_charge_says_who_is_present(sent: list[Request]) -> None:
    """`off_session` stands there only when the person is away, Stripe's script only when they are not."""
    away, present = only(sent, "POST /v1/payment_intents")
    common = {
        "amount": "100",
        "currency": "eur",
        "customer": "cus_1",
        "payment_method": "pm_1",
        "allowed_payment_method_types": ["card"],
        "confirm": "true",
        "expand": ["latest_charge"],
        "metadata": {"panless": "t", "panless_id": "id-t"},
    }
    assert away == common | {"off_session": "true", "statement_descriptor_suffix": "PANLESS 42"}
    assert present == common | {"use_stripe_sdk": "true"}


def test_a_correction_names_every_field(sent: list[Request]) -> None:
    """What is empty is sent as empty, which unsets it; an address of which nothing is left as a whole."""
    whole, name, nothing = only(sent, "POST /v1/payment_methods/pm_1")
    assert whole["billing_details"] == only(sent, "POST /v1/payment_methods")[0]["billing_details"] | {
        "address": {
            **{name: value for name, value in CONTACT.address.items() if name != "floor"},
            "line2": "",
            "state": "",
        }
    }
    assert name == {"billing_details": {"name": "Ada", "email": "", "phone": "", "address": ""}}
    assert nothing == {"billing_details": {"name": "", "email": "", "phone": "", "address": ""}}


def test_a_redaction_is_of_the_customer_and_fixes_what_it_can(sent: list[Request]) -> None:
    """One root object, and Stripe's own way to finish what would keep the job from running."""
    assert only(sent, "POST /v1/privacy/redaction_jobs") == [
        {"objects": {"customers": ["cus_1"]}, "validation_behavior": "fix"}
    ]


def test_a_search_names_the_tag(sent: list[Request]) -> None:
    """In Stripe's query language."""
    assert only(sent, "GET /v1/customers/search") == [{"query": 'metadata["panless"]:"t"'}]


def test_a_customer_is_made_without_personal_data(sent: list[Request]) -> None:
    """Stripe's customer carries our marks and nothing else."""
    assert only(sent, "POST /v1/customers") == [{"metadata": {"panless": "t", "panless_id": "id-t"}}]


def test_customers_are_looked_for_from_a_minute_before(sent: list[Request]) -> None:
    """Stripe's clock may be behind ours."""
    for params_ in only(sent, "GET /v1/customers"):
        assert int(params_["created"]["gte"]) == int(SINCE.timestamp()) - 60


def test_each_call_carries_its_key_its_version_and_no_telemetry(sent: list[Request]) -> None:
    """POSTs carry the intent's key and a phase, reads and DELETE none; the version is the SDK's; nothing about us.

    The preview is asked for in the preview of the same version.
    """
    keys = {f"{request.method} {request.path}": request.headers.get("idempotency-key") for request in sent}
    assert keys == dict.fromkeys(TYPES, None) | {
        "POST /v1/customers": "k-customer",
        "POST /v1/payment_methods": "k-store-pm",
        "POST /v1/setup_intents": "k-burn",
        "POST /v1/payment_intents": "k-charge",
        "POST /v1/payment_intents/pi_1/capture": "k-capture",
        "POST /v1/payment_intents/pi_1/cancel": "k-void",
        "POST /v1/refunds": "k-refund",
        "POST /v1/payment_methods/pm_1/detach": "k-forget",
        "POST /v1/payment_methods/pm_1": "k-correct",
        "POST /v1/privacy/redaction_jobs": "k-redact",
        "POST /v1/privacy/redaction_jobs/prj_1/run": "k-run",
    }
    for request in sent:
        preview = stripe.api_version.split(".")[0] + ".preview"
        version = preview if request.path.startswith("/v1/privacy/") else stripe.api_version
        assert request.headers["stripe-version"] == version
        assert request.headers["authorization"] == "Bearer sk_test_parameters"
        assert "x-stripe-client-telemetry" not in request.headers
        assert "telemetry_id" not in request.headers["x-stripe-client-user-agent"]


@pytest.mark.parametrize("reference", ["../customers/cus_1", "pm_1/detach?x=1", "pm 1", "pm_1#", "pm_%2e"])
def test_a_reference_stays_one_segment_of_the_path(stub: Stub, reference: str) -> None:
    """Whatever a reference holds, it names nothing but one object of its kind."""
    StripeProcessor(base_url=stub.url).confirm(CREDENTIALS, reference=reference, key="k")
    (request,) = stub.requests
    assert request.path.startswith("/v1/setup_intents/")
    assert request.path.count("/") == 3
    assert set(request.params) == {"expand"}
