"""Runs of Fides: whom a privacy request there is about here, and the rights requests that erase them.

Who is being erased already is left to the request that does it; everybody else whom the identities match is in one of
the run's own. A run that comes again may know more of the person: whoever was not covered yet is then taken in, too.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from sqlalchemy import bindparam, select, union

from rows.conditions import given, together
from rows.engine import reading
from vault.errors import Duplicate, InProgress
from vault.processing.intents import Attempt
from vault.protocols.fides import PROTOCOL
from vault.requests import intake, ordered, rights
from vault.requests.execution import Work
from vault.requests.intake import Identity, Order
from vault.requests.rights import RightsRequest
from vault.tables import callbacks, rights_requests, rights_targets

MOST_OWN = 100
"""How many requests one run may make: as often as it comes again and matches somebody new."""

MOST_TRIES = 5
"""How often others may come in between: each time somebody else has taken in one of the customers meanwhile."""


def erase(
    work: Work, run: str, identities: Sequence[Identity], attempt_of: Callable[[str], Attempt]
) -> Sequence[RightsRequest]:
    """Erase everybody whom the identities match; all requests that the run is about.

    `attempt_of` names the call that makes one of the run's own. Raises InProgress, and what `carry_out` raises.
    """
    order = Order(type="erasure", identities=identities, verification=ordered.VERIFICATION, protocol=PROTOCOL)
    involved, missing = _look(work, run, order)
    for each in _own(run, involved):
        if each.status in {*rights.UNDECIDED, "approved"}:  # the call that made it may have ended right then
            ordered.carry_out(work, order, attempt_of(str(each.external_id)))
    for _ in range(MOST_TRIES):
        if missing or not involved:
            name = _names(run)[min(len(_own(run, involved)), MOST_OWN - 1)]
            with suppress(Duplicate):
                ordered.carry_out(work, _about(order, missing, name), attempt_of(name))
        involved, missing = _look(work, run, order)
        if involved and not missing:
            return involved
    raise InProgress("Others ask to erase the same customers just now. Try again.")


def _about(order: Order, customers: Sequence[str], name: str) -> Order:
    """The order for these alone; for whoever matches where nobody is found, so that there is a request that says so."""
    named = replace(order, external_id=name)
    return replace(named, identities=(), customers=customers) if customers else named


def _names(run: str) -> list[str]:
    """What the controller calls the requests that a run makes: by the run's id, and a number from the second on."""
    return [run, *(f"{run}.{number}" for number in range(2, MOST_OWN + 1))]


def _own(run: str, involved: Sequence[RightsRequest]) -> list[RightsRequest]:
    return [each for each in involved if each.protocol == PROTOCOL and each.external_id in _names(run)]


def _look(work: Work, run: str, order: Order) -> tuple[list[RightsRequest], list[str]]:
    """The requests that a run is about, and the customers who match and are in none of them.

    Those are its own, what it was told to wait for before, and what is open for somebody who matches. One of others
    that was withdrawn says nothing about the person; one that was denied does.
    """
    caller = work.desk.caller
    with reading(work.desk.records) as connection:
        matched = intake.meant_by(work.desk, connection, order)
        named = rights.asked(caller) | {"of_run": run, "of_names": _names(run), "of_customers": matched}
        involved = [rights.whole(connection, caller, each) for each in connection.scalars(_INVOLVED, named).all()]
    covered = {customer for each in involved for customer in each.customers}
    return involved, [each for each in matched if each not in covered]


_ERASURES = select(rights_requests.c.request_id).where(
    given(rights_requests, "live"), rights_requests.c.type == "erasure"
)
_INVOLVED = union(
    _ERASURES.where(
        rights_requests.c.protocol == PROTOCOL,
        rights_requests.c.external_id.in_(bindparam("of_names", expanding=True)),
    ),
    _ERASURES.join(callbacks, together(callbacks, rights_requests, "request_id")).where(
        callbacks.c.protocol == PROTOCOL,
        callbacks.c.name == bindparam("of_run"),
        rights_requests.c.state != "cancelled",
    ),
    _ERASURES.join(rights_targets, rights.OF_REQUEST).where(
        rights_requests.c.state.in_(rights.OPEN),
        rights_targets.c.customer_id.in_(bindparam("of_customers", expanding=True)),
    ),
)
