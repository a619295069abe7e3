"""Processor references: the processor's names for our customers and tokens, sealed. Never shown to anybody."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select, update

from keys.context import Context
from keys.dek import Dek
from keys.envelope import dek_id_of
from keys.keyring import Keyring
from rows.changes import Change, each, inserted, update_row
from rows.conditions import given
from rows.prepared import Prepared
from vault.sealing import open_near, place_of, seal_value
from vault.tables import processor_references


def digest(keyring: Keyring, tenant: str, account: str, reference: str) -> bytes:
    """HMAC-SHA256 of a name that a processor account uses: what webhooks are matched by. Its key never rotates."""
    key = keyring.subkey(tenant, "processor_key", "reference")
    return hmac.digest(key, f"{account}\0{reference}".encode(), hashlib.sha256)


def kept(
    keyring: Keyring,
    dek: Dek,
    *,
    tenant: str,
    owner: str,
    customer: str,
    account: str,
    value: Mapping[str, Any],
    at: datetime,
) -> Change:
    """What a processor account calls `owner`, `{reference, network_transaction_id?}`, kept unless it is kept already.

    Two storings at once that open the processor's customer get the same one.
    """
    place = _place(keyring, tenant, owner, account, customer, 1)
    row = {
        "tenant_id": tenant,
        "owner_id": owner,
        "account_id": account,
        "customer_id": customer,
        "reference": seal_value(dek, value, place),
        "reference_digest": digest(keyring, tenant, account, value["reference"]),
        "created_at": at,
    }
    return inserted(processor_references, row, if_absent=True)


def replace(tx: Connection, keyring: Keyring, dek: Dek, row: Row[Any], value: Mapping[str, Any]) -> None:
    """Put another reference in place of the one in `row`."""
    version = row.reference_version + 1
    place = _place(keyring, row.tenant_id, row.owner_id, row.account_id, row.customer_id, version)
    sealed = seal_value(dek, value, place)
    key = {"tenant_id": row.tenant_id, "owner_id": row.owner_id, "account_id": row.account_id}
    named = digest(keyring, row.tenant_id, row.account_id, value["reference"])
    changes = {"reference": sealed, "reference_version": version, "reference_digest": named}
    update_row(tx, processor_references, key, changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A reference as it is kept: whose, where, and which version of it."""

    tenant: str
    owner: str
    account: str
    customer: str
    version: int
    reference: str = field(repr=False)


def chained(keyring: Keyring, dek: Dek, kept: Kept, network_transaction_id: str) -> Change:
    """A kept reference with the network transaction id of its card's first charge, unless another charge was first."""
    version = kept.version + 1
    place = _place(keyring, kept.tenant, kept.owner, kept.account, kept.customer, version)
    value = {"reference": kept.reference, "network_transaction_id": network_transaction_id}
    named = {"of_tenant": kept.tenant, "of_owner": kept.owner, "of_account": kept.account, "of_version": kept.version}
    return each({**named, "sealed": seal_value(dek, value, place), "version": version}, _CHAIN)[0]


def find(connection: Connection, tenant: str, owner: str, account: str) -> Row[Any] | None:
    """The row of what an account calls `owner`, None if it does not know it."""
    asked = {"of_tenant": tenant, "of_owner": owner, "of_account": account}
    row: Row[Any] | None = _ONE.one_or_none(connection, asked)
    return row


def read(keyring: Keyring, row: Row[Any]) -> dict[str, Any]:
    """What `kept` sealed. Raises KeyDestroyed, Unreadable."""
    dek = keyring.dek(row.tenant_id, dek_id_of(row.reference))
    return open_with(keyring, dek, row)


def open_with(keyring: Keyring, dek: Dek, row: Row[Any]) -> dict[str, Any]:
    """What a row of `processor_references` has sealed, under a DEK that is at hand."""
    return open_record(keyring, dek, row, owner=row.owner_id, account=row.account_id)


def open_record(keyring: Keyring, dek: Dek, row: Row[Any], *, owner: str, account: str) -> dict[str, Any]:
    """What is sealed of a reference, out of a row of a join with the columns `reference` and `reference_version`."""
    place = _place(keyring, row.tenant_id, owner, account, row.customer_id, row.reference_version)
    return open_near(keyring, dek, row.reference, place)


def open_customer(keyring: Keyring, dek: Dek, row: Row[Any]) -> dict[str, Any]:
    """The customer's own, out of a token's row of a join that has `customer_reference` and its version."""
    customer, version = row.customer_id, row.customer_reference_version
    place = _place(keyring, row.tenant_id, customer, row.account_id, customer, version)
    return open_near(keyring, dek, row.customer_reference, place)


_CHAIN = (
    update(processor_references)
    .where(
        given(processor_references, "owner_id", "account_id"),
        processor_references.c.reference_version == bindparam("of_version"),
    )
    .values(reference=bindparam("sealed"), reference_version=bindparam("version"))
)
_ONE = Prepared(select(processor_references).where(given(processor_references, "owner_id", "account_id")))


def _place(keyring: Keyring, tenant: str, owner: str, account: str, customer: str, version: int) -> Context:
    return place_of(
        keyring, tenant, "processor_references", "reference", owner, account, customer=customer, version=version
    )
