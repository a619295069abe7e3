"""Connections to SQLite files that are closed here are kept for whoever opens the same file next.

To open a file, read its schema and prepare every statement took a fifth of a run. What a process knew ends with its
connections all the same; what SQLite has parsed goes on, and so do settings.
"""

import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from typing import Any

STATEMENTS = 1000
"""How many a connection keeps: more than the house has."""

UNPLUGGED = {
    "PRAGMA journal_mode=WAL": "PRAGMA journal_mode=MEMORY",
    "PRAGMA journal_mode=DELETE": "PRAGMA journal_mode=MEMORY",
    "PRAGMA synchronous=FULL": "PRAGMA synchronous=OFF",
}
"""What is asked for because machines lose their power. Here processes die, and their connections roll back."""


class Kept(sqlite3.Connection):
    """A connection that goes back to its shelf when it is closed."""

    shelf: "Shelf"
    inode: int

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._settings: dict[str, str] = {}
        self._functions: dict[str, Callable[..., Any]] = {}

    def execute(self, sql: str, parameters: Any = ()) -> Any:
        """A setting is made once: it lasts for as long as the connection does."""
        name, is_setting, _ = sql.partition("=")
        if not is_setting or not name.startswith("PRAGMA"):
            return super().execute(sql, parameters)
        if self._settings.get(name) == sql:
            return self.cursor()
        self._settings[name] = sql
        return super().execute(UNPLUGGED.get(sql, sql))

    def create_function(self, name: str, narg: int, func: Any, **options: Any) -> None:
        """Another one of that name takes its place here alone: SQLite would prepare every statement anew."""
        functions = self._functions
        if name not in functions:
            super().create_function(name, narg, lambda *asked: functions[name](*asked), **options)  # noqa: PLW0108  # it changes with each process
        functions[name] = func

    def close(self) -> None:
        """Leave it to whoever opens this file next."""
        if self.in_transaction:
            super().close()
        else:
            self.shelf.keep(self)

    def end(self) -> None:
        """Close it."""
        super().close()


class Shelf:
    """Connections that nobody has open now, by the file's inode."""

    def __init__(self) -> None:
        self._kept: dict[int, list[Kept]] = {}

    def connect(self, file: str, options: dict[str, Any]) -> Any:
        """One that was kept, or a new one of the class that `options` name."""
        with suppress(FileNotFoundError):
            if kept := self._kept.get(_inode(file)):
                return kept.pop()
        made: Kept = sqlite3.connect(file, **{**options, "check_same_thread": False, "cached_statements": STATEMENTS})
        made.shelf, made.inode = self, _inode(file)
        return made

    def keep(self, connection: Kept) -> None:
        self._kept.setdefault(connection.inode, []).append(connection)

    def clear(self, but: frozenset[int] = frozenset()) -> None:
        """Close them, but for those to files with these inodes."""
        for inode in self._kept.keys() - but:
            for one in self._kept.pop(inode):
                one.end()


def _inode(file: str) -> int:
    return os.stat(file).st_ino  # noqa: PTH116  # a Path would take four times as long
