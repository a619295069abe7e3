"""Where databases lie: sites, each with records and a keystore. A process is at one; copies are kept and put back.

SQLite: a directory each on the RAM disk, and a link for each process. `servers.py` has the same for PostgreSQL.
"""

import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from databases import Gate

NAMES = ("records", "keystore")
SITES = ("a", "b", "c", "d")
FOUNDED = "founded"


class Files:
    """Sites as directories in `home`."""

    hints = True
    """Whether work that waits can be asked for without being noticed."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.gates: dict[str, tuple[str, Gate]] = {}
        self._looking: dict[str, tuple[int, sqlite3.Connection]] = {}

    def url(self, place: str, name: str) -> str:
        """What an engine of this place is opened with."""
        return f"sqlite:///{self._home}/{place}/{name}.db"

    def make(self, site: str) -> None:
        """An empty site."""
        (self._home / site).mkdir()

    def move(self, place: str, site: str, gate: Gate) -> None:
        """From now on connections of this place go to this site."""
        link = self._home / place
        link.unlink(missing_ok=True)
        link.symlink_to(self._home / site)
        self.gates |= {f"{link}/{name}.db": (name, gate) for name in NAMES}

    def begin(self) -> None:
        """Site a as it was founded, no other."""
        for site in SITES[1:]:
            shutil.rmtree(self._home / site, ignore_errors=True)
        self.put(FOUNDED, SITES[0], NAMES, over=True)

    def keep(self, site: str, kept: str) -> None:
        """A copy of a site as it is now."""
        self.put(site, kept, NAMES, over=False)

    def put(self, kept: str, site: str, names: Sequence[str], *, over: bool) -> None:
        """Put a copy back: `over` the files that lie there, or in their place."""
        (self._home / site).mkdir(exist_ok=True)
        for name in names:
            file = self._home / site / f"{name}.db"
            if not over:
                file.unlink(missing_ok=True)
            shutil.copyfile(self._home / kept / file.name, file)
            Path(f"{file}-journal").unlink(missing_ok=True)

    def stand_by(self, kept: str, site: str, before: str, names: Sequence[str]) -> None:
        """A standby takes over at a new site, with these databases from the copy, the others shared with `before`."""
        self.put(kept, site, names, over=False)
        for name in set(NAMES) - set(names):
            for ending in ("", ".lock"):
                file = f"{name}.db{ending}"
                (self._home / site / file).symlink_to(self._home / before / file)

    def asked(self, site: str, question: str) -> bool:
        """Whether the records there have such a row, asked past every gate."""
        file = self._home / site / "records.db"
        number = file.stat().st_ino
        if self._looking.get(site, (0, None))[0] != number:
            self._looking[site] = (number, sqlite3.connect(file))
        return self._looking[site][1].execute(question).fetchone() is not None

    def close(self) -> None:
        """Ask no more."""
        for _, looking in self._looking.values():
            looking.close()
