"""Choices: most of them are allowed, and have a price."""

import os
from collections.abc import Iterator

from panless.checks.finding import Finding, note
from panless.settings.environment import Settings

LONG_TTL = 300.0
DEBUGGING = {
    "FLASK_DEBUG": "errors are then shown to clients instead of being kept from them",
    "GUNICORN_CMD_ARGS": "it overrides how Panless has gunicorn log and listen",
    "PYTHONINSPECT": "a crash then leaves a prompt open over everything in memory",
}
"""Variables that the libraries below us obey."""


def debugging(settings: Settings) -> Iterator[Finding]:
    """What opens up a program for whoever wants to look into it."""
    for name, why in DEBUGGING.items():
        if os.environ.get(name, "0") not in {"", "0"}:
            yield Finding(what=f"{name} is set: {why}.", mend=f"Unset {name}.")
    if settings.log_level == "DEBUG":
        yield note("The log level is DEBUG.", "Set PANLESS_LOG_LEVEL=INFO.")


def root(settings: Settings) -> Iterator[Finding]:
    """Whoever breaks into a program of root's has the whole machine."""
    if settings.run_as_root == "always":
        yield note("Panless may run as root of this machine.", "Give it a user of its own; unset PANLESS_RUN_AS_ROOT.")


def raw_cards(settings: Settings) -> Iterator[Finding]:
    """Card numbers come in."""
    if settings.accept_raw_cards:
        yield note("Raw cards are accepted, which puts you in PCI scope.", "Unset PANLESS_ACCEPT_RAW_CARDS.")


def kek_ttl(settings: Settings) -> Iterator[Finding]:
    """Keys in memory outlive what is done at the provider."""
    if settings.kek_ttl > LONG_TTL:
        yield note(
            f"KEKs stay in memory for {settings.kek_ttl:.0f} s: so long a root key that was taken away still serves.",
            f"Set PANLESS_KEK_TTL to {LONG_TTL:.0f} or less.",
        )


def limits(settings: Settings) -> Iterator[Finding]:
    """A client that runs wild, or whoever has its key, takes the turns of all others."""
    if settings.rate_limit is None:
        yield note("A client may call as often as it likes.", "Set PANLESS_RATE_LIMIT well above your busiest client.")


def one_writer(settings: Settings) -> Iterator[Finding]:
    """SQLite."""
    if settings.is_sqlite:
        yield note("SQLite writes one at a time, on one machine.", "Use PostgreSQL where many write.")
