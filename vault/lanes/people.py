"""Lanes of people: what they asked for, what is erased, what is not to be kept any longer."""

from functools import partial
from typing import Any

from sqlalchemy import Row

from vault.erasing import completion, retention
from vault.events import delivery
from vault.exports import building, packages
from vault.exports.notices import notices_of
from vault.lanes.steps import Report, guarded
from vault.recovering import forgetting_old
from vault.requests import execution, rights
from vault.requests.execution import Work
from vault.resealing import reindexing
from vault.workshop import Workshop, desk_of


def execute_once(shop: Workshop, report: Report) -> int:
    """Carry out what people asked for and was approved."""
    ended = 0
    for request in execution.left_approved(shop.records):
        ended += guarded(report, "rights_request", partial(_execute_whole, shop, request))
    for target in execution.open_targets(shop.records):
        if execution.take_up(shop.records, target):
            ended += guarded(report, "rights_request", partial(_execute, shop, target))
    for package in packages.open_packages(shop.records, shop.clock()):
        ended += guarded(report, "package", partial(_work_on_package, shop, package))
    for request in execution.packages_to_finish(shop.records):
        ended += guarded(report, "rights_request", partial(_finish_package, shop, request))
    return ended


def _execute(shop: Workshop, target: Row[str, str, str, bool]) -> bool:
    """Carry out what was approved for one customer; whether it is blocked no more."""
    work = _work(shop, target.tenant_id, live=target.live)
    execution.carry_on(work, target.request_id, target.customer_id)
    request = rights.read(work.desk, target.request_id)
    return any(each.customer == target.customer_id and each.status != "blocked" for each in request.targets)


def _execute_whole(shop: Workshop, request: Row[str, str, bool]) -> bool:
    work = _work(shop, request.tenant_id, live=request.live)
    whole = rights.read(work.desk, request.request_id)
    execution.execute(work, whole, most=len(whole.targets))
    return True


def _finish_package(shop: Workshop, request: Row[str, str, bool]) -> bool:
    execution.finish_package(_work(shop, request.tenant_id, live=request.live), request.request_id)
    return True


def _work(shop: Workshop, tenant: str, *, live: bool) -> Work:
    return Work(desk=desk_of(shop, tenant, live=live), ledger=shop.ledger, policy=shop.policy)


def _work_on_package(shop: Workshop, package: Row[Any]) -> bool:
    """One turn at building a package, so that no large one holds up the rest; or its end. Whether it moved on."""
    desk = desk_of(shop, package.tenant_id, live=package.live)
    if package.state != "building":
        packages.end(desk, shop.ledger, package.package_id)
    elif not packages.take_up(desk.records, package):
        return False
    else:
        building.build(desk, notices_of(shop.policy), package.package_id)
        packages.put_back(desk.records, package)
    return True


def erase_once(shop: Workshop, report: Report) -> int:
    """Erase at the processors what is erased here, and certify it."""
    ended = 0
    for erasure in completion.open_erasures(shop.records):
        if completion.take_up(shop.records, erasure):
            ended += guarded(report, "erasure", partial(_carry_on, shop, erasure))
    return ended


def _carry_on(shop: Workshop, erasure: Row[str, str, bool]) -> bool:
    desk = desk_of(shop, erasure.tenant_id, live=erasure.live)
    completion.carry_on(desk, shop.ledger, shop.processors, shop.policy, erasure.erasure_id)
    return True


def index_once(shop: Workshop, report: Report) -> int:
    """Index people anew who were indexed by older rules; of how many tenants there were any."""
    return sum(guarded(report, "index", partial(_index, shop, tenant)) for tenant in reindexing.to_renew(shop))


def _index(shop: Workshop, tenant: str) -> bool:
    return reindexing.renew(shop, tenant) > 0


def purge_once(shop: Workshop, report: Report) -> int:
    """Delete some of what is not to be kept any longer; 0 once there is no more of it."""
    gone = 0
    for customer in retention.expired(shop.records, shop.policy, shop.clock()):
        gone += guarded(report, "retention", partial(_purge, shop, customer))
    gone += guarded(report, "purge", partial(forgetting_old.forget_keys, shop))
    gone += guarded(report, "purge", partial(forgetting_old.forget_webhooks, shop))
    return gone + delivery.purge(shop)


def _purge(shop: Workshop, customer: Row[str, str, bool]) -> bool:
    desk = desk_of(shop, customer.tenant_id, live=customer.live)
    return retention.purge(desk, shop.policy, customer.customer_id) > 0
