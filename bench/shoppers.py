"""The crowd that makes the calls of `bench/mix.py`: as many as are answered, or so many a second come what may."""

import asyncio
import json
import random
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from statistics import quantiles

from bench.house import House
from bench.load import Client, to_wire
from bench.mix import KINDS, MOST_SHOPPERS, WELCOME, Kind, Shopper, shopper_of

IDLE_SECONDS = 2.0
"""After so long a connection is not used again: the server hangs up after five, perhaps at this very moment."""


class Traffic:
    """Who shops at a house, and what came of all they asked."""

    def __init__(self, house: House, url: str) -> None:
        self.house, self.url = house, url
        self.shoppers = deque[Shopper](maxlen=MOST_SHOPPERS)
        self.since, self._idle = time.time(), list[tuple[Client, float]]()
        self.begin()

    def begin(self) -> None:
        """Count anew from now on."""
        self.since, self._began = time.time(), time.monotonic()
        self.statuses, self.times = Counter[tuple[str, int]](), list[float]()
        self.wrong, self.shown = 0, list[str]()  # of each status of a kind that was wrong, the first answer

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.times) / max(time.monotonic() - self._began, 1)

    @property
    def p99(self) -> float:
        """Seconds that a call took."""
        return quantiles(self.times, n=100, method="inclusive")[98] if len(self.times) > 1 else 0.0

    async def call(self, due: float, kind: Kind | None = None) -> None:
        """One call of somebody, who is nobody else's meanwhile; time counts from when it was due."""
        who = self._somebody()
        kind = kind or (_chosen() if who else WELCOME)
        client = self._connected()
        status, body = await client.answer(to_wire(kind.make(self.house, who)))
        self._idle.append((client, time.monotonic()))
        self.times.append(time.perf_counter() - due)
        self._learn(kind, who, status, body)

    def _somebody(self) -> Shopper | None:
        if not self.shoppers:
            return None
        self.shoppers.rotate(-random.randrange(len(self.shoppers)))
        return self.shoppers.popleft()

    def _connected(self) -> Client:
        client, left = self._idle.pop() if self._idle else (Client(self.url), 0.0)
        if time.monotonic() - left > IDLE_SECONDS:
            client.close()
        return client

    def _learn(self, kind: Kind, who: Shopper | None, status: int, body: bytes) -> None:
        self.statuses[kind.name, status] += 1
        if status not in kind.good:
            self.wrong += 1
            if self.statuses[kind.name, status] == 1:
                self.shown.append(f"{kind.name}: {status} after {self.times[-1]:.1f} s {body.decode()}")
        elif kind is WELCOME:
            self.shoppers.append(shopper_of(json.loads(body)))
        elif who is not None:
            kind.learn(who, json.loads(body))
        if who is not None and not kind.ends:
            self.shoppers.append(who)

    def hang_up(self) -> None:
        """Close what is open: the next crowd has a loop of its own."""
        while self._idle:
            self._idle.pop()[0].close()


def _chosen() -> Kind:
    kinds = (WELCOME, *KINDS)
    return random.choices(kinds, [kind.weight for kind in kinds])[0]


async def first(traffic: Traffic, count: int) -> None:
    """So many new shoppers, one after another."""
    for _ in range(count):
        await traffic.call(time.perf_counter(), WELCOME)
    traffic.hang_up()


async def crowd(traffic: Traffic, clients: int, seconds: float) -> None:
    """So many at once, each of whom calls again when there is an answer."""
    until = time.perf_counter() + seconds

    async def go_on() -> None:
        while (now := time.perf_counter()) < until:
            await traffic.call(now)

    await asyncio.gather(*(go_on() for _ in range(clients)))
    traffic.hang_up()


async def sustained(traffic: Traffic, rate: float, seconds: float, meanwhile: Callable[[], Awaitable[None]]) -> None:
    """So many calls a second, each when it is due, and something else all the while."""
    start, under_way, looking = time.perf_counter(), set[asyncio.Task[None]](), asyncio.ensure_future(meanwhile())
    for number in range(int(rate * seconds)):
        due = start + number / rate
        await asyncio.sleep(due - time.perf_counter())
        call = asyncio.create_task(traffic.call(due))
        under_way.add(call)
        call.add_done_callback(under_way.discard)
    await asyncio.gather(*under_way)
    looking.cancel()
    traffic.hang_up()
