"""One run of resealing, from the first new DEK to the last old one destroyed; stopped anywhere, the same run goes on.

What is still to be done is what the keystore says: DEKs made before the run's moment that stand. Nothing else is kept.
Between the passes it waits until no process works with an old DEK any more.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from keys import renewal
from keys.errors import KeyMissing, Unreadable
from keys.renewal import Doomed
from rows.engine import transaction
from vault.ledger.deciding import decide
from vault.ledger.settling import settle
from vault.resealing import customers, own_keys, reindexing
from vault.resealing.values import Told
from vault.sealed_columns import HOLDERS
from vault.workshop import Workshop, caller_of

PAGE = 500
SOON = 1.0
"""Seconds until rows are looked at again that somebody had locked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What is to be resealed, and how the one who started it is told."""

    shop: Workshop
    chosen: Sequence[Doomed]
    own: bool
    """Whether tenants' own DEKs, too."""
    wait: float
    """Seconds in which another process may still work with an old DEK."""
    pause: Callable[[float, str], None]
    progress: Callable[[str, int], AbstractContextManager[Told]]


def run(it: Run) -> int:
    """Reseal all that was chosen; how many DEKs had to stay, because something under them does not open.

    Raises RootKeyAway, RootKeyDenied, LedgerAway.
    """
    started = it.shop.keyring.now()
    if it.own:
        for doomed in it.chosen:
            own_keys.renew(it.shop, doomed)
    closed = _each(it, "New DEKs", partial(_renewed, it.shop))
    for doomed in it.chosen:
        _tell_ledger(it.shop, doomed.tenant_id)
    if _nothing_left(it):
        return closed + _swept_index(it)
    it.pause(it.wait, "no process works with an old DEK any more")
    closed = _finished(it, started)
    return closed + _own_finished(it) + _swept_index(it)


def _tell_ledger(shop: Workshop, tenant: str) -> None:
    """One entry before anything is destroyed: a keystore from before it is refused from then on."""
    with transaction(shop.records) as tx:
        decide(tx, shop.ledger, caller_of(shop, tenant, live=True), "keys.resealed", tenant, version=1)
    settle(shop.ledger, shop.records)


def _finished(it: Run, started: datetime) -> int:
    """Second passes until each has come to its end."""
    while True:
        again: list[bool] = []
        closed = _each(it, "Old DEKs destroyed", partial(_ended, it.shop, started, again))
        if not again:
            return closed
        if any(again):
            it.pause(it.wait, "no process works with an old DEK any more")
        else:
            it.pause(SOON, "rows are free that others have locked")


def _renewed(shop: Workshop, doomed: Doomed, purpose: str, subject: str) -> bool:
    customers.renew(shop, doomed, purpose, subject)
    return True


def _ended(shop: Workshop, started: datetime, again: list[bool], doomed: Doomed, purpose: str, subject: str) -> bool:
    """Whether all opened; in `again`, that it is not at its end, and whether a new DEK was made for it just now."""
    verdict = customers.finish(shop, doomed, purpose, subject, started)
    if verdict == customers.AGAIN:
        again.append(customers.renew(shop, doomed, purpose, subject))
    return verdict != customers.CLOSED


def _each(it: Run, what: str, act: Callable[[Doomed, str, str], bool]) -> int:
    """Do it for everybody who has a DEK that is to be replaced; for how many it failed, because something is closed."""
    total = sum(renewal.count(it.shop.keyring, doomed, purpose) for doomed in it.chosen for purpose in HOLDERS)
    closed = 0
    with it.progress(what, total) as told:
        for doomed, purpose, subject in _everybody(it):
            try:
                closed += not act(doomed, purpose, subject)
            except (Unreadable, KeyMissing):
                closed += 1
            told(1)
    return closed


def _everybody(it: Run) -> Iterator[tuple[Doomed, str, str]]:
    for doomed in it.chosen:
        for purpose in HOLDERS:
            after = ""
            while page := renewal.subjects(it.shop.keyring, doomed, purpose, after, PAGE):
                after = page[-1]
                yield from ((doomed, purpose, subject) for subject in page)


def _nothing_left(it: Run) -> bool:
    """Whether a run that was stopped had come this far."""
    ring = it.shop.keyring
    purposes = [*HOLDERS, *(renewal.REPLACED if it.own else ())]
    return not any(renewal.count(ring, doomed, purpose) for doomed in it.chosen for purpose in purposes)


def _own_finished(it: Run) -> int:
    if not it.own:
        return 0
    with it.progress("Values of tenants", sum(own_keys.due(it.shop, doomed) for doomed in it.chosen)) as told:
        return sum(own_keys.finish(it.shop, doomed, told) for doomed in it.chosen)


def _swept_index(it: Run) -> int:
    """Rows that others wrote under an index key that they kept longer than it lived."""
    tenants = [doomed.tenant_id for doomed in it.chosen if it.own]
    if any(reindexing.has_dead(it.shop, tenant) for tenant in tenants):
        it.pause(it.wait, "no process writes under an old index key any more")
        for tenant in tenants:
            reindexing.sweep(it.shop, tenant)
    return 0
