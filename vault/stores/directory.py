"""Numbered files in a directory, each written once and durably: the ledger, or anchors of the audit log.

A new entry is written beside, synced, and then linked to its name: unlike a rename, a link never overwrites.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vault.errors import LedgerAway
from vault.stores.kinds import DIGITS, LEDGER, Kind, checked_folder


class DirectoryStore:
    """Entries in `directory`, which must lie on another disk than the databases to be of use after a restore."""

    def __init__(self, directory: Path, kind: Kind = LEDGER, folder: str = "") -> None:
        """Take the directory, which must exist, and perhaps a folder in it, which is made when something is written."""
        self._root = directory
        self._directory = directory / folder
        self._kind = kind

    def within(self, folder: str) -> "DirectoryStore":
        """The store of a folder further down. Raises ValueError for a name that leads elsewhere."""
        return DirectoryStore(
            self._root, self._kind, (self._directory / checked_folder(folder)).relative_to(self._root).as_posix()
        )

    def folders(self) -> list[str]:
        """The folders there are."""
        with self._away_when_unreadable():
            self._refuse_absent()
            found = self._directory.iterdir() if self._directory.is_dir() else ()
            return sorted(entry.name for entry in found if entry.is_dir())

    def read(self, seq: int) -> bytes | None:
        """The entry of that number, None if there is none."""
        with self._away_when_unreadable():
            try:
                return self._file(seq).read_bytes()
            except FileNotFoundError:
                self._refuse_absent()
                return None

    def write(self, seq: int, entry: bytes) -> bool:
        """Write entry `seq` durably, only if there is none yet; whether it was written."""
        with self._away_when_unreadable():
            if self._directory != self._root:
                self._refuse_absent()
                self._directory.mkdir(parents=True, exist_ok=True)
            draft = self._directory / f".{seq:0{DIGITS}}.{secrets.token_hex(8)}"
            try:
                _write_synced(draft, entry)
                os.link(draft, self._file(seq))
            except FileExistsError:
                return False
            finally:
                draft.unlink(missing_ok=True)
            _sync_directory(self._directory)
            return True

    def head(self, known: int) -> int:
        """The number of the last entry, found by walking on from `known`."""
        with self._away_when_unreadable():
            head = known
            while self._file(head + 1).exists():
                head += 1
            if head == known:  # where nothing is found there may be no directory
                self._refuse_absent()
            return head

    def numbers(self, after: int = -1) -> list[int]:
        """The numbers there are that are larger than `after`, in their order; some may be missing."""
        with self._away_when_unreadable():
            self._refuse_absent()
            found = self._directory.iterdir() if self._directory.is_dir() else ()
            numbers = (_number(entry.name) for entry in found if self._kind.is_name(entry.name))
            return sorted(number for number in numbers if number > after)

    def seems_to_have(self, seq: int) -> bool:
        """Whether there is a file of that number, 2 us; no where the directory is away."""
        return self._file(seq).exists()

    def _refuse_absent(self) -> None:
        """A directory that is gone is not an empty ledger."""
        if not self._root.is_dir():
            what, setting = self._kind.what, self._kind.setting
            raise LedgerAway(f"The {what}'s directory is not there. Mount it, or mend {setting}.")

    def _file(self, seq: int) -> Path:
        return self._directory / self._kind.name(seq)

    @contextmanager
    def _away_when_unreadable(self) -> Iterator[None]:
        """Turn trouble with the disk into LedgerAway."""
        try:
            yield
        except OSError as error:
            raise LedgerAway(f"The {self._kind.what}'s directory can't be used: {error.strerror}.") from error


def _number(name: str) -> int:
    return int(name[:DIGITS])


def _write_synced(file: Path, content: bytes) -> None:
    with file.open("xb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
