"""`make soak`: a day's mix of calls for twenty minutes, while of the systems that are told of events some fail or hang.

No answer is an error, no program grows, and who answers hears of an event within ten seconds. Ctrl-C ends it early and
tells what was measured until then. Exit code 1 where a figure is missed.
"""

import argparse
import asyncio
import random
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

from bench.arrivals import happened, waiting
from bench.figures import print_table, write_json
from bench.growth import Watch
from bench.house import log_to_nowhere
from bench.receivers import Arrivals
from bench.shoppers import Traffic, crowd, first, sustained
from bench.soaked import figures
from bench.standing import Standing, standing

SHARE = 0.6
"""Of the best rate: the rest is for what comes in bursts."""

FIRST_SHOPPERS, CLIENTS, BEST_SECONDS, LOOKS = 40, 16, 10, 200
SETTLING_SECONDS, CATCHING_UP_SECONDS = 10, 120


def main(arguments: Sequence[str]) -> int:
    """Soak, say what was measured, and tell by the exit code whether it holds."""
    options = _options().parse_args(arguments)
    log_to_nowhere()
    for ending in (signal.SIGTERM, signal.SIGINT):  # a shell has what it starts in the background ignore the second
        signal.signal(ending, signal.default_int_handler)
    try:
        with standing() as house:
            traffic, watch = Traffic(house.house, house.url), Watch(house.programs)
            is_whole = _soaked(house, traffic, watch, options)
            told, count = _settled(house), happened(house, traffic.since)
            found = figures(traffic, watch, told, count, house.logs)
            print_table(found)
            print(f"\nWritten to {write_json(found, ['soak', *arguments])}.", flush=True)
    except KeyboardInterrupt:
        return 130
    broken = [figure.name for figure in found if figure.is_broken]
    if broken:
        print(f"Broken: {'; '.join(broken)}.")
    return 1 if broken else 0 if is_whole else 130


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--seconds", type=int, default=1200, help="how long (1200)")
    parser.add_argument("--rate", type=float, help="calls a second; unsaid, six tenths of the best")
    parser.add_argument("--seed", type=int, help="of who does what")
    return parser


def _soaked(house: Standing, traffic: Traffic, watch: Watch, options: argparse.Namespace) -> bool:
    """Soak; whether to the end."""
    random.seed(options.seed)
    _say("the first shoppers")
    asyncio.run(first(traffic, FIRST_SHOPPERS))
    rate = options.rate or SHARE * _best(house, traffic)
    traffic.begin()
    house.receivers.look(f"/{traffic.since}")
    watch.begin()
    every = max(options.seconds / LOOKS, 0.5)

    async def look_on() -> None:
        while True:
            await asyncio.sleep(every)
            await asyncio.to_thread(_look, house, traffic, watch, options.seconds)

    try:
        asyncio.run(sustained(traffic, rate, options.seconds, look_on))
    except KeyboardInterrupt:
        return False
    finally:
        _say("")
    return True


def _best(house: Standing, traffic: Traffic) -> float:
    """Calls a second when as many come as are answered. What they leave to be told is told before anything counts."""
    _say(f"the best, {BEST_SECONDS} s")
    traffic.begin()
    asyncio.run(crowd(traffic, CLIENTS, BEST_SECONDS))
    rate, end = len(traffic.times) / BEST_SECONDS, time.monotonic() + CATCHING_UP_SECONDS
    while (left := waiting(house)) and time.monotonic() < end:
        _say(f"the best was {rate:.0f}/s; {left} deliveries are caught up with")
        time.sleep(1)
    return rate


def _look(house: Standing, traffic: Traffic, watch: Watch, seconds: int) -> None:
    watch.sample()
    told = house.receivers.look()
    sizes = ", ".join(f"{name} {each.resident[-1]:.0f}" for name, each in watch.sizes.items())
    _say(
        f"{watch.seconds:.0f} of {seconds} s, {len(traffic.times)} calls at {traffic.rate:.0f}/s, "
        f"{traffic.wrong} wrong; "
        f"events after {told.p50:.2f} s, p99 {told.p99:.2f} s; MiB: {sizes}"
    )


def _settled(house: Standing) -> Arrivals:
    """What became of events, once the last ones had their time too."""
    end = time.monotonic() + SETTLING_SECONDS
    with suppress(KeyboardInterrupt):  # who is in a hurry has what there is
        while waiting(house) and time.monotonic() < end:
            time.sleep(0.5)
    return house.receivers.look()


def _say(what: str) -> None:
    """One line of progress, over the last one where there is a terminal."""
    if sys.stderr.isatty():
        print(f"\r\033[K{what}", end="", file=sys.stderr, flush=True)
    elif what:
        print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
