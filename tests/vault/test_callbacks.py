"""Telling controllers how their requests stand: each status, signed, until they have it."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from time import sleep

import pytest
from holds_scene import hold, lift
from house import Tenant, make_app
from opendsr_scene import (
    CONTROLLER,
    DOMAIN,
    OTHER,
    Outside,
    details,
    email,
    order,
    processor,
    sent,
    speaking,
    standing,
    verify,
)
from records_scene import Crash, end_leases, later, row, rows, work
from rights_scene import approved, person

from vault.errors import CallbackFailed, LedgerAway
from vault.lanes.news import tell_once
from vault.lanes.people import execute_once
from vault.outgoing import NotPosted, Posted
from vault.tables import callbacks, rights_requests

URL = f"https://{CONTROLLER}/dsr"


@pytest.fixture
def outside() -> Outside:
    return Outside()


@pytest.fixture
def speaker(tenant: Tenant, outside: Outside) -> Tenant:
    return speaking(tenant, outside=outside)


def ask(tenant: Tenant, kind: str = "erasure", *urls: str) -> str:
    return sent(tenant, order(kind, status_callback_urls=list(urls) or [URL]))


def statuses(outside: Outside) -> list[str]:
    return [body["request_status"] for body in outside.bodies()]


def at(tenant: Tenant, **ahead: float) -> Tenant:
    return replace(tenant, house=later(tenant.house, **ahead))


def test_each_status_is_told(speaker: Tenant, outside: Outside) -> None:
    """In progress, then completed; after that nothing, and the address is gone."""
    person(speaker)
    ident = ask(speaker)
    for _ in range(3):
        assert work(speaker.house) == []
    assert statuses(outside) == ["in_progress", "completed"]
    assert {url for url, _, _ in outside.calls} == {URL}
    shown = standing(speaker, ident)
    assert outside.bodies()[-1] == {**shown, "status_callback_url": URL}
    assert row(speaker.house, callbacks, tenant_id=speaker.id).address is None


def test_what_passed_before_anybody_looked_is_told(speaker: Tenant, outside: Outside) -> None:
    """A request that is complete when the worker first looks was in progress before: both, in their order."""
    ask(speaker)  # nobody matches
    assert work(speaker.house) == []
    assert statuses(outside) == ["in_progress", "completed"]


def test_callbacks_are_signed(speaker: Tenant, outside: Outside, tmp_path: Path) -> None:
    """Over the very bytes that are sent; openssl verifies it."""
    ask(speaker)
    work(speaker.house)
    for _, body, headers in outside.calls:
        assert (headers["Content-Type"], headers["X-OpenDSR-Processor-Domain"]) == ("application/json", DOMAIN)
        assert verify(tmp_path, processor().certificate, body, headers["X-OpenDSR-Signature"])


def test_every_url_is_told(speaker: Tenant, outside: Outside) -> None:
    """Each URL once, under its own name; one that fails holds up no other host."""
    outside.answers = [Posted(500)]
    other = f"https://{OTHER}/dsr"
    ask(speaker, "erasure", URL, other, URL)
    assert len(work(speaker.house)) == 1
    assert [body["status_callback_url"] for body in outside.bodies()] == [URL, other, other]


def test_one_failing_call_for_a_host_and_round(speaker: Tenant, outside: Outside) -> None:
    """Ten requests of a controller that is slow and fails cost a round one call; once it is well all are told."""
    for number in range(10):
        sent(speaker, order("erasure", email(f"n{number}@example.com"), status_callback_urls=[URL]))
    outside.answers = [Posted(500)]
    assert len(work(speaker.house)) == 1
    assert len(outside.calls) == 1
    assert work(speaker.house) == []
    assert sorted(statuses(outside)[1:]) == ["completed"] * 10 + ["in_progress"] * 10


def test_what_is_left_out_comes_later(speaker: Tenant, outside: Outside) -> None:
    """Who is not called because its host failed is no failure, and due again behind all others within a minute."""
    ask(speaker, "erasure", URL, f"{URL}?second")
    outside.answers = [Posted(500)]
    work(speaker.house)
    before = later(speaker.house).components.clock()
    found = {each.attempts: each for each in rows(speaker.house, callbacks, tenant_id=speaker.id)}
    assert sorted(found) == [0, 1]
    assert (found[0].next_attempt_at - before).total_seconds() == pytest.approx(60, abs=10)


def test_a_failing_controller_holds_up_no_other_tenant(speaker: Tenant, outside: Outside) -> None:
    """Where two tenants name one host, what fails for one is tried for the other."""
    other = replace(speaker.house.tenant(), house=speaker.house)
    for tenant in (speaker, other):
        ask(tenant)
    outside.answers = [Posted(401)]
    assert len(work(speaker.house)) == 1
    assert statuses(outside) == ["in_progress", "in_progress", "completed"]


def test_callbacks_come_last_in_a_round(speaker: Tenant, outside: Outside) -> None:
    """Charges, erasures and packages are worked on before anybody's server is called."""
    person(speaker)
    ident = ask(speaker)
    seen = []

    def post(url: str, body: bytes, headers: Mapping[str, str]) -> Posted | NotPosted:
        if url == URL:
            seen.append(standing(speaker, ident)["request_status"])
        return outside.post(url, body, headers)

    house = replace(speaker.house, components=replace(speaker.house.components, post=post))
    assert work(house) == []
    assert seen == ["completed", "completed"]
    assert statuses(outside) == ["in_progress", "completed"]


def test_no_change_no_call(speaker: Tenant, outside: Outside) -> None:
    """What moves inside of one status is not told: blocked, then executing, is in progress all the while."""
    order_of_hold = hold(speaker, person(speaker))
    ask(speaker)
    for _ in range(3):
        assert work(speaker.house) == []
    assert statuses(outside) == ["in_progress"]
    lift(speaker, order_of_hold["id"])
    for _ in range(3):
        assert work(speaker.house) == []
    assert statuses(outside) == ["in_progress", "completed"]


@pytest.mark.parametrize("answer", [Posted(500), Posted(302), Posted(404), NotPosted("no_answer")])
def test_what_fails_is_told_again(speaker: Tenant, outside: Outside, answer: Posted | NotPosted) -> None:
    """Anything but a 2xx is no delivery: reported, and tried again until there is one, with what is true then."""
    hold(speaker, person(speaker))
    ask(speaker)
    outside.answers = [answer] * 2
    for _ in range(2):
        [(what, error)] = work(speaker.house)
        assert (what, type(error)) == ("callback", CallbackFailed)
        assert CONTROLLER not in str(error)
    assert work(speaker.house) == []
    assert statuses(outside) == ["in_progress"] * 3


def test_retries_come_later_each_time(speaker: Tenant, outside: Outside) -> None:
    """A round right after a failure does not call again; the pauses grow up to an hour."""
    hold(speaker, person(speaker))
    ask(speaker)
    outside.answers = [Posted(500)] * 20
    work(speaker.house)
    speaker.house.work()
    assert len(outside.calls) == 1
    pauses = []
    for _ in range(13):
        end_leases(speaker.house)
        before = later(speaker.house).components.clock()
        speaker.house.work()
        next_attempt = row(speaker.house, callbacks, tenant_id=speaker.id).next_attempt_at
        pauses.append(round((next_attempt - before).total_seconds()))
    assert pauses == sorted(pauses)
    assert pauses[0] == pytest.approx(10, abs=5)
    assert pauses[-1] == pytest.approx(3600, abs=60)


def test_three_days(speaker: Tenant, outside: Outside) -> None:
    """One status is tried for three days and then given up; the next one is told again."""
    order_of_hold = hold(speaker, person(speaker))
    ask(speaker)
    outside.answers = [Posted(500)] * 3
    for ahead in (0, 2.9, 3.1):
        assert len(work(at(speaker, days=ahead).house)) == 1
    assert work(at(speaker, days=3.2).house) == []
    assert statuses(outside) == ["in_progress"] * 3
    lift(speaker, order_of_hold["id"])
    for _ in range(2):
        assert work(at(speaker, days=3.3).house) == []
    assert statuses(outside)[3:] == ["completed"]


def test_a_failure_does_not_hold_the_request_up(speaker: Tenant, outside: Outside) -> None:
    """A controller that is away is told all that it missed once it is back, the end last, and then nothing more."""
    person(speaker)
    ident = ask(speaker)
    outside.answers = [Posted(500)] * 2
    assert len(work(speaker.house)) == 1
    assert standing(speaker, ident)["request_status"] == "completed"
    assert len(work(speaker.house)) == 1
    for _ in range(2):
        assert work(speaker.house) == []
    assert statuses(outside) == ["in_progress"] * 3 + ["completed"]


def test_what_was_delivered_is_not_told_again(speaker: Tenant, outside: Outside) -> None:
    """Of two statuses that are told at once the first stays told where the second fails."""
    ask(speaker)  # nobody matches
    outside.answers = [Posted(200), Posted(500)]
    assert len(work(speaker.house)) == 1
    assert work(speaker.house) == []
    assert statuses(outside) == ["in_progress", "completed", "completed"]


def test_a_status_that_is_given_up_does_not_take_the_next_with_it(speaker: Tenant, outside: Outside) -> None:
    """A controller that took no `in_progress` for three days is told of the end all the same."""
    ask(speaker)
    outside.answers = [Posted(400)] * 2
    for ahead in (0, 3.1):
        assert len(work(at(speaker, days=ahead).house)) == 1
    assert work(at(speaker, days=3.2).house) == []
    assert statuses(outside) == ["in_progress", "in_progress", "completed"]


def test_an_error_of_ours_is_put_off_too(speaker: Tenant) -> None:
    """Whatever is raised while something is told: reported, tried again later each time, given up after three days."""

    def post(url: str, _body: bytes, _headers: Mapping[str, str]) -> Posted:
        if url == URL:
            raise LedgerAway
        return Posted(200)

    components = replace(speaker.house.components, post=post)
    speaker = replace(speaker, house=replace(speaker.house, components=components))
    hold(speaker, person(speaker))
    ask(speaker)
    for ahead, attempts in ((0, 1), (1, 2)):
        house = at(speaker, days=ahead).house
        [(what, error)] = work(house)
        assert (what, type(error), "LedgerAway" in str(error)) == ("callback", CallbackFailed, True)
        kept = row(speaker.house, callbacks, tenant_id=speaker.id)
        assert kept.attempts == attempts
        assert kept.next_attempt_at > later(speaker.house).components.clock()
    assert len(work(at(speaker, days=3.1).house)) == 1
    assert work(at(speaker, days=3.2).house) == []


def test_a_host_that_is_not_allowed_any_more(speaker: Tenant, outside: Outside) -> None:
    """What the operator takes off the list is not called, not even for requests that named it before."""
    hold(speaker, person(speaker))
    ask(speaker)
    components = speaker.house.components
    settings = replace(components.settings, callback_hosts=None)
    house = replace(speaker.house, components=replace(components, settings=settings))
    [(_, error)] = work(house)
    assert "host_not_allowed" in str(error)
    assert outside.calls == []


def test_no_link_goes_with_the_news(speaker: Tenant, outside: Outside) -> None:
    """A link that was given out opens its package whatever is told after it, to one URL or another, again and again."""
    person(speaker)
    outside.answers = [Posted(500)] * 2
    ident = ask(speaker, "access", URL, f"https://{OTHER}/dsr")
    work(speaker.house)
    link = standing(speaker, ident)["results_url"].removeprefix(f"https://{DOMAIN}")
    assert work(speaker.house) == []
    assert statuses(outside).count("completed") == 2
    assert {body.get("results_count") for body in outside.bodies() if body["request_status"] == "completed"} == {1}
    assert all("results_url" not in body for body in outside.bodies())
    assert speaker.house.app.test_client().get(link).status_code == 200


def test_pending_then_cancelled(tenant: Tenant, outside: Outside) -> None:
    """A request that waits for a second actor is told of when it is decided, with how."""
    strict = speaking(tenant, outside=outside, erasures_per_day=0)
    person(strict)
    ident = ask(strict)
    assert work(strict.house) == []
    assert outside.calls == []
    strict.call("DELETE", f"/opendsr/v2/requests/{ident}", role="privacy")
    assert work(strict.house) == []
    assert statuses(outside) == ["cancelled"]
    assert details(outside.bodies()[0])["outcome"] == "cancelled"


def test_a_claim_is_one_workers(speaker: Tenant, outside: Outside) -> None:
    """Of two workers that find the same callback one calls; a crash in the middle leaves it to a later round."""
    hold(speaker, person(speaker))
    ask(speaker)
    end_leases(speaker.house)

    def post(url: str, body: bytes, headers: Mapping[str, str]) -> Posted | NotPosted:
        if url == URL:
            raise Crash
        return outside.post(url, body, headers)

    components = replace(speaker.house.components, post=post)
    with pytest.raises(Crash):
        replace(speaker.house, components=components).work()
    speaker.house.work()
    assert outside.calls == []
    work(speaker.house)
    assert statuses(outside) == ["in_progress"]


def test_servers_that_hang_hold_up_nothing_else(speaker: Tenant, outside: Outside) -> None:
    """Once the time for telling is over no further call is begun; whoever was not told is told in the next round."""
    hold(speaker, person(speaker))
    ask(speaker, "erasure", URL, f"https://{OTHER}/dsr")

    def post(url: str, body: bytes, headers: Mapping[str, str]) -> Posted | NotPosted:
        sleep(0.02)
        return outside.post(url, body, headers)

    slow = replace(speaker.house, components=replace(speaker.house.components, post=post))
    shop, reported = slow.components.workshop, dict[str, Exception]()
    execute_once(shop, reported.__setitem__)
    end_leases(slow)
    assert tell_once(shop, reported.__setitem__, seconds=0.01) == 1
    assert reported == {}
    assert statuses(outside) == ["in_progress"]
    work(slow)
    assert statuses(outside) == ["in_progress", "in_progress"]


def test_the_program_itself_calls_nobody_on_this_machine(tenant: Tenant) -> None:
    """As it is wired for users, with no hand of a test in it: an allowed host that is private is not dialled."""
    components = tenant.house.components
    settings = replace(components.settings, callback_hosts=frozenset({"localhost:9"}))
    house = replace(tenant.house, components=replace(components, settings=settings, opendsr=processor()))
    wired = replace(tenant, house=replace(house, app=make_app(house.components)))
    ask(wired, "erasure", "https://localhost:9/dsr")
    [(_, error)] = work(wired.house)
    assert "address_refused" in str(error)


def test_only_whoever_asked_is_told(speaker: Tenant, outside: Outside) -> None:
    """A request of our own protocol calls nobody."""
    request = speaker.call(
        "POST",
        "/v1/rights-requests",
        {"type": "access", "customers": [person(speaker)], "verification": {"method": "account"}},
        role="privacy",
    ).get_json()["id"]
    approved(speaker, request)
    work(speaker.house)
    assert outside.calls == []
    assert rows(speaker.house, callbacks, tenant_id=speaker.id) == []
    assert row(speaker.house, rights_requests, request_id=request).state == "completed"
    assert json.dumps(outside.bodies()) == "[]"
