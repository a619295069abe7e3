"""Lanes that keep the house: the ledger, keys, the audit log."""

from collections.abc import Callable, Sequence
from functools import partial
from threading import Thread

from keys import keks
from vault.lanes.steps import Report, guarded
from vault.ledger.settling import settle
from vault.resealing import key_rotation
from vault.tlog import turns
from vault.workshop import Workshop

AT_ONCE = 4
"""Logs that are anchored at once."""


def settle_once(shop: Workshop, report: Report) -> int:
    """Take what was decided onto the ledger and into both databases."""
    guarded(report, "ledger", partial(_settle, shop))
    return 0


def _settle(shop: Workshop) -> bool:
    settle(shop.ledger, shop.records)
    return True


def rotate_once(shop: Workshop, report: Report) -> int:
    """Begin the KEK epochs that are due, empty the KEKs before them, destroy those that were empty for long enough."""
    done = 0
    for tenant in key_rotation.due(shop):
        done += guarded(report, "kek.rotate", partial(key_rotation.rotate, shop, tenant))
    for kek in keks.to_empty(shop.keyring):
        done += guarded(report, "kek.rewrap", partial(key_rotation.empty, shop, kek))
    for kek in keks.to_destroy(shop.keyring, key_rotation.backups(shop)):
        done += guarded(report, "kek.destroy", partial(key_rotation.destroy, shop, kek))
    return done


def sequence_once(shop: Workshop, report: Report) -> int:
    """Give audit entries their places and sign; of how many logs there is more to be done at once."""
    return sum(guarded(report, "audit_log", step) for step in turns.placing(shop))


def anchor_once(shop: Workshop, report: Report) -> int:
    """Look at the logs that are new to this worker, or have become shorter; anchor what has waited for it."""
    steps = turns.anchoring(shop)
    # Threads that end with the process: anchors may hang, and a worker that is told to stop must not wait for them.
    threads = [
        Thread(target=_guarded_each, args=(report, "anchor", steps[lane::AT_ONCE]), daemon=True)
        for lane in range(min(AT_ONCE, len(steps)))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return 0


def _guarded_each(report: Report, what: str, steps: Sequence[Callable[[], bool]]) -> None:
    for step in steps:
        guarded(report, what, step)
