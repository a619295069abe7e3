"""Trouble that is expected, and how each is said: one sentence, no traceback."""

from sqlalchemy.exc import DatabaseError, InterfaceError, OperationalError

from keys.errors import KeysError
from panless.errors import SettingsError, WiringError
from panless.settings.policies import PolicyError
from vault.errors import VaultError


class Refused(Exception):
    """A command won't go on; the message says why and what to do."""


EXPECTED = (
    Refused,
    SettingsError,
    WiringError,
    PolicyError,
    KeysError,
    VaultError,
    OperationalError,
    InterfaceError,
    DatabaseError,
    OSError,
)


def sentence(error: Exception) -> str:
    """What went wrong, on one line."""
    if isinstance(error, DatabaseError | InterfaceError):
        text = f"A database can't be used: {error.orig}"
    elif isinstance(error, OSError) and error.filename:
        text = f"{error.filename}: {error.strerror}"
    else:
        text = str(error) or type(error).__name__
    line = " ".join(text.split())
    return line if line.endswith((".", "`")) else f"{line}."
