"""What the worker does in a round, by lane: open calls, erasures, rights requests, the audit log, callbacks."""

from collections.abc import Callable, Mapping

from vault.lanes import keeping, money, news, people
from vault.lanes.steps import Report
from vault.workshop import Workshop

SLOW = ("purge", "reconcile", "keys")
"""Lanes whose work is a matter of hours."""


def work_once(shop: Workshop, report: Report) -> int:
    """One round of every lane but the `SLOW`, one after the other; how many things ended, or came a step nearer."""
    return sum(lane(shop, report) for name, lane in LANES.items() if name not in SLOW)


LANES: Mapping[str, Callable[[Workshop, Report], int]] = {
    "ledger": keeping.settle_once,
    "walks": money.walk_once,
    "intents": money.resolve_once,
    "webhooks": money.hear_once,
    "money": money.follow_once,
    "rights": people.execute_once,
    "erasures": people.erase_once,
    "index": people.index_once,
    "purge": people.purge_once,
    "reconcile": money.reconcile_once,
    "keys": keeping.rotate_once,
    "anchor": keeping.anchor_once,
    "audit": keeping.sequence_once,
    "events": news.deliver_once,
    "retries": news.retry_once,
    "telling": news.tell_once,  # last where they run one after the other: others' servers take as long as they like
}
"""Each is a round that the worker repeats in a thread of its own."""
