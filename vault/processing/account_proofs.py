"""Whose account at a processor a key opens: asked when it is added or changed, so that an account stays one account.

Looked up in another account nothing of ours is found, and "not found" would be taken for "never paid" or "gone". A key
that may not ask is proved by an object of ours there that carries our tag.
"""

import hashlib
import hmac
from typing import Any

from sqlalchemy import Connection, Row, and_, select

from keys.keyring import Keyring
from vault.errors import Invalid, NotUsable, ProcessorNotReached
from vault.personal import Secret
from vault.processing import intents, references
from vault.processing.processor import Processor
from vault.processing.processor_answers import Identified, Marks, NotFound, Refused
from vault.tables import processor_references

LOOKS = 3
"""Customers of ours that are looked for there: one may have been deleted at the processor."""

OTHER = "This key opens another account at the processor than this one. Add that account beside it."


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


def own_id(processor: Processor, key: Secret) -> str | None:
    """The processor's own id of the account, None where nobody says so now. Raises Invalid for a refused key."""
    answer = processor.identify(key)
    if isinstance(answer, Identified):
        return answer.own_id
    if isinstance(answer, Refused) and answer.credentials:
        raise Invalid("credentials", "The processor refuses this key.")
    return None


def refuse_other_account(
    connection: Connection, keyring: Keyring, processor: Processor, row: Row[Any], known: str | None, key: Secret
) -> str | None:
    """The processor's own id of the account, where the key says it, once it is certain to be the account in `row`.

    `known` is the id that was kept. Raises NotUsable for another account, ProcessorNotReached where nobody says so now.
    """
    answer = processor.identify(key)
    if isinstance(answer, Identified):
        if known not in {None, answer.own_id}:
            raise NotUsable("other_account", OTHER)
        if known is None:
            _refuse_without_ours(connection, keyring, processor, row, key)
        return answer.own_id
    if not isinstance(answer, Refused):
        raise ProcessorNotReached("The processor did not say whose key this is; nothing was changed. Try again.")
    if answer.credentials:
        raise Invalid("credentials", "The processor refuses this key.")
    _refuse_without_ours(connection, keyring, processor, row, key)
    return known


def _refuse_without_ours(
    connection: Connection, keyring: Keyring, processor: Processor, row: Row[Any], key: Secret
) -> None:
    """Look for customers of ours there. An account that has none can't be told from another, and stays unproven."""
    its = and_(processor_references.c.tenant_id == row.tenant_id, processor_references.c.account_id == row.account_id)
    of_customers = processor_references.c.owner_id == processor_references.c.customer_id
    newest = processor_references.c.created_at.desc()
    held = connection.execute(select(processor_references).where(its, of_customers).order_by(newest).limit(LOOKS)).all()
    for each in held:
        reference = references.read(keyring, each)["reference"]
        found = processor.read_marks(key, customer_reference=reference)
        if isinstance(found, Marks) and found.tag == intents.tag(keyring, row.tenant_id, each.customer_id):
            return
        if not isinstance(found, Marks | NotFound):
            raise ProcessorNotReached("The processor did not say whose key this is; nothing was changed. Try again.")
    if held:
        raise NotUsable("other_account", OTHER)
