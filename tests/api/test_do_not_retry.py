"""A card that is not to be charged again is not: issuers' last words, the schemes' caps, the first charge's id."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from api_scene import problem
from house import Tenant, make_app
from sqlalchemy import update

from rows.engine import transaction
from vault.money.charge.retrying import NEVER, code_for_good
from vault.processing.answers import Declined
from vault.tables import charges

LOST_SINCE = "4000000000097008"
DECLINES = "4000000000000341"


def declined(tenant: Tenant, token: str, times: int = 1) -> None:
    for _ in range(times):
        problem(tenant.charge(token), 402, "declined")


def aged(tenant: Tenant, token: str, ago: timedelta) -> None:
    """Let all charges of a token have been made so long ago."""
    at = tenant.house.components.clock() - ago
    with transaction(tenant.house.components.records) as tx:
        tx.execute(update(charges).where(charges.c.token_id == token).values(created_at=at))


def payments(tenant: Tenant) -> int:
    """How many payments were tried at the processor, whatever came of them."""
    found: list[Any] = tenant.call("GET", "/v1/charges?limit=100").get_json()["data"]
    return len(found)


def test_issuer_says_never_again(tenant: Tenant) -> None:
    """422 before the processor is asked; the token says why; the same card renewed may be charged again."""
    token = tenant.token(LOST_SINCE, customer={"reference": "U-1"})
    declined(tenant, token["id"])
    answer = problem(tenant.charge(token["id"]), 422, "do_not_retry")
    assert (answer["reason"], answer["until"]) == ("lost_card", None)
    assert payments(tenant) == 1
    assert tenant.call("GET", f"/v1/tokens/{token['id']}").get_json()["blocked"] == "lost_card"
    renewed = {"number": LOST_SINCE, "exp_month": 1, "exp_year": 2044, "cvc": "123"}
    again = tenant.call("POST", "/v1/tokens", {"type": "card", "card": renewed, "customer": token["customer"]})
    assert (again.status_code, again.get_json()["id"], again.get_json()["blocked"]) == (200, token["id"], None)
    declined(tenant, token["id"])  # it is asked again


def test_known_key_of_a_blocked_token(tenant: Tenant) -> None:
    """A retry is answered as the first call was."""
    token = tenant.token(LOST_SINCE)["id"]
    first = tenant.charge(token, key="K", obligation="INV-1")
    again = tenant.charge(token, key="K", obligation="INV-1")
    assert (first.status_code, again.status_code) == (402, 402)
    assert first.get_json()["charge"] == again.get_json()["charge"]


@pytest.mark.parametrize(
    ("cap", "window", "reason"),
    [(10, timedelta(hours=24), "too_many_failures_in_24_hours"), (15, timedelta(days=30), "too_many_in_30_days")],
)
def test_caps(tenant: Tenant, cap: int, window: timedelta, reason: str) -> None:
    """So many failures in the window are let through, the next is refused until the oldest of them leaves it."""
    token = tenant.token(DECLINES)["id"]
    while (left := cap - payments(tenant)) > 0:
        declined(tenant, token, min(left, 5))
        if reason == "too_many_in_30_days":
            aged(tenant, token, timedelta(days=2))
    answer = problem(tenant.charge(token), 422, "do_not_retry")
    assert (answer["reason"], answer["until"] is not None) == (reason, True)
    aged(tenant, token, window - timedelta(minutes=1))
    problem(tenant.charge(token), 422, "do_not_retry")
    aged(tenant, token, window + timedelta(minutes=1))
    declined(tenant, token)


def test_caps_of_the_policy(tenant: Tenant) -> None:
    """The policy's numbers hold where it names some."""
    parts = tenant.house.components
    strict = replace(parts, policy=replace(parts.policy, failures_per_day=2))
    tenant = replace(tenant, house=replace(tenant.house, components=strict, app=make_app(strict)))
    token = tenant.token(DECLINES)["id"]
    declined(tenant, token, 2)
    problem(tenant.charge(token), 422, "do_not_retry")


def test_many_failures_at_once(tenant: Tenant) -> None:
    """Of twenty charges at once no more reach the processor than the cap and those that were under way."""
    token, threads = tenant.token(DECLINES)["id"], 4
    with ThreadPoolExecutor(threads) as pool:
        answers = [*pool.map(lambda _: tenant.charge(token).status_code, range(20))]
    assert set(answers) == {402, 422}
    assert answers.count(402) < 10 + threads


def test_one_failure_is_no_reason(tenant: Tenant) -> None:
    """What may succeed later is let through."""
    token = tenant.token(DECLINES)["id"]
    declined(tenant, token, 9)
    assert tenant.call("GET", f"/v1/tokens/{token}").get_json()["blocked"] is None
    declined(tenant, token)


def test_codes() -> None:
    """The issuer's own word and its advice count; what it does not say for good does not."""
    for code in NEVER:
        assert code_for_good(Declined(code="card_declined", decline_code=code)) == code
    advised = Declined(code="card_declined", decline_code="generic_decline", advice_code="do_not_try_again")
    assert code_for_good(advised) == "do_not_try_again"
    for advice in (None, "try_again_later", "confirm_card_data"):
        later = Declined(code="card_declined", decline_code="insufficient_funds", advice_code=advice)
        assert code_for_good(later) is None


class Hearing:
    """The processor, which notes what its charges were given."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.heard: list[tuple[str | None, str | None, bool]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def charge(self, *args: Any, **given: Any) -> Any:
        self.heard.append((given["network_transaction_id"], given["reason"], given["off_session"]))
        return self._real.charge(*args, **given)


def test_network_transaction_id(tenant: Tenant) -> None:
    """The first charge's is kept, and every later one names it; a merchant's charge says that it is, and why."""
    parts = tenant.house.components
    hearing = Hearing(parts.processors["sandbox"])
    hears = replace(parts, processors={**parts.processors, "sandbox": hearing})
    tenant = replace(tenant, house=replace(tenant.house, components=hears, app=make_app(hears)))
    token = tenant.token()["id"]
    tenant.charge(token, initiator="customer")
    for reason in ("recurring", "unscheduled"):
        assert tenant.charge(token, initiator="merchant", reason=reason).status_code == 201
    (none, _, on_page), (first, why, away), (again, _, _) = hearing.heard
    assert (none, on_page, why, away) == (None, False, "recurring", True)
    assert first is not None
    assert first == again
