"""A small world in which orders pay one obligation at one processor account: what there is, and what may happen next.

Two histories of the records (a primary, and a standby that took its place while the primary goes on) send the same keys
to one processor, which keeps what was done under each. Its list of payments lags behind. The worker of either history
asks `vault.money.findings` what is to be done about an order whose outcome is unknown, and does it here.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple

from vault.money import findings
from vault.money.findings import Burn, CallOff, Conclude, NeverCharged, NextKey, PaidElsewhere, Seen, Wait
from vault.processing.answers import (
    ActionRequired,
    Approved,
    Burnt,
    Declined,
    KeyTaken,
    Marks,
    Payment,
    Unknown,
    Voided,
)


class Order(NamedTuple):
    """An order as one history has it; the same client's key makes the same name in either. `number` is its key's."""

    name: str
    number: int
    state: str = "sent"
    burnt: Any = None
    settles_after: int = 0
    """So many payments a list must have before what burning came to is believed."""
    is_heard: bool = True
    """Not of a copy in one history once the client has made the same call at the other, whose answer it believes."""


class Paying(NamedTuple):
    """A payment at the processor: which order's, and whether its list has it yet."""

    name: str
    state: str
    is_listed: bool = False


class Message(NamedTuple):
    """The one call of an order, under way to the processor."""

    history: int
    name: str
    number: int


class World(NamedTuple):
    """`keys` is what the processor keeps of each, `told` what each client was told last, `left` what may yet come."""

    histories: tuple[tuple[Order, ...], ...]
    left: tuple[str, ...]
    keys: tuple[tuple[Any, str], ...] = ()
    payments: tuple[Paying, ...] = ()
    under_way: tuple[Message, ...] = ()
    told: tuple[tuple[str, str], ...] = ()


class Rules(NamedTuple):
    """The rules as they are; a test drops one at a time."""

    decide: Callable[..., Any] = findings.decide
    after_burn: Callable[..., Any] = findings.after_burn
    own_or_other: Callable[..., Any] = findings.own_or_other
    keys_name_the_obligation: bool = True
    uses_up: tuple[str, ...] = ("declined", "never_charged")
    calls_off_what_failed: bool = True


class Broken(Exception):
    """Something happened that must never be."""


OPEN = ("sent", "unknown", "asks")
UNPAID = ("declined", "never_charged", "refused", "elsewhere")
OBLIGATION = "obligation"
LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)


def start(*left: str, histories: int = 1) -> World:
    """Histories without orders. `left` are clients' orders by name, and what the processor and the world may do."""
    return World(histories=((),) * histories, left=tuple(sorted(left)))


def moves(world: World, rules: Rules) -> Iterator[tuple[str, World]]:
    """Everything that may happen next, each with the world after it."""
    yield from _befalls(world)
    for number, payment in enumerate(world.payments):
        yield from _at_processor(world, number, payment)
    for message in world.under_way:
        yield from _arrives(world, rules, message)
    for at, orders in enumerate(world.histories):
        for what in dict.fromkeys(world.left):
            yield from _orders(world, rules, at, what)
        for order in orders:
            yield from _goes_on(world, rules, at, order)


def check(world: World) -> None:
    """What must hold in every world. Raises Broken."""
    paid = [each.name for each in world.payments if each.state == "paid"]
    if len(paid) > 1:
        raise Broken("paid twice")
    open_ones = {each.name for orders in world.histories for each in orders if each.is_heard and each.state in OPEN}
    for name, told in world.told:
        if name in open_ones:  # somebody still looks, and tells
            continue
        if (told == "succeeded") != (name in paid) or (told == "elsewhere" and not paid):
            raise Broken(f"told {told}")


def is_settled(world: World) -> bool:
    """Whether each order came to its end in each history that knows it."""
    return not world.under_way and all(order.state not in OPEN for orders in world.histories for order in orders)


def _befalls(world: World) -> Iterator[tuple[str, World]]:
    if "fail over" in world.left:  # the standby has all that the primary committed by now, and the primary goes on
        inherited = tuple(
            order._replace(state="unknown") if order.state == "sent" else order for order in world.histories[0]
        )
        yield "fail over", _spent(world, "fail over")._replace(histories=(world.histories[0], inherited))


def _at_processor(world: World, number: int, payment: Paying) -> Iterator[tuple[str, World]]:
    if not payment.is_listed:
        yield f"{payment.name} is listed", _paying(world, number, payment._replace(is_listed=True))
    if payment.state in {"open", "failed"} and "person pays" in world.left:
        yield (
            f"{payment.name}'s person pays",
            _paying(_spent(world, "person pays"), number, payment._replace(state="paid")),
        )
    if payment.state == "open" and "person fails" in world.left:
        spent = _spent(world, "person fails")
        yield f"{payment.name}'s person fails", _paying(spent, number, payment._replace(state="failed"))


def _orders(world: World, rules: Rules, at: int, what: str) -> Iterator[tuple[str, World]]:
    """A client's call at a history: added where the obligation is free there, and sent at once, by nobody else."""
    verb, _, name = what.partition(" ")
    orders = world.histories[at]
    if verb != "order" or any(order.name == name or order.state not in UNPAID for order in orders):
        return
    number = max((order.number for order in orders if order.state in rules.uses_up), default=0) + 1
    message = Message(at, name, number)
    added = _turned_away(_spent(world, what), name)._replace(under_way=tuple(sorted((*world.under_way, message))))
    yield f"{what} at {at}", _with(added, at, Order(name, number), "unknown")


def _turned_away(world: World, name: str) -> World:
    histories = (
        tuple(each._replace(is_heard=False) if each.name == name else each for each in orders)
        for orders in world.histories
    )
    return world._replace(histories=tuple(histories))


def _arrives(world: World, rules: Rules, message: Message) -> Iterator[tuple[str, World]]:
    """The processor takes a key once; where it knows the key, its answer proves nothing to the sender."""
    left = list(world.under_way)
    left.remove(message)
    world = world._replace(under_way=tuple(left))
    key = _key(rules, message.name, message.number)
    if key in dict(world.keys):
        yield f"{message.name} meets a used key", world
        return
    for what, state in (("pays", "paid"), ("declines", "declined"), ("asks", "open"), ("breaks after paying", "paid")):
        if what in world.left or what == "pays":
            spent = _spent(world, what) if what != "pays" else world
            payments = (*world.payments, Paying(message.name, state))
            done = spent._replace(payments=payments, keys=(*world.keys, (key, "call")))
            yield f"{message.name}: {what}, its answer is lost", done
            if what != "breaks after paying":
                yield f"{message.name}: {what}", _answered(done, message, _TOLD[state])
    if "breaks" in world.left:
        yield f"{message.name}: breaks", _spent(world, "breaks")._replace(keys=(*world.keys, (key, "call")))
    if "refuses" in world.left:
        yield f"{message.name}: refuses", _answered(_spent(world, "refuses"), message, "refused")


def _answered(world: World, message: Message, end: str) -> World:
    """The sender hears of it, unless it has given up before."""
    [order] = [each for each in world.histories[message.history] if each.name == message.name]
    return _with(world, message.history, order._replace(state=end), end) if order.state == "sent" else world


def _goes_on(world: World, rules: Rules, at: int, order: Order) -> Iterator[tuple[str, World]]:
    if order.state == "sent":
        yield f"{order.name} is given up at {at}", _with(world, at, order._replace(state="unknown"), "unknown")
    elif order.state == "asks":
        yield from _looked_at(world, rules, at, order)
    elif order.state == "unknown":
        settled = all(each.is_listed for each in world.payments[: order.settles_after])
        seen = _seen(rules, _listed(world), order.name)
        has_number = rules.keys_name_the_obligation
        decision = rules.decide(seen, order.burnt, has_number=has_number, is_settled=settled)
        for how, after in _carried_out(world, rules, at, order, decision):
            yield f"{order.name} at {at}: {type(decision).__name__} {how}", after


def _carried_out(world: World, rules: Rules, at: int, order: Order, decision: Any) -> Iterator[tuple[str, World]]:
    match decision:
        case Wait():
            return
        case Conclude():
            yield from _concluded(world, rules, at, order, int(decision.payment.reference))
        case CallOff():
            number = int(decision.payment.reference)
            yield "", _called_off(world, number)
        case PaidElsewhere():
            yield "", _with(world, at, order._replace(state="elsewhere"), "elsewhere")
        case NeverCharged():
            yield "", _with(world, at, order._replace(state="never_charged"), "never_charged")
        case NextKey():
            yield "", _with(world, at, order._replace(number=order.number + 1, burnt=None, settles_after=0))
        case Burn():
            yield from _burns(world, rules, at, order)


def _burns(world: World, rules: Rules, at: int, order: Order) -> Iterator[tuple[str, World]]:
    key = _key(rules, order.name, order.number)
    found = dict(world.keys).get(key)
    answer = KeyTaken() if found == "call" else Burnt(replayed=found is not None)
    burnt_there = world if found else world._replace(keys=(*world.keys, (key, "burn")))
    burnt, must_settle = rules.after_burn(answer)
    settles_after = len(world.payments) if must_settle else 0
    yield str(answer), _with(burnt_there, at, order._replace(burnt=burnt, settles_after=settles_after))
    if "burn lost" in world.left:
        burnt, _ = rules.after_burn(Unknown(reason="timeout"))
        yield "its answer is lost", _with(_spent(burnt_there, "burn lost"), at, order._replace(burnt=burnt))


def _concluded(world: World, rules: Rules, at: int, order: Order, number: int) -> Iterator[tuple[str, World]]:
    """The object itself is read; what failed there, and could still be paid, is called off before it counts."""
    state = world.payments[number].state
    if state == "failed" and rules.calls_off_what_failed:
        world = _called_off(world, number)
    yield "", _with(world, at, order._replace(state=_TOLD[state]), _TOLD[state])


def _looked_at(world: World, rules: Rules, at: int, order: Order) -> Iterator[tuple[str, World]]:
    """What waits for its person is looked at, and called off after a day."""
    for number, payment in enumerate(world.payments):
        if payment.name == order.name and payment.state != "open":
            yield from (
                (f"{order.name} is looked at, at {at}", after)
                for _, after in _concluded(world, rules, at, order, number)
            )
        elif payment.name == order.name:
            off = _with(_called_off(world, number), at, order._replace(state="declined"), "declined")
            yield f"{order.name} is called off at {at}", off


def _called_off(world: World, number: int) -> World:
    payment = world.payments[number]
    return _paying(world, number, payment._replace(state="voided")) if payment.state in {"open", "failed"} else world


_TOLD = {"paid": "succeeded", "declined": "declined", "failed": "declined", "voided": "declined", "open": "asks"}
_OUTCOMES: dict[str, Any] = {
    "paid": Approved(reference="", amount=1),
    "declined": Declined(code="card_declined"),
    "failed": Declined(code="authentication_failed"),
    "voided": Voided(reference=""),
    "open": ActionRequired(reference="", next_action={}),
}


def _listed(world: World) -> tuple[tuple[int, str, str], ...]:
    return tuple((number, each.name, each.state) for number, each in enumerate(world.payments) if each.is_listed)


@cache
def _seen(rules: Rules, listed: tuple[tuple[int, str, str], ...], name: str) -> Seen:
    seen: Seen = rules.own_or_other([_payment(*each) for each in listed], name, OBLIGATION)
    return seen


@cache
def _payment(number: int, name: str, state: str) -> Payment:
    return Payment(
        reference=str(number),
        marks=Marks(tag=name, id=name, obligation=OBLIGATION),
        outcome=_OUTCOMES[state],
        amount=1,
        currency="eur",
        captured=1 if state == "paid" else 0,
        refunded=0,
        manual=False,
        customer=None,
        method=None,
        at=LONG_AGO,
    )


def _key(rules: Rules, name: str, number: int) -> Any:
    return number if rules.keys_name_the_obligation else (name, number)


def _spent(world: World, what: str) -> World:
    left = list(world.left)
    left.remove(what)
    return world._replace(left=tuple(left))


def _paying(world: World, number: int, payment: Paying) -> World:
    return world._replace(payments=(*world.payments[:number], payment, *world.payments[number + 1 :]))


def _with(world: World, at: int, order: Order, told: str | None = None) -> World:
    """The order so in that history, and its client told."""
    others = [each for each in world.histories[at] if each.name != order.name]
    histories = list(world.histories)
    histories[at] = tuple(sorted((*others, order), key=lambda each: each.name))
    now = {**dict(world.told), **({order.name: told} if told and order.is_heard else {})}
    return world._replace(histories=tuple(histories), told=tuple(sorted(now.items())))
