"""What must be true in the end, by the processor's book and by what clients were told; our API is asked, no table."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aftermath import payments_of
from clients import PAID, Story
from world import START, World

from vault.processing.processor import METADATA_ID

RECONCILED = 0.25
"""In how many runs the house's own comparison is asked too; it takes its time."""

OPEN = ("pending", "unknown", "processing", "requires_action")


@dataclass(frozen=True, slots=True)
class Violation:
    """What is not as it must be."""

    kind: str
    text: str

    @property
    def may_end(self) -> bool:
        """Whether time alone may still mend it."""
        return self.kind.endswith("never ends")


def judged(world: World, stories: list[Story]) -> list[Violation]:
    """Everything that is wrong. Runs as an actor, with nothing left to happen."""
    found = [Violation("crash", text) for text in world.crashes]
    humans = _humans(world)
    known = _charges(world)
    for story in stories:
        found += _of_story(world, story, known, humans)
    found += _of_disputes(world, known)
    found += _of_tokens(world)
    found += _of_erasures(world, stories)
    found += _of_customers(world)
    if world.chance.is_so("reconciled", RECONCILED):
        found += [Violation("reconcile", text) for text in _differences(world)]
    return found


def _humans(world: World) -> set[str]:
    world.look(world.slots[0])
    return world.slots[0].process.needs_human()


def _differences(world: World) -> list[str]:
    world.look(world.slots[0])
    return world.slots[0].process.differences(datetime.fromtimestamp(START, UTC))


def _all(world: World, name: str, path: str) -> list[dict[str, Any]]:
    answer = world.call(name, "GET", path)
    for attempt in range(10):
        if answer is not None and answer.status == 200:
            return answer.body["data"]
        world.scheduler.sleep(10.0)
        answer = world.call(f"{name}{attempt}", "GET", path)
    raise AssertionError(f"{path} does not answer: {answer}")


def _charges(world: World) -> dict[int, list[dict[str, Any]]]:
    """Our charges by amount, which names the obligation."""
    by_amount: dict[int, list[dict[str, Any]]] = {}
    for charge in _all(world, "judge", "/v1/charges?limit=100"):
        by_amount.setdefault(charge["amount"], []).append(charge)
    return by_amount


def _of_story(
    world: World, story: Story, known: dict[int, list[dict[str, Any]]], humans: set[str]
) -> Iterator[Violation]:
    account = world.processor.account
    label = story.label
    payments = payments_of(account, story)
    paid = [each for each in payments if each["status"] == "succeeded"]
    held = [each for each in payments if each["status"] == "requires_capture"]
    told = story.told.values()
    ours = known.get(story.amount, [])
    if len(paid) > 1:
        yield Violation("paid twice", f"{label}: {len(paid)} payments of {story.amount}, told {story.told}")
    if "paid" in told and not paid:
        yield Violation(
            "paid for nothing", f"{label}: told {story.told}, at the processor {[each['status'] for each in payments]}"
        )
    if paid and told and all(word == "unpaid" for word in told):
        yield Violation("paid though refused", f"{label}: told {story.told}")
    for charge in ours:
        if (charge["status"] in OPEN or charge["step"]) and charge["id"] not in humans:
            yield Violation("never ends", f"{label}: {charge['id']} {charge['status']} {charge['step'] or ''}")
    settled = [each for each in ours if each["status"] in PAID]
    if len(paid) == 1 and not settled and not any(charge["id"] in humans for charge in ours):
        yield Violation("not known", f"{label}: paid there, here {[each['status'] for each in ours]}")
    if held and not any(each["status"] in ("authorized", *OPEN) for each in ours):
        yield Violation("held", f"{label}: held there, here {[each['status'] for each in ours]}")
    if len(paid) == len(settled) == 1:
        yield from _of_refunds(world, story, paid[0], settled[0], humans)


def _of_refunds(
    world: World, story: Story, payment: dict[str, Any], charge: dict[str, Any], humans: set[str]
) -> Iterator[Violation]:
    account = world.processor.account
    theirs = account.tables["charges"][payment["latest_charge"]]["amount_refunded"]
    if not theirs and not charge["amount_refunded"] and not story.refunds:
        return
    ours = _all(world, f"judge-{story.label}", f"/v1/charges/{charge['id']}/refunds")
    open_ones = [each for each in ours if each["status"] == "unknown" and each["id"] not in humans]
    if open_ones:
        yield Violation("refund never ends", f"{story.label}: {open_ones[0]['id']}")
    elif theirs != charge["amount_refunded"] and not any(each["id"] in humans for each in ours):
        shown = [(each["amount"], each["status"], each["origin"]) for each in ours]
        yield Violation("refunds differ", f"{story.label}: {theirs} there, {charge['amount_refunded']} here {shown}")
    made = [each for each in account.tables["refunds"].values() if each["payment_intent"] == payment["id"]]
    for key, (amount, word) in story.refunds.items():
        if word == "made" and not any(each["amount"] == amount for each in made):
            yield Violation("refunded for nothing", f"{story.label}: {amount} {key}")
        if sum(each["amount"] == amount and each["status"] != "failed" for each in made) > 1:
            yield Violation("refunded twice", f"{story.label}: {amount} {key}")


def _of_disputes(world: World, known: dict[int, list[dict[str, Any]]]) -> Iterator[Violation]:
    account = world.processor.account
    if not account.tables["disputes"]:
        return
    ours = {(each["amount"], each["charge"]) for each in _all(world, "judge-d", "/v1/disputes?limit=100")}
    for dispute in account.tables["disputes"].values():
        charges = [each["id"] for each in known.get(dispute["amount"], []) if each["status"] in PAID]
        if charges and not any((dispute["amount"], charge) in ours for charge in charges):
            yield Violation("dispute unknown", f"of {dispute['amount']}")


def _of_tokens(world: World) -> Iterator[Violation]:
    """A card that is gone at the processor is not shown as one that can be charged."""
    account = world.processor.account
    methods = [*account.tables["payment_methods"].values()]
    for number, card in enumerate(world.stage.cards):
        method = methods[number]
        if method["customer"] is None:
            answer = world.call(f"judge-t{number}", "GET", f"/v1/tokens/{card['token']}")
            if answer is not None and answer.status == 200 and answer.body["status"] == "active":
                yield Violation("token detached", f"card {number} is gone there, active here")


def _of_erasures(world: World, stories: list[Story]) -> Iterator[Violation]:
    account = world.processor.account
    customers = [*account.tables["customers"].values()]
    of_customer = {card["customer"]: customers[number] for number, card in enumerate(world.stage.cards)}
    for request in sorted({story.request for story in stories if story.request}):
        answer = world.call(f"judge-{request[-4:]}", "GET", f"/v1/rights-requests/{request}/certificate")
        if answer is None or answer.status != 200:
            continue
        certificate = answer.body["certificate"]
        there = of_customer.get(certificate["customer"]) or _typed_in(account, stories, certificate["customer"])
        if certificate["completed_at"] is None:
            yield Violation("erasure never ends", json.dumps(certificate["recipients"]))
        elif there is not None and not there.get("deleted"):
            yield Violation("certified for nothing", json.dumps(certificate["recipients"]))


def _of_customers(world: World) -> Iterator[Violation]:
    """Of a customer there who has paid, and whom these records lost, a human is told."""
    account = world.processor.account
    paying = {each["customer"] for each in account.tables["payment_intents"].values() if each["status"] == "succeeded"}
    founded = {card["customer"] for card in world.stage.cards}
    for customer in account.tables["customers"].values():
        own = customer.get("metadata", {}).get(METADATA_ID)
        if own is None or own in founded or customer["id"] not in paying or customer.get("deleted"):
            continue
        answer = world.call(f"judge-{own[-4:]}", "GET", f"/v1/customers/{own}")
        if answer is not None and answer.status == 404 and own not in world.slots[0].process.left_there():
            yield Violation("nobody told", f"{own} has paid there, is not known here, and no human is told")


def _typed_in(account: Any, stories: list[Story], customer: str) -> dict[str, Any] | None:
    """The processor's customer who came with a story's new card, told by the email that was typed in with it.

    The newest: one of a lost history that has paid is left to a human (`_of_customers`), no certificate is about it.
    """
    email = next((story.email for story in stories if story.card["customer"] == customer), "")
    for setup in reversed(account.tables["setup_intents"].values()):
        method = account.tables["payment_methods"].get(setup["payment_method"] or "")
        if email and method and method["billing_details"]["email"] == email:
            return account.tables["customers"][setup["customer"]]
    return None
