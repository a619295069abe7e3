"""Sealed values as the records keep them: JSON in the record format, bound to the row and column where it stands."""

import json
from collections.abc import Mapping
from typing import Any

from keys.context import Context
from keys.dek import Dek
from keys.envelope import dek_id_of, seal, unseal
from keys.keyring import Keyring
from vault.sealed_columns import BY_NAME


def seal_value(dek: Dek, value: Mapping[str, Any], place: Context) -> bytes:
    """`value` as JSON, sealed under `dek` for exactly that place."""
    return seal(dek, json.dumps(value, separators=(",", ":")).encode(), place)


def unseal_value(dek: Dek, record: bytes, place: Context) -> dict[str, Any]:
    """What was sealed there. Raises keys.errors.Unreadable."""
    value: dict[str, Any] = json.loads(unseal(dek, record, place))
    return value


def open_value(keyring: Keyring, record: bytes, place: Context) -> dict[str, Any]:
    """What was sealed there, under the DEK that the record names, read afresh. Raises Unreadable, KeyDestroyed."""
    return unseal_value(keyring.dek(place.tenant, dek_id_of(record)), record, place)


def open_near(keyring: Keyring, dek: Dek, record: bytes, place: Context) -> dict[str, Any]:
    """What was sealed there, under `dek`, which is at hand, where the record names that one; else as `open_value`.

    While a customer or tenant is resealed, some of its values are under the old DEK and some under the new one.
    """
    return unseal_value(near(keyring, place.tenant, dek, record), record, place)


def near(keyring: Keyring, tenant: str, dek: Dek, record: bytes) -> Dek:
    """The DEK that a record names: `dek`, or else read afresh. Raises Unreadable, KeyDestroyed, KeyMissing."""
    dek_id = dek_id_of(record)
    return dek if dek_id == dek.id else keyring.dek(tenant, dek_id)


def open_own(keyring: Keyring, purpose: str, record: bytes, place: Context) -> dict[str, Any]:
    """What was sealed there under the tenant's own DEK for `purpose`. Raises Unreadable, KeyDestroyed, KeyMissing."""
    return open_near(keyring, keyring.tenant_key(place.tenant, purpose), record, place)


def place_of(
    keyring: Keyring,
    tenant: str,
    table: str,
    column: str,
    *row: str | int | bytes,
    customer: str = "",
    version: int = 1,
) -> Context:
    """Where a sealed value stands, one of `sealed_columns`; `customer` stays empty for what is the tenant's."""
    return BY_NAME[table, column].context_of(keyring.deployment, tenant, row, customer, version)
