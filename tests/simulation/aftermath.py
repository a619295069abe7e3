"""What comes after a payment: refunds, the invoice once more, an erasure; and what is done at the processor itself."""

from typing import Any

from clients import BUSY, LONGEST_PAUSE, TRIES, Story
from world import Answer, World

from sandbox import confirmation, payment_methods, refunds
from sandbox.errors import WireError

LATEST = 2400.0
SAID = {"succeeded": "made", "failed": "failed"}


def follow(story: Story) -> None:
    """Everything that will befall a story's payment, from its first order on."""
    world, label = story.world, story.label
    for number in (1, 2):
        refund = story.event(f" refund{number}", "refund", lambda number=number: _part(story, number))
        if refund:
            _start(world, f"{label}r{number}", refund, lambda n=number, r=refund: _give_back(story, n, r["amount"]))
    again = story.event(" again", "again", lambda: {"after": _later(story, "again")})
    if again:
        _start(world, f"{label}z", again, lambda: story.pay(f"{label}.z"))
    erased = story.event(" erase", "erase", lambda: {"after": _later(story, "erase")})
    if erased:
        world.erases = True
        _start(world, f"{label}e", erased, lambda: _erase(story))
    back = story.event(" dashboard refund", "dashboard", lambda: _part(story, 7))
    if back:
        _by_hand(world, back, lambda account: _refund(account, story, back["amount"]))
    detached = story.event(" detach", "detach", lambda: {"after": _later(story, "detach")})
    if detached:
        _by_hand(world, detached, lambda account: _detach(account, story))
    if story.card["person"]:
        comes = story.event(" person", "person", lambda: {"after": _later(story, "person"), "is": _is(story)})
        if comes:
            _by_hand(world, comes, lambda account: _authenticate(account, story, is_person=comes["is"]))


def payments_of(account: Any, story: Story) -> list[dict[str, Any]]:
    """The processor's payments of one obligation: nobody else pays this amount."""
    return [each for each in account.tables["payment_intents"].values() if each["amount"] == story.amount]


def _later(story: Story, name: str) -> float:
    return round(story.world.chance.between(f"{story.label} {name} after", 1.0, LATEST), 2)


def _is(story: Story) -> bool:
    return story.world.chance.is_so(f"{story.label} is", 0.8)


def _part(story: Story, number: int) -> dict[str, Any]:
    """Some of the amount, told from every other refund of this story by its last digit."""
    share = 0.15 + 0.7 * story.world.chance.share(f"{story.label} part{number}")
    return {"after": _later(story, f"part{number}"), "amount": int(story.amount * share) // 10 * 10 + number}


def _start(world: World, label: str, event: dict[str, Any], work: Any) -> None:
    world.scheduler.start(label, work, after=event["after"])


def _by_hand(world: World, event: dict[str, Any], do: Any) -> None:
    world.scheduler.at(event["after"], lambda: world.processor.by_hand(do))


def _give_back(story: Story, number: int, amount: int) -> None:
    """A part of it, once: the same key until it is said whether, and sometimes later once more."""
    name, pause = f"{story.label}.r{number}", 2.0
    key = f"{name}-key"
    for turn in range(TRIES):
        if not story.charges:
            return
        path = f"/v1/charges/{min(story.charges)}/refunds"
        answer = story.world.call(f"{name}{turn}", "POST", path, {"amount": amount}, key=key)
        story.refunds.setdefault(key, (amount, "open"))
        match answer:
            case Answer(status=200 | 201):
                story.refunds[key] = (amount, SAID.get(answer.body["status"], "open"))
                later = f".r{number}{turn} again"
                again = story.event(later, "again", lambda later=later: _later(story, later))
                if not again:
                    return
                pause = again
            case Answer(status=404 | 409 | 422) if answer.code not in BUSY:
                return
            case Answer(status=502):
                key = f"{name}-key-{turn}"
        story.world.scheduler.sleep(pause)
        pause = min(pause * 3, LONGEST_PAUSE)


def _erase(story: Story) -> None:
    """The customer asks for it, and again."""
    for number in range(4):
        answer = story.world.call(f"{story.label}.e{number}", "DELETE", f"/v1/customers/{story.card['customer']}")
        if answer is not None and answer.status in (200, 202):
            story.request = answer.body["id"]
            return
        if answer is not None and answer.status == 404:
            return
        story.world.scheduler.sleep(60.0 * 5**number)


def _refund(account: Any, story: Story, amount: int) -> None:
    for payment in payments_of(account, story):
        if payment["status"] == "succeeded":
            try:
                refunds.create(account, {"payment_intent": payment["id"], "amount": amount})
            except WireError:
                return


def _detach(account: Any, story: Story) -> None:
    for payment in payments_of(account, story):
        method = payment["payment_method"]
        if method and account.tables["payment_methods"][method]["customer"]:
            payment_methods.detach(account, method, {})
            return


def _authenticate(account: Any, story: Story, *, is_person: bool) -> None:
    for payment in payments_of(account, story):
        if payment["status"] == "requires_action":
            confirmation.authenticated(account, payment, succeeded=is_person)
