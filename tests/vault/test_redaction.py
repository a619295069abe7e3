"""The second step where the policy has one: a processor redacts what it keeps, months after the erasure."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from backups import backup
from erasure_scene import certificate_of, dek_is_gone, request_of
from house import House, Tenant, open_house, run_sandbox
from plan_scene import at_sandbox, plan, subscribe
from records_scene import (
    CONTACT,
    Crash,
    Interposed,
    act_then_crash,
    at_processor,
    crash,
    interpose,
    later,
    row,
    rows,
    work,
)
from redaction_scene import DAYS, Kept
from rights_scene import with_policy
from sqlalchemy import event

from rows.engine import reader_of
from vault.ledger.book import find
from vault.processing.answers import Refused, Unknown
from vault.tables import erasure_recipients, erasures


@pytest.fixture
def tenant(tenant: Tenant) -> Tenant:
    """A tenant where the sandbox is to redact after 90 days."""
    return with_policy(tenant, redaction={"sandbox": DAYS})


def erased(tenant: Tenant, *, charge: bool = False) -> str:
    """A customer with a contact that was erased here and at the processor."""
    token = tenant.token(customer={"billing_contact": CONTACT})
    if charge:
        assert tenant.charge(token["id"]).status_code == 201
    assert tenant.erase(token["customer"]).status_code == 200
    return token["customer"]


def on_day(tenant: Tenant, days: float, rounds: int = 1, **hooks: Callable[[Callable[[], Any]], Any]) -> None:
    """Rounds of the worker so many days later."""
    for _ in range(rounds):
        assert work(later(interpose(tenant, **hooks).house, days=days)) == []


def redaction_in(tenant: Tenant, customer: str) -> dict[str, Any]:
    """What the latest certificate says of it."""
    told = certificate_of(tenant, customer)["certificate"]["recipients"]
    [found] = [each for each in told if each["what"] == "redaction"]
    return found


def redaction_of(tenant: Tenant) -> Any:
    return row(tenant.house, erasure_recipients, tenant_id=tenant.id, what="redaction")


def erasure_of(tenant: Tenant) -> Any:
    return row(tenant.house, erasures, tenant_id=tenant.id)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_a_redaction_is_scheduled_and_holds_nothing_up(tenant: Tenant) -> None:
    """The request completes with the day in its certificate; the erasure's key stays for the processor's name."""
    customer = erased(tenant, charge=True)
    assert request_of(tenant, customer)["status"] == "completed_with_retention"
    entry = certificate_of(tenant, customer)
    assert (entry["certificate"]["completed_at"] is not None, entry["dek_id"]) == (True, None)
    listed = [(each["what"], each["result"]) for each in entry["certificate"]["recipients"]]
    assert listed == [("payment_method", "erased"), ("customer", "erased"), ("redaction", "scheduled")]
    asked, found = erasure_of(tenant), redaction_in(tenant, customer)
    due = asked.requested_at + timedelta(days=DAYS)
    assert moment(found["scheduled_for"]) == due.replace(microsecond=0)
    assert found["answered_at"] is None
    assert (asked.state, asked.lease_until) == ("redacting", due)
    assert not dek_is_gone(tenant, asked.dek_id)


def test_the_worker_does_nothing_before_the_day(tenant: Tenant) -> None:
    """Not even looks at it, once it knows the day; who takes it up nevertheless puts it back until then."""
    erased(tenant)
    assert tenant.house.work() == (0, [])
    on_day(tenant, DAYS - 1, redact=crash)
    asked = erasure_of(tenant)
    assert (asked.state, asked.lease_until) == ("redacting", redaction_of(tenant).next_attempt_at)
    assert tenant.house.work() == (0, [])


def test_a_customer_is_redacted_when_the_day_has_come(tenant: Tenant) -> None:
    """Job, run, done: a certificate that supersedes the first, and the erasure's key is gone; completed as it was."""
    person = tenant.token(customer={"billing_contact": CONTACT})["customer"]
    [method] = next(iter(at_processor(tenant).values()))
    assert tenant.erase(person).status_code == 200
    before, request, first = erasure_of(tenant), request_of(tenant, person), certificate_of(tenant, person)
    on_day(tenant, DAYS + 1)
    assert (redaction_of(tenant).result, redaction_of(tenant).reference_version) == ("scheduled", 2)
    on_day(tenant, DAYS + 1)
    assert certificate_of(tenant, person) == first
    assert at_sandbox(tenant, "GET", f"/v1/payment_methods/{method}")["billing_details"]["name"] == CONTACT["name"]
    on_day(tenant, DAYS + 1)
    assert at_sandbox(tenant, "GET", f"/v1/payment_methods/{method}")["billing_details"]["name"] is None
    last = certificate_of(tenant, person)
    found = redaction_in(tenant, person)
    assert (found["result"], found["scheduled_for"]) == ("redacted", None)
    assert moment(found["answered_at"]) > datetime.now(UTC) + timedelta(days=DAYS)
    assert last["certificate"]["supersedes"] == first["entry_id"]
    assert last["certificate"]["completed_at"] == first["certificate"]["completed_at"]
    assert {each["result"] for each in last["certificate"]["targets"]} == {"verified"}
    assert request_of(tenant, person) == request
    assert (erasure_of(tenant).state, redaction_of(tenant).reference) == ("completed", None)
    assert (last["dek_id"], dek_is_gone(tenant, before.dek_id)) == (before.dek_id.hex(), True)
    assert tenant.house.work() == (0, [])


@pytest.fixture
def aging(own_house: House, tmp_path: Path) -> Iterator[House]:
    """A deployment with a sandbox of its own, so that time may pass there."""
    with run_sandbox(tmp_path) as sandbox:
        house = open_house(own_house.home, {**own_house.environment, "PANLESS_SANDBOX_URL": sandbox.url}, sandbox)
        yield house
        house.components.close()


def test_a_job_that_failed_is_made_anew(aging: House) -> None:
    """Charged too short ago: another day, said in a certificate, and another key; then it succeeds."""
    tenant = with_policy(aging.tenant(), redaction={"sandbox": DAYS})
    customer = erased(tenant, charge=True)
    first = certificate_of(tenant, customer)
    on_day(tenant, DAYS + 1, rounds=2)
    second, found = certificate_of(tenant, customer), redaction_in(tenant, customer)
    assert (found["result"], second["certificate"]["supersedes"]) == ("scheduled", first["entry_id"])
    again = moment(found["scheduled_for"]) - datetime.now(UTC)
    assert timedelta(days=DAYS + 7) < again <= timedelta(days=DAYS + 8)
    assert not dek_is_gone(tenant, erasure_of(tenant).dek_id)
    on_day(tenant, DAYS + 7, redact=crash)
    aging.sandbox.hook("POST", "/_clock", {"advance_seconds": (DAYS + 1) * 86_400})
    on_day(tenant, DAYS + 9, rounds=3)
    assert redaction_in(tenant, customer)["result"] == "redacted"
    assert certificate_of(tenant, customer)["certificate"]["supersedes"] == second["entry_id"]
    assert dek_is_gone(tenant, erasure_of(tenant).dek_id)


def unable(tenant: Tenant) -> Tenant:
    """The tenant before a door whose processor can't redact."""

    class Unable(Interposed):
        abilities = frozenset[str]()

    parts = tenant.house.components
    components = replace(parts, processors={"sandbox": Unable(parts.processors["sandbox"], redact=crash)})
    return replace(tenant, house=replace(tenant.house, components=components))


def unknown_address(tenant: Tenant) -> Tenant:
    tenant.house.sandbox.fault(method="*", path="/v1/privacy/*", do="unknown_url", times=1)
    return tenant


def unknown_customer(tenant: Tenant) -> Tenant:
    return interpose(tenant, redact=lambda _call: Refused(code="resource_missing", param="objects[customers]"))


@pytest.mark.parametrize("without", [unable, unknown_address, unknown_customer])
def test_who_offers_no_redaction_is_not_asked_again(tenant: Tenant, without: Callable[[Tenant], Tenant]) -> None:
    """No such ability, an account without the preview, a customer it doesn't know: final, and said as it is."""
    customer = erased(tenant)
    assert work(later(without(tenant).house, days=DAYS + 1)) == []
    assert redaction_in(tenant, customer)["result"] == "not_available"
    assert erasure_of(tenant).state == "completed"
    assert dek_is_gone(tenant, erasure_of(tenant).dek_id)


def test_killed_before_the_job_is_written_down(tenant: Tenant) -> None:
    """A repeated key brings its job back; it is written down before it is run, and a lost run is not run twice."""
    customer, jobs = erased(tenant), []

    def noted(call: Callable[[], Any]) -> Any:
        made = call()
        jobs.append(made.job)
        return made

    with pytest.raises(Crash):
        on_day(tenant, DAYS + 1, redact=lambda call: act_then_crash(partial(noted, call)))
    assert redaction_of(tenant).reference_version == 1
    on_day(tenant, DAYS + 1, redact=noted, run_redaction=crash)
    assert len(jobs) == 2
    assert len(set(jobs)) == 1
    with pytest.raises(Crash):
        on_day(tenant, DAYS + 1, redact=crash, run_redaction=act_then_crash)
    assert redaction_of(tenant).reference_version == 2
    on_day(tenant, DAYS + 1, redact=crash, run_redaction=crash)
    assert redaction_in(tenant, customer)["result"] == "redacted"


@pytest.mark.parametrize("refused", [Unknown(reason="timeout"), Refused(code="invalid_api_key", credentials=True)])
def test_a_processor_that_is_away_is_asked_again(tenant: Tenant, refused: object) -> None:
    """Later each time, with the same key; the day stands in the certificate as it did."""
    customer = erased(tenant)
    first, day = certificate_of(tenant, customer), redaction_of(tenant).next_attempt_at
    on_day(tenant, DAYS + 1, rounds=4, redact=lambda _call: refused)
    found = redaction_of(tenant)
    assert (found.attempts, found.reference_version, found.next_attempt_at) == (4, 1, day)
    pause = erasure_of(tenant).lease_until - datetime.now(UTC) - timedelta(days=DAYS + 1)
    assert timedelta(seconds=40) < pause <= timedelta(seconds=80)
    assert certificate_of(tenant, customer) == first
    on_day(tenant, DAYS + 1, rounds=3)
    assert redaction_in(tenant, customer)["result"] == "redacted"


@pytest.mark.parametrize("redaction", [{}, {"stripe": DAYS}])
def test_nothing_is_redacted_that_the_policy_does_not_name(tenant: Tenant, redaction: dict[str, int]) -> None:
    """No table, or another kind of processor: no recipient more, and the erasure is completed."""
    other = with_policy(tenant, redaction=redaction)
    customer = erased(other)
    assert rows(other.house, erasure_recipients, tenant_id=other.id, what="redaction") == []
    assert erasure_of(other).state == "completed"
    assert [each["redaction_at"] for each in plan(other, other.token()["customer"])["recipients"]] == [None]
    on_day(other, DAYS + 1, redact=crash)
    assert dek_is_gone(other, erasure_of(other).dek_id)
    assert request_of(other, customer)["status"] == "completed"


def test_it_is_decided_in_the_same_statement(tenant: Tenant) -> None:
    """Erasing with a redaction takes as many statements as without; one more where each row is a statement."""
    plain, asked = (statements_of(each) for each in (with_policy(tenant, redaction={}), tenant))
    name = tenant.house.components.records.dialect.name
    assert asked - plain == {"postgresql": 0, "sqlite": 1}[name]


def statements_of(tenant: Tenant) -> int:
    """How many statements the records run for one DELETE of a customer with one card."""
    customer, records = tenant.token()["customer"], tenant.house.components.records
    with counting(records, reader_of(records)) as seen:
        assert tenant.call("DELETE", f"/v1/customers/{customer}").status_code == 202
    return len(seen)


@contextmanager
def counting(*engines: Any) -> Iterator[list[str]]:
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    yield seen
    for engine in engines:
        event.remove(engine, "before_cursor_execute", note)


def test_no_subscription_is_cancelled_by_a_redaction(tenant: Tenant) -> None:
    """It begins only once the customer is deleted there, however long that waits for a word on subscriptions."""
    customer = tenant.token()["customer"]
    subscription = subscribe(tenant)
    assert tenant.erase(customer).status_code == 202
    on_day(tenant, DAYS + 1, rounds=2, redact=crash)
    assert at_sandbox(tenant, "GET", f"/v1/subscriptions/{subscription}")["status"] == "active"
    at_sandbox(tenant, "DELETE", f"/v1/subscriptions/{subscription}")
    on_day(tenant, DAYS + 1, rounds=4)
    assert redaction_in(tenant, customer)["result"] == "redacted"


def test_the_plan_says_when_it_would_be(tenant: Tenant) -> None:
    """In so many days, counted from now."""
    [told] = plan(tenant, tenant.token()["customer"])["recipients"]
    ahead = moment(told["redaction_at"]) - datetime.now(UTC)
    assert timedelta(days=DAYS, minutes=-1) < ahead <= timedelta(days=DAYS)


def test_its_processor_account_is_needed_until_then(tenant: Tenant) -> None:
    """Deleting it is blocked, with the day; once the last redaction has its answer it may go."""
    erased(tenant)
    path = f"/v1/processor-accounts/{tenant.account}"
    blocked = tenant.call("DELETE", path)
    assert (blocked.status_code, blocked.get_json()["reasons"]) == (409, ["scheduled_redactions"])
    day = moment(blocked.get_json()["until"]["scheduled_redactions"])
    assert day == redaction_of(tenant).next_attempt_at.replace(microsecond=0)
    on_day(tenant, DAYS + 1, rounds=3)
    assert tenant.call("DELETE", path).status_code == 204


@pytest.fixture
def kept(own_house: House, tmp_path: Path) -> Kept:
    return Kept(with_policy(own_house.tenant(), redaction={"sandbox": DAYS}), tmp_path / "records")


def test_a_redaction_whose_reference_a_restore_lost(kept: Kept) -> None:
    """The certificate that promised it is superseded at once by one that says so; the erasure is completed."""
    tenant, saved = kept.tenant, kept.save()
    customer = erased(tenant)
    first = certificate_of(tenant, customer)
    kept.restore(saved)
    assert (erasure_of(tenant).state, redaction_of(tenant).reference) == ("redacting", None)
    on_day(tenant, 0, redact=crash)
    assert redaction_in(tenant, customer)["result"] == "lost"
    assert certificate_of(tenant, customer)["certificate"]["supersedes"] == first["entry_id"]
    assert erasure_of(tenant).state == "completed"
    assert dek_is_gone(tenant, erasure_of(tenant).dek_id)


def test_a_restore_to_before_the_account_was_known(own_house: House, tmp_path: Path) -> None:
    """No row can say that the redaction is lost: the certificate that promised it is superseded by one without it."""
    copy = backup(own_house.components.records, tmp_path / "records")
    kept = Kept(with_policy(own_house.tenant(), redaction={"sandbox": DAYS}), tmp_path / "unused")
    customer = erased(kept.tenant)
    kept.restore(copy)
    assert own_house.work()[1] == []
    assert erasure_of(kept.tenant).state == "completed"
    entry = kept.tenant.house.components.ledger.store.head(0)
    certified = find(kept.tenant.house.components.ledger, entry)
    assert (certified["subject_id"], certified["certificate"]["recipients"]) == (customer, [])


def test_a_restore_to_between_the_steps(kept: Kept) -> None:
    """The reference is there still: it is redacted when it is due; restored again after that, it is known as done."""
    tenant = kept.tenant
    customer = erased(tenant)
    request, saved = request_of(tenant, customer), kept.save()
    kept.restore(saved)
    assert (erasure_of(tenant).state, redaction_of(tenant).result) == ("redacting", "scheduled")
    on_day(tenant, DAYS + 1, rounds=3)
    last = certificate_of(tenant, customer)
    assert redaction_in(tenant, customer)["result"] == "redacted"
    kept.restore(saved)
    assert (erasure_of(tenant).state, redaction_of(tenant).result) == ("completed", "redacted")
    assert certificate_of(tenant, customer) == last
    assert request_of(tenant, customer)["completed_at"] == request["completed_at"]
    on_day(tenant, DAYS + 1, redact=crash)
