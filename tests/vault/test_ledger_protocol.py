from collections import deque
from typing import Any, NamedTuple

import pytest
from protocol_world import Broken, Rules, World, check, moves, start

from vault.ledger import protocol

ERASE, REVOKE, HOLD = "erase: erased ada", "revoke: revoked till", "hold: held ada"
RESTORED = ("back up records", "restore records")
AWAY = ("look with the ledger away", "look with the ledger away")
WORLDS = {
    "crash": start(ERASE, "settle", "settle", "look", "crash"),
    "two at once": start(ERASE, REVOKE, "look"),
    "records": start(ERASE, "settle", *RESTORED, "look", "replay"),
    "hold": start(HOLD, ERASE, *RESTORED, "look"),
    "hold, replayed": start(HOLD, ERASE, *RESTORED, "replay"),
    "late lift": start("set", "lift", "set", "settle"),
    "restriction": start("set", *RESTORED, "look", "replay"),
    "lift, replayed": start("set", "lift", *RESTORED, "replay"),
    "keystore": start(ERASE, "come back", "back up keystore", "restore keystore", "look", "replay"),
    "both": start(ERASE, *RESTORED, "back up keystore", "restore keystore", "replay"),
    "away": start(ERASE, *RESTORED, "back up keystore", "restore keystore", *AWAY),
    "cut": start(ERASE, REVOKE, "cut", "look"),
}


class Explored(NamedTuple):
    """How many worlds were visited, what was seen to happen, and the shortest way to what must never be."""

    states: int
    seen: frozenset[str]
    broken: str = ""
    trail: tuple[str, ...] = ()


def explore(first: World, rules: Rules) -> Explored:
    """Visit every world that can come of the first one, nearest first, until one is broken."""
    came: dict[World, tuple[World, str] | None] = {first: None}
    waiting, seen = deque([first]), set()
    while waiting:
        world = waiting.popleft()
        try:
            check(world, rules)
            for what, after in moves(world, rules):
                seen.add(what)
                if after not in came:
                    came[after] = (world, what)
                    waiting.append(after)
        except Broken as broken:
            return Explored(len(came), frozenset(seen), str(broken), trail(came, world))
    return Explored(len(came), frozenset(seen))


def trail(came: dict[World, tuple[World, str] | None], world: World) -> tuple[str, ...]:
    steps = []
    while before := came[world]:
        world, what = before
        steps.append(what)
    return tuple(reversed(steps))


def test_nothing_breaks_in_any_order() -> None:
    """Over 150,000 states, each with any next step, crash or restore: no promise broken, no false alarm."""
    found = {name: explore(world, Rules()) for name, world in WORLDS.items()}
    assert {name: (each.broken, each.trail) for name, each in found.items() if each.broken} == {}
    assert sum(each.states for each in found.values()) > 150_000
    assert {"records_restored", "keystore_restored", "cut", "good"} <= {
        verdict for each in found.values() for what in each.seen for verdict in [what.partition(": ")[2]]
    }
    replayed = [each.seen for name, each in found.items() if "replay" in WORLDS[name].left and name != "keystore"]
    assert all({"take", "conclude: good"} <= seen for seen in replayed)


def always(*_: Any, **__: Any) -> bool:
    return True


def never_lost(*, pending: bool, **_: bool) -> str:
    return protocol.PENDING if pending else protocol.APPLIED


def by_number_alone(mark: Any, hash_there: Any) -> bool:
    return mark.seq == 0 or hash_there is not None


def of_the_person(entries: Any) -> list[tuple[str, str]]:
    return [(tenant, f"{dek}{again}") for tenant, dek in protocol.doomed(entries) for again in ("", " again")]


def ahead_of_the_keystore(entries: Any, mark: Any, _keystore: Any) -> Any:
    return [entry for entry in entries if entry.mark.seq > mark.seq]


def of_one_version(version: int, current: int, *_: str) -> bool:
    return current <= version


def of_whatever_is_there(_before: Any, after: Any, known: Any, again: Any) -> str | None:
    return protocol.finding(again, after, known, again)


def without_ids(before: Any, after: Any, _known: Any, again: Any) -> str | None:
    return protocol.finding(before, after, {entry.id for entry in after}, again)


DROPPED: dict[str, tuple[Rules, str, str]] = {
    "effect at decide": (Rules(effect_at_decide=False), "restriction", "acknowledged restriction"),
    "conditional write": (Rules(writes_only_if_absent=False), "two at once", "false alarm: cut"),
    "look again after a lost race": (Rules(looks_again=False), "crash", "entry stands twice"),
    "look for the id": (Rules(stands=lambda *_: False), "crash", "entry stands twice"),
    "acknowledge last": (Rules(acknowledges_last=False), "records", "acknowledged: erased ada"),
    "hash in the watermark": (Rules(is_on_chain=by_number_alone), "cut", "cut went unnoticed"),
    "version of a lift": (Rules(lifts=always), "late lift", "acknowledged restriction"),
    "keystore first": (Rules(due=ahead_of_the_keystore), "crash", "false alarm: keystore_restored"),
    "ids in the guard": (Rules(finding=without_ids), "records", "acknowledged: erased ada"),
    "incarnation": (Rules(doomed=of_the_person), "keystore", "who was not erased"),
    "look whether it is lost": (Rules(lost=never_lost), "hold", "acknowledged: erased ada"),
    "identity with each request": (Rules(goes_on=always), "records", "acknowledged: erased ada"),
    "identity in the decision": (Rules(goes_on_in_decide=always), "hold", "although it was held"),
    "identity over the guard's reads": (Rules(finding=of_whatever_is_there), "records", "acknowledged: erased ada"),
    "grace for the same databases": (Rules(serves_on=always), "away", "acknowledged: erased ada"),
    "watermarks before the ledger": (Rules(marks_first=False), "crash", "false alarm"),
}


@pytest.mark.parametrize("ingredient", DROPPED)
def test_each_ingredient_is_needed(ingredient: str) -> None:
    """Drop one, and the explorer finds the way to what it was there for."""
    rules, world, broken = DROPPED[ingredient]
    found = explore(WORLDS[world], rules)
    assert broken in found.broken, (found.states, found.broken, found.trail)
