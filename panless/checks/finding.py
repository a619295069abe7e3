"""What a check says: one thing that is unsafe, or worth knowing, and its mend."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from panless.settings.environment import Settings
from panless.shown.trouble import sentence
from panless.wiring import Components


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is unsafe, or worth knowing."""

    what: str
    mend: str
    is_unsafe: bool = True


SOON = 30
"""Days before its end that a certificate, or a client's key, wants renewing."""

OfSettings = Callable[[Settings], Iterator[Finding]]
"""A check of what the settings name: files, addresses, choices."""
OfHouse = Callable[[Components], Iterator[Finding]]
"""A check of what only the databases, the ledger and the policy know."""


def note(what: str, mend: str) -> Finding:
    """What is allowed, and has a price."""
    return Finding(what=what, mend=mend, is_unsafe=False)


def broken(error: Exception) -> Finding:
    """Trouble that says its own mend."""
    return Finding(what=sentence(error), mend="")
