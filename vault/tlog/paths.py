"""Where a log's files lie, below one prefix: `checkpoint`, `tile/<L>/<N>`, `tile/entries/<N>` (C2SP tlog-tiles).

N is written in groups of three digits, all but the last with an x before them: 1234067 is x001/x234/067. A tile that is
not full ends in `.p/<its width>`. An entry bundle is the entries of a tile of level 0, each behind its length in two
bytes, big-endian.
"""

import re
import struct
from collections.abc import Iterable, Iterator

from vault.tlog.merkle import TILE_WIDTH

_MOST_TILES = 2**48
"""More than any log has, and within what databases count to."""

CHECKPOINT = "checkpoint"
ENTRIES = "entries"
_TAIL = re.compile(r"(?P<number>(?:x[0-9]{3}/)*[0-9]{3})(?:\.p/(?P<width>[1-9][0-9]{0,2}))?")


def tile_path(level: int | str, number: int, width: int = TILE_WIDTH) -> str:
    """The path of a tile, or of a bundle for the level `entries`."""
    tail = "" if width == TILE_WIDTH else f".p/{width}"
    return f"tile/{level}/{written(number)}{tail}"


def written(number: int) -> str:
    """A number in groups of three digits."""
    groups = [f"{number % 1000:03}"]
    while number := number // 1000:
        groups.append(f"x{number % 1000:03}")
    return "/".join(reversed(groups))


def parse_tail(tail: str) -> tuple[int, int] | None:
    """Number and width that the end of a path names, None if it is in no form or not in its one form."""
    found = _TAIL.fullmatch(tail)
    if found is None:
        return None
    number = int("".join(digit for digit in found["number"] if digit.isdigit()))
    width = int(found["width"] or TILE_WIDTH)
    in_form = (
        number < _MOST_TILES
        and written(number) == found["number"]
        and width <= TILE_WIDTH - (found["width"] is not None)
    )
    return (number, width) if in_form else None


def bundle(entries: Iterable[bytes]) -> bytes:
    """Entries as a bundle."""
    return b"".join(struct.pack(">H", len(entry)) + entry for entry in entries)


def unbundled(data: bytes) -> Iterator[bytes]:
    """The entries of a bundle. Raises ValueError where it ends too early."""
    start = 0
    while start < len(data):
        end = start + 2 + int.from_bytes(data[start : start + 2], "big")
        if end > len(data) or start + 2 > len(data):
            raise ValueError("the bundle ends within an entry")
        yield data[start + 2 : end]
        start = end
