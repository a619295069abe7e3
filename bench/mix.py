"""Calls as shops make them all day, by weight: each of a shopper of whom nobody else asks for anything meanwhile."""

import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.door import Call
from bench.house import CARD, CONTACT, House, word
from bench.paths import PURPOSE, charge_of

OTHER_CARD = {**CARD, "number": "5555555555554444"}
MOST_SHOPPERS, MOST_CHARGES = 3_000, 20
"""How many are remembered: what a soak remembers must not grow either."""

LISTS = (
    "/v1/charges",
    "/v1/charges?status=succeeded",
    "/v1/charges?customer={customer}",
    "/v1/tokens?customer={customer}",
    "/v1/charges/{charge}/refunds",
    "/v1/disputes",
    "/v1/events",
    "/v1/events?resource={charge}",
    "/v1/rights-requests",
    "/v1/audit/entries",
    "/v1/audit/entries?customer={customer}",
)


@dataclass
class Shopper:
    """A customer, with a token and the charges that can still be refunded."""

    customer: str
    token: str
    charges: deque[str] = field(default_factory=lambda: deque(maxlen=MOST_CHARGES))


Make = Callable[[House, Shopper], Call]
Learn = Callable[[Shopper, Mapping[str, Any]], None]


@dataclass(frozen=True)
class Kind:
    """A kind of call: how often it comes of a hundred, which statuses are right, what its answer teaches."""

    name: str
    weight: int
    good: frozenset[int]
    make: Make
    learn: Learn = lambda _shopper, _answer: None
    ends: bool = False


def welcome(house: House) -> Call:
    """The first call of a new shopper."""
    return house.tokenize()


def shopper_of(answer: Mapping[str, Any]) -> Shopper:
    """Who was welcomed."""
    return Shopper(answer["customer"], answer["id"])


def _other_card(house: House, shopper: Shopper) -> Call:
    return house.prepare("POST", "/v1/tokens", {"type": "card", "card": OTHER_CARD, "customer": shopper.customer})


def _charge(house: House, shopper: Shopper) -> Call:
    return charge_of(house, shopper.token)


def _learn_charge(shopper: Shopper, answer: Mapping[str, Any]) -> None:
    if answer["object"] == "charge":
        shopper.charges.append(answer["id"])


def _refund(house: House, shopper: Shopper) -> Call:
    if not shopper.charges:
        return _charge(house, shopper)
    path = f"/v1/charges/{shopper.charges.popleft()}/refunds"
    return house.prepare("POST", path, {"reason": "requested_by_customer"}, Idempotency_Key=word())


def _token(house: House, shopper: Shopper) -> Call:
    return house.prepare("GET", f"/v1/tokens/{shopper.token}")


def _list(house: House, shopper: Shopper) -> Call:
    path = random.choice(LISTS if shopper.charges else LISTS[:4])
    return house.prepare("GET", path.format(customer=shopper.customer, charge=(*shopper.charges, "")[0]))


def _contact(house: House, shopper: Shopper) -> Call:
    path = f"/v1/customers/{shopper.customer}/billing-contact"
    return house.prepare("GET", path, Access_Purpose=PURPOSE)


def _new_contact(house: House, shopper: Shopper) -> Call:
    path = f"/v1/customers/{shopper.customer}/billing-contact"
    return house.prepare("PUT", path, {**CONTACT, "email": f"{word()}@example.com"})


def _export(house: House, shopper: Shopper) -> Call:
    path = f"/v1/customers/{shopper.customer}/export?type=access"
    return house.prepare("GET", path, Access_Purpose='rights-request; ref="T-2"')


def _erase(house: House, shopper: Shopper) -> Call:
    return house.prepare("DELETE", f"/v1/customers/{shopper.customer}")


_READ, _MADE = frozenset({200}), frozenset({201})
KINDS = (
    Kind("charge", 27, _MADE, _charge, _learn_charge),
    Kind("refund", 5, _MADE, _refund, _learn_charge),
    Kind("another card", 5, frozenset({200, 201}), _other_card),
    Kind("token", 20, _READ, _token),
    Kind("list", 14, _READ, _list),
    Kind("contact", 9, _READ, _contact),
    Kind("new contact", 3, _READ, _new_contact),
    Kind("export", 2, _READ, _export),
    Kind("erase", 3, frozenset({200, 202}), _erase, ends=True),
)
WELCOME = Kind("tokenize", 12, _MADE, lambda house, _shopper: welcome(house))
