"""Sealed values as the records keep them: JSON in the record format, bound to the row and column where it stands."""

import json
from collections.abc import Mapping
from typing import Any

from keys.context import Context
from keys.dek import Dek
from keys.envelope import dek_id_of, seal, unseal
from keys.keyring import Keyring


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


def place_of(
    keyring: Keyring, tenant: str, table: str, column: str, row: str, *, customer: str = "", version: int = 1
) -> Context:
    """Where a sealed value stands; `customer` stays empty for what is the tenant's."""
    return Context(
        deployment=keyring.deployment,
        tenant=tenant,
        table=table,
        column=column,
        row=row,
        customer=customer,
        version=version,
    )
