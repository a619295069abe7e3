"""Asking for one customer's erasure outright (`DELETE /v1/customers/{id}`): it is done at once where that may be."""

from sqlalchemy import Engine

from keys.database import reading
from vault.caller import Caller
from vault.erasing import erasure
from vault.erasing.erasure import ApprovalNeeded
from vault.errors import Blocked, Erased, NotUsable
from vault.ledger.book import Ledger
from vault.policy import Policy
from vault.requests import decisions, execution, intake, rights
from vault.requests.execution import Work
from vault.requests.rights import RightsRequest


def erase(records: Engine, ledger: Ledger, policy: Policy, caller: Caller, customer_id: str) -> RightsRequest:
    """Erase a customer here, and leave the processors to the worker; asking again finds the same request.

    Above the policy's rate it only asks, and a second actor who asks the same approves. What is blocked is kept as a
    request, and the worker carries it out once nothing is in the way. Raises NotFoundHere, Blocked, ActorNeeded,
    NotUsable where a request about others too waits for approval.
    """
    try:
        made = erasure.execute(records, ledger, policy, caller, customer_id)
    except ApprovalNeeded as needed:
        return _ask(records, ledger, policy, caller, customer_id, needed.request_id)
    except Blocked as blocked:
        kept = intake.ask_to_erase(records, ledger.keyring, policy, caller, customer_id, blocked)
        raise Blocked(blocked.reasons, blocked.until, request=kept.id) from None
    return made or _earlier(records, caller, customer_id)


def _ask(
    records: Engine, ledger: Ledger, policy: Policy, caller: Caller, customer_id: str, request_id: str | None
) -> RightsRequest:
    if request_id is None:
        return intake.ask_to_erase(records, ledger.keyring, policy, caller, customer_id)
    if len(rights.read(records, caller, request_id).targets) > 1:
        raise NotUsable("request_open", "A request about this and other customers waits for approval: decide that one.")
    request = decisions.approve(records, ledger.keyring, policy, caller, request_id)
    if request.status == "approved":
        execution.execute(Work(records=records, ledger=ledger, policy=policy, caller=caller), request)
    return rights.read(records, caller, request_id)


def _earlier(records: Engine, caller: Caller, customer_id: str) -> RightsRequest:
    with reading(records) as connection:
        request = rights.of_customer(connection, caller, customer_id)
    if request is None:
        raise Erased("This customer was erased, and the request is not in these records.")
    return request
