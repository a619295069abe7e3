"""Webhooks on their way from the processor to the door: late, twice, in any order, until somebody takes them."""

import itertools
import json
from collections.abc import Mapping
from typing import Any

from deployment import WEBHOOK_SECRET
from world import World

from sandbox.webhooks import signature

PAUSES = (5.0, 60.0, 600.0, 3600.0, 10_800.0)
"""Seconds between the attempts to deliver one."""

CALM_PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
"""Seconds until a webhook is sent again once all is calm; some of the processes may still stand still for a day."""


class Webhooks:
    """What is under way, and what was taken."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._numbers = itertools.count(1)
        self._taken: list[tuple[float, bytes]] = []
        self.under_way = 0
        world.processor.listener = self.send

    def send(self, event: Mapping[str, Any]) -> None:
        """Put an event on its way."""
        world, chance = self._world, self._world.chance
        if event["type"].startswith("payment_intent.") and not world.tells_payments:
            return
        label, body, rate = f"h{next(self._numbers)}", json.dumps(event).encode(), world.rates["webhook"]
        wait = chance.between(f"{label} d", 0.05, 4.0)
        if world.calm:
            self._start(label, body, wait)
            return
        wait += chance.event(f"{label} late", rate, lambda: chance.span(label, 20_000.0)) or 0.0
        self._start(label, body, wait)
        again = chance.event(f"{label} twice", rate / 2, lambda: chance.span(f"{label} again", 3600.0))
        if again:
            self._start(f"{label}b", body, wait + again)

    def send_again(self, since: float) -> None:
        """What was taken since then may be lost: the operator has the processor send it again."""
        for at, body in [*self._taken]:
            if at >= since:
                self._start(f"h{next(self._numbers)}r", body, 30.0)

    def _start(self, label: str, body: bytes, after: float) -> None:
        self.under_way += 1
        self._world.scheduler.start(label, lambda: self._deliver(label, body), after=after)

    def _deliver(self, label: str, body: bytes) -> None:
        world = self._world
        path = f"/webhooks/{world.stage.founded.account}"
        for attempt in itertools.count():
            signed = {"Stripe-Signature": signature(WEBHOOK_SECRET, body, int(world.scheduler.now))}
            answer = world.send(f"{label}.{attempt}", "POST", path, body, signed)
            if answer is not None and answer.status < 300:
                self._taken.append((world.scheduler.now, body))
                self.under_way -= 1
                return
            pauses = CALM_PAUSES if world.calm else PAUSES
            world.scheduler.sleep(pauses[min(attempt, len(pauses) - 1)])
