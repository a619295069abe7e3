"""Idempotency keys, as Stripe documents them for its v1 API.

The first outcome of a key is kept for 24 hours, failures included, and answered again. What was refused before
execution began (parameters, limits, conflicts, authentication) is not kept, so that a corrected request may follow.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox import errors
from sandbox.state import Account, Object

LIFETIME = 24 * 3600
LONGEST_KEY = 255


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that carries a key: the key, what it asked for, and its own id."""

    key: str
    request: str
    request_id: str


def asked(account: Account, *, key: str, route: str, fields: Mapping[str, Any], request_id: str) -> Asked:
    """Name a request by a keyed digest, over the last four of a card number and no CVC."""
    if len(key) > LONGEST_KEY:
        raise errors.invalid(f"An Idempotency-Key has at most {LONGEST_KEY} characters.")
    digest = account.sandbox.digest(account.id, route, json.dumps(_without_card(fields), sort_keys=True))
    return Asked(key, digest, request_id)


def _without_card(value: object) -> object:
    if not isinstance(value, Mapping):
        return value
    return {
        name: str(part)[-4:] if name == "number" else _without_card(part)
        for name, part in value.items()
        if name != "cvc"
    }


def claim(account: Account, asked: Asked) -> Object | None:
    """The outcome to answer again, or nothing: then the key is held until ``release``.

    Raises 409 while the first request is under way, 400 when the key was used for something else.
    """
    if asked.key in account.in_flight:
        raise errors.key_in_use()
    _prune(account)
    kept = account.answers.get(asked.key)
    if kept and kept["request"] != asked.request:
        raise errors.key_reused()
    if not kept:
        account.in_flight.add(asked.key)
    return kept


def keep(account: Account, asked: Asked, status: int, body: bytes) -> None:
    """Remember the outcome of a request, as it was sent."""
    account.answers[asked.key] = {
        "id": asked.key,
        "request": asked.request,
        "request_id": asked.request_id,
        "status": status,
        "body": body,
        "created": account.now(),
    }
    account.touched.add(("answers", asked.key))


def release(account: Account, asked: Asked) -> None:
    """The request has ended; its key is free or has an outcome."""
    account.in_flight.discard(asked.key)


def _prune(account: Account) -> None:
    too_old = account.now() - LIFETIME
    while account.answers:
        key, oldest = next(iter(account.answers.items()))
        if oldest["created"] > too_old:
            return
        del account.answers[key]
        account.touched.add(("answers", key))
