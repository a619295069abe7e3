"""Whether what should run runs: the boot guard's verdict, and the worker."""

from collections.abc import Iterator
from datetime import timedelta

from panless.checks.finding import Finding
from panless.wiring import Components
from vault.processing import beats

SILENCE = timedelta(minutes=1)
"""The worker says every few seconds that it is alive."""


def guard(house: Components) -> Iterator[Finding]:
    """What the boot guard refuses for, and a ledger that is away while it serves on."""
    verdict = house.guard.check()
    if not verdict.is_good:
        yield Finding(what=verdict.message, mend=verdict.cause)
    elif verdict.cause:
        yield Finding(what="The erasure ledger does not answer: erasures wait for it.", mend=verdict.cause)


def worker(house: Components) -> Iterator[Finding]:
    """Erasures, rights requests and unknown outcomes all wait for it."""
    silence = beats.silence(house.records)
    if silence > SILENCE:
        minutes = silence // timedelta(minutes=1)
        yield Finding(what=f"No worker has worked for {minutes} minutes.", mend="Keep `panless worker` running.")
