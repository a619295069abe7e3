"""Fides' pre-execution webhook: what Fides sends (SecondPartyRequestFormat), what it does with the answer."""

import json
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from holds_scene import hold, lift
from house import VISA, Tenant, make_app
from opendsr_scene import FIDES, Outside, speaking
from records_scene import at_once, row, rows, work
from rights_scene import ADA, approved, asked, person
from werkzeug.test import TestResponse

from vault.outgoing import Posted
from vault.protocols.callbacks import is_last
from vault.protocols.fides import WAITING
from vault.tables import callbacks, rights_requests, rights_targets

RUN = "pri_029832ba-3b84-40f7-8946-82aec6f95448"
OTHER_RUN = "pri_5c3a8f0e-2a39-4f0e-9d53-0f7f6f9b1c11"
TOKEN = "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..token"
GO_ON = {"derived_identity": {}, "halt": False}
WAIT = {"derived_identity": {}, "halt": True}


def announcement(**changes: object) -> dict[str, Any]:
    """What Fides posts for an erasure that was approved there; nulls, and fields that are not for us, included."""
    return {
        "privacy_request_id": RUN,
        "privacy_request_status": "in_processing",
        "direction": "two_way",
        "callback_type": "pre",
        "identity": {"email": "ada@example.com", "phone_number": None, "ga_client_id": None, "external_id": None},
        "policy_action": "erasure",
        "privacy_request": {"custom": {}},
        "timestamp": "2026-01-02T15:00:00Z",
        **changes,
    }


def announce(tenant: Tenant, token: str = TOKEN, **changes: object) -> TestResponse:
    headers = {"reply_to": f"/privacy-request/{RUN}/resume", "reply_to_token": token} if token else {}
    return tenant.call("POST", "/fides/pre-execution", announcement(**changes), role="privacy", **headers)


@pytest.fixture
def outside() -> Outside:
    return Outside()


@pytest.fixture
def speaker(tenant: Tenant, outside: Outside) -> Tenant:
    return speaking(tenant, outside=outside)


def test_nothing_in_the_way(speaker: Tenant, outside: Outside) -> None:
    """Erased here before Fides goes on; the request says whose it is; nobody needs to be resumed."""
    customer = person(speaker)
    answer = announce(speaker)
    assert (answer.status_code, answer.get_json()) == (200, GO_ON)
    assert speaker.call("GET", f"/v1/customers/{customer}").status_code == 410
    assert work(speaker.house) == []
    request = row(speaker.house, rights_requests, tenant_id=speaker.id)
    assert (request.protocol, request.external_id, request.state) == ("fides", RUN, "completed")
    assert outside.calls == []


@pytest.mark.parametrize("kind", ["email", "phone_number", "external_id"])
def test_by_what_people_are_found(speaker: Tenant, kind: str) -> None:
    """Email, phone number, and Fides' external id, which is the reference that the tenant gave the customer."""
    mine = speaker.token(customer={"reference": "R-5", "billing_contact": ADA})["customer"]
    value = {"email": "ADA@example.com", "phone_number": "+442079460958", "external_id": "R-5"}[kind]
    assert announce(speaker, identity={kind: value}).get_json() == GO_ON
    assert speaker.call("GET", f"/v1/customers/{mine}").status_code == 410


def test_nobody_here(speaker: Tenant) -> None:
    """A person whom we do not know, or by nothing that we know people by, holds Fides up for nothing."""
    assert announce(speaker).get_json() == GO_ON
    assert announce(speaker, privacy_request_id=OTHER_RUN, identity={"ga_client_id": "x"}).get_json() == GO_ON
    assert [each.state for each in rows(speaker.house, rights_requests, tenant_id=speaker.id)] == ["completed"]


def test_blocked_then_resumed_once(speaker: Tenant, outside: Outside) -> None:
    """Fides waits while a hold stands; once the customer is erased it is told to go on, with its token, one time."""
    order_of_hold = hold(speaker, person(speaker))
    assert announce(speaker).get_json() == WAIT
    assert work(speaker.house) == []
    assert outside.calls == []
    lift(speaker, order_of_hold["id"])
    for _ in range(4):
        assert work(speaker.house) == []
    assert outside.calls == [
        (
            f"{FIDES}/privacy-request/{RUN}/resume",
            b"{}",
            {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"},
        )
    ]
    assert row(speaker.house, callbacks, tenant_id=speaker.id).address is None


def test_a_resume_that_fails_is_tried_again(speaker: Tenant, outside: Outside) -> None:
    """Fides away, or not paused yet (its 400): again, until it answers with success."""
    order_of_hold = hold(speaker, person(speaker))
    announce(speaker)
    lift(speaker, order_of_hold["id"])
    outside.answers = [Posted(400), Posted(503)]
    reported = [work(speaker.house) for _ in range(4)]
    assert [len(each) for each in reported if each] == [1, 1]
    assert TOKEN not in str(reported)
    assert len(outside.calls) == 3


def test_waits_for_a_second_actor(tenant: Tenant, outside: Outside) -> None:
    """Above the policy's rate Fides waits for the people here; a denial here lets it go on without us."""
    strict = speaking(tenant, outside=outside, erasures_per_day=0)
    person(strict)
    assert announce(strict).get_json() == WAIT
    deny(strict, row(strict.house, rights_requests, tenant_id=strict.id).request_id)
    assert work(strict.house) == []
    assert len(outside.calls) == 1


def test_a_run_that_fides_begins_again(speaker: Tenant, outside: Outside) -> None:
    """A privacy request that knows more by then is still one erasure; the newer token is the one that is used."""
    order_of_hold = hold(speaker, person(speaker))
    assert announce(speaker).get_json() == WAIT
    again = announce(speaker, token="newer", identity={"email": "ada@example.com", "phone_number": "+1 202 555 0100"})
    assert again.get_json() == WAIT
    assert len(rows(speaker.house, rights_requests, tenant_id=speaker.id)) == 1
    lift(speaker, order_of_hold["id"])
    for _ in range(3):
        assert work(speaker.house) == []
    assert [headers["Authorization"] for _, _, headers in outside.calls] == ["Bearer newer"]


def test_an_erasure_that_is_under_way_already(speaker: Tenant, outside: Outside) -> None:
    """Fides waits for the request that somebody else made for the same customer, and goes on with it."""
    customer = person(speaker)
    request = asked(speaker, "erasure", customers=[customer])["id"]
    assert announce(speaker).get_json() == WAIT
    approved(speaker, request)
    assert work(speaker.house) == []
    assert len(outside.calls) == 1
    assert len(rows(speaker.house, rights_requests, tenant_id=speaker.id)) == 1


def test_everybody_who_matches(speaker: Tenant, outside: Outside) -> None:
    """Of two customers one has an open request: the other is erased at once, and Fides waits for the first."""
    one, other = person(speaker), person(speaker)
    request = asked(speaker, "erasure", customers=[one])["id"]
    assert announce(speaker).get_json() == WAIT
    assert [there(speaker, each) for each in (one, other)] == [200, 410]
    assert work(speaker.house) == []
    assert outside.calls == []
    approved(speaker, request)
    for _ in range(2):
        assert work(speaker.house) == []
    assert [there(speaker, each) for each in (one, other)] == [410, 410]
    assert len(outside.calls) == 1
    mine = [each.external_id for each in rows(speaker.house, rights_requests, tenant_id=speaker.id)]
    assert sorted(mine, key=str) == [None, RUN]


@pytest.mark.parametrize("order", [("hold", "request"), ("request", "hold"), None], ids=str)
def test_the_last_of_several_requests_resumes(speaker: Tenant, outside: Outside, order: tuple[str, ...] | None) -> None:
    """Fides waits for a hold here and a request there: it is told once, after both are over, in whatever order."""
    one, other = person(speaker), person(speaker)
    held, request = hold(speaker, other)["id"], asked(speaker, "erasure", customers=[one])["id"]
    assert announce(speaker).get_json() == WAIT
    end = {"hold": lambda: lift(speaker, held), "request": lambda: approved(speaker, request)}
    if order is None:
        lift(speaker, held)
        approved(speaker, request)
    for each in order or ():
        assert outside.calls == []
        end[each]()
        for _ in range(2):
            assert work(speaker.house) == []
    for _ in range(3):
        assert work(speaker.house) == []
    assert [there(speaker, each) for each in (one, other)] == [410, 410]
    assert len(outside.calls) == 1
    assert {each.address for each in rows(speaker.house, callbacks, tenant_id=speaker.id)} == {None}


def test_of_two_workers_one_is_last(speaker: Tenant) -> None:
    """Two callbacks of one run that are told at the same time: exactly one of them resumes it, whoever is faster."""
    people = [person(speaker), person(speaker)]
    requests = [asked(speaker, "erasure", customers=[each])["id"] for each in people]
    for _ in range(5):
        assert announce(speaker).get_json() == WAIT

        def ask(number: int) -> bool:
            return is_last(speaker.desk, requests[number], RUN, WAITING, "executing")

        assert sorted(at_once(2, ask)) == [False, True]


def test_a_retry_that_knows_more(speaker: Tenant, outside: Outside) -> None:
    """Fides sends the same privacy request with further identities: whoever they match is erased as well, once."""
    one = person(speaker)
    old = {"email": "old@example.com"}
    for _ in range(2):
        assert announce(speaker, identity=old).get_json() == GO_ON
    assert there(speaker, one) == 200
    for _ in range(2):
        assert announce(speaker, identity=old | {"phone_number": ADA["phone"]}).get_json() == GO_ON
    assert there(speaker, one) == 410
    mine = [each.external_id for each in rows(speaker.house, rights_requests, tenant_id=speaker.id)]
    assert sorted(mine) == [RUN, f"{RUN}.2"]
    assert outside.calls == []


def test_a_retry_that_finds_something_in_the_way(speaker: Tenant, outside: Outside) -> None:
    """Whom only the retry knows is held: Fides waits for that, and goes on with the retry's token."""
    held = hold(speaker, person(speaker))["id"]
    assert announce(speaker, identity={"email": "old@example.com"}).get_json() == GO_ON
    assert announce(speaker, token="newer").get_json() == WAIT
    lift(speaker, held)
    for _ in range(3):
        assert work(speaker.house) == []
    assert [headers["Authorization"] for _, _, headers in outside.calls] == ["Bearer newer"]


def test_a_retry_after_a_denial(speaker: Tenant) -> None:
    """What was denied for somebody whom Fides waited for stays denied, whoever had asked; withdrawn is not denied."""
    one = person(speaker)
    for kept, end in ((200, deny), (410, withdraw)):
        request = asked(speaker, "erasure", customers=[one])["id"]
        run = {"privacy_request_id": RUN if kept == 200 else OTHER_RUN}
        assert announce(speaker, **run).get_json() == WAIT
        end(speaker, request)
        assert announce(speaker, **run).get_json() == GO_ON
        assert there(speaker, one) == kept


def test_two_announcements_at_once(speaker: Tenant) -> None:
    """A run in several threads at once: every customer is in one request, and every answer is an answer."""
    people = [person(speaker) for _ in range(3)]
    answers = at_once(4, lambda _: announce(speaker).get_json())
    assert answers == [GO_ON] * 4
    assert [there(speaker, each) for each in people] == [410] * 3
    found = [each.customer_id for each in rows(speaker.house, rights_targets, tenant_id=speaker.id)]
    assert sorted(found) == sorted(people)


def deny(tenant: Tenant, request: str) -> None:
    received = row(tenant.house, rights_requests, request_id=request).received_at
    body = {"reason": "legal_claims", "notified_at": received.strftime("%Y-%m-%dT%H:%M:%SZ")}
    assert tenant.call("POST", f"/v1/rights-requests/{request}/deny", body, role="privacy").status_code == 200


def withdraw(tenant: Tenant, request: str) -> None:
    assert tenant.call("DELETE", f"/v1/rights-requests/{request}", role="privacy").status_code == 200


def there(tenant: Tenant, customer: str) -> int:
    return tenant.call("GET", f"/v1/customers/{customer}").status_code


def under(*actions: object) -> dict[str, Any]:
    """What Fides 2.78 says of a policy: its rules with much else, and the first one's action by itself."""
    rules = [{"name": f"Rule {each}", "action_type": each, "storage_destination": None} for each in actions]
    policy = {"name": "Policy", "key": "policy", "execution_timeframe": 45, "rules": rules}
    return {"policy_action": actions[0], "privacy_request": {"id": RUN, "status": "in_processing", "policy": policy}}


@pytest.mark.parametrize("actions", [("access", "erasure"), ("consent", "access", "erasure"), ("erasure", "access")])
def test_any_rule_of_the_policy_is_an_erasure(speaker: Tenant, actions: tuple[str, ...]) -> None:
    """Fides names the first rule's action by itself; the person is erased wherever the erasure stands among them."""
    customer = person(speaker)
    assert announce(speaker, **under(*actions)).get_json() == GO_ON
    assert there(speaker, customer) == 410


@pytest.mark.parametrize("rules", [("access",), ("access", "consent"), (None, "update")], ids=str)
def test_no_rule_of_the_policy_is_an_erasure(speaker: Tenant, rules: tuple[object, ...]) -> None:
    """Then nobody is erased."""
    customer = person(speaker)
    assert announce(speaker, **under(*rules)).get_json() == GO_ON
    assert there(speaker, customer) == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"identity": {"email": "ada@example.com", "ga_client_id": VISA, "loyalty_id": {"label": VISA, "value": 1}}},
        {"privacy_request": {"custom_privacy_request_fields": {"order": {"label": "Order", "value": VISA}}}},
        {"privacy_request": {"policy": {"rules": [{"action_type": "erasure", "name": VISA, VISA: VISA}]}}},
        {VISA: VISA, "timestamp": VISA},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_is_not_read_is_not_looked_at(speaker: Tenant, changes: dict[str, Any]) -> None:
    """A digit run in what is dropped anyway holds nobody's erasure up."""
    customer = person(speaker)
    assert announce(speaker, **changes).get_json() == GO_ON
    assert there(speaker, customer) == 410


@pytest.mark.parametrize("kind", ["email", "phone_number", "external_id"])
def test_what_is_read_holds_no_card_number(speaker: Tenant, kind: str) -> None:
    """In an identity that people are found by, a card number is refused; nothing is written."""
    answer = announce(speaker, identity={kind: VISA})
    assert (answer.status_code, answer.get_json()["code"]) == (422, "card_number_misplaced")
    assert rows(speaker.house, rights_requests, tenant_id=speaker.id) == []


@pytest.mark.parametrize(
    "changes", [{"policy_action": "access"}, {"policy_action": None}, {"callback_type": "post"}], ids=str
)
def test_what_is_not_ours(speaker: Tenant, changes: dict[str, Any]) -> None:
    """Access, consent, post-execution: nothing is done, nothing is held up."""
    customer = person(speaker)
    assert announce(speaker, **changes).get_json() == GO_ON
    assert speaker.call("GET", f"/v1/customers/{customer}").status_code == 200


def test_one_way_does_not_wait(speaker: Tenant, outside: Outside) -> None:
    """Fides sends no token where it does not wait for an answer: there is nothing to resume."""
    hold(speaker, person(speaker))
    announce(speaker, token="", direction="one_way")
    assert rows(speaker.house, callbacks, tenant_id=speaker.id) == []
    assert work(speaker.house) == []
    assert outside.calls == []


def test_the_token_is_kept_sealed(speaker: Tenant) -> None:
    """No column shows it; a token that no header can carry is not kept."""
    hold(speaker, person(speaker))
    announce(speaker)
    [kept] = rows(speaker.house, callbacks, tenant_id=speaker.id)
    assert TOKEN not in str(kept)
    assert "ada@" not in str(rows(speaker.house, rights_requests, tenant_id=speaker.id))


WRONG = [
    {"privacy_request_id": ""},
    {"privacy_request_id": "../../admin"},
    {"privacy_request_id": ".."},
    {"privacy_request_id": "pri_.."},
    {"privacy_request_id": RUN.removeprefix("pri_")},
    {"privacy_request_id": RUN.upper()},
    {"privacy_request_id": f"{RUN}\n"},
    {"privacy_request_id": f"{RUN}.2"},
    {"privacy_request_id": "pri_029832ba-3b84-10f7-8946-82aec6f95448"},
    {"direction": "sideways"},
    {"identity": None},
    {"identity": {"email": 5}},
    {"identity": {"email": "x" * 255}},
]


@pytest.mark.parametrize("changes", WRONG, ids=str)
def test_what_is_refused(speaker: Tenant, changes: dict[str, Any]) -> None:
    """422 in problem details, which Fides shows as an error of the run; nothing is written, nothing repeated."""
    answer = announce(speaker, **changes)
    assert (answer.status_code, answer.get_json()["code"]) == (422, "invalid_request")
    assert rows(speaker.house, rights_requests, tenant_id=speaker.id) == []


def test_a_card_number_in_place_of_the_token(speaker: Tenant) -> None:
    """It would be kept: refused before anybody is erased."""
    customer = person(speaker)
    answer = announce(speaker, token="4242-4242-4242-4242")
    assert (answer.status_code, answer.get_json()["code"]) == (422, "card_number_misplaced")
    assert speaker.call("GET", f"/v1/customers/{customer}").status_code == 200


def test_the_program_itself_reaches_a_fides_on_this_machine(tenant: Tenant) -> None:
    """As it is wired for users: the server that the operator named is called wherever it is."""
    heard = []

    class Fides(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(
                (self.path, self.headers["Authorization"], self.rfile.read(int(self.headers["Content-Length"])))
            )
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Fides) as server:
        threading.Thread(target=server.handle_request).start()
        components = tenant.house.components
        url = f"http://127.0.0.1:{server.server_port}/api/v1"
        components = replace(components, settings=replace(components.settings, fides_url=url))
        wired = replace(tenant, house=replace(tenant.house, components=components, app=make_app(components)))
        order_of_hold = hold(wired, person(wired))
        assert announce(wired).get_json() == WAIT
        lift(wired, order_of_hold["id"])
        for _ in range(2):
            assert work(wired.house) == []
    assert heard == [(f"/api/v1/privacy-request/{RUN}/resume", f"Bearer {TOKEN}", b"{}")]


def test_not_configured(tenant: Tenant) -> None:
    """Without the address of a Fides nobody could be resumed: 404 that says so."""
    answer = announce(tenant)
    assert (answer.status_code, answer.get_json()["code"]) == (404, "not_configured")
    assert json.loads(answer.get_data())["detail"].endswith("PANLESS_FIDES_URL is not set.")
