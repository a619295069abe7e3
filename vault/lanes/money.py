"""Lanes of money: open calls, what banks take days for, what processors tell, what the books say."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Any

from sqlalchemy import Row

from vault.errors import NeedsHuman
from vault.lanes.steps import Report, guarded
from vault.money import abandoned, reconciling, refund_following
from vault.processing import beats
from vault.recovering import resolving, walk_turns, walking, webhooks_in
from vault.recovering.walk_turns import Turns
from vault.workshop import Workshop

ACCOUNTS_AT_ONCE = 4


def walk_once(shop: Workshop, report: Report) -> int:
    """Walk through what processors have that these records may have lost, and say all the while that they are alive.

    Whoever comes in between has the next turn that is free: nobody waits for the walks that are under way.
    """
    turns, ended, under_way = Turns(shop), 0, dict[Future[bool], str]()
    with ThreadPoolExecutor(walk_turns.AT_ONCE) as pool:
        while True:
            beats.beat(shop.records)
            while len(under_way) < walk_turns.AT_ONCE:
                tenants = Counter(under_way.values())
                busy = [tenant for tenant, walks in tenants.items() if walks >= walk_turns.OF_ONE_TENANT]
                row = turns.next_one(busy)
                if row is None:
                    break
                under_way[pool.submit(guarded, report, "walk", partial(walking.walk, shop, row))] = row.tenant_id
            if not under_way:
                return ended
            done, _ = wait(under_way, timeout=walk_turns.LOOK_SECONDS, return_when=FIRST_COMPLETED)
            ended += sum(walk.result() for walk in done)
            under_way = {walk: tenant for walk, tenant in under_way.items() if walk not in done}


def resolve_once(shop: Workshop, report: Report) -> int:
    """Bring open intents to their end: several accounts at once, each of them one call at a time.

    An account whose processor did not say what became of an intent is left alone for the rest of the round.
    """
    queues = resolving.by_account(resolving.due(shop))
    if len(queues) == 1:
        return _resolve_queue(shop, report, queues[0])
    with ThreadPoolExecutor(ACCOUNTS_AT_ONCE) as pool:
        return sum(pool.map(partial(_resolve_queue, shop, report), queues))


def _resolve_queue(shop: Workshop, report: Report, queue: Sequence[Row[Any]]) -> int:
    try:
        return resolving.resolve_queue(shop, queue, report)
    except NeedsHuman as error:
        report(queue[0].operation, error)
        return 0


def follow_once(shop: Workshop, report: Report) -> int:
    """What no intent is open for: charges that nobody came to authenticate, refunds that banks take days for."""
    ended = 0
    for charge in abandoned.due(shop):
        ended += guarded(report, "charge.abandon", partial(abandoned.call_off, shop, charge))
    for refund in refund_following.due(shop):
        ended += guarded(report, "refund", partial(refund_following.follow_up, shop, refund))
    return ended


def hear_once(shop: Workshop, report: Report) -> int:
    """Look into what processors told."""
    done = 0
    for row in webhooks_in.due(shop):
        if webhooks_in.take_up(shop, row):
            done += guarded(report, "webhook", partial(webhooks_in.apply, shop, row))
    return done


def reconcile_once(shop: Workshop, report: Report) -> int:
    """Compare what was not compared for a day."""
    done = 0
    for row in reconciling.due(shop):
        if reconciling.take_up(shop, row):
            done += guarded(report, "reconcile", partial(reconciling.compare, shop, row, report))
    return done
