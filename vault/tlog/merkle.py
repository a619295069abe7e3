"""The Merkle tree of a log, kept as tiles: hashes of RFC 6962 (2.1), tiles of C2SP tlog-tiles (tile height 8).

A tile of level L holds up to 256 hashes, each of a perfect subtree of 256**L leaves. The tree of any size is given by
its *edge*: the tiles that are not full yet, one a level.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

HASH_BYTES = 32
TILE_WIDTH = 256
EMPTY_ROOT = hashlib.sha256().digest()


class Tile(NamedTuple):
    """Hashes side by side, `number` tiles in on `level`; full if they are TILE_WIDTH."""

    level: int
    number: int
    hashes: bytes


def leaf_hash(entry: bytes) -> bytes:
    """The hash of one entry."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees' hashes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(slots=True)
class Tree:
    """A tree that grows: its size in leaves, and its edge, the hashes that each level's last tile has."""

    size: int = 0
    edge: list[list[bytes]] = field(default_factory=list)

    def append(self, leaves: Sequence[bytes]) -> Iterator[Tile]:
        """Take the hashes of more leaves; every tile that becomes full. Partial ones are what `partial_tiles` gives."""
        self.size += len(leaves)
        yield from self._push(0, leaves)

    def partial_tiles(self) -> list[Tile]:
        """The tiles at the edge that hold something."""
        numbered = ((level, self.size >> 8 * (level + 1), hashes) for level, hashes in enumerate(self.edge))
        return [Tile(level, number, b"".join(hashes)) for level, number, hashes in numbered if hashes]

    def root(self) -> bytes:
        """The hash of the whole tree, 32 bytes."""
        found: bytes | None = None
        for hashes in self.edge:
            for subtree in reversed(_perfect_ones(hashes)):
                found = subtree if found is None else node_hash(subtree, found)
        return EMPTY_ROOT if found is None else found

    def _push(self, level: int, hashes: Sequence[bytes]) -> Iterator[Tile]:
        if level == len(self.edge):
            self.edge.append([])
        held = [*self.edge[level], *hashes]
        full = len(held) // TILE_WIDTH
        first = (self.size >> 8 * (level + 1)) - full
        parents = []
        for number in range(full):
            one = held[number * TILE_WIDTH : (number + 1) * TILE_WIDTH]
            yield Tile(level, first + number, b"".join(one))
            parents.append(_perfect(one))
        self.edge[level] = held[full * TILE_WIDTH :]
        if parents:
            yield from self._push(level + 1, parents)


def tree_of(size: int, tile: Callable[[int, int], bytes]) -> Tree:
    """The tree of that size from its edge; `tile` gives the hashes of a (level, number), perhaps more than it had then.

    Raises ValueError where a tile has fewer.
    """
    edge, level = [], 0
    while size >> 8 * level:
        width = (size >> 8 * level) % TILE_WIDTH
        edge.append(_split(tile(level, size >> 8 * (level + 1)), width) if width else [])
        level += 1
    return Tree(size, edge)


def _split(hashes: bytes, width: int) -> list[bytes]:
    if len(hashes) < width * HASH_BYTES:
        raise ValueError("a tile is too short")
    return [hashes[start : start + HASH_BYTES] for start in range(0, width * HASH_BYTES, HASH_BYTES)]


def _perfect_ones(hashes: Sequence[bytes]) -> list[bytes]:
    """The perfect subtrees that a partial tile is made of, the largest first."""
    found, start = [], 0
    for power in reversed(range(8)):
        if len(hashes) >> power & 1:
            found.append(_perfect(hashes[start : start + (1 << power)]))
            start += 1 << power
    return found


def _perfect(hashes: Sequence[bytes]) -> bytes:
    """The hash over 1, 2, 4 ... hashes."""
    while len(hashes) > 1:
        hashes = [node_hash(left, right) for left, right in zip(hashes[::2], hashes[1::2], strict=True)]
    return hashes[0]
