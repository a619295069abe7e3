"""Disputes: a cardholder wants the money back, and the issuer decides. What the processor says of one is followed."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, select

from keys.context import Context
from keys.keyring import Keyring
from rows.changes import insert, updated, write
from rows.engine import reading
from vault import audit, cursors
from vault.caller import Caller
from vault.desk import Desk
from vault.errors import NotFoundHere
from vault.events import raising
from vault.ids import new_id
from vault.processing import references
from vault.processing.answers import Disputed
from vault.processing.connecting import Connected
from vault.sealing import place_of, seal_value
from vault.tables import CLOSED_DISPUTES, charges, disputes


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """One dispute; `due_at` is until when evidence is taken, at the processor."""

    id: str
    charge: str
    status: str
    amount: int
    currency: str
    reason: str
    due_at: datetime | None
    created_at: datetime


def read(desk: Desk, dispute_id: str) -> Dispute:
    """One dispute. Raises NotFoundHere."""
    with reading(desk.records) as connection:
        row = connection.execute(_mine(desk.caller).where(disputes.c.dispute_id == dispute_id)).one_or_none()
    if row is None:
        raise NotFoundHere("No such dispute.")
    return _dispute(row)


def find(desk: Desk, charge: str | None, page: cursors.Wanted) -> cursors.Page[Dispute]:
    """Disputes, newest first, of one charge or of all."""
    statement = _mine(desk.caller) if charge is None else _mine(desk.caller).where(disputes.c.charge_id == charge)
    with reading(desk.records) as connection:
        order = (disputes.c.created_at, disputes.c.dispute_id)
        return cursors.page(connection, statement, order, page, lambda rows: [_dispute(row) for row in rows])


def follow(desk: Desk, connected: Connected, account_id: str, charge_id: str, reference: str) -> bool:
    """Ask the processor for a dispute of a charge and write down how it stands, in whatever turn it takes.

    False where the processor did not say, or somebody wrote meanwhile what may be newer: ask again.
    """
    digest = references.digest(desk.keyring, desk.caller.tenant, account_id, reference)
    with reading(desk.records) as connection:
        known = _known(connection, desk.caller, digest)
    seen = connected.processor.read_dispute(connected.credentials, reference=reference)
    if not isinstance(seen, Disputed):
        return False
    of_charge = select(charges.c.customer_id).where(
        charges.c.tenant_id == desk.caller.tenant, charges.c.charge_id == charge_id
    )
    with audit.transaction(desk.records) as tx:
        customer = tx.execute(of_charge.with_for_update()).scalar_one()  # one at a time: the charge's row is held
        if _known(tx, desk.caller, digest) != known:
            return False
        if known is None or known.state != seen.status:
            _write(desk, tx, charge_id, customer, known, seen, digest)
    return True


def _known(connection: Connection, caller: Caller, digest: bytes) -> Row[str, str, datetime] | None:
    this = and_(disputes.c.tenant_id == caller.tenant, disputes.c.reference_digest == digest)
    found = select(disputes.c.dispute_id, disputes.c.state, disputes.c.updated_at).where(this)
    return connection.execute(found).one_or_none()


def _write(
    desk: Desk,
    tx: Connection,
    charge_id: str,
    customer: str,
    known: Row[str, str, datetime] | None,
    seen: Disputed,
    digest: bytes,
) -> None:
    dispute_id = known.dispute_id if known else new_id("dsp", desk.caller.tenant)
    if known is None:
        insert(tx, disputes, _row(desk, charge_id, dispute_id, seen, digest))
    else:
        changes = {"state": seen.status, "due_at": seen.due_at, "updated_at": desk.caller.at}
        write(tx, updated(disputes, {"tenant_id": desk.caller.tenant, "dispute_id": dispute_id}, changes))
    told = f"dispute.{_turn(known, seen)}"
    data = {
        "id": dispute_id,
        "object": "dispute",
        "charge": charge_id,
        "status": seen.status,
        "amount": seen.amount,
        "currency": seen.currency,
        "reason": seen.reason,
    }
    write(
        tx,
        raising.made(desk.caller, told, dispute_id, data),
        audit.entry(desk, tx, told, customer=customer, resource=dispute_id),
    )


def _turn(known: Row[str, str, datetime] | None, seen: Disputed) -> str:
    """What a dispute did: an appeal opens again what was over."""
    if known is None:
        return "opened"
    if seen.status in CLOSED_DISPUTES:
        return "closed"
    return "reopened" if known.state in CLOSED_DISPUTES else "updated"


def _row(desk: Desk, charge_id: str, dispute_id: str, seen: Disputed, digest: bytes) -> dict[str, Any]:
    place = dispute_place(desk.keyring, desk.caller.tenant, dispute_id)
    return {
        "tenant_id": desk.caller.tenant,
        "dispute_id": dispute_id,
        "charge_id": charge_id,
        "live": desk.caller.live,
        "state": seen.status,
        "amount": seen.amount,
        "currency": seen.currency,
        "reason": seen.reason,
        "due_at": seen.due_at,
        "reference_digest": digest,
        "retained": seal_value(
            desk.keyring.tenant_key(desk.caller.tenant, "retention"), {"reference": seen.reference}, place
        ),
        "created_at": desk.caller.at,
        "updated_at": desk.caller.at,
    }


def dispute_place(keyring: Keyring, tenant: str, dispute_id: str) -> Context:
    """Where a dispute's processor reference stands."""
    return place_of(keyring, tenant, "disputes", "retained", dispute_id, version=1)


def _mine(caller: Caller) -> Select[Any]:
    return select(disputes).where(disputes.c.tenant_id == caller.tenant, disputes.c.live == caller.live)


def _dispute(row: Row[Any]) -> Dispute:
    return Dispute(
        id=row.dispute_id,
        charge=row.charge_id,
        status=row.state,
        amount=row.amount,
        currency=row.currency,
        reason=row.reason,
        due_at=row.due_at,
        created_at=row.created_at,
    )
