"""Events out: written with what they tell, delivered signed, tried for three days, visible and sent again."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from events_scene import URL, Receiver, deliver, endpoint, parsed, waiting
from house import Tenant
from records_scene import at_once, rows
from sqlalchemy import update
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from rows.engine import transaction
from vault.events import delivery, queueing
from vault.lanes.people import purge_once
from vault.outgoing import NotPosted, Posted
from vault.tables import event_deliveries, events, webhook_endpoints

PERSON = {"reference": "R-77", "billing_contact": {"name": "Ada Lovelace", "email": "ada@lovelace.example"}}


def test_each_change_of_a_charge_is_told(shop: Tenant, receiver: Receiver) -> None:
    """Signed so that the published package verifies it; the type and the state, in their order."""
    secret = endpoint(shop)["secret"]
    charge = shop.charge(shop.token()["id"], capture_method="manual").get_json()["id"]
    shop.call("POST", f"/v1/charges/{charge}/capture", Idempotency_Key="c")
    shop.call("POST", f"/v1/charges/{charge}/refunds", {"amount": 100}, Idempotency_Key="r")
    assert deliver(shop) == []
    seen = []
    for url, body, headers in receiver.calls:
        assert url == URL
        message = Webhook(secret).verify(body, headers)
        assert headers["webhook-id"] == message["id"]
        seen.append((message["type"], message["data"]["status"], message["data"].get("amount")))
    charges = [("charge.authorized", "authorized", 1234), ("charge.captured", "captured", 1234)]
    assert seen == [("token.active", "active", None), *charges, ("refund.succeeded", "succeeded", 100)]
    receiver.calls.clear()
    deliver(shop)
    assert receiver.calls == []


def test_tampered_and_foreign_signatures(shop: Tenant, receiver: Receiver) -> None:
    """A changed body, or another endpoint's secret, does not verify."""
    endpoint(shop)
    other = endpoint(shop, url="https://other.example/")["secret"]
    shop.charge(shop.token()["id"])
    deliver(shop)
    _, body, headers = next(call for call in receiver.calls if call[0] == URL)
    for secret, changed in ((other, body), (other, body.replace(b"1234", b"1"))):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(changed, headers)


def test_secrets_overlap(shop: Tenant, receiver: Receiver) -> None:
    """For a day both secrets verify, then only the new one; a secret is shown once."""
    made = endpoint(shop)
    path = f"/v1/webhook-endpoints/{made['id']}"
    new = shop.call("POST", f"{path}/rotate").get_json()["secret"]
    assert shop.call("GET", path).get_json()["secret"] is None
    shop.charge(shop.token()["id"])
    deliver(shop)
    _, body, headers = receiver.calls[0]
    for secret in (made["secret"], new):
        Webhook(secret).verify(body, headers)
    [found] = rows(shop.house, webhook_endpoints, endpoint_id=made["id"])
    later = delivery.webhook_endpoints.signing(
        shop.house.components.keyring, found, datetime.now(UTC) + timedelta(hours=24, minutes=1)
    )
    assert [secret.value for secret in later] == [new]


def test_only_what_an_endpoint_wants(shop: Tenant, receiver: Receiver) -> None:
    """By type; a disabled one gets nothing, another tenant's neither."""
    endpoint(shop, events=["refund.succeeded"])
    off = endpoint(shop)
    shop.call("PATCH", f"/v1/webhook-endpoints/{off['id']}", {"status": "disabled"})
    stranger = shop.house.tenant()
    stranger.charge(stranger.token()["id"])
    charge = shop.charge(shop.token()["id"]).get_json()["id"]
    shop.call("POST", f"/v1/charges/{charge}/refunds", Idempotency_Key="r")
    deliver(shop)
    assert [parsed(body)["type"] for _, body, _ in receiver.calls] == ["refund.succeeded"]


@pytest.mark.parametrize("answer", [Posted(500), Posted(302), NotPosted("address_refused"), NotPosted("no_answer")])
def test_what_does_not_arrive_is_tried_again(shop: Tenant, receiver: Receiver, answer: Posted | NotPosted) -> None:
    """Later each time, the same id; the deliveries say what was met; after three days it has failed."""
    made = endpoint(shop, events=["charge.succeeded"])
    charge = shop.charge(shop.token()["id"]).get_json()["id"]
    receiver.answer = answer
    for attempts in (1, 2, 3):
        deliver(shop)
        assert len(receiver.calls) == attempts
        deliver(shop)  # not at once
        assert len(receiver.calls) == attempts
        waiting(shop)
    [shown] = shop.call("GET", f"/v1/webhook-endpoints/{made['id']}/deliveries").get_json()["data"]
    assert (shown["status"], shown["attempts"]) == ("pending", 3)
    assert shown["last_error"] == (answer.reason if isinstance(answer, NotPosted) else f"http_{answer.status}")
    assert len({headers["webhook-id"] for _, _, headers in receiver.calls}) == 1
    waiting(shop, days=3, minutes=1)
    deliver(shop)
    [shown] = shop.call("GET", f"/v1/webhook-endpoints/{made['id']}/deliveries").get_json()["data"]
    assert shown["status"] == "failed"
    assert shop.call("GET", f"/v1/webhook-endpoints/{made['id']}").get_json()["status"] == "disabled"
    told = shop.call("GET", "/v1/events?type=webhook_endpoint.disabled").get_json()["data"]
    assert [event["resource"] for event in told] == [made["id"]]
    receiver.answer = Posted(204)
    shop.call("PATCH", f"/v1/webhook-endpoints/{made['id']}", {"status": "enabled"})
    receiver.calls.clear()
    again = shop.call("POST", f"/v1/webhook-endpoints/{made['id']}/replay", {"since": "2026-01-01T00:00:00Z"})
    assert (again.status_code, again.get_json()["events"] >= 2) == (202, True)
    deliver(shop)
    assert charge in {parsed(body)["data"]["id"] for _, body, _ in receiver.calls}


def test_workers_at_once_deliver_once(shop: Tenant, receiver: Receiver) -> None:
    """Six workers, one delivery of each event."""
    endpoint(shop)
    token = shop.token()["id"]
    for _ in range(5):
        shop.charge(token)
    at_once(6, lambda _: deliver(shop))
    sent = [headers["webhook-id"] for _, _, headers in receiver.calls]
    assert len(sent) == len(set(sent)) == len(rows(shop.house, events, tenant_id=shop.id))


def test_a_worker_that_dies_between_loses_nothing(shop: Tenant, receiver: Receiver) -> None:
    """One that has the endpoint's turn and does not come back: the next one delivers when the lease is over."""
    endpoint(shop, events=["charge.succeeded"])
    shop.charge(shop.token()["id"])
    parts = shop.house.components.workshop
    queueing.fan_out(parts)
    [due] = delivery.due(parts, delivery.ANSWERING, 1)
    assert delivery.take_up(parts, due)
    deliver(shop)
    assert receiver.calls == []
    waiting(shop)
    deliver(shop)
    assert len(receiver.calls) == 1


MADE_UP = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z|_00[a-z2-7]{26}")
"""Moments and our ids: any four digits come up in them."""


def test_nothing_of_the_person_leaves(shop: Tenant, receiver: Receiver) -> None:
    """Name, address, card, reference, obligation, metadata and descriptor are in no event."""
    endpoint(shop)
    token = shop.token(customer=PERSON, metadata={"order": "SECRETMETA"})
    order = {"obligation": "INV-OBLIGATION", "metadata": {"k": "SECRETMETA"}, "statement_descriptor": "SHOPDESC"}
    charge = shop.charge(token["id"], **order).get_json()["id"]
    shop.charge(shop.token("4000000000000341")["id"])
    shop.call("POST", f"/v1/charges/{charge}/refunds", {"reason": "fraudulent"}, Idempotency_Key="r")
    deliver(shop)
    sent = MADE_UP.sub("", b" ".join(body for _, body, _ in receiver.calls).decode())
    stored = MADE_UP.sub("", " ".join(found.data for found in rows(shop.house, events, tenant_id=shop.id)))
    for secret in ("Ada", "lovelace", "4242", "0341", "R-77", "INV-OBLIGATION", "SECRETMETA", "SHOPDESC"):
        assert secret not in sent
        assert secret not in stored


def test_old_events_go(shop: Tenant) -> None:
    """After 30 days, with their deliveries; younger ones stay."""
    endpoint(shop)
    token = shop.token()["id"]
    shop.charge(token)
    deliver(shop)
    with transaction(shop.house.components.records) as tx:
        old = datetime.now(UTC) - timedelta(days=31)
        tx.execute(update(events).where(events.c.tenant_id == shop.id).values(created_at=old))
    young = shop.charge(token).get_json()["id"]
    purge_once(shop.house.components.workshop, lambda *_: None)
    assert {each.resource_id for each in rows(shop.house, events, tenant_id=shop.id)} == {young}
    assert rows(shop.house, event_deliveries, tenant_id=shop.id) == []


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example/",
        "https://",
        "https://user@shop.example/",
        "ftp://x",
        "https://shop.example/#a",
        "https://sh op",
    ],
)
def test_urls_that_are_refused(shop: Tenant, url: str) -> None:
    """Where it leads is looked at when it is called; what can't be called at all is refused at once."""
    assert shop.call("POST", "/v1/webhook-endpoints", {"url": url}).status_code == 422


def test_an_endpoint_that_is_removed(shop: Tenant, receiver: Receiver) -> None:
    """Nothing more is sent there, and it is not found."""
    made = endpoint(shop)
    shop.charge(shop.token()["id"])
    deliver(shop)
    assert shop.call("DELETE", f"/v1/webhook-endpoints/{made['id']}").status_code == 204
    assert shop.call("GET", f"/v1/webhook-endpoints/{made['id']}").status_code == 404
    receiver.calls.clear()
    shop.charge(shop.token()["id"])
    deliver(shop)
    assert receiver.calls == []
