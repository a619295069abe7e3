"""A small world in which the ledger's protocol is played: what there is, what may happen next, what must never be.

Two databases, the ledger, and processes that stop between any two steps. A step reads or writes one of them, and asks
`vault.ledger.protocol` what follows. A mark's hash is here the ids of all entries up to it: nothing collides.
"""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

from keys.identity import Identity, goes_on
from keys.keystore import BEGINNING, Watermark
from vault.ledger import protocol
from vault.ledger.protocol import Seen


class Deed(NamedTuple):
    """A decided entry. `fact` is what it makes true for good; a toggle has none."""

    id: str
    kind: str
    fact: str = ""
    dek: str = ""
    version: int = 0


class Placed(NamedTuple):
    mark: Watermark
    deed: Deed

    @property
    def id(self) -> str:
        return self.deed.id

    @property
    def doomed(self) -> list[tuple[str, str]]:
        return [("tenant", self.deed.dek)] if self.deed.dek else []


class Records(NamedTuple):
    instance: int = 0
    mark: Watermark = BEGINNING
    outbox: frozenset[Deed] = frozenset()
    pending: frozenset[str] = frozenset()
    facts: frozenset[str] = frozenset()
    restricted: bool = False
    version: int = 0
    last: str = ""


class Keystore(NamedTuple):
    instance: int = 0
    mark: Watermark = BEGINNING
    living: frozenset[str] = frozenset({"ada"})
    destroyed: frozenset[str] = frozenset()


class Process(NamedTuple):
    """`vouched` while it serves; `task` is the step that comes next and what it has in memory, () for none."""

    vouched: Seen | None
    task: tuple[Any, ...] = ()


class World(NamedTuple):
    records: Records
    keystore: Keystore
    ledger: tuple[Placed | None, ...]
    processes: tuple[Process, ...]
    backups: tuple[Records | None, Keystore | None]
    left: tuple[str, ...]  # what may still be begun or befall
    decided: tuple[Deed, ...] = ()
    acknowledged: frozenset[str] = frozenset()
    befallen: frozenset[str] = frozenset()


class Rules(NamedTuple):
    """The protocol as it is; a test drops one ingredient at a time."""

    is_on_chain: Callable[..., Any] = protocol.is_on_chain
    stands: Callable[..., Any] = protocol.stands
    may_follow: Callable[..., Any] = protocol.may_follow
    doomed: Callable[..., Any] = protocol.doomed
    due: Callable[..., Any] = protocol.due
    fate: Callable[..., Any] = protocol.fate
    lost: Callable[..., Any] = protocol.lost
    sets: Callable[..., Any] = protocol.sets
    lifts: Callable[..., Any] = protocol.lifts
    finding: Callable[..., Any] = protocol.finding
    serves_on: Callable[..., Any] = protocol.serves_on
    goes_on: Callable[..., Any] = goes_on
    goes_on_in_decide: Callable[..., Any] = goes_on
    looks_again: bool = True
    effect_at_decide: bool = True
    writes_only_if_absent: bool = True
    acknowledges_last: bool = True
    marks_first: bool = True


class Broken(Exception):
    """Something happened that must never be."""


class Cut(Exception):
    """The ledger does not have what was applied: the step ends."""


def start(*left: str, processes: int = 2) -> World:
    records, keystore = Records(), Keystore()
    checked = Process(Seen(identity(records), identity(keystore)))
    return World(records, keystore, (), (checked,) * processes, (None, None), tuple(sorted(left)))


def identity(database: Records | Keystore) -> Identity:
    return Identity(str(database.instance), "", database.mark)


def chain(world: World, rules: Rules, mark: Watermark) -> list[Placed]:
    there = world.ledger[mark.seq - 1] if 0 < mark.seq <= len(world.ledger) else None
    if not rules.is_on_chain(mark, there.mark.hash if there else None):
        raise Cut
    entries, last = [], mark
    for placed in world.ledger[mark.seq :]:
        if placed is None or placed.mark != behind(last, placed.deed):
            raise Cut
        entries.append(placed)
        last = placed.mark
    return entries


@cache
def behind(last: Watermark, deed: Deed) -> Watermark:
    """The mark of an entry that is appended behind that one."""
    return Watermark(last.seq + 1, last.hash.lstrip(b"\0") + deed.id.encode())


def moves(world: World, rules: Rules) -> Iterator[tuple[str, World]]:
    """Everything that may happen next, each with the world after it."""
    yield from _befalls(world)
    for place, process in enumerate(world.processes):
        if world.processes.index(process) < place:
            continue  # two that are alike do alike
        rest = world._replace(processes=world.processes[:place] + world.processes[place + 1 :])
        for what, after, then in _steps(rest, rules, process):
            yield what, after._replace(processes=tuple(sorted((*after.processes, then), key=hash)))


def check(world: World, rules: Rules) -> None:
    """What must hold in every world, also for a request that comes right now. Raises Broken."""
    erased = {deed.dek for deed in world.decided if deed.kind == "erase"}
    if not world.keystore.destroyed <= erased:
        raise Broken("the key of somebody who was not erased is destroyed")
    ids = [placed.id for placed in world.ledger if placed]
    if len(ids) != len(set(ids)) and "cut" not in world.befallen:
        raise Broken("an entry stands twice")
    if any(_passes(world, process, rules.goes_on) for process in world.processes):
        _check_served(world)


def _passes(world: World, process: Process, same: Callable[..., Any]) -> bool:
    return process.vouched is not None and same(process.vouched.records, identity(world.records))


def _check_served(world: World) -> None:
    for deed in world.decided:
        if deed.id in world.acknowledged and deed.fact and deed.fact not in world.records.facts:
            raise Broken(f"served although it was acknowledged: {deed.fact}")
        lifted = any(other.kind == "lift" and other.version > deed.version for other in world.decided)
        stands = deed.id in world.acknowledged and deed.kind == "set" and not lifted
        if stands and not world.records.restricted:
            raise Broken("served although an acknowledged restriction stands")


def _befalls(world: World) -> Iterator[tuple[str, World]]:
    """What nobody decides: a crash, a backup that is put back under running processes, a ledger cut short."""
    for what in dict.fromkeys(world.left):
        after = _spent(world, what)
        if what == "crash":
            for place in range(len(world.processes)):
                stopped = (*world.processes[:place], Process(None), *world.processes[place + 1 :])
                yield what, after._replace(processes=tuple(sorted(stopped, key=hash)))
        elif what == "back up records":
            yield what, after._replace(backups=(world.records, world.backups[1]))
        elif what == "back up keystore":
            yield what, after._replace(backups=(world.backups[0], world.keystore))
        elif what == "restore records" and world.backups[0]:
            put_back = world.backups[0]._replace(instance=world.records.instance + 1)
            yield what, after._replace(records=put_back, befallen=world.befallen | {what})
        elif what == "restore keystore" and world.backups[1]:
            put_back = world.backups[1]._replace(instance=world.keystore.instance + 1)
            yield what, after._replace(keystore=put_back, befallen=world.befallen | {what})
        elif what == "cut" and world.ledger:
            yield what, after._replace(ledger=world.ledger[:-1], befallen=world.befallen | {what})


def _spent(world: World, what: str) -> World:
    left = list(world.left)
    left.remove(what)
    return world._replace(left=tuple(left))


def _steps(world: World, rules: Rules, process: Process) -> Iterator[tuple[str, World, Process]]:
    if not process.task:
        yield from _begin(world, rules, process)
        return
    name, *memory = process.task
    try:
        after, task = STEPS[name](world, rules, *memory)
    except Cut:
        after, task = (world, ("verdict", "cut")) if name == "look at ledger" else (world, ())
    if task[:1] == ("verdict",):
        _, verdict, *seen = task
        yield f"{name}: {verdict}", _told(after, verdict), Process(seen[0] if verdict == "good" else None)
    else:
        yield name, after, process._replace(task=task)


def _begin(world: World, rules: Rules, process: Process) -> Iterator[tuple[str, World, Process]]:
    for what in dict.fromkeys(world.left):
        spent = _spent(world, what)
        if what == "look":
            yield what, spent, process._replace(task=("look",))
        elif what == "settle":
            yield what, spent, process._replace(task=("take up",))
        elif what == "look with the ledger away":
            seen = Seen(identity(world.records), identity(world.keystore))
            stays = process.vouched is not None and rules.serves_on(process.vouched, seen)
            yield what, spent, Process(seen if stays else None)
        elif what == "replay":  # it ends with a look
            yield what, spent, process._replace(task=("replay",))
        elif _passes(world, process, rules.goes_on_in_decide) and (decided := _decide(spent, rules, what)):
            after, deed = decided
            task = ("read ledger", deed, world.records.mark)
            if not rules.acknowledges_last:
                after = after._replace(acknowledged=after.acknowledged | {deed.id})
            yield what, after, process._replace(task=task)
        elif process.vouched and what == "come back" and "erased ada" in world.records.facts:
            keystore = world.keystore._replace(living=world.keystore.living | {"ada again"})
            yield what, spent._replace(keystore=keystore), process


def _decide(world: World, rules: Rules, what: str) -> tuple[World, Deed] | None:
    kind, _, fact = what.partition(": ")
    number, version = str(len(world.decided)), world.records.version + 1
    if kind == "erase" and fact not in world.records.facts:
        deed = Deed(number, kind, fact, dek="ada")
        if "held ada" in world.records.facts:
            return None
        if any(each.fact == "held ada" and each.id in world.acknowledged for each in world.decided):
            raise Broken("erased although it was held")
    elif kind in {"hold", "revoke"}:
        deed = Deed(number, kind, fact)
    elif kind == "set" or (kind == "lift" and world.records.restricted):
        deed = Deed(number, kind, version=version)
    else:
        return None
    records = world.records._replace(outbox=world.records.outbox | {deed}, pending=world.records.pending | {deed.id})
    if deed.version:
        records = records._replace(version=version, last=deed.id)
    if rules.effect_at_decide and kind != "lift":
        records = records._replace(
            facts=records.facts | ({deed.fact} if deed.fact else set()),
            restricted=records.restricted or kind == "set",
        )
    return world._replace(records=records, decided=(*world.decided, deed)), deed


def _told(world: World, verdict: str) -> World:
    """An alarm needs a reason."""
    cause = {"records_restored": "restore records", "keystore_restored": "restore keystore", "cut": "cut"}.get(verdict)
    if cause and cause not in world.befallen:
        raise Broken(f"a false alarm: {verdict}")
    return world


Step = tuple[World, tuple[Any, ...]]


def _take_up(world: World, _rules: Rules) -> Step:
    deeds = sorted(deed for deed in world.records.outbox if deed.id in world.records.pending)
    return world, ("read ledger", deeds[0], world.records.mark) if deeds else (
        "follow",
        "",
        world.records.mark,
        "apply",
    )


def _read_ledger(world: World, rules: Rules, deed: Deed, mark: Watermark) -> Step:
    after = chain(world, rules, mark)
    if rules.stands(deed.id, after):
        return world, ("follow", deed.id, mark, "apply")
    return world, ("append", deed, mark, after[-1].mark if after else mark)


def _append(world: World, rules: Rules, deed: Deed, mark: Watermark, last: Watermark) -> Step:
    taken = len(world.ledger) > last.seq and world.ledger[last.seq] is not None
    if taken and rules.writes_only_if_absent:
        return world, ("lost the race", deed) if rules.looks_again else ("append", deed, mark, world.ledger[-1].mark)
    placed = Placed(behind(last, deed), deed)
    ledger = [*world.ledger, *[None] * (last.seq + 1 - len(world.ledger))]
    ledger[last.seq] = placed
    return world._replace(ledger=tuple(ledger)), ("follow", deed.id, mark, "apply")


def _lost_the_race(world: World, rules: Rules, deed: Deed) -> Step:
    state = rules.lost(pending=deed.id in world.records.pending, known=deed in world.records.outbox)
    if state == protocol.UNKNOWN:
        return world, ()
    if state == protocol.APPLIED:
        return world, ("follow", deed.id, world.records.mark, "apply")
    return world, ("read ledger", deed, world.records.mark)


def _follow(world: World, rules: Rules, mine: str, floor: Watermark, then: str) -> Step:
    if not rules.may_follow(world.keystore.mark, floor):
        return world, ()
    after = chain(world, rules, world.keystore.mark)
    if not after:
        return world, (then, mine, floor, world.keystore.mark)
    return world, ("advance", mine, floor, then, world.keystore.mark, tuple(after))


def _advance(  # the steps of one process, with what it has in memory
    world: World, rules: Rules, mine: str, floor: Watermark, then: str, before: Watermark, after: tuple[Placed, ...]
) -> Step:
    if world.keystore.mark != before:
        return world, ("follow", mine, floor, then)
    gone = {dek for _, dek in rules.doomed(after)} & world.keystore.living
    keystore = world.keystore._replace(
        mark=after[-1].mark, living=world.keystore.living - gone, destroyed=world.keystore.destroyed | gone
    )
    return world._replace(keystore=keystore), (then, mine, floor, keystore.mark)


def _apply(world: World, rules: Rules, mine: str, mark: Watermark, until: Watermark) -> Step:
    entries = rules.due(chain(world, rules, mark), mark, until)
    if not entries:
        acknowledged = world.acknowledged | ({mine} if mine else set())
        return world._replace(acknowledged=acknowledged), ()
    entry, records = entries[0], world.records
    fate = rules.fate(moved=records.mark == mark, known=entry.deed in records.outbox)
    if fate == protocol.BEHIND:
        return world, ("apply", mine, records.mark, until)
    if fate == protocol.UNKNOWN:
        return world, ()
    records = _effect(records._replace(mark=entry.mark, pending=records.pending - {entry.id}), rules, entry.deed)
    return world._replace(records=records), ("apply", mine, entry.mark, until)


def _effect(records: Records, rules: Rules, deed: Deed) -> Records:
    if deed.fact:
        return records._replace(facts=records.facts | {deed.fact})
    if deed.kind == "set" and rules.sets(deed.version, records.version):
        return records._replace(restricted=True, version=deed.version, last=deed.id)
    if deed.kind == "lift" and rules.lifts(deed.version, records.version, deed.id, records.last):
        return records._replace(restricted=False, version=deed.version, last=deed.id)
    return records


def _look(world: World, rules: Rules) -> Step:
    if not rules.marks_first:
        return world, ("look too late", len(world.ledger))
    return world, ("look at keystore", identity(world.records))


def _look_at_keystore(world: World, _rules: Rules, of_records: Identity) -> Step:
    return world, ("look at ledger", Seen(of_records, identity(world.keystore)))


def _look_at_ledger(world: World, rules: Rules, before: Seen) -> Step:
    after = chain(world, rules, before.records.mark)
    chain(world, rules, before.keystore.mark)
    marks = {BEGINNING, *(placed.mark for placed in world.ledger if placed)}
    if not {before.records.mark, before.keystore.mark} <= marks:
        raise Broken("a cut went unnoticed")
    return world, ("look at outbox", before, tuple(after))


def _look_too_late(world: World, rules: Rules, length: int) -> Step:
    """The wrong order: the ledger as it was, the watermarks as they are."""
    seen = Seen(identity(world.records), identity(world.keystore))
    try:
        _, task = _look_at_ledger(world._replace(ledger=world.ledger[:length]), rules, seen)
    except Cut:
        return world, ("verdict", "cut")
    return world, task


def _look_at_outbox(world: World, _rules: Rules, before: Seen, after: tuple[Placed, ...]) -> Step:
    known = frozenset(deed.id for deed in world.records.outbox)
    return world, ("look again", before, after, known)


def _look_again(world: World, _rules: Rules, *read: Any) -> Step:
    return world, ("conclude", *read, identity(world.records))


def _conclude(world: World, rules: Rules, *read: Any) -> Step:
    before, after, known, of_records = read
    again = Seen(of_records, identity(world.keystore))
    found = rules.finding(before, after, known, again)
    return world, ("verdict", found, again) if found else ("look",)


def _replay(world: World, rules: Rules) -> Step:
    chain(world, rules, world.keystore.mark)
    return world, ("follow", "", BEGINNING, "take") if chain(world, rules, world.records.mark) else ("look",)


def _take(world: World, rules: Rules, mine: str, floor: Watermark, until: Watermark) -> Step:
    """One entry of a replay: learned and applied in one transaction."""
    after = rules.due(chain(world, rules, world.records.mark), world.records.mark, until)
    if not after:
        return world, ("replay",)
    entry, records = after[0], world.records
    records = records._replace(
        mark=entry.mark, outbox=records.outbox | {entry.deed}, pending=records.pending - {entry.id}
    )
    records = _effect(records, rules, entry.deed)
    return world._replace(records=records), ("take", mine, floor, until)


STEPS: dict[str, Callable[..., Step]] = {
    "take up": _take_up,
    "read ledger": _read_ledger,
    "append": _append,
    "lost the race": _lost_the_race,
    "follow": _follow,
    "advance": _advance,
    "apply": _apply,
    "look": _look,
    "look at keystore": _look_at_keystore,
    "look at ledger": _look_at_ledger,
    "look too late": _look_too_late,
    "look at outbox": _look_at_outbox,
    "look again": _look_again,
    "conclude": _conclude,
    "replay": _replay,
    "take": _take,
}
