"""A log's files in a folder, or out of the records; and how they come from there into a folder."""

import base64
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from rows.engine import reading
from vault.tlog import kept
from vault.tlog.merkle import TILE_WIDTH, tree_of
from vault.tlog.paths import CHECKPOINT, ENTRIES, tile_path
from vault.tlog.verifying import Told


@dataclass(frozen=True, slots=True)
class Folder:
    """A log's files below a folder."""

    path: Path

    def checkpoint(self) -> bytes:
        """The signed note."""
        return self._read(CHECKPOINT)

    def bundle(self, number: int, width: int) -> bytes:
        """An entry bundle."""
        return self._read(tile_path(ENTRIES, number, width))

    def tile(self, level: int, number: int, width: int) -> bytes:
        """A tile."""
        return self._read(tile_path(level, number, width))

    def strangers(self, size: int) -> Iterator[str]:
        """Files below `tile/` that a log of that size does not have."""
        expected = {tile_path(*each) for each in pieces(size)}
        for folder, _, names in os.walk(self.path / "tile"):
            for name in sorted(names):
                path = (Path(folder) / name).relative_to(self.path).as_posix()
                if path not in expected:
                    yield path

    def _read(self, path: str) -> bytes:
        try:
            return (self.path / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return b""


@dataclass(frozen=True, slots=True)
class Kept:
    """A log's files, out of the records."""

    records: Engine
    tenant: str
    note: bytes

    def checkpoint(self) -> bytes:
        """The signed note, as it was when this began: the log goes on meanwhile."""
        return self.note

    def bundle(self, number: int, width: int) -> bytes:
        """An entry bundle."""
        with reading(self.records) as connection:
            return kept.entry_bundle(connection, self.tenant, number, width)

    def tile(self, level: int, number: int, width: int) -> bytes:
        """A tile."""
        with reading(self.records) as connection:
            return kept.tile(connection, self.tenant, level, number, width)

    def strangers(self, _size: int) -> Iterator[str]:
        """None: what has a place behind the checkpoint is being added."""
        return iter(())


def pieces(size: int) -> Iterator[tuple[int | str, int, int]]:
    """Level (or `entries`), number and width of all files of a log of that size, but its checkpoint."""
    yield from ((ENTRIES, number, width) for number, width in _widths(size, 0))
    level = 0
    while size >> 8 * level:
        yield from ((level, number, width) for number, width in _widths(size, level))
        level += 1


def write(files: Kept, size: int, folder: Path, told: Told) -> None:
    """Write a log's files into a folder, the checkpoint last. A full tile that is there is not written again.

    So what is cut off goes on where it was, and a log that has grown costs what it has grown by. Where the folder has
    another log's files, or those of one that was restored since, all are written. `told` of entries.
    """
    afresh = not _continues(files, Folder(folder))
    for level, number, width in pieces(size):
        path = folder / tile_path(level, number, width)
        if afresh or width < TILE_WIDTH or not path.exists():
            _put(path, files.tile(level, number, width) if isinstance(level, int) else files.bundle(number, width))
        if level == ENTRIES:
            told(width)
    _put(folder / CHECKPOINT, files.checkpoint())
    for stale in [*Folder(folder).strangers(size)]:
        if ".p/" in stale:  # of an earlier size: it is full by now, or wider
            (folder / stale).unlink()


def _continues(files: Kept, folder: Folder) -> bool:
    """Whether the log goes on from the one in the folder: the same root at that size, whoever signed it."""
    lines = folder.checkpoint().decode(errors="replace").split("\n")
    if len(lines) < 3 or not lines[1].isdecimal():  # noqa: PLR2004  # origin, size, root
        return False
    try:
        tree = tree_of(int(lines[1]), lambda level, number: files.tile(level, number, TILE_WIDTH))
    except ValueError:
        return False
    return base64.b64encode(tree.root()).decode() == lines[2]


def _put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    draft.write_bytes(content)
    draft.replace(path)


def _widths(size: int, level: int) -> Iterator[tuple[int, int]]:
    """Number and width of each tile of a level."""
    hashes = size >> 8 * level
    for number in range(-(-hashes // TILE_WIDTH)):
        yield number, min(TILE_WIDTH, hashes - number * TILE_WIDTH)
