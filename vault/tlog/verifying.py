"""Checking a log from its files alone, as somebody does who trusts neither its database nor us.

Every entry is hashed again, every tile compared, the root held against the checkpoint's and against checkpoints from
before; within a lane no number may be missing. What is found is told with its place; nothing stops at the first.
"""

import json
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from vault.canonical import canonical
from vault.tlog.merkle import HASH_BYTES, TILE_WIDTH, Tile, Tree, leaf_hash
from vault.tlog.notes import Checkpoint, NotGenuine, Verifier, open_note
from vault.tlog.paths import unbundled
from vault.tlog.signing import parse_origin

RESTORED = "log.restored"
"""The action of an entry that begins a new generation: its details say how much of the one before was `kept`."""

Told = Callable[[int], None]
"""Told how many entries more were looked at."""


class Files(Protocol):
    """A log's files. What is not there is empty."""

    def checkpoint(self) -> bytes:
        """The signed note."""

    def bundle(self, number: int, width: int) -> bytes:
        """An entry bundle."""

    def tile(self, level: int, number: int, width: int) -> bytes:
        """A tile."""

    def strangers(self, size: int) -> Iterator[str]:
        """Files that a log of that size does not have."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it must be: where, and what. `place` is an entry's place, -1 for none.

    `told_by` is the generation that says it of itself, where one does: entries that were lost with older records.
    """

    place: int
    what: str
    told_by: int | None = None


@dataclass(slots=True)
class _Look:
    """What is known so far of the log that is being looked through."""

    tenant: str
    deployment: str
    files: Files
    findings: list[Finding] = field(default_factory=list)
    lanes: Counter[str] = field(default_factory=Counter)
    restored: list[dict[str, int]] = field(default_factory=list)
    tree: Tree = field(default_factory=Tree)
    roots: dict[int, bytes] = field(default_factory=dict)

    def find(self, what: str, place: int = -1) -> None:
        self.findings.append(Finding(place, what))


def verify(files: Files, keys: Sequence[Verifier], against: Sequence[bytes], told: Told) -> list[Finding]:
    """All that is wrong with a log; `against` are checkpoints from before that it has to continue.

    `keys` verify its checkpoint and those; whose they are is for the caller to know.
    """
    try:
        newest = open_note(files.checkpoint(), keys)
        deployment, tenant, _ = parse_origin(newest.origin)
    except (NotGenuine, ValueError) as error:
        return [Finding(-1, f"The checkpoint: {error}")]
    look = _Look(tenant=tenant, deployment=deployment, files=files)
    older = [each for each in (_opened(look, note, keys) for note in against) if each is not None]
    _walk(look, newest.size, sorted({each.size for each in older}), told)
    for checkpoint in (*older, newest):
        _hold(look, checkpoint, newest)
    for path in files.strangers(newest.size):
        look.find(f"{path} does not belong to a log of {newest.size} entries.")
    return look.findings


def _opened(look: _Look, note: bytes, keys: Sequence[Verifier]) -> Checkpoint | None:
    """A checkpoint from before, if it is one of this log."""
    try:
        older = open_note(note, keys)
        if parse_origin(older.origin)[:2] == (look.deployment, look.tenant):
            return older
        look.find(f"The checkpoint to verify against is of another log: {older.origin}.")
    except (NotGenuine, ValueError) as error:
        look.find(f"The checkpoint to verify against: {error}")
    return None


def _walk(look: _Look, size: int, cuts: Sequence[int], told: Told) -> None:
    """Hash every entry, compare every tile, and note the roots at the sizes `cuts` and at the end."""
    look.roots[0] = look.tree.root()
    for number in range(-(-size // TILE_WIDTH)):
        first, width = number * TILE_WIDTH, min(TILE_WIDTH, size - number * TILE_WIDTH)
        entries = _entries(look, number, width)
        inside = cuts[bisect_right(cuts, first) : bisect_left(cuts, first + len(entries))]
        ends = [*(cut - first for cut in inside), len(entries)]
        for start, end in zip([0, *ends], ends, strict=False):
            _take(look, entries[start:end])
        if len(entries) < width:
            look.find(f"{width - len(entries)} entries are missing from bundle {number}.", look.tree.size)
            break
        told(width)
    for tile in look.tree.partial_tiles():
        _compare_tile(look, tile)


def _take(look: _Look, entries: Sequence[bytes]) -> None:
    for tile in look.tree.append([leaf_hash(entry) for entry in entries]):
        _compare_tile(look, tile)
    look.roots[look.tree.size] = look.tree.root()


def _compare_tile(look: _Look, tile: Tile) -> None:
    width = len(tile.hashes) // HASH_BYTES
    if look.files.tile(tile.level, tile.number, width) != tile.hashes:
        look.find(f"Tile {tile.number} of level {tile.level} is not what its entries hash to.")


def _hold(look: _Look, checkpoint: Checkpoint, newest: Checkpoint) -> None:
    """Whether the log begins with what a checkpoint was signed over, or says itself why it does not."""
    generation = parse_origin(checkpoint.origin)[2]
    later = (each for each in look.restored if each["generation"] > generation and each["kept"] < checkpoint.size)
    lost = min(later, key=lambda each: each["generation"], default=None)
    named = f"the checkpoint over {checkpoint.size} entries of {checkpoint.origin}"
    if generation > parse_origin(newest.origin)[2]:
        look.find(f"The log is of an older generation than {named}: it was put back.")
    elif lost is not None:
        told = f"Entries {lost['kept']} to {checkpoint.size - 1} are lost, generation {lost['generation']} says so"
        why = "older records were restored, or the log was signed twice"
        look.findings.append(Finding(-1, f"{told}: {why}.", lost["generation"]))
    elif checkpoint.size > newest.size:
        look.find(f"The log was cut: it has {newest.size} entries, fewer than {named}.")
    elif look.roots.get(checkpoint.size) != checkpoint.root:
        look.find(f"The log does not begin with what was signed: its root is not that of {named}.")


def _entries(look: _Look, number: int, width: int) -> list[bytes]:
    """The entries of a bundle, each looked at."""
    entries: list[bytes] = []
    try:
        for entry in unbundled(look.files.bundle(number, width)):
            entries.append(entry)  # noqa: PERF402  # those before one that is cut off count
    except ValueError as error:
        look.find(f"Bundle {number}: {error}.", number * TILE_WIDTH + len(entries))
    if len(entries) > width:
        look.find(f"Bundle {number} has {len(entries)} entries where the log has {width}.", number * TILE_WIDTH)
    for place, entry in enumerate(entries[:width], number * TILE_WIDTH):
        _look_at(look, place, entry)
    return entries[:width]


def _look_at(look: _Look, place: int, entry: bytes) -> None:
    try:
        body = json.loads(entry)
        if canonical(body) != entry:
            look.find("This entry is not in canonical form.", place)
        lane, counter = body["lane"], body["counter"]
        if (body["tenant"], body["deployment"]) != (look.tenant, look.deployment):
            look.find("This entry is of another log.", place)
        if body["action"] == RESTORED:
            look.restored.append({name: int(body["details"][name]) for name in ("kept", "generation")})
        if counter != look.lanes[lane] + 1:
            look.find(f"Lane {lane} goes from {look.lanes[lane]} to {counter}.", place)
        look.lanes[lane] = int(counter)
    except (ValueError, KeyError, TypeError, RecursionError):
        look.find("This is no entry of an audit log.", place)
