"""Lanes of money: open calls, what banks take days for, what processors tell, what the books say."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Row

from vault import turns
from vault.cards import token_looking
from vault.lanes.steps import Report, guarded, tried
from vault.money import abandoned, authorized, reconciling, refund_following
from vault.recovering import catching_up, resolving, takeovers, webhooks_in
from vault.workshop import Workshop


def catch_up_once(shop: Workshop, report: Report) -> int:
    """Notice a takeover, and look through what processors have that these records may have lost."""
    takeovers.notice(shop.records)
    done = turns.take(catching_up.due(shop), partial(_catch_up, shop, report))
    takeovers.beat(shop.records)
    return done


def _catch_up(shop: Workshop, report: Report, row: Row[Any]) -> bool:
    return catching_up.take_up(shop, row) and guarded(report, "catch_up", partial(catching_up.look, shop, row))


def resolve_once(shop: Workshop, report: Report) -> int:
    """Bring open intents to their end."""
    return turns.take(resolving.due(shop), partial(_resolve, shop, report))


def _resolve(shop: Workshop, report: Report, row: Row[Any]) -> bool | None:
    """None too for one that failed here, which says nothing of its processor."""
    if not resolving.take_up(shop, row):
        return None
    return tried(report, row.operation, partial(resolving.resolve, shop, row))


def follow_once(shop: Workshop, report: Report) -> int:
    """What no intent is open for: what waits for a person, authorizations, refunds that banks take days for."""
    return sum(turns.take(due(shop), partial(_follow, shop, report, what, step)) for what, due, step in _FOLLOWED)


def _follow(shop: Workshop, report: Report, what: str, step: Callable[..., bool | None], row: Row[Any]) -> bool | None:
    return tried(report, what, partial(step, shop, row))


_FOLLOWED: tuple[tuple[str, Callable[[Workshop], Sequence[Row[Any]]], Callable[..., bool | None]], ...] = (
    ("charge.abandon", abandoned.due, abandoned.call_off),
    ("token.abandon", token_looking.due, token_looking.call_off),
    ("charge.authorized", authorized.due, authorized.look),
    ("refund", refund_following.due, refund_following.follow_up),
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
