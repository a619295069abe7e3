"""A storing under way, and the ways in which its token changes. Only one process ends a storing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection

from keys.dek import Dek
from rows.changes import Change, updated, write
from vault import audit
from vault.cards.tokens import Token, shown_fingerprint
from vault.desk import Desk
from vault.events import raising
from vault.personal import CardMetadata
from vault.processing import intents, references
from vault.processing.answers import Stored
from vault.processing.connecting import Connected
from vault.tables import tokens as token_table


class Resealed(Exception):  # no error: what was sealed is sealed again under the new DEK
    """The customer has another DEK by now; what is written under the one before could be lost with it."""

    def __init__(self, dek_id: bytes) -> None:
        """Take the id of the new one."""
        super().__init__()
        self.dek_id = dek_id


class Overtaken(Exception):
    """Another process ended the same storing first: nothing of ours is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Storing:
    """A storing under way: what its end needs. It has no card."""

    desk: Desk
    intent: intents.Intent | None
    """None where a person's authentication is taken up: the intent ended when it was asked for."""
    connected: Connected
    account_id: str
    kind: str
    token_id: str
    customer_id: str
    dek: Dek
    customer_reference: str | None = field(repr=False)
    usage: str
    metadata: dict[str, str] | None = field(repr=False)
    created_at: datetime
    contact_version: int = 1
    """Which contact the processor was sent; the first one, where nobody knows any more."""
    outcome_version: int = 1
    """The version that the next sealed outcome gets."""
    is_shown: bool = False
    """Whether the client may have been told of the token before: its id then answers for good."""

    @property
    def tenant_id(self) -> str:
        """Whose it is."""
        return self.desk.caller.tenant


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokenized:
    """The token, and how it came: `replayed` for a known idempotency key, `deduplicated` for a known card.

    `looked_at` where nothing was open, so that whoever called has only looked at it. `contact_differs` where another
    contact came with it than the one that is held, and was not taken.
    """

    token: Token
    replayed: bool = False
    deduplicated: bool = False
    looked_at: bool = False
    contact_differs: bool = False


def moved(storing: Storing, values: Mapping[str, object]) -> Change:
    """The token changed while it waits for its outcome: only one process ends a storing."""
    key = {"tenant_id": storing.tenant_id, "token_id": storing.token_id}
    return updated(token_table, key, values, _OPEN)


def move(tx: Connection, storing: Storing, moved: Change, *with_it: Change) -> None:
    """Write that with the end of the intent, and `with_it` what stands or falls with them.

    Where the token was not moved, or the lease is lost, Overtaken ends `tx`.
    """
    must = (moved, *intent_ended(storing, storing.token_id))
    if not all(write(tx, *must, *with_it)[: len(must)]):
        raise Overtaken


def intent_ended(storing: Storing, token_id: str) -> tuple[Change, ...]:
    """The end of the intent, in this token; none where a person's authentication is taken up."""
    return () if storing.intent is None else (intents.finished(storing.intent, resource_id=token_id),)


def told(storing: Storing, tx: Connection, action: str, token_id: str | None = None) -> tuple[Change, ...]:
    """The event and the deed for the record, to be written into `tx` with what was done."""
    resource = token_id or storing.token_id
    entry = audit.entry(storing.desk, tx, action, customer=storing.customer_id, resource=resource)
    return (_told(storing, action, resource), entry)


def _told(storing: Storing, action: str, token_id: str) -> Change:
    status = {"token.create": "active", "token.deduplicate": "active"}.get(action, action.partition(".")[2])
    data = {"id": token_id, "object": "token", "customer": storing.customer_id, "status": status}
    return raising.made(storing.desk.caller, f"token.{status}", token_id, data)


_OPEN = token_table.c.state.in_(("pending", "requires_action"))


def waiting(storing: Storing) -> tuple[ColumnElement[bool], ...]:
    """The conditions for the token while it waits for its outcome."""
    return (
        token_table.c.tenant_id == storing.tenant_id,
        token_table.c.token_id == storing.token_id,
        _OPEN,
    )


def kept_reference(storing: Storing, owner: str, value: dict[str, str | None]) -> Change:
    """What the processor calls the token or its customer, to be kept."""
    return references.kept(
        storing.desk.keyring,
        storing.dek,
        tenant=storing.tenant_id,
        owner=owner,
        customer=storing.customer_id,
        account=storing.account_id,
        value=value,
        at=storing.desk.caller.at,
    )


def reference_value(stored: Stored) -> dict[str, str | None]:
    """What is kept of a stored card's reference."""
    return {"reference": stored.reference, "network_transaction_id": stored.network_transaction_id}


def token_of(
    storing: Storing,
    status: str,
    *,
    card: CardMetadata | None = None,
    next_action: dict[str, Any] | None = None,
    declined: dict[str, str | None] | None = None,
) -> Token:
    """The token as it was just written, without reading it again."""
    return Token(
        id=storing.token_id,
        customer=storing.customer_id,
        status=status,
        usage=storing.usage,
        processor=storing.kind,
        created_at=storing.created_at,
        card=card,
        fingerprint=shown_fingerprint(storing.desk.keyring, storing, card.fingerprint) if card else None,
        metadata=storing.metadata or {},
        next_action=next_action,
        declined=declined,
    )
