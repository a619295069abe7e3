"""Twice of what can be done: how much is done, how fast the rest is refused, whether probes answer, and after it."""

import asyncio
import time
from dataclasses import dataclass, field
from itertools import cycle
from statistics import mean, median, quantiles

from bench.door import prepare
from bench.figures import Figure
from bench.http import CLIENTS, DELAY, ours
from bench.load import GOOD, Client, closed, to_wire
from bench.scene import Scene

REFUSED = 503
PROBES, PROBED_EVERY = ("/livez", "/readyz"), 0.25
CUSTOMERS = 1000
BEST_SECONDS, CALM = 10, 5.0
"""Seconds for which the best is looked for, and after which all must be as before."""


@dataclass
class Storm:
    """What came of each request, by its status, in seconds from its sending; what the probes took."""

    times: dict[int, list[float]] = field(default_factory=dict)
    probes: list[float] = field(default_factory=list)

    @property
    def good(self) -> int:
        return sum(len(times) for status, times in self.times.items() if status in GOOD)


def figures(scene: Scene, seconds: int) -> list[Figure]:
    """Goodput under twice the load, refusals, probes, and how it is five seconds later."""
    raws = _orders(scene)
    scene.processor.answer_after(DELAY)
    with ours(scene) as (url, _):
        closed(url, raws, clients=CLIENTS, seconds=3)
        scene.say(f"the best, {BEST_SECONDS} s")
        before = median(closed(url, raws, clients=2, seconds=3).times)
        best = closed(url, raws, clients=CLIENTS, seconds=BEST_SECONDS).rate
        scene.say(f"{2 * best:.0f}/s for {seconds} s")
        storm = asyncio.run(_storm(url, raws, rate=2 * best, seconds=seconds))
        time.sleep(CALM)
        after = median(closed(url, raws, clients=2, seconds=3).times)
        scene.say(f"the best once more, {BEST_SECONDS} s")
        still = closed(url, raws, clients=CLIENTS, seconds=BEST_SECONDS).rate
    scene.processor.answer_after(0)
    refusals = storm.times.get(REFUSED, [])
    came = {status: len(times) for status, times in sorted(storm.times.items())}
    note = f"{2 * best:.0f}/s for {seconds} s over a best of {best:.0f}/s, later {still:.0f}/s; came back: {came}"
    goodput = storm.good / seconds / mean((best, still))  # what is best here drifts over minutes of load
    return [
        _figure(scene, "goodput at twice the rate", goodput, 0.9, note=note, least=True),
        _figure(scene, "refusals, p99", _p99(refusals), 100, "ms"),
        _figure(scene, "probes meanwhile, p99", _p99(storm.probes), 100, "ms", f"{len(storm.probes)} of them"),
        _figure(scene, f"a call {CALM:.0f} s later, over before", after / before, 1.5),
    ]


def _orders(scene: Scene) -> list[bytes]:
    """A card each for many customers: few would be a queue of their own, before their rows."""
    scene.say(f"{CUSTOMERS} customers")
    known = (scene.house.ask(scene.house.tokenize())["customer"] for _ in range(CUSTOMERS))
    return [to_wire(scene.house.tokenize(customer)) for customer in known]


async def _storm(url: str, raws: list[bytes], *, rate: float, seconds: int) -> Storm:
    """Requests that are due whatever becomes of those before, and probes on connections of their own."""
    storm, orders, idle = Storm(), cycle(raws), list[Client]()
    start = time.perf_counter() + 0.1

    async def one(due: float) -> None:
        await asyncio.sleep(due - time.perf_counter())
        client, sent = idle.pop() if idle else Client(url), time.perf_counter()
        status = await client.ask(next(orders))
        storm.times.setdefault(status, []).append(time.perf_counter() - sent)
        idle.append(client)

    async def probe() -> None:
        for raw in cycle([to_wire(prepare("GET", path, {})) for path in PROBES]):
            await asyncio.sleep(PROBED_EVERY)
            client, sent = Client(url), time.perf_counter()
            status = await client.ask(raw)
            storm.probes.append(time.perf_counter() - sent if status in GOOD else float("inf"))
            client.close()

    probing = asyncio.create_task(probe())
    await asyncio.gather(*(one(start + number / rate) for number in range(int(rate * seconds))))
    probing.cancel()
    for client in idle:
        client.close()
    return storm


def _p99(times: list[float]) -> float:
    """Milliseconds; 0 where there are none."""
    return quantiles(times, n=100, method="inclusive")[98] * 1000 if len(times) > 1 else 0.0


def _figure(
    scene: Scene, name: str, measured: float, must: float, unit: str = "", note: str = "", *, least: bool = False
) -> Figure:
    return Figure(
        name=name, on=scene.backend, measured=measured, must=must, unit=unit, note=note, at_least=least, gated=False
    )
