"""The rules of `vault.money.findings` in any order of steps of servers, workers, late messages and lost histories."""

from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from decisions_world import Broken, Rules, World, check, is_settled, moves, start

from vault.money import findings
from vault.money.findings import Seen, Wait
from vault.processing.answers import Burnt, KeyTaken

WORLDS = {
    "one order": start("order a", "declines", "breaks", "burn lost"),
    "failover": start("order a", "order b", "fail over"),
    "a decline": start("order a", "order b", "fail over", "declines"),
    "a retry": start("order a", "order a", "order b", "fail over"),
    "500": start("order a", "order b", "fail over", "breaks"),
    "500 after paying": start("order a", "order b", "fail over", "breaks after paying"),
    "a refusal": start("order a", "order b", "refuses", histories=2),
    "a lost burn": start("order a", "order b", "fail over", "burn lost"),
    "three orders": start("order a", "order b", "order c", histories=2),
    "person pays": start("order a", "order b", "fail over", "asks", "person pays"),
    "person fails": start("order a", "order b", "fail over", "asks", "person fails", "person pays"),
}


class Explored(NamedTuple):
    """How many worlds were visited, what must never be and the shortest way to it, and which can't settle."""

    states: int
    broken: str = ""
    trail: tuple[str, ...] = ()
    stuck: tuple[str, ...] = ()


def explore(first: World, rules: Rules) -> Explored:
    """Visit every world that can come of the first one, nearest first, until one is broken."""
    came: dict[World, tuple[World, str] | None] = {first: None}
    before: dict[World, list[World]] = defaultdict(list)
    waiting = deque([first])
    while waiting:
        world = waiting.popleft()
        try:
            check(world)
        except Broken as broken:
            return Explored(len(came), str(broken), trail(came, world))
        for what, after in moves(world, rules):
            before[after].append(world)
            if after not in came:
                came[after] = (world, what)
                waiting.append(after)
    return Explored(len(came), stuck=next((trail(came, world) for world in stuck(came, before)), ()))


def stuck(came: dict[World, Any], before: dict[World, list[World]]) -> Iterator[World]:
    """The worlds of which no settled one can come."""
    settling = [world for world in came if is_settled(world)]
    can_settle = set(settling)
    while settling:
        for earlier in before[settling.pop()]:
            if earlier not in can_settle:
                can_settle.add(earlier)
                settling.append(earlier)
    yield from (world for world in came if world not in can_settle)


def trail(came: dict[World, tuple[World, str] | None], world: World) -> tuple[str, ...]:
    steps = []
    while before := came[world]:
        world, what = before
        steps.append(what)
    return tuple(reversed(steps))


def test_nothing_breaks_in_any_order() -> None:
    """Over 80,000 worlds: an obligation is paid once at most, what was told is so in the end, and all can settle."""
    found = {name: explore(world, Rules()) for name, world in WORLDS.items()}
    assert {name: each for name, each in found.items() if each.broken or each.stuck} == {}
    assert sum(each.states for each in found.values()) > 80_000


def only_its_own(payments: Any, tag: str, obligation: str | None) -> Seen:
    return replace(findings.own_or_other(payments, tag, obligation), others=())


def replay_is_fresh(answer: object) -> tuple[Any, bool]:
    return findings.after_burn(Burnt(replayed=False) if isinstance(answer, Burnt) else answer)


def lost_answer_is_fresh(answer: object) -> tuple[Any, bool]:
    return findings.after_burn(answer if isinstance(answer, Burnt | KeyTaken) else Burnt(replayed=False))


def settles_at_once(answer: object) -> tuple[Any, bool]:
    return findings.after_burn(answer)[0], False


def without_waiting(seen: Seen, burnt: Any, *, has_number: bool, **_: bool) -> Any:
    return findings.decide(seen, burnt, has_number=has_number, is_settled=True)


def without_the_list(_seen: Seen, burnt: Any, **facts: bool) -> Any:
    return findings.decide(Seen(), burnt, **facts)


def one_key_alone(seen: Seen, burnt: Any, *, is_settled: bool, **_: bool) -> Any:
    return findings.decide(seen, burnt, has_number=False, is_settled=is_settled)


def without_burning(seen: Seen, _burnt: Any, **facts: bool) -> Any:
    return findings.decide(seen, "fresh", **facts)


def only_paid_ones(seen: Seen, burnt: Any, **facts: bool) -> Any:
    return findings.decide(replace(seen, others=[each for each in seen.others if each.captured]), burnt, **facts)


def used_is_the_end(seen: Seen, burnt: Any, **facts: bool) -> Any:
    return Wait() if burnt == "used" and not seen.own and not seen.others else findings.decide(seen, burnt, **facts)


REFUSED = start("order a", "order b", "order c", "refuses", histories=2)
ASKED = start("order a", "order b", "order c", "asks", "person pays", histories=2)
DROPPED: dict[str, tuple[Rules, World, str]] = {
    "key by obligation": (Rules(keys_name_the_obligation=False), WORLDS["failover"], "paid twice"),
    "no new key by a refusal": (Rules(uses_up=("declined", "never_charged", "refused")), REFUSED, "paid twice"),
    "all payments of the account": (Rules(own_or_other=only_its_own), WORLDS["three orders"], "paid twice"),
    "payments that wait for a person": (Rules(decide=only_paid_ones), ASKED, "paid twice"),
    "a replayed burn is not fresh": (Rules(after_burn=replay_is_fresh), WORLDS["a retry"], "told never_charged"),
    "burning on after a used key": (Rules(decide=one_key_alone), WORLDS["a retry"], "told never_charged"),
    "a lost burn proves nothing": (Rules(after_burn=lost_answer_is_fresh), WORLDS["one order"], "told never_charged"),
    "settling after a 400": (Rules(after_burn=settles_at_once), WORLDS["failover"], "told never_charged"),
    "waiting until it has settled": (Rules(decide=without_waiting), WORLDS["failover"], "told never_charged"),
    "the list before concluding": (Rules(decide=without_the_list), WORLDS["failover"], "told never_charged"),
    "burning": (Rules(decide=without_burning), WORLDS["one order"], "told never_charged"),
    "calling off what failed": (Rules(calls_off_what_failed=False), WORLDS["person fails"], "told declined"),
    "an end for a used key": (Rules(decide=used_is_the_end), WORLDS["500"], "stuck"),
}


@pytest.mark.parametrize("rule", DROPPED)
def test_each_rule_is_needed(rule: str) -> None:
    """Drop one, and the explorer finds the way to what it was there for."""
    rules, world, broken = DROPPED[rule]
    found = explore(world, rules)
    assert broken in (found.broken or ("stuck" if found.stuck else "")), found
