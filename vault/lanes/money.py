"""Lanes of money: open calls, what banks take days for, what processors tell, what the books say."""

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Any

from sqlalchemy import Row

from vault import turns
from vault.cards import looking
from vault.lanes.steps import Report, guarded, tried
from vault.money import reconciling
from vault.money.charge import abandoned, authorized
from vault.money.refund import following
from vault.processing import beats
from vault.recovering import resolving, walk_turns, walking, webhooks_in
from vault.recovering.walk_turns import Turns
from vault.workshop import Workshop


def walk_once(shop: Workshop, report: Report) -> int:
    """Walk through what processors have that these records may have lost, and say all the while that they are alive.

    Whoever comes in between has the next turn that is free: nobody waits for the walks that are under way.
    """
    waiting, ended, under_way = Turns(shop), 0, dict[Future[bool], str]()
    with ThreadPoolExecutor(walk_turns.AT_ONCE) as pool:
        while True:
            beats.beat(shop.records)
            while len(under_way) < walk_turns.AT_ONCE:
                tenants = Counter(under_way.values())
                busy = [tenant for tenant, walks in tenants.items() if walks >= walk_turns.OF_ONE_TENANT]
                row = waiting.next_one(busy)
                if row is None:
                    break
                under_way[pool.submit(guarded, report, "walk", partial(walking.walk, shop, row))] = row.tenant_id
            if not under_way:
                return ended
            done, _ = wait(under_way, timeout=walk_turns.LOOK_SECONDS, return_when=FIRST_COMPLETED)
            ended += sum(walk.result() for walk in done)
            under_way = {walk: tenant for walk, tenant in under_way.items() if walk not in done}


def resolve_once(shop: Workshop, report: Report) -> int:
    """Bring open intents to their end: several accounts at once, those of one account together."""
    queues = turns.by_account(resolving.due(shop))
    if len(queues) <= 1:
        return sum(resolving.resolve_queue(shop, queue, report) for queue in queues)
    with ThreadPoolExecutor(turns.AT_ONCE) as pool:
        return sum(pool.map(lambda queue: resolving.resolve_queue(shop, queue, report), queues))


def follow_once(shop: Workshop, report: Report) -> int:
    """What no intent is open for: what waits for a person, authorizations, refunds that banks take days for."""
    return sum(turns.take(due(shop), partial(_follow, shop, report, what, step)) for what, due, step in _FOLLOWED)


def _follow(shop: Workshop, report: Report, what: str, step: Callable[..., bool | None], row: Row[Any]) -> bool | None:
    return tried(report, what, partial(step, shop, row))


_FOLLOWED: tuple[tuple[str, Callable[[Workshop], Sequence[Row[Any]]], Callable[..., bool | None]], ...] = (
    ("charge.abandon", abandoned.due, abandoned.call_off),
    ("token.abandon", looking.due, looking.call_off),
    ("charge.authorized", authorized.due, authorized.look),
    ("refund", following.due, following.follow_up),
)


def hear_once(shop: Workshop, report: Report) -> int:
    """Look into what processors told."""
    return turns.take(webhooks_in.due(shop), partial(_hear, shop, report))


def _hear(shop: Workshop, report: Report, row: Row[Any]) -> bool | None:
    if not webhooks_in.take_up(shop, row):
        return None
    return tried(report, "webhook", partial(webhooks_in.apply, shop, row))


def reconcile_once(shop: Workshop, report: Report) -> int:
    """Compare what was not compared for a day."""
    return turns.take(reconciling.due(shop), partial(_reconcile, shop, report))


def _reconcile(shop: Workshop, report: Report, row: Row[Any]) -> bool:
    return reconciling.take_up(shop, row) and guarded(
        report, "reconcile", partial(reconciling.compare, shop, row, report)
    )
