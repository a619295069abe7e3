"""A storing that was begun before: taken up from its rows, looked up at the processor, brought to its end."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from rows.engine import reading
from vault.cards import tokens
from vault.cards.outcomes import conclude
from vault.cards.storing import Storing, Tokenized
from vault.cards.tokens import token_place
from vault.desk import Desk
from vault.processing import accounts, intents, references
from vault.processing.answers import ActionRequired, CustomerOpened, NotFound, StoreOutcome
from vault.processing.connecting import Processors, connect
from vault.sealing import open_near


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A storing whose person has to authenticate, and what the processor calls it."""

    storing: Storing
    reference: str = field(repr=False)


def confirm(desk: Desk, processors: Processors, token_id: str) -> Tokenized:
    """Take up a token whose person had to authenticate, as the processor has it now."""
    with reading(desk.records) as connection:
        row = tokens.row_of_token(connection, desk.caller, token_id)
    if row.state != "requires_action":
        return Tokenized(token=tokens.unsealed(desk.keyring, [row])[0], looked_at=True)
    waiting = taken_up(desk, processors, row)
    outcome = ask(waiting)
    if isinstance(outcome, ActionRequired):
        return Tokenized(token=tokens.unsealed(desk.keyring, [row])[0])
    return conclude(waiting.storing, outcome, None)


def taken_up(desk: Desk, processors: Processors, row: Row[Any]) -> Waiting:
    """The storing of a token that waits for its person, from its row (as `tokens.row_of_token` gives it)."""
    storing = resume(desk, processors, row, intent=None)
    place = token_place(desk.keyring, row, "outcome", row.outcome_version)
    return Waiting(storing=storing, reference=open_near(desk.keyring, storing.dek, row.outcome, place)["reference"])


def ask(waiting: Waiting) -> StoreOutcome:
    """Where the storing stands at the processor."""
    connected, key = waiting.storing.connected, f"panless-{waiting.storing.token_id}"
    return connected.processor.confirm(connected.credentials, reference=waiting.reference, key=key)


def resume(desk: Desk, processors: Processors, row: Row[Any], intent: intents.Intent | None) -> Storing:
    """A storing that was begun before, from its token's row (as `tokens.row_of_token` gives it)."""
    with reading(desk.records) as connection:
        account = accounts.by_id(connection, desk.caller.tenant, row.account_id)
        known = references.find(connection, desk.caller.tenant, row.customer_id, row.account_id)
    dek = desk.keyring.dek(desk.caller.tenant, row.dek_id)
    return Storing(
        desk=desk,
        intent=intent,
        connected=connect(processors, desk.keyring, desk.caller.tenant, account),
        account_id=row.account_id,
        kind=row.kind,
        token_id=row.token_id,
        customer_id=row.customer_id,
        dek=dek,
        customer_reference=references.open_with(desk.keyring, dek, known)["reference"] if known else None,
        usage=row.usage,
        metadata=tokens.unsealed(desk.keyring, [row])[0].metadata,
        created_at=row.created_at,
        outcome_version=row.outcome_version + (row.outcome is not None),
        is_shown=True,
    )


def find(storing: Storing, since: datetime) -> tuple[StoreOutcome | NotFound, str | None]:
    """What the processor has of a storing that broke off, and its customer there if our rows did not know it yet."""
    processor, credentials = storing.connected.processor, storing.connected.credentials
    opened = None
    if (known := storing.customer_reference) is None:
        found = processor.find_customer(credentials, id=storing.customer_id, since=since)
        if not isinstance(found, CustomerOpened):
            return found, None
        known = opened = found.customer_reference
    stored = processor.find_stored(credentials, id=storing.token_id, customer_reference=known, since=since)
    return stored, opened
