"""Requests that a controller's own system sends: who asks was verified there, and sending it is approving it.

Where the policy wants a second actor, that is not enough, and the request waits for one here.
"""

from collections.abc import Callable
from contextlib import suppress

from sqlalchemy import Connection

from vault.errors import ActorNeeded
from vault.processing.intents import Attempt
from vault.requests import decisions, execution, intake, rights
from vault.requests.execution import Work
from vault.requests.intake import Order
from vault.requests.rights import RightsRequest

VERIFICATION = "controller"


def carry_out(
    work: Work, order: Order, attempt: Attempt, also: Callable[[Connection, str], None] | None = None
) -> RightsRequest:
    """Take in, approve and carry out what `order` asks for. The same attempt again goes on where the first one ended.

    Raises what `intake.submit` raises.
    """
    taken = intake.submit(work.desk, work.ledger, work.policy, order, attempt, also).value
    if taken.status in {*rights.UNDECIDED, "approved"}:
        with suppress(ActorNeeded):
            approved = decisions.approve(work.desk, work.policy, taken.id, VERIFICATION)
            if approved.status == "approved":
                execution.execute(work, approved)
    return rights.read(work.desk, taken.id)
