"""The later step where a processor must keep payments: taking the person out of them, once the policy's days are over.

Each time that the worker comes, a job goes one step further: made, run, looked at until it is done. It is written down,
sealed, before it is run: until then only the key that made it finds it again. The row's version is part of that key, so
that a job which failed is made anew under another one.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row

from keys.keyring import Keyring
from vault.desk import Desk
from vault.erasing import recipients
from vault.erasing.recipients import Answer
from vault.erasing.telling import PROOF
from vault.errors import NotUsable
from vault.processing.answers import Failure, Redaction, Refused
from vault.processing.connecting import Connected, Processors, connect

FINAL = frozenset({"redacted", "not_available"})
"""What ends it, besides `lost`: a restore lost the processor's name for the person."""

AGAIN_AFTER = timedelta(days=7)
"""What keeps a job from succeeding takes days to pass: a payment that is too young."""

UNAVAILABLE = Refused(code="redaction_unavailable")


def redact(desk: Desk, processors: Processors, erasure: Row[Any], listed: Sequence[Row[Any]]) -> dict[str, Answer]:
    """Take every redaction whose day has come a step further; what changes, by recipient. Nothing is written yet."""
    due = [row for row in listed if row.result == "scheduled" and row.next_attempt_at <= desk.caller.at]
    return {row.recipient_id: _step(desk, processors, erasure, row) for row in due}


def next_look(listed: Sequence[Row[Any]], answers: Mapping[str, Answer], at: datetime) -> datetime:
    """When there is something to do again: on the next day that is scheduled, or soon where one is under way."""
    return min(
        row["next_attempt_at"] if row["next_attempt_at"] > at else at + recipients.pause(row["attempts"])
        for row in recipients.after(listed, answers)
        if row["result"] == "scheduled"
    )


def _step(desk: Desk, processors: Processors, erasure: Row[Any], row: Row[Any]) -> Answer:
    if row.reference is None:
        return recipients.answered(desk.caller, row, "lost")
    dek = desk.keyring.dek(erasure.tenant_id, erasure.dek_id)
    value = recipients.open_reference(desk.keyring, dek, row)
    met = _ask(desk.keyring, processors, row, value)
    said = _said(met)
    if said == "not_available" and row.proven_at is None:  # another account's key may be told the same
        return {"attempts": row.attempts + 1, "waits_for": PROOF}
    if said in FINAL:
        return recipients.answered(desk.caller, row, said)
    if said == "failed":
        anew = recipients.replaced_reference(desk.keyring, dek, row, {"reference": value["reference"]})
        return {"attempts": 0, "next_attempt_at": desk.caller.at + AGAIN_AFTER, **anew}
    if isinstance(met, Redaction) and "job" not in value:
        kept = recipients.replaced_reference(desk.keyring, dek, row, {**value, "job": met.job})
        return {"attempts": 0, "waits_for": None, **kept}
    return {"attempts": row.attempts + 1}


def _ask(
    keyring: Keyring, processors: Processors, row: Row[Any], value: Mapping[str, str]
) -> Redaction | Failure | None:
    """Where the job stands, made or run if that is next; None where this deployment can't reach the account."""
    try:
        connected = connect(processors, keyring, row.tenant_id, row)
    except NotUsable:
        return None
    if "redaction" not in connected.processor.abilities:
        return UNAVAILABLE
    key = f"panless-{row.erasure_id}-{row.recipient_id}-{row.reference_version}"
    if "job" in value:
        return _follow(connected, value["job"], key)
    return _begin(connected, value["reference"], key)


def _begin(connected: Connected, reference: str, key: str) -> Redaction | Failure:
    begun = connected.processor.redact(connected.credentials, customer_reference=reference, key=key)
    unknown = isinstance(begun, Refused) and begun.code == "resource_missing"  # it redacts nobody that it doesn't know
    return UNAVAILABLE if unknown else begun


def _follow(connected: Connected, job: str, key: str) -> Redaction | Failure:
    """Where it stands; what came of running it is left to the next look, which knows, whatever this call answers."""
    found = connected.processor.redaction(connected.credentials, job=job)
    if isinstance(found, Redaction) and found.state == "ready":
        connected.processor.run_redaction(connected.credentials, job=job, key=key)
    return found


def _said(met: Redaction | Failure | None) -> str | None:
    """One of FINAL, `failed`, or None, which is asked again soon."""
    if isinstance(met, Redaction):
        return {"succeeded": "redacted", "failed": "failed"}.get(met.state)
    if isinstance(met, Refused) and not met.credentials:
        return "not_available" if met.code == UNAVAILABLE.code else "failed"
    return None
