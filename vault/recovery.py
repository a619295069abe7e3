"""What the worker does in a round, by lane: open calls, erasures, rights requests, the audit log, callbacks."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Thread
from time import monotonic
from typing import Any

from sqlalchemy import Row

from keys import keks
from vault import (
    abandoned,
    callbacks,
    catching_up,
    erasure_completion,
    event_delivery,
    key_rotation,
    package_building,
    packages,
    reconciling,
    refund_following,
    resolving,
    retention,
    rights,
    rights_execution,
    takeovers,
    webhooks_in,
)
from vault.ledger import settle
from vault.notices import notices_of
from vault.rights_execution import Work
from vault.tlog import turns
from vault.workshop import Workshop, caller_of

Report = Callable[[str, Exception], None]
"""Told what failed, and how; its turn comes again, and no other is stopped by it."""

ACCOUNTS_AT_ONCE = 4
SLOW = ("purge", "reconcile", "keys")
"""Lanes whose work is a matter of hours."""

TELLING_SECONDS = 5.0
"""After this no further callback is begun in a round: servers that hang must not hold up charges or erasures."""


def work_once(shop: Workshop, report: Report) -> int:
    """One round of every lane but the `SLOW`, one after the other; how many things ended, or came a step nearer."""
    return sum(lane(shop, report) for name, lane in LANES.items() if name not in SLOW)


def catch_up_once(shop: Workshop, report: Report) -> int:
    """Notice a takeover, and look through what processors have that these records may have lost."""
    takeovers.notice(shop.records)
    done = 0
    for row in catching_up.due(shop):
        if catching_up.take_up(shop, row):
            done += _guarded(report, "catch_up", partial(catching_up.look, shop, row))
    takeovers.beat(shop.records)
    return done


def settle_once(shop: Workshop, report: Report) -> int:
    """Take what was decided onto the ledger and into both databases."""
    _guarded(report, "ledger", partial(_settle, shop))
    return 0


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
    ended = 0
    for row in queue:
        if not resolving.take_up(shop, row):
            continue
        answered = _tried(report, row.operation, partial(resolving.resolve, shop, row))
        if answered is False:  # one that failed here says nothing of its processor
            break
        ended += answered is True
    return ended


def follow_once(shop: Workshop, report: Report) -> int:
    """What no intent is open for: charges that nobody came to authenticate, refunds that banks take days for."""
    ended = 0
    for charge in abandoned.due(shop):
        ended += _guarded(report, "charge.abandon", partial(abandoned.call_off, shop, charge))
    for refund in refund_following.due(shop):
        ended += _guarded(report, "refund", partial(refund_following.follow_up, shop, refund))
    return ended


def execute_once(shop: Workshop, report: Report) -> int:
    """Carry out what people asked for and was approved."""
    ended = 0
    for request in rights_execution.left_approved(shop.records):
        ended += _guarded(report, "rights_request", partial(_execute_whole, shop, request))
    for target in rights_execution.open_targets(shop.records):
        if rights_execution.take_up(shop.records, target):
            ended += _guarded(report, "rights_request", partial(_execute, shop, target))
    for package in packages.open_packages(shop.records, shop.clock()):
        ended += _guarded(report, "package", partial(_work_on_package, shop, package))
    for request in rights_execution.packages_to_finish(shop.records):
        ended += _guarded(report, "rights_request", partial(_finish_package, shop, request))
    return ended


def erase_once(shop: Workshop, report: Report) -> int:
    """Erase at the processors what is erased here, and certify it."""
    ended = 0
    for erasure in erasure_completion.open_erasures(shop.records):
        if erasure_completion.take_up(shop.records, erasure.tenant_id, erasure.erasure_id):
            ended += _guarded(report, "erasure", partial(_carry_on, shop, erasure))
    return ended


def purge_once(shop: Workshop, report: Report) -> int:
    """Delete some of what is not to be kept any longer; of how many customers something went."""
    gone = 0
    for customer in retention.expired(shop.records, shop.policy, shop.clock()):
        gone += _guarded(report, "retention", partial(_purge, shop, customer))
    resolving.forget_old_keys(shop)
    webhooks_in.forget_old(shop)
    return gone + event_delivery.purge(shop)


def _purge(shop: Workshop, customer: Row[str, str, bool]) -> bool:
    caller = caller_of(shop, customer.tenant_id, live=customer.live)
    return retention.purge(shop.records, shop.keyring, shop.policy, caller, customer.customer_id) > 0


def _settle(shop: Workshop) -> bool:
    settle(shop.ledger, shop.records)
    return True


def _guarded(report: Report, what: str, step: Callable[[], bool]) -> bool:
    return _tried(report, what, step) is True


def _tried(report: Report, what: str, step: Callable[[], bool]) -> bool | None:
    """What the step says; None for one that failed, which is reported."""
    try:
        return step()
    except Exception as error:  # noqa: BLE001  # one broken row must not stop the worker
        report(what, error)
        return None


def _execute(shop: Workshop, target: Row[str, str, str, bool]) -> bool:
    """Carry out what was approved for one customer; whether it is blocked no more."""
    work = _work(shop, target.tenant_id, live=target.live)
    rights_execution.carry_on(work, target.request_id, target.customer_id)
    request = rights.read(shop.records, work.caller, target.request_id)
    return any(each.customer == target.customer_id and each.status != "blocked" for each in request.targets)


def _execute_whole(shop: Workshop, request: Row[str, str, bool]) -> bool:
    work = _work(shop, request.tenant_id, live=request.live)
    whole = rights.read(shop.records, work.caller, request.request_id)
    rights_execution.execute(work, whole, most=len(whole.targets))
    return True


def _finish_package(shop: Workshop, request: Row[str, str, bool]) -> bool:
    rights_execution.finish_package(_work(shop, request.tenant_id, live=request.live), request.request_id)
    return True


def _work(shop: Workshop, tenant: str, *, live: bool) -> Work:
    return Work(records=shop.records, ledger=shop.ledger, policy=shop.policy, caller=caller_of(shop, tenant, live=live))


def _carry_on(shop: Workshop, erasure: Row[str, str, bool]) -> bool:
    caller = caller_of(shop, erasure.tenant_id, live=erasure.live)
    erasure_completion.carry_on(shop.records, shop.ledger, shop.processors, shop.policy, caller, erasure.erasure_id)
    return True


def _work_on_package(shop: Workshop, package: Row[Any]) -> bool:
    """One turn at building a package, so that no large one holds up the rest; or its end. Whether it moved on."""
    caller = caller_of(shop, package.tenant_id, live=package.live)
    if package.state != "building":
        packages.end(shop.records, shop.ledger, caller, package.package_id)
    elif not packages.take_up(shop.records, package):
        return False
    else:
        package_building.build(shop.records, shop.keyring, notices_of(shop.policy), caller, package.package_id)
        packages.put_back(shop.records, package)
    return True


def tell_once(shop: Workshop, report: Report) -> int:
    """Tell everybody who wants to hear how a rights request stands, and has not heard of it.

    A host that was called in vain is not called again in this round, so that one that is slow costs one call of it.
    """
    told, end = 0, monotonic() + TELLING_SECONDS
    failing: set[callbacks.Host] = set()
    for row in callbacks.due(shop.records):
        if monotonic() > end:  # whoever is slow has a pause before the next attempt: the others' turn comes
            break
        if callbacks.take_up(shop.records, row):
            told += _guarded(report, "callback", partial(_tell, shop, row, failing))
    return told


def _tell(shop: Workshop, row: Row[Any], failing: set[callbacks.Host]) -> bool:
    caller = caller_of(shop, row.tenant_id, live=row.live)
    return callbacks.tell(shop.records, shop.keyring, shop.tellers, caller, row, failing)


def hear_once(shop: Workshop, report: Report) -> int:
    """Look into what processors told."""
    done = 0
    for row in webhooks_in.due(shop):
        if webhooks_in.take_up(shop, row):
            done += _guarded(report, "webhook", partial(webhooks_in.apply, shop, row))
    return done


def deliver_once(shop: Workshop, report: Report) -> int:
    """Tell tenants what happened. A host that was called in vain is not called again in this round."""
    done, end = event_delivery.fan_out(shop), monotonic() + TELLING_SECONDS
    failing: set[tuple[str, str]] = set()
    for row in event_delivery.due(shop):
        if monotonic() > end:
            break
        if event_delivery.take_up(shop, row):
            done += _guarded(report, "event", partial(event_delivery.deliver, shop, row, failing))
    return done


def reconcile_once(shop: Workshop, report: Report) -> int:
    """Compare what was not compared for a day."""
    done = 0
    for row in reconciling.due(shop):
        if reconciling.take_up(shop, row):
            done += _guarded(report, "reconcile", partial(reconciling.compare, shop, row, report))
    return done


def rotate_once(shop: Workshop, report: Report) -> int:
    """Begin the KEK epochs that are due, empty the KEKs before them, destroy those that were empty for long enough."""
    done = 0
    for tenant in key_rotation.due(shop):
        done += _guarded(report, "kek.rotate", partial(key_rotation.rotate, shop, tenant))
    for kek in keks.to_empty(shop.keyring):
        done += _guarded(report, "kek.rewrap", partial(key_rotation.empty, shop, kek))
    for kek in keks.to_destroy(shop.keyring, key_rotation.backups(shop)):
        done += _guarded(report, "kek.destroy", partial(key_rotation.destroy, shop, kek))
    return done


def sequence_once(shop: Workshop, report: Report) -> int:
    """Give audit entries their places and sign; of how many logs there is more to be done at once."""
    return sum(_guarded(report, "audit_log", step) for step in turns.placing(shop))


def anchor_once(shop: Workshop, report: Report) -> int:
    """Look at the logs that are new to this worker, or have become shorter; anchor what has waited for it."""
    steps = turns.anchoring(shop)
    # Threads that end with the process: anchors may hang, and a worker that is told to stop must not wait for them.
    threads = [
        Thread(target=_guarded_each, args=(report, "anchor", steps[lane::ACCOUNTS_AT_ONCE]), daemon=True)
        for lane in range(min(ACCOUNTS_AT_ONCE, len(steps)))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return 0


def _guarded_each(report: Report, what: str, steps: Sequence[Callable[[], bool]]) -> None:
    for step in steps:
        _guarded(report, what, step)


LANES: Mapping[str, Callable[[Workshop, Report], int]] = {
    "ledger": settle_once,
    "catching_up": catch_up_once,
    "intents": resolve_once,
    "webhooks": hear_once,
    "money": follow_once,
    "rights": execute_once,
    "erasures": erase_once,
    "purge": purge_once,
    "reconcile": reconcile_once,
    "keys": rotate_once,
    "anchor": anchor_once,
    "audit": sequence_once,
    "events": deliver_once,
    "telling": tell_once,  # last where they run one after the other: others' servers take as long as they like
}
"""Each is a round that the worker repeats in a thread of its own."""
