import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from house import House, Tenant, make_app
from records_scene import (
    Crash,
    act_then_crash,
    ask_sandbox,
    at_once,
    at_processor,
    crash,
    end_leases,
    interpose,
    later,
    row,
    rows,
    work,
)

from keys.dek import Dek
from keys.keyring import Keyring
from keys.providers import keyfile
from vault.processing.answers import NotReached, Unknown
from vault.tables import charges, intents, processor_references, refunds, tokens

CARDS = ("4242424242424242", "4000056655665556", "5555555555554444", "2223003122003222", "6011111111111117")


def moved(tenant: Tenant, ahead: float) -> Tenant:
    """The tenant with its clocks ahead by that many hours."""
    return replace(tenant, house=later(tenant.house, hours=ahead))


def state_of(tenant: Tenant, answer: Any) -> str:
    return str(tenant.call("GET", answer.headers["Location"]).get_json()["status"])


def broken_off(tenant: Tenant, token: str, **order: object) -> None:
    with pytest.raises(Crash):
        tenant.charge(token, **order)


# --- a crash at each place of each operation ---


def test_a_charge_that_was_never_sent_is_never_charged(tenant: Tenant) -> None:
    """Crash between intent and call: its key is burnt, it failed, nobody sends it; another key pays the obligation."""
    token = tenant.token()["id"]
    broken_off(interpose(tenant, charge=crash), token, key="c-1", obligation="o-1")
    assert tenant.charge(token, key="c-1", obligation="o-1").get_json()["code"] == "in_progress"
    assert tenant.charge(token, key="c-2", obligation="o-1").get_json()["code"] == "in_doubt"
    assert work(interpose(tenant, charge=crash).house) == []
    [charge] = rows(tenant.house, charges, tenant_id=tenant.id)
    assert (charge.state, charge.key_number, tenant.charges_at_processor()) == ("failed", 1, [])
    again = tenant.charge(token, key="c-1", obligation="o-1")
    assert (again.status_code, again.get_json()["code"]) == (409, "never_charged")
    assert tenant.charge(token, key="c-2", obligation="o-1").status_code == 201
    assert tenant.charge(token, obligation="o-1").get_json()["code"] == "already_paid"
    assert len(tenant.charges_at_processor()) == 1


def test_a_charge_that_was_made_is_found(tenant: Tenant) -> None:
    """Crash between answer and commit: found by its tag, never sent again, and no key is burnt."""
    token = tenant.token()["id"]
    broken_off(interpose(tenant, charge=act_then_crash), token)
    assert work(interpose(tenant, charge=crash, burn=crash).house) == []
    assert [each.state for each in rows(tenant.house, charges, tenant_id=tenant.id)] == ["succeeded"]
    assert len(tenant.charges_at_processor()) == 1


def test_a_call_that_comes_late_is_refused(tenant: Tenant) -> None:
    """It was still on its way when the worker burnt its key: refused there, and what was told stays true."""
    token, told = tenant.token()["id"], []

    def too_slow(call: Callable[[], Any]) -> Any:
        assert work(tenant.house) == []
        told.extend(each.state for each in rows(tenant.house, charges, tenant_id=tenant.id))
        return call()

    answer = interpose(tenant, charge=too_slow).charge(token, obligation="o-1")
    assert told == ["failed"]
    assert (answer.status_code, answer.get_json()["code"]) == (409, "never_charged")
    assert work(tenant.house) == []
    assert [each.state for each in rows(tenant.house, charges, tenant_id=tenant.id)] == ["failed"]
    assert tenant.charges_at_processor() == []
    assert tenant.charge(token, obligation="o-1").status_code == 201
    assert len(tenant.charges_at_processor()) == 1


@pytest.mark.parametrize(("hook", "state", "refunded"), [(crash, "failed", 0), (act_then_crash, "succeeded", 1000)])
def test_a_refund_that_broke_off_ends_as_it_is_there(
    tenant: Tenant, hook: Callable[[Any], Any], state: str, refunded: int
) -> None:
    """Made there: found. Not made: failed, its amount is left to refund. Nobody sends it again."""
    charge = tenant.charge(tenant.token()["id"]).get_json()["id"]
    path = f"/v1/charges/{charge}/refunds"
    with pytest.raises(Crash):
        interpose(tenant, refund=hook).call("POST", path, {"amount": 1000}, Idempotency_Key="r-1")
    assert work(interpose(tenant, refund=crash).house) == []
    assert row(tenant.house, refunds, charge_id=charge).state == state
    assert [each["refunded"] for each in tenant.charges_at_processor()] == [refunded]
    again = tenant.call("POST", path, {"amount": 1000}, Idempotency_Key="r-1")
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
    left = tenant.call("POST", path, {"amount": 1234 - refunded}, Idempotency_Key="r-2")
    assert (left.status_code, left.get_json()["status"]) == (201, "succeeded")
    assert [each["refunded"] for each in tenant.charges_at_processor()] == [1234]


@pytest.mark.parametrize("known", [True, False])
def test_a_card_that_was_stored_is_adopted(tenant: Tenant, known: bool) -> None:  # noqa: FBT001  # a case
    """Crash between answer and commit, customer known at the processor or opened on the way: active, chargeable."""
    customer: object = tenant.token("5555555555554444")["customer"] if known else {"reference": "c-1"}
    with pytest.raises(Crash):
        interpose(tenant, store=act_then_crash).tokenize(customer=customer)
    assert work(tenant.house) == []
    [token] = rows(tenant.house, tokens, tenant_id=tenant.id, state="active")[-1:]
    assert tenant.charge(token.token_id).status_code == 201
    [(_, methods)] = at_processor(tenant).items()
    assert len(methods) == len(rows(tenant.house, tokens, tenant_id=tenant.id)) == 1 + known


@pytest.mark.parametrize("call", ["open_customer", "store"])
@pytest.mark.parametrize("hook", [crash, act_then_crash])
def test_no_object_is_left_without_a_row(tenant: Tenant, call: str, hook: Callable[[Any], Any]) -> None:
    """A new customer's first card breaks off anywhere: what the processor has, we know of, and go on with."""
    with pytest.raises(Crash):
        interpose(tenant, **{call: hook}).tokenize(customer={"reference": "c-1"})
    assert work(tenant.house) == []
    assert rows(tenant.house, intents, tenant_id=tenant.id, state="pending") == []
    token = tenant.token(customer={"reference": "c-1"})
    assert tenant.charge(token["id"]).status_code == 201
    assert work(tenant.house) == []  # a twin's spare payment method is forgotten
    [(_, methods)] = at_processor(tenant).items()
    assert len(methods) == len(rows(tenant.house, tokens, tenant_id=tenant.id, state="active")) == 1


def test_a_card_stored_after_it_was_given_up_is_forgotten(tenant: Tenant) -> None:
    """The worker found nothing and burnt its key; the slow call stores no card any more: nothing stays there."""

    def too_slow(call: Callable[[], Any]) -> Any:
        assert work(tenant.house) == []
        return call()

    person = tenant.token("5555555555554444")["customer"]
    before = at_processor(tenant)
    answer = interpose(tenant, store=too_slow).tokenize(customer=person)
    assert (answer.status_code, answer.get_json()["code"]) == (409, "never_stored")
    assert work(tenant.house) == []
    assert at_processor(tenant) == before


def test_a_failed_authentication_is_called_off(tenant: Tenant) -> None:
    """What failed in front of a person can still be paid on their page: it is called off before it is told declined."""
    asks_always = "4000002760003184"
    stored = tenant.token(asks_always)
    setup = stored["next_action"]["client_secret"].partition("_secret")[0]
    tenant.house.sandbox.hook("POST", f"/_authenticate/{setup}", {"result": "succeed"})
    assert tenant.call("POST", f"/v1/tokens/{stored['id']}/confirm").status_code == 200
    broken_off(interpose(tenant, charge=act_then_crash), stored["id"], initiator="customer", obligation="o-1")
    [payment] = ask_sandbox(tenant, "/v1/payment_intents")
    tenant.house.sandbox.hook("POST", f"/_authenticate/{payment['id']}", {"result": "fail"})
    away = interpose(tenant, void=lambda _call: Unknown(reason="timeout"))
    assert work(away.house) == []
    assert [each.state for each in rows(tenant.house, charges, tenant_id=tenant.id)] == ["pending"]
    assert work(tenant.house) == []
    assert [each.state for each in rows(tenant.house, charges, tenant_id=tenant.id)] == ["declined"]
    [payment] = ask_sandbox(tenant, "/v1/payment_intents")
    assert payment["status"] == "canceled"
    assert tenant.charge(tenant.token()["id"], obligation="o-1").status_code == 201


# --- storings at once ---


def test_storings_at_once_get_one_customer_there(tenant: Tenant) -> None:
    """Five cards of a customer that the processor does not know: one customer there, five chargeable tokens."""
    person = tenant.call("POST", "/v1/customers", {"reference": "c-1"}).get_json()["id"]
    answers = at_once(5, lambda number: tenant.tokenize(CARDS[number], customer=person))
    assert [answer.status_code for answer in answers] == [201] * 5
    [(_, methods)] = at_processor(tenant).items()
    assert len(methods) == 5
    for answer in answers:
        assert tenant.charge(answer.get_json()["id"]).status_code == 201


def test_a_double_click_is_one_token(tenant: Tenant) -> None:
    """A card for a new reference, eight times at once: one customer, one token, one payment method."""
    answers = at_once(8, lambda _: tenant.tokenize(customer={"reference": "c-1"}))
    assert {answer.status_code for answer in answers} <= {200, 201}
    assert len({answer.get_json()["id"] for answer in answers}) == 1
    assert work(tenant.house) == []
    [(_, methods)] = at_processor(tenant).items()
    assert len(methods) == 1
    assert tenant.charge(answers[0].get_json()["id"]).status_code == 201


@pytest.mark.parametrize("acts", [True, False])
def test_a_500_at_opening_the_customer_is_not_for_ever(tenant: Tenant, acts: bool) -> None:  # noqa: FBT001  # a case
    """Stripe replays a 500 for its key: what it did is looked up, and where it did nothing another key is used."""
    tenant.house.sandbox.fault(path="/v1/customers", do="status", status=500, act=acts)
    token = tenant.token(customer={"reference": "c-1"})
    assert tenant.charge(token["id"]).status_code == 201
    assert len(at_processor(tenant)) == 1


def test_an_unknown_customer_is_not_opened_twice(tenant: Tenant) -> None:
    """The answer to opening it was lost: it is found there by our tag, in the same call."""
    tenant.house.sandbox.fault(path="/v1/customers", do="lose_answer")
    assert tenant.tokenize().status_code == 201
    assert len(at_processor(tenant)) == 1


# --- in doubt ---


@pytest.mark.parametrize("fault", ["lose_answer", "garbage", "status"])
def test_an_unknown_charge_is_called_so_and_found(tenant: Tenant, fault: str) -> None:
    """It acted and we don't know: 202, in doubt for its obligation, then succeeded; one charge in the book."""
    token = tenant.token()["id"]
    tenant.house.sandbox.fault(path="/v1/payment_intents", do=fault, act=True, status=500)
    answer = tenant.charge(token, obligation="o-1")
    assert (answer.status_code, answer.get_json()["status"]) == (202, "unknown")
    assert tenant.charge(token, obligation="o-1").get_json()["code"] == "in_doubt"
    assert work(tenant.house) == []
    assert state_of(tenant, answer) == "succeeded"
    assert tenant.charge(token, obligation="o-1").get_json()["code"] == "already_paid"
    assert len(tenant.charges_at_processor()) == 1


@pytest.mark.parametrize("hours", [0, 22, 24, 72])
def test_what_was_never_charged_is_called_so(tenant: Tenant, hours: int) -> None:
    """Reset before acting: whenever the worker comes to it, it failed, nothing is sent, the obligation is free."""
    token = tenant.token()["id"]
    tenant.house.sandbox.fault(path="/v1/payment_intents", do="reset")
    answer = tenant.charge(token, obligation="o-1")
    assert answer.status_code == 202
    assert work(interpose(moved(tenant, hours), charge=crash).house) == []
    assert state_of(tenant, answer) == "failed"
    assert tenant.charges_at_processor() == []
    assert tenant.charge(token, obligation="o-1").status_code == 201
    assert len(tenant.charges_at_processor()) == 1


def test_what_was_charged_is_found_days_later(tenant: Tenant) -> None:
    """The look-up has no window, and nothing is burnt for what is found."""
    token = tenant.token()["id"]
    tenant.house.sandbox.fault(path="/v1/payment_intents", do="lose_answer")
    answer = tenant.charge(token)
    assert work(interpose(moved(tenant, 72), charge=crash, burn=crash).house) == []
    assert state_of(tenant, answer) == "succeeded"


def test_a_key_that_was_used_otherwise_is_left_behind(tenant: Tenant) -> None:
    """What was done under it must be listed first; then the next key is burnt, and the one after that pays."""
    token = tenant.token()["id"]

    def use_up(call: Any) -> Unknown:
        call.func.__self__.burn(*call.args, key=call.keywords["key"], words={"something": "else"})
        return Unknown(reason="timeout")

    answer = interpose(tenant, charge=use_up).charge(token, obligation="o-1")
    assert tenant.house.work()[1] == []
    assert state_of(tenant, answer) == "unknown"  # what was done under a used key may not be listed yet
    assert work(tenant.house) == []
    assert state_of(tenant, answer) == "failed"
    [failed] = rows(tenant.house, charges, tenant_id=tenant.id)
    assert tenant.charge(token, obligation="o-1").status_code == 201
    [paid] = rows(tenant.house, charges, tenant_id=tenant.id, state="succeeded")
    assert (failed.key_number, paid.key_number) == (2, 3)
    assert len(tenant.charges_at_processor()) == 1


def test_a_burn_whose_answer_is_lost_is_made_again(tenant: Tenant) -> None:
    """It proves nothing: the key is burnt again, the replay proves no more, and the next key is burnt, too."""
    token = tenant.token()["id"]
    broken_off(interpose(tenant, charge=crash), token, obligation="o-1")
    tenant.house.sandbox.fault(path="/v1/setup_intents", do="lose_answer")
    assert work(tenant.house) == []
    assert [each.state for each in rows(tenant.house, charges, tenant_id=tenant.id)] == ["pending"]
    assert work(tenant.house) == []
    [failed] = rows(tenant.house, charges, tenant_id=tenant.id)
    assert (failed.state, failed.key_number) == ("failed", 2)
    assert tenant.charge(token, obligation="o-1").status_code == 201
    assert len(tenant.charges_at_processor()) == 1


@pytest.mark.parametrize("doubt", [Unknown(reason="timeout"), NotReached(reason="never_connected")])
def test_a_look_up_that_fails_leaves_the_question_open(tenant: Tenant, doubt: object) -> None:
    """An outage at the look-up is no answer: not failed, nothing burnt, for as long as the worker asks."""
    token = tenant.token()["id"]
    tenant.house.sandbox.fault(path="/v1/payment_intents", do="lose_answer")
    answer = tenant.charge(token)
    for ahead in (0, 46):
        blind = interpose(moved(tenant, ahead), list_payments=lambda _call: doubt, charge=crash, burn=crash)
        reported = [str(error) for _, error in work(blind.house)]
        assert len(reported) == (ahead > 24)  # a day without an answer is told to a human, and looked at on
        assert state_of(tenant, answer) == "unknown"
    assert work(tenant.house) == []
    assert state_of(tenant, answer) == "succeeded"


def test_a_burn_that_is_in_flight_waits(tenant: Tenant) -> None:
    """The processor still works on the same key: the worker leaves it, and finds what came of it later."""
    token = tenant.token()["id"]
    broken_off(interpose(tenant, charge=crash), token)
    tenant.house.sandbox.fault(path="/v1/setup_intents", do="in_flight")
    assert work(tenant.house) == []
    [charge] = rows(tenant.house, charges, tenant_id=tenant.id)
    assert charge.state == "pending"
    assert work(tenant.house) == []
    assert [each.state for each in rows(tenant.house, charges, tenant_id=tenant.id)] == ["failed"]
    assert tenant.charges_at_processor() == []


def test_two_workers_do_a_row_once(tenant: Tenant) -> None:
    """Four at once over ten broken-off charges and deletions: each is burnt and told by one, nothing is charged."""
    token, spares = tenant.token()["id"], [tenant.token() for _ in range(3)]
    for _ in range(7):
        broken_off(interpose(tenant, charge=crash), token)
    for spare in spares:
        tenant.call("DELETE", f"/v1/tokens/{spare['id']}")
    lock, seen = threading.Lock(), []

    def note(call: Callable[[], Any]) -> Any:
        with lock:
            seen.append(call.keywords["key"])  # type: ignore[attr-defined]
        return call()

    end_leases(tenant.house)
    busy = interpose(tenant, burn=note, forget=note)
    assert [reported for _, reported in at_once(4, lambda _: busy.house.work())] == [[], [], [], []]
    assert len(seen) == len(set(seen)) == 10
    assert tenant.charges_at_processor() == []
    assert {each.state for each in rows(tenant.house, charges, tenant_id=tenant.id)} == {"failed"}


def test_a_lease_is_respected(tenant: Tenant) -> None:
    """While a call is under way, no worker touches its intent."""

    def meanwhile(call: Callable[[], Any]) -> Any:
        assert interpose(tenant, list_payments=crash, burn=crash).house.work()[1] == []
        return call()

    token = tenant.token()["id"]
    assert interpose(tenant, charge=meanwhile).charge(token).status_code == 201


def test_worker_and_slow_server_write_one_outcome(tenant: Tenant) -> None:
    """The lease ran out while the call was under way, and the worker found it first: one charge, one answer."""

    def slow(call: Callable[[], Any]) -> Any:
        outcome = call()
        assert work(tenant.house) == []
        return outcome

    answer = interpose(tenant, charge=slow).charge(tenant.token()["id"])
    assert (answer.status_code, answer.get_json()["status"]) == (201, "succeeded")
    assert len(tenant.charges_at_processor()) == 1


def test_one_broken_row_stops_no_other(tenant: Tenant) -> None:
    """It is reported and left; the others end in the same round."""
    token, burns = tenant.token()["id"], []
    for amount in (1, 2, 3):
        broken_off(interpose(tenant, charge=crash), token, amount=amount * 100)

    def fall_over(call: Callable[[], Any]) -> Any:
        burns.append(call)
        if len(burns) == 2:
            raise RuntimeError
        return call()

    [(what, error)] = work(interpose(tenant, burn=fall_over).house)
    assert (what, type(error)) == ("charge.create", RuntimeError)
    states = sorted(each.state for each in rows(tenant.house, charges, tenant_id=tenant.id))
    assert states == ["failed", "failed", "pending"]
    assert work(tenant.house) == []
    assert {each.state for each in rows(tenant.house, charges, tenant_id=tenant.id)} == {"failed"}
    assert tenant.charges_at_processor() == []


def test_a_token_that_is_deleted_meanwhile_is_not_charged(tenant: Tenant) -> None:
    """Deleted between plan and intent: the charge is refused, and no row is left that nobody can end."""
    token, deleted = tenant.token()["id"], []

    class Late(Keyring):
        """A keyring that takes long to find a key, so that a deletion comes in between."""

        def tenant_key(self, tenant_id: str, purpose: str) -> Dek:
            if purpose == "retention" and not deleted:
                deleted.append(tenant.call("DELETE", f"/v1/tokens/{token}").status_code)
            return super().tenant_key(tenant_id, purpose)

    house = tenant.house
    late = Late(
        keystore=house.components.keystore,
        roots=[keyfile.load(house.home / "root.key")],
        deployment=house.components.keyring.deployment,
        now=house.components.clock,
    )
    components = replace(house.components, keyring=late)
    slow = replace(tenant, house=replace(house, components=components, app=make_app(components)))
    answer = slow.charge(token)
    assert deleted == [200]
    assert (answer.status_code, answer.get_json()["code"]) == (409, "token_not_active")
    assert rows(tenant.house, charges, tenant_id=tenant.id) == []
    assert work(tenant.house) == []


def test_the_processor_hears_of_a_deleted_token_until_it_answers(tenant: Tenant) -> None:
    """Detached there although it was away at first; the reference is gone from our side at once."""
    token = tenant.token()
    tenant.call("DELETE", f"/v1/tokens/{token['id']}")
    assert rows(tenant.house, processor_references, owner_id=token["id"]) == []
    assert work(interpose(tenant, forget=lambda _call: Unknown(reason="timeout")).house) == []
    assert [len(methods) for methods in at_processor(tenant).values()] == [1]
    assert work(tenant.house) == []
    assert [len(methods) for methods in at_processor(tenant).values()] == [0]
    assert [each.parameters for each in rows(tenant.house, intents, resource_id=token["id"]) if each.parameters] == []


# --- nothing is sent twice ---


@pytest.mark.parametrize(
    "lost",
    [Unknown(reason="timeout"), Unknown(reason="idempotency_key_in_use", in_flight=True), NotReached(reason="x")],
)
def test_a_call_is_made_once(tenant: Tenant, lost: object) -> None:
    """Whatever became of it, no request and no worker makes it a second time."""
    token, calls = tenant.token()["id"], []
    tried = interpose(tenant, charge=lambda call: (calls.append(call), lost)[1])
    assert tried.charge(token, obligation="o-1").status_code in {202, 503}
    assert work(tried.house) == work(tried.house) == []
    assert len(calls) == 1
    assert tenant.charges_at_processor() == []


def test_a_charge_that_was_never_reached_is_taken_back(tenant: Tenant) -> None:
    """503, no row left, and the same key may begin again."""
    token = tenant.token()["id"]
    away = interpose(tenant, charge=lambda _call: NotReached(reason="never_connected"))
    answer = away.charge(token, key="c-1", obligation="o-1")
    assert (answer.status_code, answer.get_json()["code"]) == (503, "processor_not_reached")
    assert rows(tenant.house, charges, tenant_id=tenant.id) == []
    again = tenant.charge(token, key="c-1", obligation="o-1")
    assert (again.status_code, "Idempotent-Replayed" in again.headers) == (201, False)


def test_replays_while_the_first_call_is_worked_on(house: House, tenant: Tenant) -> None:
    """409 with Retry-After from ten callers at once; one call reaches the processor."""
    token, calls = tenant.token()["id"], []

    def slow(call: Callable[[], Any]) -> Any:
        calls.append(call)
        with_key = tenant.charge(token, key="c-1", obligation="o-1")
        assert (with_key.status_code, with_key.headers["Retry-After"]) == (409, "1")
        return call()

    slowly = interpose(tenant, charge=slow)
    answers = at_once(10, lambda _: slowly.charge(token, key="c-1", obligation="o-1"))
    assert len(calls) == 1
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len(tenant.charges_at_processor()) == 1
    assert house.components.guard.verdict.is_good
