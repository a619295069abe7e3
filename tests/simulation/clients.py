"""Clients as they are: one story for each obligation, told by a shop that retries, hangs up, grows impatient, forgets.

A story keeps what it was told, by the key it asked with, and nothing else: the model judges by it.
"""

from dataclasses import dataclass, field
from typing import Any

from scheduler import Signal
from world import Answer, World

PAID = ("succeeded", "captured")
UNPAID = ("declined", "failed", "voided")
AGAIN = (429, 500, 502, 503)
LONG = 14


@dataclass
class Story:
    """One obligation, and what its client did about it."""

    world: World
    number: int
    amount: int
    card: dict[str, Any]
    is_manual: bool
    told: dict[str, str] = field(default_factory=dict)
    """By key: `paid`, `unpaid`, or `open` where nobody said anything definite."""
    charges: set[str] = field(default_factory=set)
    refunds: dict[str, tuple[int, str]] = field(default_factory=dict)
    """By key: the amount, and the same words."""
    request: str | None = None
    """Of an erasure that was taken on."""
    email: str = ""

    @property
    def label(self) -> str:
        return f"o{self.number}"

    # -- paying ------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        chance = self.world.chance
        twice = chance.event(f"{self.label} twice", self.rate("twice"), lambda: round(chance.share(f"{self.label} t") * 3, 2))
        both = Signal(self.world.scheduler)
        if twice is not None:
            def second() -> None:
                self.pay(f"{self.label}.y")
                both.set()
            self.world.scheduler.start(f"{self.label}y", second, after=twice)
        if chance.event(f"{self.label} new card", self.rate("new"), lambda: True) and not self.tokenize(f"{self.label}.new"):
            return
        self.pay(f"{self.label}.x")
        if twice is not None:
            both.wait(100_000.0)
        self.follow_up()

    def rate(self, name: str) -> float:
        return self.world.rates.get(name, 0.0)

    def pay(self, name: str) -> None:
        """Order it until somebody says something definite, with the same key as a good client does; or not."""
        world, chance, key = self.world, self.world.chance, f"{name}-key"
        pause = 2.0
        for number in range(LONG):
            said = self._order(f"{name}{number}", key)
            if said in ("paid", "stop"):
                return
            impatient = chance.event(f"{name}{number} impatient", self.rate("impatient"), lambda: True)
            if said == "fresh" or impatient:
                key = f"{name}-key-{number}"
            elif said == "unpaid":
                return
            world.scheduler.sleep(pause * (1 + chance.share(f"{name}{number} b")))
            pause = min(pause * 2.5, 300.0 if not world.calm else 3000.0)

    def _order(self, name: str, key: str) -> str:
        body = {
            "token": self.card["token"],
            "amount": self.amount,
            "currency": "eur",
            "obligation": f"invoice-{_letters(self.number)}",
            "capture_method": "manual" if self.is_manual else "automatic",
        }
        answer = self.world.call(name, "POST", "/v1/charges", body, key=key)
        return self._understood(name, key, answer)

    def _understood(self, name: str, key: str, answer: Answer | None) -> str:
        """What to do next: `paid`, `unpaid` or `stop` end it, `fresh` wants another key, `wait` the same one again."""
        self.told.setdefault(key, "open")
        if answer is None or answer.status in (429, 500, 503):
            return "wait"
        if answer.status in (200, 201, 202):
            return self._heard(key, answer.body)
        if answer.status == 402:
            self.told[key] = "unpaid"
            self.charges |= {answer.body["charge"]} if "charge" in answer.body else set()
            return "unpaid"
        if answer.status == 502:
            self.told[key] = "unpaid"
            return "fresh"
        if answer.status == 404:
            self.told[key] = "unpaid" if self.told[key] == "open" else self.told[key]
            return "fresh" if self.tokenize(f"{name}t") else "stop"
        if answer.status == 409 and "charge" in (answer.body or {}):
            self.told[key] = "unpaid"  # by this key; the other charge has its own word
            return self.look(f"{name}l", f"link-{key}", answer.body["charge"])
        if answer.status == 409 and answer.code in ("in_progress", "contended"):
            return "wait"
        if answer.status in (409, 410, 422, 423):
            self.told[key] = "unpaid"
            return "unpaid"
        return "stop"

    def _heard(self, key: str, body: dict[str, Any]) -> str:
        self.charges.add(body["id"])
        status = "open" if body.get("step") else body["status"]
        self.told[key] = "paid" if status in PAID else "unpaid" if status in UNPAID else "open"
        if status == "authorized":
            return self.finish(body["id"], key)
        return {"paid": "paid", "unpaid": "unpaid", "open": "wait"}[self.told[key]]

    def look(self, name: str, key: str, charge: str) -> str:
        """How a charge stands."""
        self.told.setdefault(key, "open")
        answer = self.world.call(name, "GET", f"/v1/charges/{charge}")
        return self._heard(key, answer.body) if answer is not None and answer.status == 200 else "wait"

    def finish(self, charge: str, key: str) -> str:
        """Take what is held, or let it go."""
        chance, name = self.world.chance, f"{self.label}.s{len(self.told)}"
        step = "void" if chance.is_so(f"{self.label} void", 0.3) else "capture"
        step_key, pause = f"{name}-{step}", 2.0
        for number in range(LONG):
            answer = self.world.call(f"{name}{number}", "POST", f"/v1/charges/{charge}/{step}", key=step_key)
            if answer is not None and answer.status == 200 and not answer.body.get("step"):
                self.told[key] = "paid" if answer.body["status"] in PAID else "unpaid"
                return self.told[key]
            if answer is not None and answer.status in (404, 409, 410, 422) and answer.code not in ("in_progress", "contended", "charge_in_progress"):
                return "stop"
            if answer is not None and answer.status == 502:
                step_key = f"{name}-{step}-{number}"
            self.world.scheduler.sleep(pause)
            pause = min(pause * 2.5, 600.0)
        return "stop"

    def tokenize(self, name: str) -> bool:
        """Enter the card again; whether there is a token."""
        self.email = f"{_letters(self.number)}@example.com"
        order = {
            "type": "card",
            "card": {"number": self.card["number"], "exp_month": 12, "exp_year": 2034, "cvc": "123"},
            "customer": {"reference": f"buyer-{_letters(self.number)}", "billing_contact": {"email": self.email}},
        }
        pause = 2.0
        for number in range(LONG):
            answer = self.world.call(f"{name}{number}", "POST", "/v1/tokens", order, key=f"{name}-key")
            if answer is not None and answer.status in (200, 201) and answer.body["status"] == "active":
                self.card = {**self.card, "token": answer.body["id"], "customer": answer.body["customer"]}
                return True
            if answer is not None and answer.status in (402, 409, 410, 422) and answer.code not in ("in_progress", "contended"):
                return False
            self.world.scheduler.sleep(pause)
            pause = min(pause * 2.5, 300.0)
        return False

    # -- afterwards --------------------------------------------------------------------------------------------------

    def follow_up(self) -> None:
        chance, world = self.world.chance, self.world
        for number in (1, 2):
            refund = chance.event(f"{self.label} refund{number}", self.rate("refund"), lambda number=number: self._part(number))
            if refund:
                world.scheduler.start(f"{self.label}r{number}", lambda refund=refund, number=number: self.give_back(number, refund), after=refund["after"])
        again = chance.event(f"{self.label} again", self.rate("again"), lambda: chance.span(f"{self.label} a", 7200.0))
        if again:
            world.scheduler.start(f"{self.label}z", lambda: self.pay(f"{self.label}.z"), after=again)
        erase = chance.event(f"{self.label} erase", self.rate("erase"), lambda: chance.span(f"{self.label} e", 3600.0))
        if erase:
            world.erases = True
            world.scheduler.start(f"{self.label}e", self.erase, after=erase)

    def _part(self, number: int) -> dict[str, Any]:
        chance, name = self.world.chance, f"{self.label} part{number}"
        return {"after": chance.span(name, 900.0), "amount": int(self.amount * (0.15 + 0.7 * chance.share(name))) // 10 * 10 + number}

    def give_back(self, number: int, refund: dict[str, Any]) -> None:
        """A part of it, once; the same key until it is said whether."""
        name = f"{self.label}.r{number}"
        key, pause, amount = f"{name}-key", 2.0, refund["amount"]
        for turn in range(LONG):
            charge = next(iter(sorted(self.charges)), None)
            if charge is None:
                return
            answer = self.world.call(f"{name}{turn}", "POST", f"/v1/charges/{charge}/refunds", {"amount": amount}, key=key)
            self.refunds.setdefault(key, (amount, "open"))
            if answer is not None and answer.status in (200, 201):
                self.refunds[key] = (amount, "made")
                again = self.world.chance.event(f"{name}{turn} again", self.rate("again"), lambda: self.world.chance.span(f"{name}{turn} a", 900.0))
                if not again:
                    return
                pause = again
            if answer is not None and answer.status in (404, 409, 422) and answer.code not in ("in_progress", "contended"):
                return
            if answer is not None and answer.status == 502:
                key = f"{name}-key-{turn}"
            self.world.scheduler.sleep(pause)
            pause = min(pause * 2.5, 600.0)

    def erase(self) -> None:
        """The customer asks for it, and again."""
        for number in range(4):
            answer = self.world.call(f"{self.label}.e{number}", "DELETE", f"/v1/customers/{self.card['customer']}")
            if answer is not None and answer.status in (200, 202):
                self.request = answer.body["id"]
                return
            if answer is not None and answer.status == 404:
                return
            self.world.scheduler.sleep(60.0 * 5**number)


def _letters(number: int) -> str:
    return "".join(chr(97 + int(digit)) for digit in str(number))
