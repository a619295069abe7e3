"""Redaction jobs (Stripe's preview): a customer and what hangs on it lose what is personal, for good.

A job moves on when it is read, so that every state is seen: ``validating``, then ``ready`` or ``failed``; once run,
``redacting``, then ``succeeded``. It fails for what Stripe's documentation names: a charge younger than 90 days,
intents and subscriptions that are not finished, another job under way. ``validation_behavior=fix`` finishes intents
and subscriptions when the job runs. Stripe does not say whether it redacts a customer that was deleted; this does.
"""

import json
from collections.abc import Callable
from typing import Any, cast

from sandbox import errors, listing, payment_intents, setup_intents, state, statefile, subscriptions, wire
from sandbox import params as parameters
from sandbox.events import emit
from sandbox.params import Params
from sandbox.state import Account, Object

YOUNGEST = 90 * 86_400
MOST = 10
UNDER_WAY = ("validating", "ready", "redacting")
FINISHED = ("succeeded", "canceled")
CANCEL = {"payment_intents": payment_intents.cancel, "setup_intents": setup_intents.cancel}
BLANK: Object = {"description": None, "metadata": {}}
HANGING = ("payment_methods", "setup_intents", "payment_intents", "charges", "subscriptions")


def create(account: Account, params: Params) -> Object:
    """A job for ``objects[customers][]``, which is validated next."""
    parameters.need(params, "objects")
    parameters.one_of(params, "validation_behavior", ("error", "fix"))
    job = {
        "id": state.new_id("prj"),
        "object": "privacy.redaction_job",
        "created": account.now(),
        "livemode": False,
        "objects": {"customers": _customers(account, params["objects"])},
        "status": "validating",
        "validation_behavior": params.get("validation_behavior") or "error",
    }
    state.add(account, "redaction_jobs", job)
    emit(account, "privacy.redaction_job.created", job)
    return job


def get(account: Account, name: str, _: Params) -> Object:
    """A job, one step further than when it was read last; only ``ready`` waits, for somebody to run it."""
    job = _job(account, name)
    move = MOVES.get(job["status"])
    if move:
        move(account, job)
    return job


def run(account: Account, name: str, _: Params) -> Object:
    """Begin what cannot be undone. Only a job that is ready can run, and only once."""
    job = _job(account, name)
    if job["status"] != "ready":
        raise errors.refused(f"This job is {job['status']}: only a job that is ready can run.")
    if job["validation_behavior"] == "fix":
        for customer in job["objects"]["customers"]:
            _finish(account, customer)
    job["status"] = "redacting"
    return job


def index(account: Account, params: Params) -> Object:
    """Jobs as they stand, newest first; by status."""
    return listing.page(account, "redaction_jobs", params, by=("status",), url="/v1/privacy/redaction_jobs")


def _job(account: Account, name: str) -> Object:
    job = state.find(account, "redaction_jobs", name)
    if job is None:
        raise errors.missing("redaction job", name, param="job")
    return job


def _customers(account: Account, objects: dict[str, Any]) -> list[str]:
    names = parameters.strings("objects[customers]", objects.get("customers"))
    if objects.keys() != {"customers"} or not 1 <= len(names) <= MOST:
        raise errors.invalid(f"The sandbox redacts objects[customers], from 1 to {MOST}.", param="objects")
    for name in names:
        if name not in account.tables["customers"]:
            raise errors.missing("customer", name, param="objects[customers]", status=400)
    return names


def _validate(account: Account, job: Object) -> None:
    blocked = any(_is_blocked(account, job, customer) for customer in job["objects"]["customers"])
    job["status"] = "failed" if blocked else "ready"
    emit(account, f"privacy.redaction_job.{'validation_error' if blocked else 'ready'}", job)


def _is_blocked(account: Account, job: Object, customer: str) -> bool:
    charges = state.newest_first(account, "charges", {"customer": customer})
    others = (one for one in account.tables["redaction_jobs"].values() if one is not job)
    unfinished = _open_intents(account, customer) or subscriptions.of(account, customer)
    return (
        any(charge["created"] > account.now() - YOUNGEST for charge in charges)
        or any(one["status"] in UNDER_WAY and customer in one["objects"]["customers"] for one in others)
        or (job["validation_behavior"] == "error" and bool(unfinished))
    )


def _open_intents(account: Account, customer: str) -> list[tuple[str, str]]:
    rows = ((kind, row) for kind in CANCEL for row in state.newest_first(account, kind, {"customer": customer}))
    return [(kind, row["id"]) for kind, row in rows if row["status"] not in FINISHED]


def _finish(account: Account, customer: str) -> None:
    for kind, name in _open_intents(account, customer):
        CANCEL[kind](account, name, {})
    subscriptions.cancel_all(account, customer)


def _redact(account: Account, job: Object) -> None:
    names = set()
    for customer in job["objects"]["customers"]:
        for kind, row in _all_of(account, customer):
            row.update(_without_person(row))
            account.touched.add((kind, row["id"]))
            names.add(row["id"])
    for event in account.tables["events"].values():
        data = json.loads(event["_data"])
        if data["object"]["id"] in names:
            event["_data"] = wire.encode({part: _without_person(thing) for part, thing in data.items()})
    job["status"] = "succeeded"
    emit(account, "privacy.redaction_job.succeeded", job)


def _all_of(account: Account, customer: str) -> list[tuple[str, Object]]:
    """The customer, what hangs on it, and the payment methods that did until they were detached."""
    rows = [(kind, row) for kind in HANGING for row in state.newest_first(account, kind, {"customer": customer})]
    methods = {row["payment_method"] for _, row in rows if row.get("payment_method")}
    loose = [("payment_methods", account.tables["payment_methods"][name]) for name in methods]
    return [("customers", account.tables["customers"][customer]), *rows, *loose]


def _without_person(thing: Object) -> Object:
    """Contacts are blank, where Stripe says ``[redacted]``; descriptions and metadata go as well."""
    without = cast("Object", statefile.without_contact(thing))
    return without | {name: blank for name, blank in BLANK.items() if name in without}


MOVES: dict[str, Callable[[Account, Object], None]] = {"validating": _validate, "redacting": _redact}
