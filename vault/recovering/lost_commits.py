"""Rows that a failover lost, written again from the notes that the processor keeps (`recovery_notes`).

What is written is what was committed before the call: the intent with its resource pending. From there on it is an
intent like any that a crash left open, and the worker ends it by asking the processor (`resolving`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, and_, select, update
from sqlalchemy.exc import IntegrityError

from keys.database import reading
from keys.keyring import Keyring
from vault import audit
from vault.caller import Caller
from vault.cards.tokens import row_of_token
from vault.errors import Erased, NotFoundHere
from vault.ids import new_id
from vault.money import charging
from vault.people import customer_rows, customers
from vault.processing import references
from vault.processing.processor_answers import Noted
from vault.recovering import recovery_notes
from vault.statements import Change, inserted, write
from vault.tables import charges, intents, refunds, tokens
from vault.tables import customers as customer_table

KINDS = ("card", "customer", "charge", "refund")
"""In this order: what comes later hangs on what comes before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An object at the processor, and what its note says."""

    noted: Noted
    says: Mapping[str, Any]


def write_back(
    records: Engine, keyring: Keyring, caller: Caller, account: str, kind: str, noted: Sequence[Noted]
) -> int:
    """Write the rows of these objects that are not there; of how many. What these records can't hold is left alone."""
    found = [Found(noted=each, says=said) for each in noted if (said := _said(keyring, caller, kind, each))]
    there = _there(records, caller, kind, [each.says[kind] for each in found])
    made = 0
    for each in found:
        if each.says[kind] not in there:
            made += _written(records, keyring, replace(caller, at=each.noted.at), account, kind, each)
    return made


def _said(keyring: Keyring, caller: Caller, kind: str, noted: Noted) -> Mapping[str, Any] | None:
    said = recovery_notes.read(keyring, caller.tenant, kind, noted)
    return said and {"card": said.get("token"), **said}


def _there(records: Engine, caller: Caller, kind: str, ids: Sequence[str]) -> set[str]:
    column = _IDS[kind]
    known = select(column).where(column.table.c.tenant_id == caller.tenant, column.in_(ids))
    with reading(records) as connection:
        return set(connection.scalars(known))


_IDS = {
    "card": tokens.c.token_id,
    "customer": customer_table.c.customer_id,
    "charge": charges.c.charge_id,
    "refund": refunds.c.refund_id,
}


def _written(records: Engine, keyring: Keyring, caller: Caller, account: str, kind: str, found: Found) -> bool:
    """Write one in a transaction of its own; False where it has no place: erased meanwhile, or taken by another."""
    try:
        with audit.transaction(records) as tx:
            _WRITERS[kind](tx, keyring, caller, account, found)
            audit.record(tx, keyring, caller, f"{kind}.recover", resource=found.says[kind])
    except (NotFoundHere, Erased, IntegrityError):
        return False
    return True


def _customer(tx: Connection, keyring: Keyring, caller: Caller, account: str, found: Found) -> None:
    _its_customer(tx, keyring, caller, account, found, reference=None)


def _card(tx: Connection, keyring: Keyring, caller: Caller, account: str, found: Found) -> None:
    says, customer = found.says, found.says["customer"]
    _its_customer(tx, keyring, caller, account, found, reference=says["reference"])
    row = {
        "tenant_id": caller.tenant,
        "token_id": says["token"],
        "customer_id": customer,
        "account_id": account,
        "state": "pending",
        "usage": says["usage"],
        "live": caller.live,
        "created_at": caller.at,
    }
    write(tx, inserted(tokens, row))
    write(tx, _intent(caller, "token.create", says["token"], customer, account, found))


def _its_customer(
    tx: Connection, keyring: Keyring, caller: Caller, account: str, found: Found, *, reference: str | None
) -> None:
    """The customer that a card hangs on, and what the processor calls it; without a contact: that was never there.

    Raises Erased. A reference that another customer has by now stays with that one.
    """
    customer, dek = found.says["customer"], recovery_notes.dek_of(keyring, caller.tenant, found.noted)
    new = customers.NewCustomer(id=customer, dek=dek, reference=reference, contact=None)
    try:
        customer_rows.shared_row_of(tx, caller, customer)
    except NotFoundHere:
        if not _inserted(tx, keyring, caller, new):
            customers.insert_new(tx, keyring, caller, replace(new, reference=None))
    name = references.kept(
        keyring,
        dek,
        tenant=caller.tenant,
        owner=customer,
        customer=customer,
        account=account,
        value={"reference": found.noted.customer},
        at=caller.at,
    )
    write(tx, name)


def _inserted(tx: Connection, keyring: Keyring, caller: Caller, new: customers.NewCustomer) -> bool:
    try:
        with tx.begin_nested():
            customers.insert_new(tx, keyring, caller, new)
    except IntegrityError:
        return False
    return True


def _charge(tx: Connection, keyring: Keyring, caller: Caller, account: str, found: Found) -> None:
    says = found.says
    token = row_of_token(tx, caller, says["token_id"])
    order = charging.Order(
        token=says["token_id"],
        obligation=says["obligation"],
        **{name: says[name] for name in ("amount", "currency", "capture_method", "initiator", "reason")},
    )
    dek = keyring.dek(caller.tenant, token.dek_id)
    row = charging.pending(keyring, caller, order, token, dek, says["charge"])
    write(tx, inserted(charges, row))
    write(tx, _intent(caller, "charge.create", says["charge"], token.customer_id, account, found))


def _refund(tx: Connection, keyring: Keyring, caller: Caller, account: str, found: Found) -> None:
    """One that a webhook told of meanwhile stands there as made elsewhere, and takes the amount off already."""
    says = found.says
    this = and_(charges.c.tenant_id == caller.tenant, charges.c.charge_id == says["charge"])
    more = {"amount_refunded": charges.c.amount_refunded + says["amount"]}
    known = references.digest(keyring, caller.tenant, account, found.noted.reference)
    taken_off = update(charges).where(this).values(more).returning(charges.c.customer_id)
    customer = tx.execute(taken_off).scalar_one_or_none()
    if customer is None or tx.scalar(select(refunds.c.refund_id).where(_named(caller, known))) is not None:
        raise NotFoundHere("No such charge, or this refund is known by another id.")
    row = {
        "tenant_id": caller.tenant,
        "refund_id": says["refund"],
        "charge_id": says["charge"],
        "state": "pending",
        "amount": says["amount"],
        "reason": says["reason"],
        "created_at": caller.at,
        "updated_at": caller.at,
    }
    write(tx, inserted(refunds, row))
    write(tx, _intent(caller, "refund.create", says["refund"], customer, account, found))


def _named(caller: Caller, digest: bytes) -> ColumnElement[bool]:
    return and_(refunds.c.tenant_id == caller.tenant, refunds.c.reference_digest == digest)


_WRITERS: Mapping[str, Callable[[Connection, Keyring, Caller, str, Found], None]] = {
    "card": _card,
    "customer": _customer,
    "charge": _charge,
    "refund": _refund,
}


def _intent(caller: Caller, operation: str, resource: str, customer: str, account: str, found: Found) -> Change:
    """The intent of the lost call, for the worker to take up at once."""
    key = found.says["key"]
    row = {
        "tenant_id": caller.tenant,
        "intent_id": new_id("int", caller.tenant),
        "operation": operation,
        "key_digest": bytes.fromhex(key) if key is not None else None,
        "fingerprint": bytes.fromhex(found.says["fingerprint"]),
        "resource_id": resource,
        "customer_id": customer,
        "account_id": account,
        "processor_key": f"panless-recovered-{found.noted.tag}",
        "state": "pending",
        "attempts": 0,
        "created_at": caller.at,
    }
    return inserted(intents, row, if_absent=True, clocks={"lease_until": 0})
