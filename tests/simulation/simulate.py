"""`make simulate SEEDS=0-1999`: many seeds in two processes, a line of progress, every failing seed with its course.

It remembers in build/simulation/ how far it came with a range, and goes on there. `SEEDS=17` runs one and tells all.
"""

import argparse
import json
import multiprocessing
import queue
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from chance import written
from running import OUTSIDE, Outcome, run
from shrinking import shrunk
from stage import operating_system, staged
from world import Stage

PROCESSES = 2
KEPT = Path(__file__).parent.parent.parent / "build" / "simulation"


def main() -> int:
    """The exit code: 0 where nothing was violated."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("seeds", help="a seed, or a range: 0-1999")
    asked.add_argument("--with", dest="within", default="", help="events outside the promise that are to happen too")
    asked.add_argument("--no-shrink", action="store_true")
    asked.add_argument("--until-found", action="store_true", help="end at the first seed that fails")
    told = asked.parse_args()
    outside = OUTSIDE - set(filter(None, told.within.split(",")))
    first, _, last = told.seeds.partition("-")
    if not last:
        return _tell_one(int(first), outside)
    return _run_all(int(first), int(last), outside, shrink=not told.no_shrink, until_found=told.until_found)


def _tell_one(seed: int, outside: frozenset[str]) -> int:
    with operating_system(), staged() as stage:
        outcome = run(stage, seed, outside=outside)
        _say("\n".join(outcome.trace))
        _say(_report(outcome, _shortest(stage, outcome, outside) if outcome.violations else outcome))
    return 1 if outcome.violations else 0


def _shortest(stage: Stage, outcome: Outcome, outside: frozenset[str]) -> Outcome:
    """The shrunk course, run once more."""
    kind = outcome.violations[0].kind

    def fails(course: Any) -> bool:
        return kind in run(stage, outcome.seed, course, outside).kinds

    return run(stage, outcome.seed, shrunk(outcome.course, fails), outside)


def _report(outcome: Outcome, short: Outcome) -> str:
    said = [f"seed {outcome.seed}: {len(outcome.violations)} violations, {outcome.seconds:.2f} s of CPU"]
    said += [f"  {each.kind}: {each.text}" for each in outcome.violations]
    if outcome.violations:
        said += [f"its course, shrunk from {len(outcome.course)} events to {len(short.course)}:", written(short.course)]
        said += [f"again: make simulate SEEDS={outcome.seed}"]
    return "\n".join(said)


def _run_all(first: int, last: int, outside: frozenset[str], *, shrink: bool, until_found: bool) -> int:
    KEPT.mkdir(parents=True, exist_ok=True)
    file = KEPT / f"{first}-{last}.json"
    kept = json.loads(file.read_text()) if file.exists() else {"next": first, "failed": {}, "cpu": 0.0}
    begun, start = time.monotonic(), kept["next"]
    for done, (seed, failed, cpu, report) in enumerate(_in_processes(start, last, outside, shrink=shrink), 1):
        kept["next"], kept["cpu"] = seed + 1, kept["cpu"] + cpu
        if failed:
            kept["failed"][str(seed)] = failed
            _say(report)
            (KEPT / f"{seed}.txt").write_text(report)
        file.write_text(json.dumps(kept))
        if failed and until_found:
            _say(f"seed {seed} is the first of {first}-{last} that fails: {', '.join(failed)}")
            return 1
        _show_progress(
            f"seed {seed} of {first}-{last}", kept, done, done / (time.monotonic() - begun), seed + 1 - first
        )
    _say(f"{last + 1 - first} seeds, {len(kept['failed'])} failed: {', '.join(kept['failed']) or 'none'}")
    return 1 if kept["failed"] else 0


def _show_progress(where: str, kept: dict[str, Any], done: int, rate: float, seeds: int) -> None:
    """A line that is drawn over on a terminal; elsewhere each hundredth seed."""
    if sys.stderr.isatty() or done % 100 == 0:
        end = "\r" if sys.stderr.isatty() else "\n"
        failed, cpu = len(kept["failed"]), kept["cpu"] / seeds
        sys.stderr.write(f"{where}, {failed} failed, {rate:.1f}/s, {cpu:.2f} s of CPU each{end}")
        sys.stderr.flush()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _in_processes(
    first: int, last: int, outside: frozenset[str], *, shrink: bool
) -> Iterator[tuple[int, list[str], float, str]]:
    """What came of each seed, in their order."""
    context = multiprocessing.get_context("spawn")
    results: Any = context.Queue()
    every = [
        context.Process(
            target=_child, args=(range(first + number, last + 1, PROCESSES), outside, shrink, results), daemon=True
        )
        for number in range(PROCESSES)
    ]
    for one in every:
        one.start()
    waiting: dict[int, Any] = {}
    for seed in range(first, last + 1):
        while seed not in waiting:
            told = _next(results, every)
            waiting[told[0]] = told
        yield waiting.pop(seed)
    for one in every:
        one.join()


def _next(results: Any, every: Sequence[Any]) -> Any:
    """What a process tells next. Raises SystemExit where one of them ended before it was through."""
    while True:
        with suppress(queue.Empty):
            return results.get(timeout=2.0)
        if any(one.exitcode for one in every):
            raise SystemExit("A process of the simulator ended early; what it said stands above.")


def _child(seeds: range, outside: frozenset[str], shrink: bool, results: Any) -> None:  # noqa: FBT001  # another process' argument
    with operating_system(), staged() as stage:
        for seed in seeds:
            try:
                outcome = run(stage, seed, outside=outside)
                short = _shortest(stage, outcome, outside) if outcome.violations and shrink else outcome
                results.put((seed, [*outcome.kinds], outcome.seconds, _report(outcome, short)))
            except Exception as error:  # noqa: BLE001  # a simulator's own mistake is a failure of this seed
                results.put((seed, ["simulator"], 0.0, f"seed {seed}: {type(error).__name__}: {error}"))


if __name__ == "__main__":
    sys.exit(main())
