"""What is kept in numbered files that are written once: the ledger's entries, the audit log's anchors."""

import re
from dataclasses import dataclass

DIGITS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How its files are named, and what to tell whoever must mend the place."""

    what: str
    setting: str
    suffix: str
    media_type: str

    def name(self, number: int) -> str:
        """A file's name: names sort as numbers do."""
        return f"{number:0{DIGITS}}.{self.suffix}"

    def is_name(self, name: str) -> bool:
        """Whether a file is one of these, whatever else lies there."""
        number, _, suffix = name.partition(".")
        return len(number) == DIGITS and number.isdecimal() and number.isascii() and suffix == self.suffix


_FOLDER = re.compile(r"[A-Za-z0-9_-]{1,80}(/[A-Za-z0-9_-]{1,80}){0,3}")


def checked_folder(folder: str) -> str:
    """A folder's name, which may come from a database. Raises ValueError for what leads elsewhere."""
    if not _FOLDER.fullmatch(folder):
        raise ValueError("this is no name of a folder")
    return folder


LEDGER = Kind(what="ledger", setting="PANLESS_LEDGER", suffix="json", media_type="application/json")
ANCHORS = Kind(what="audit anchor", setting="PANLESS_AUDIT_ANCHOR", suffix="checkpoint", media_type="text/plain")
