"""Clients as they are: one story for each obligation, told by a shop that retries, hangs up, grows impatient, forgets.

A story keeps what it was told, by the key it asked with, and nothing else: the model judges by it.
"""

from dataclasses import dataclass, field
from typing import Any

from scheduler import Signal
from world import Answer, World

PAID = ("succeeded", "captured")
UNPAID = ("declined", "failed", "voided")
BUSY = ("in_progress", "contended", "charge_in_progress", "in_doubt")
"""Codes of a 409 after which the same call is to be made again."""

TRIES = 7
LONGEST_PAUSE = 900.0


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
    unsure: set[str] = field(default_factory=set)
    """Keys of which an earlier call went unanswered: that a later one is refused says nothing of it."""
    charges: set[str] = field(default_factory=set)
    refunds: dict[str, tuple[int, str]] = field(default_factory=dict)
    """By key: the amount, and whether it was `made` or is `open`."""
    request: str | None = None
    """Of an erasure that was taken on."""
    email: str = ""

    @property
    def label(self) -> str:
        return f"o{self.number}"

    @property
    def letters(self) -> str:
        """Its number in letters: digits could look like a card's."""
        return "".join(chr(97 + int(digit)) for digit in str(self.number))

    def event(self, name: str, rate: str, make: Any) -> Any:
        """What this client does out of the ordinary."""
        return self.world.chance.event(f"{self.label}{name}", self.world.rates.get(rate, 0.0), make)

    def run(self) -> None:
        """Have the card stored if it is new, then pay; sometimes by two calls at once."""
        chance, scheduler, both = self.world.chance, self.world.scheduler, Signal(self.world.scheduler)
        twice = self.event(" twice", "twice", lambda: round(0.01 + chance.share(f"{self.label} t") * 3, 2))
        is_new = not self.card["person"] and self.event(" new card", "new", lambda: True)
        if is_new and not self.tokenize(f"{self.label}.new"):
            return
        if twice:

            def second() -> None:
                self.pay(f"{self.label}.y")
                both.set()

            scheduler.start(f"{self.label}y", second, after=twice)
        self.pay(f"{self.label}.x")
        if twice:
            both.wait(100_000.0)

    def pay(self, name: str) -> None:
        """Order it until somebody says something definite: with the same key as a good client does, or not."""
        key, pause = f"{name}-key", 2.0
        for number in range(TRIES):
            said = self._order(f"{name}{number}", key)
            if said in ("paid", "stop"):
                return
            impatient = self.event(f"{name[len(self.label) :]}{number} impatient", "impatient", lambda: True)
            if said == "fresh" or impatient:
                key = f"{name}-key-{number}"
            elif said == "unpaid":
                return
            self.world.scheduler.sleep(pause * (1 + self.world.chance.share(f"{name}{number} b")))
            pause = min(pause * 3, LONGEST_PAUSE)

    def _order(self, name: str, key: str) -> str:
        body = {
            "token": self.card["token"],
            "amount": self.amount,
            "currency": "eur",
            "obligation": f"invoice-{self.letters}",
            "capture_method": "manual" if self.is_manual else "automatic",
            "initiator": "customer" if self.card["person"] else "merchant",
        }
        answer = self.world.call(name, "POST", "/v1/charges", body, key=key)
        self.told.setdefault(key, "open")
        return self._understood(name, key, answer)

    def _understood(self, name: str, key: str, answer: Answer | None) -> str:  # noqa: PLR0911  # a table, a row a line
        """What to do next: `paid`, `unpaid` or `stop` end it, `fresh` wants another key, `wait` the same one again."""
        match answer:
            case Answer(status=200 | 201 | 202):
                return self._heard(key, answer.body)
            case Answer(status=402):
                return self._refused(key, "unpaid", is_sure=True)
            case Answer(status=502):
                return self._refused(key, "fresh")
            case Answer(status=404):
                return self._refused(key, "fresh" if self.tokenize(f"{name}t") else "stop")
            case Answer(status=409, body={"charge": str(charge)}):
                self._refused(key, "unpaid")  # by this key; the other charge has its own word
                return self._look(f"{name}l", f"link-{charge}", charge)
            case Answer(status=409 | 410 | 422 | 423) if answer.code not in BUSY:
                return self._refused(key, "unpaid")
            case _:
                self.unsure.add(key)
                return "wait"

    def _refused(self, key: str, then: str, *, is_sure: bool = False) -> str:
        if is_sure or key not in self.unsure:
            self.told[key] = "unpaid"
        return then

    def _heard(self, key: str, body: dict[str, Any]) -> str:
        self.charges.add(body["id"])
        status = "open" if body.get("step") else body["status"]
        self.told[key] = "paid" if status in PAID else "unpaid" if status in UNPAID else "open"
        if status == "authorized":
            return self._finish(body["id"], key)
        if self.told[key] == "open":
            self.unsure.add(key)
            return "wait"
        return self.told[key]

    def _look(self, name: str, key: str, charge: str) -> str:
        """How a charge stands."""
        self.told.setdefault(key, "open")
        answer = self.world.call(name, "GET", f"/v1/charges/{charge}")
        return self._heard(key, answer.body) if answer is not None and answer.status == 200 else "wait"

    def _finish(self, charge: str, key: str) -> str:
        """Take what is held, or let it go."""
        name, pause = f"{self.label}.s{len(self.told)}", 2.0
        step = "void" if self.world.chance.is_so(f"{self.label} void", 0.3) else "capture"
        step_key = f"{name}-{step}"
        for number in range(TRIES):
            answer = self.world.call(f"{name}{number}", "POST", f"/v1/charges/{charge}/{step}", key=step_key)
            match answer:
                case Answer(status=200, body={"status": str(status), "step": None}):
                    self.told[key] = "paid" if status in PAID else "unpaid" if status in UNPAID else "open"
                    return "stop" if self.told[key] == "open" else self.told[key]
                case Answer(status=404 | 409 | 410 | 422) if answer.code not in BUSY:
                    return "stop"
                case Answer(status=502):
                    step_key = f"{name}-{step}-{number}"
            self.world.scheduler.sleep(pause)
            pause = min(pause * 3, LONGEST_PAUSE)
        return "stop"

    def tokenize(self, name: str) -> bool:
        """Enter the card again, as a new customer's; whether there is a token."""
        self.email, pause = f"{self.letters}@example.com", 2.0
        order = {
            "type": "card",
            "card": {"number": self.card["number"], "exp_month": 12, "exp_year": 2034, "cvc": "123"},
            "customer": {"reference": f"buyer-{self.letters}", "billing_contact": {"email": self.email}},
        }
        for number in range(TRIES):
            answer = self.world.call(f"{name}{number}", "POST", "/v1/tokens", order, key=f"{name}-key")
            match answer:
                case Answer(status=200 | 201, body={"status": "active"}):
                    self.card = {**self.card, "token": answer.body["id"], "customer": answer.body["customer"]}
                    return True
                case Answer(status=402 | 409 | 410 | 422) if answer.code not in BUSY:
                    return False
            self.world.scheduler.sleep(pause)
            pause = min(pause * 3, LONGEST_PAUSE)
        return False
