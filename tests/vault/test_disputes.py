"""Disputes are followed through every turn that they take, and are open until the processor says that they are over."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from house import Tenant

from vault.money import disputes
from vault.personal import Secret
from vault.processing.answers import Disputed
from vault.processing.connecting import Connected

REFERENCE = "du_1"


class Deciding:
    """A processor whose dispute stands at `status`; `meanwhile` happens while it is asked."""

    def __init__(self, status: str, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.status, self.meanwhile = status, meanwhile

    def read_dispute(self, _credentials: object, *, reference: str) -> Disputed:
        said = Disputed(
            reference=reference,
            payment="pi",
            status=self.status,
            amount=1234,
            currency="eur",
            reason="fraudulent",
            due_at=None,
        )
        self.meanwhile()
        return said


def follow(tenant: Tenant, charge: str, processor: Deciding) -> bool:
    """What the worker does when it hears of the dispute."""
    parts = tenant.house.components
    asked: Any = Connected(processor=processor, credentials=Secret("none"))
    caller = replace(tenant.caller, at=parts.clock())
    return disputes.follow(parts.desk(caller), asked, tenant.account, charge, REFERENCE)


def paid(tenant: Tenant) -> tuple[str, str]:
    token = tenant.token()
    return tenant.charge(token["id"]).get_json()["id"], token["customer"]


def shown(tenant: Tenant, charge: str) -> dict[str, Any]:
    [found] = tenant.call("GET", f"/v1/disputes?charge={charge}").get_json()["data"]
    dispute: dict[str, Any] = found
    return dispute


def is_blocked(tenant: Tenant, customer: str) -> bool:
    answer = tenant.call("DELETE", f"/v1/customers/{customer}")
    assert answer.status_code == 202 or answer.get_json()["reasons"] == ["open_dispute"]
    return answer.status_code == 409


@pytest.mark.parametrize("status", ["needs_response", "appeal_needs_response", "appeal_under_review", "in_arbitration"])
def test_what_is_not_known_to_be_over_is_open(tenant: Tenant, status: str) -> None:
    """A dispute keeps its customer from erasure in every state but those that end it, one that nobody knows too."""
    charge, customer = paid(tenant)
    assert follow(tenant, charge, Deciding(status))
    assert shown(tenant, charge)["status"] == status
    plan = tenant.call("GET", f"/v1/customers/{customer}/erasure-plan").get_json()
    assert [each["reason"] for each in plan["blocked_by"]] == ["open_dispute"]
    assert is_blocked(tenant, customer)


@pytest.mark.parametrize("status", ["won", "lost", "warning_closed", "prevented"])
def test_what_is_over_blocks_nothing(tenant: Tenant, status: str) -> None:
    """The four states in which nothing more is expected."""
    charge, customer = paid(tenant)
    assert follow(tenant, charge, Deciding(status))
    assert not is_blocked(tenant, customer)


def test_lost_appealed_and_won(tenant: Tenant) -> None:
    """A lost dispute that is appealed is open again, and told so; what becomes of the appeal is followed."""
    charge, customer = paid(tenant)
    for status in ("needs_response", "under_review", "lost", "appeal_needs_response"):
        assert follow(tenant, charge, Deciding(status))
    assert shown(tenant, charge)["status"] == "appeal_needs_response"
    assert is_blocked(tenant, customer)
    for status in ("appeal_under_review", "won", "won"):
        assert follow(tenant, charge, Deciding(status))
    dispute = shown(tenant, charge)
    assert dispute["status"] == "won"
    told = tenant.call("GET", f"/v1/events?resource={dispute['id']}").get_json()["data"]
    assert [event["type"].removeprefix("dispute.") for event in reversed(told)] == [
        *("opened", "updated", "closed", "reopened", "updated", "closed")
    ]
    assert not is_blocked(tenant, customer)


def test_an_answer_that_was_overtaken(tenant: Tenant) -> None:
    """Of two that ask at once, the one that asked first does not write over what the other saw later."""
    charge, _ = paid(tenant)
    assert follow(tenant, charge, Deciding("lost"))
    late = Deciding("appeal_under_review", lambda: follow(tenant, charge, Deciding("won")))
    assert not follow(tenant, charge, late)
    assert shown(tenant, charge)["status"] == "won"
