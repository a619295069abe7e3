"""Charges: reading and listing. `charging.py` makes them, `refunds.py` gives money back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, Select, select

from keys.blindindex import digest, label, normalize
from keys.context import Context
from keys.dek import Dek
from keys.envelope import dek_id_of
from keys.keyring import Keyring
from rows.conditions import given, together
from rows.engine import reading
from rows.prepared import Prepared
from vault import cursors
from vault.caller import Caller
from vault.canonical import Plain
from vault.desk import Desk
from vault.errors import NotFoundHere
from vault.processing import intents
from vault.sealing import open_own, place_of, seal_value, unseal_value
from vault.tables import charges, processor_accounts


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """One charge as its clients see it. After an erasure the person's part is empty and the money's part stays."""

    id: str
    token: str | None
    customer: str | None
    status: str
    amount: int
    currency: str
    amount_captured: int
    amount_refunded: int
    capture_method: str
    initiator: str | None
    reason: str | None
    processor: str
    created_at: datetime
    recovered: bool = False
    """Whether it was written again from what the processor has: what is empty then these records have lost."""
    step: str | None = None
    """What is being done with it, its outcome still open."""
    obligation: str | None = None
    statement_descriptor: str | None = field(default=None, repr=False)
    metadata: dict[str, str] = field(default_factory=dict, repr=False)
    next_action: dict[str, Any] | None = field(default=None, repr=False)
    declined: dict[str, str | None] | None = field(default=None, repr=False)
    refused: dict[str, str | None] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which charges to list; what is None does not matter."""

    customer: str | None = None
    token: str | None = None
    obligation: str | None = None
    status: str | None = None


def read(desk: Desk, charge_id: str) -> Charge:
    """One charge, an erased customer's too. Raises NotFoundHere."""
    with reading(desk.records) as connection:
        row = row_of_charge(connection, desk.caller, charge_id)
    return unsealed(desk.keyring, [row])[0]


def find(desk: Desk, wanted: Filter, page: cursors.Wanted) -> cursors.Page[Charge]:
    """Charges, newest first. Raises ValueError for a bad cursor."""
    statement = _mine(desk.caller)
    for column, value in (
        (charges.c.customer_id, wanted.customer),
        (charges.c.token_id, wanted.token),
        (charges.c.state, wanted.status),
        (charges.c.obligation_digest, obligation_digest(desk, wanted.obligation)),
    ):
        statement = statement if value is None else statement.where(column == value)
    with reading(desk.records) as connection:
        order = (charges.c.created_at, charges.c.charge_id)
        return cursors.page(connection, statement, order, page, partial(unsealed, desk.keyring))


def row_of_charge(connection: Connection, caller: Caller, charge_id: str) -> Row[Any]:
    """The row of a charge with its processor's kind. Raises NotFoundHere."""
    asked = {"of_tenant": caller.tenant, "of_live": caller.live, "of_charge": charge_id}
    row: Row[Any] | None = _ONE.one_or_none(connection, asked)
    if row is None:
        raise NotFoundHere("No such charge.")
    return row


def obligation_digest(desk: Desk, obligation: str | None) -> bytes | None:
    """What an obligation is found and kept unique by: a keyed digest, apart for test and live.

    Its key never rotates: with another digest beside it, what was paid could be paid again.
    """
    if obligation is None:
        return None
    mode = "live" if desk.caller.live else "test"
    value = f"{mode}\0{normalize('reference', obligation)}"
    return digest(
        desk.keyring.subkey(desk.caller.tenant, "processor_key", label("obligation")), form="raw", value=value
    )


def unsealed(keyring: Keyring, rows: Sequence[Row[Any]]) -> list[Charge]:
    """The charges in these rows, of one tenant, with one read of the keystore. Raises Unreadable."""
    if not rows:
        return []
    tenant = rows[0].tenant_id
    deks = keyring.deks(tenant, {dek_id_of(row.details) for row in rows if row.details is not None})
    return [charge_of(row._asdict(), open_retained(keyring, row), open_details(keyring, row, deks)) for row in rows]


def open_retained(keyring: Keyring, row: Row[Any]) -> dict[str, Any]:
    """What of a charge outlives its customer: obligation, processor reference, network transaction id."""
    place = retained_place(keyring, row.tenant_id, row.charge_id, row.retained_version)
    return open_own(keyring, "retention", row.retained, place)


def retained_place(keyring: Keyring, tenant: str, charge_id: str, version: int) -> Context:
    """Where a charge's retained part stands; bound to no customer, because it outlives the customer's key."""
    return place_of(keyring, tenant, "charges", "retained", charge_id, version=version)


def details_place(keyring: Keyring, tenant: str, charge_id: str, customer: str, version: int) -> Context:
    """Where the person's part of a charge stands."""
    return place_of(keyring, tenant, "charges", "details", charge_id, customer=customer, version=version)


def seal_retained(keyring: Keyring, tenant: str, charge_id: str, version: int, value: Mapping[str, Any]) -> bytes:
    """What of a charge outlives its customer, sealed under the tenant's own key for it."""
    place = retained_place(keyring, tenant, charge_id, version)
    return seal_value(keyring.tenant_key(tenant, "retention"), value, place)


def seal_details(keyring: Keyring, dek: Dek, row: Mapping[str, Any], version: int, value: Mapping[str, Any]) -> bytes:
    """The person's part of the charge in `row`, sealed under the customer's key."""
    place = details_place(keyring, row["tenant_id"], row["charge_id"], row["customer_id"], version)
    return seal_value(dek, value, place)


def processor_key(keyring: Keyring, intent: intents.Intent, row: Mapping[str, Any], account: Any) -> str:  # noqa: ANN401  # a row
    """The idempotency key that the processor sees of a charge, at the account of this row.

    It names the obligation, or, where the charge pays none, it comes from the client's own key.
    """
    if row["key_number"] is None:
        return intent.processor_key or ""
    return intents.obligation_key(
        keyring,
        row["tenant_id"],
        live=row["live"],
        account=account.named or account.account_id.encode(),
        obligation=row["obligation_digest"],
        number=row["key_number"],
    )


def charge_of(row: Mapping[str, Any], retained: Mapping[str, Any], details: Mapping[str, Any]) -> Charge:
    """A charge from its columns and what was sealed in it."""
    return Charge(
        id=row["charge_id"],
        token=row["token_id"],
        customer=row["customer_id"],
        status=row["state"],
        obligation=retained.get("obligation"),
        processor=row["kind"],
        **{name: row[name] for name in _SHOWN},
        amount_refunded=given_back(row["amount_captured"], row["amount_refunded"]),
        **{name: details[name] for name in DETAILS if name in details},
    )


def given_back(captured: int, refunded: int) -> int:
    """How much of what was taken is given back or on its way, in minor units, by a charge's two columns."""
    return min(captured, refunded)


def shown_in_event(charge: Charge) -> dict[str, Plain]:
    """What of a charge leaves the house in an event: nothing that is the person's, nor what the tenant wrote."""
    return {
        "id": charge.id,
        "object": "charge",
        "token": charge.token,
        "customer": charge.customer,
        "status": charge.status,
        "amount": charge.amount,
        "currency": charge.currency,
        "amount_captured": charge.amount_captured,
        "amount_refunded": charge.amount_refunded,
    }


_SHOWN = (
    "amount",
    "currency",
    "amount_captured",
    "capture_method",
    "initiator",
    "reason",
    "created_at",
    "recovered",
    "step",
)
"""Columns that clients see under their own names."""

DETAILS = ("statement_descriptor", "metadata", "next_action", "declined", "refused")
"""What of a charge is the person's, and goes with the customer's key."""


def open_details(keyring: Keyring, row: Row[Any], deks: dict[bytes, Dek]) -> dict[str, Any]:
    """Empty once the customer's key is destroyed: the charge itself is still shown."""
    dek = deks.get(dek_id_of(row.details)) if row.details is not None else None
    if dek is None:
        return {}
    place = details_place(keyring, row.tenant_id, row.charge_id, row.customer_id, row.details_version)
    return unseal_value(dek, row.details, place)


def unsealed_details(keyring: Keyring, row: Row[Any]) -> dict[str, Any]:
    """The person's part of one charge, empty where its DEK is destroyed. Raises KeyMissing, Unreadable."""
    named = [] if row.details is None else [dek_id_of(row.details)]
    return open_details(keyring, row, keyring.deks(row.tenant_id, named) if named else {})


_ALL = select(charges, processor_accounts.c.kind).join(
    processor_accounts, together(processor_accounts, charges, "account_id")
)
_ONE = Prepared(_ALL.where(given(charges, "live", "charge_id")))


def _mine(caller: Caller) -> Select[Any]:
    return _ALL.where(charges.c.tenant_id == caller.tenant, charges.c.live == caller.live)
