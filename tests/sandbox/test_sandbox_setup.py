import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
import stripe
from sandbox_process import Running

CARDS: Any = {"allowed_payment_method_types": ["card"]}


def test_setting_up_attaches(client: stripe.StripeClient, card: Callable[..., Any]) -> None:
    """Created and confirmed at once, it succeeds and the card belongs to the customer; lists find it."""
    customer = client.v1.customers.create().id
    method = client.v1.payment_methods.create(card()).id
    done = client.v1.setup_intents.create(
        {"customer": customer, "payment_method": method, "confirm": True, "expand": ["payment_method"], **CARDS}
    )
    assert (done.status, done.usage) == ("succeeded", "off_session")
    assert done.payment_method.customer == customer
    for by in ({"customer": customer}, {"payment_method": method}, {"created": {"gte": done.created}}):
        assert [one.id for one in client.v1.setup_intents.list(by)] == [done.id]


def test_setting_up_in_two_calls(client: stripe.StripeClient) -> None:
    """It waits for a method, then for confirmation; what succeeded cannot be cancelled or confirmed."""
    made = client.v1.setup_intents.create({"customer": client.v1.customers.create().id, **CARDS})
    assert made.status == "requires_payment_method"
    done = client.v1.setup_intents.confirm(made.id, {"payment_method": "pm_card_mastercard"})
    assert done.status == "succeeded"
    for attempt in (client.v1.setup_intents.cancel, client.v1.setup_intents.confirm):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            attempt(made.id)
        assert refused.value.code == "setup_intent_unexpected_state"
        assert refused.value.json_body["error"]["setup_intent"]["id"] == made.id


def test_cancelling_a_set_up(client: stripe.StripeClient) -> None:
    """What waits can be given up, with a reason from the list."""
    made = client.v1.setup_intents.create(CARDS)
    with pytest.raises(stripe.InvalidRequestError, match="cancellation_reason"):
        client.v1.setup_intents.cancel(made.id, {"cancellation_reason": "bored"})
    canceled = client.v1.setup_intents.cancel(made.id, {"cancellation_reason": "abandoned"})
    assert (canceled.status, canceled.cancellation_reason) == ("canceled", "abandoned")


def ask(client: stripe.StripeClient, **more: object) -> stripe.SetupIntent:
    method = "pm_card_authenticationRequired"
    return client.v1.setup_intents.create({"payment_method": method, "confirm": True, **CARDS, **more})


def test_authentication_with_stripes_script_or_a_redirect(client: stripe.StripeClient) -> None:
    """With a ``return_url`` the intent redirects, without one Stripe's script is to go on."""
    plain, redirecting = ask(client), ask(client, return_url="https://shop.example/back")
    assert plain.next_action
    assert plain.next_action.type == "use_stripe_sdk"
    assert redirecting.next_action
    assert redirecting.next_action.redirect_to_url
    assert redirecting.next_action.redirect_to_url.return_url == "https://shop.example/back"


def test_a_failed_authentication(sandbox: Running, client: stripe.StripeClient, pay: Callable[..., Any]) -> None:
    """The intent wants another method, and says that authentication failed; then it is not waiting any more."""
    setup, payment = ask(client), pay("pm_card_authenticationRequired")
    for intent, field in ((setup, "last_setup_error"), (payment, "last_payment_error")):
        failed = sandbox.hook("POST", f"/_authenticate/{intent.id}", {"result": "fail"})
        assert failed["status"] == "requires_payment_method"
        assert failed[field]["code"] == f"{intent.object}_authentication_failure"
        again = sandbox.hook("POST", f"/_authenticate/{intent.id}", {"result": "succeed"})
        assert again["status"] == 400
    assert sandbox.hook("POST", "/_authenticate/seti_none", {"result": "succeed"})["status"] == 404


def test_a_browser_authenticates_on_the_page(client: stripe.StripeClient) -> None:
    """The page has two buttons; pressing one goes back to the shop with the intent and the outcome."""
    intent = ask(client, return_url="http://127.0.0.1:9/back?order=7")
    assert intent.next_action
    assert intent.next_action.redirect_to_url
    url = str(intent.next_action.redirect_to_url.url)
    with urllib.request.urlopen(url, timeout=5) as page:
        text = page.read().decode()
    assert 'value="succeed"' in text
    assert 'value="fail"' in text
    with pytest.raises(urllib.error.URLError) as refused:
        urllib.request.urlopen(url, b"result=succeed", timeout=5)
    assert "refused" in str(refused.value)
    assert client.v1.setup_intents.retrieve(intent.id).status == "succeeded"


def test_an_authenticated_payment_is_charged(
    sandbox: Running, client: stripe.StripeClient, pay: Callable[..., Any]
) -> None:
    """There is no charge until the customer comes back; then it says that it was authenticated."""
    intent = pay("pm_card_authenticationRequired")
    assert (intent.status, intent.latest_charge) == ("requires_action", None)
    done = sandbox.hook("POST", f"/_authenticate/{intent.id}", {"result": "succeed"})
    assert (done["status"], done["next_action"]) == ("succeeded", None)
    details = client.v1.charges.retrieve(done["latest_charge"]).payment_method_details
    assert details
    assert details.card
    assert details.card.three_d_secure
    assert details.card.three_d_secure.result == "authenticated"
