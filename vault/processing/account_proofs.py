"""Whose account at a processor a key opens: asked when it is added or changed, so that an account stays one account.

Looked up in another account nothing of ours is found, and "not found" would be taken for "never paid" or "gone". A key
that may not ask is proved by an object of ours there that carries our tag; until then the account is unproven, and what
it does not find proves nothing.
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, and_, select

from keys.keyring import Keyring
from vault.errors import Invalid, NotUsable, ProcessorNotReached
from vault.personal import Secret
from vault.processing import account_needs, intents, references
from vault.processing.answers import Identified, Marks, NotFound, Refused
from vault.processing.processor import Processor
from vault.tables import processor_references

LOOKS = 10
"""Customers of ours that are looked for there, the newest first: some may have been deleted at the processor."""

OTHER = "This key opens another account at the processor than this one. Add that account beside it."
NOT_SAID = "The processor did not say whose key this is; nothing was changed. Try again."
BY_NOBODY = (
    "This key may not say whose account it opens, no customer there shows it, and calls are open. Send a key that may "
    "read the account, or wait until they have ended."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Whether a key certainly opens an account, and the processor's own id of that, where it was ever told."""

    own_id: str | None = field(repr=False)
    is_proven: bool


def named(keyring: Keyring, tenant: str, kind: str, own_id: str) -> bytes:
    """HMAC-SHA256 of the processor's own id of an account: what keys of obligations are made from."""
    key = keyring.subkey(tenant, "processor_key", "account")
    return hmac.digest(key, f"{kind}\0{own_id}".encode(), hashlib.sha256)


def refuse_other_mode(processor: Processor, key: Secret, *, live: bool) -> None:
    """Raise Invalid for a live key where test payments are meant, and the reverse."""
    mode = processor.mode_of(key)
    if mode is not None and mode != live:
        meant, given = ("live", "test") if live else ("test", "live")
        raise Invalid(
            "credentials", f"This is a {given} key of the processor, and the account is for {meant} payments."
        )


def of_new(processor: Processor, key: Secret) -> Proof | None:
    """Whose account a new one is; None where nobody says so now. Raises Invalid for a key that is refused."""
    try:
        own_id = _own_id(processor, key)
    except ProcessorNotReached:
        return None
    return Proof(own_id=own_id, is_proven=own_id is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What these records know of an account: its own id at the processor, customers of ours there, what needs it."""

    own_id: str | None = field(repr=False)
    customers: Sequence[Row[Any]] = field(repr=False)
    is_needed: bool


def before(connection: Connection, row: Row[Any], own_id: str | None) -> Before:
    """What a key is held against that is to open the account in `row`."""
    its = and_(processor_references.c.tenant_id == row.tenant_id, processor_references.c.account_id == row.account_id)
    of_customers = processor_references.c.owner_id == processor_references.c.customer_id
    newest = processor_references.c.created_at.desc()
    held = connection.execute(select(processor_references).where(its, of_customers).order_by(newest).limit(LOOKS)).all()
    needs = account_needs.found(connection, row.tenant_id, row.account_id)
    return Before(own_id=own_id, customers=held, is_needed=bool(needs))


def of_known(keyring: Keyring, processor: Processor, before: Before, key: Secret) -> Proof:
    """Whether a key opens an account that was there before.

    Raises NotUsable (`other_account`) where it opens another one, Invalid where it is refused, ProcessorNotReached
    where the processor does not say so now.
    """
    known, own_id = before.own_id, _own_id(processor, key)
    if None not in {known, own_id}:
        if own_id != known:
            raise NotUsable("other_account", OTHER)
        return Proof(own_id=known, is_proven=True)
    has_ours = any(_is_ours(keyring, processor, each, key) for each in before.customers)
    if before.customers and not has_ours:
        raise NotUsable("other_account", OTHER)
    is_new = own_id is not None and not before.is_needed  # nothing is left that may be at another account
    is_proven = has_ours or is_new
    return Proof(own_id=own_id if is_proven and known is None else known, is_proven=is_proven)


def _own_id(processor: Processor, key: Secret) -> str | None:
    """The processor's own id of the account, None where the key may not ask. Raises Invalid, ProcessorNotReached."""
    answer = processor.identify(key)
    if isinstance(answer, Identified):
        return answer.own_id
    if not isinstance(answer, Refused):
        raise ProcessorNotReached(NOT_SAID)
    if answer.credentials:
        raise Invalid("credentials", "The processor refuses this key.")
    return None


def _is_ours(keyring: Keyring, processor: Processor, held: Row[Any], key: Secret) -> bool:
    """Whether the account that the key opens has this customer with our tag. Raises Invalid, ProcessorNotReached."""
    reference = references.read(keyring, held)["reference"]
    found = processor.read_marks(key, customer_reference=reference)
    if isinstance(found, Refused):
        raise Invalid("credentials", "This key may not read customers, which shows whose account it opens.")
    if not isinstance(found, Marks | NotFound):
        raise ProcessorNotReached(NOT_SAID)
    return isinstance(found, Marks) and found.tag == intents.tag(keyring, held.tenant_id, held.customer_id)
