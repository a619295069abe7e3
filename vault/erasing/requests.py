"""Asking for one customer's erasure outright (`DELETE /v1/customers/{id}`): it is done at once where that may be."""

from rows.engine import reading
from vault.desk import Desk
from vault.erasing import erasure
from vault.erasing.erasure import ApprovalNeeded
from vault.errors import Blocked, Erased, NotUsable
from vault.ledger.book import Ledger
from vault.policy import Policy
from vault.requests import decisions, execution, intake, rights
from vault.requests.execution import Work
from vault.requests.rights import RightsRequest


def erase(desk: Desk, ledger: Ledger, policy: Policy, customer_id: str) -> RightsRequest:
    """Erase a customer here, and leave the processors to the worker; asking again finds the same request.

    Above the policy's rate it only asks, and a second actor who asks the same approves. What is blocked is kept as a
    request, and the worker carries it out once nothing is in the way. Raises NotFoundHere, Blocked, ActorNeeded,
    NotUsable where a request about others too waits for approval.
    """
    try:
        made = erasure.execute(desk, ledger, policy, customer_id)
    except ApprovalNeeded as needed:
        return _ask(desk, ledger, policy, customer_id, needed.request_id)
    except Blocked as blocked:
        kept = intake.ask_to_erase(desk, policy, customer_id, blocked)
        raise Blocked(blocked.reasons, blocked.until, request=kept.id) from None
    return made or _earlier(desk, customer_id)


def _ask(desk: Desk, ledger: Ledger, policy: Policy, customer_id: str, request_id: str | None) -> RightsRequest:
    if request_id is None:
        return intake.ask_to_erase(desk, policy, customer_id)
    if len(rights.read(desk, request_id).targets) > 1:
        raise NotUsable("request_open", "A request about this and other customers waits for approval: decide that one.")
    request = decisions.approve(desk, policy, request_id)
    if request.status == "approved":
        execution.execute(Work(desk=desk, ledger=ledger, policy=policy), request)
    return rights.read(desk, request_id)


def _earlier(desk: Desk, customer_id: str) -> RightsRequest:
    with reading(desk.records) as connection:
        request = rights.of_customer(connection, desk.caller, customer_id)
    if request is None:
        raise Erased("This customer was erased, and the request is not in these records.")
    return request
