"""Intents: the row written before any call to a processor, and what makes a client's retry safe.

An intent names its resource and stores no answer: a replay renders the resource as it is now. While its owner works on
it, it holds a lease on the database's clock, and the lease has a word of its own; once it is over, the worker may take
the intent up under another word. Whoever ends, returns or deletes an intent names the word, in the statement that does
it, so that nobody writes who has lost the lease. All keyed digests here come from the tenant's processor key, which
never rotates, so that a retry in 399 days still meets its first attempt.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, bindparam, case, delete, select, update

from keys.keyring import Keyring
from rows.changes import Change, each, inserted, updated, write
from rows.clock import database_clock
from rows.conditions import given
from rows.engine import reading
from rows.prepared import Prepared
from vault.caller import Caller
from vault.desk import Desk
from vault.errors import InProgress, KeyReused
from vault.ids import derived_id, is_id, new_id
from vault.processing.answers import Marks
from vault.tables import intents

LEASE_SECONDS = 60
"""Longer than a request's budget and any one call to a processor together: no call begins under it and outlasts it."""

KEEP_DAYS = 400
"""How long a client's idempotency key is remembered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What a client sent, as far as telling a retry from a new call needs it."""

    operation: str
    key: str | None
    fingerprint: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """One operation that was begun."""

    tenant: str
    intent_id: str
    operation: str
    resource_id: str
    processor_key: str | None
    """The idempotency key that the processor sees; None where it is made of the obligation (`obligation_key`)."""
    word: bytes = field(repr=False)
    """Of the lease."""


class Known(Exception):  # no error: what rolls back all that was to begin with a known key
    """A call with this key began before (see `replayed`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class First:
    """The first call that a client made with a key: what it made, and when."""

    resource_id: str
    at: datetime


def begin(
    desk: Desk,
    tx: Connection,
    attempt: Attempt,
    *,
    resource_id: str,
    customer_id: str | None = None,
    account_id: str | None = None,
) -> Intent | None:
    """Write the intent and take its lease; None when the same key began before (see `replayed`)."""
    intent, change = begun(desk, attempt, resource_id=resource_id, customer_id=customer_id, account_id=account_id)
    return intent if write(tx, change)[0] else None


def begun(
    desk: Desk,
    attempt: Attempt,
    *,
    resource_id: str,
    customer_id: str | None = None,
    account_id: str | None = None,
    has_own_key: bool = True,
) -> tuple[Intent, Change]:
    """An intent, to be written together with what it begins; it makes no row when the same key began before.

    `has_own_key` is False for the charge of an obligation, which the processor's key names.
    """
    intent = Intent(
        tenant=desk.caller.tenant,
        intent_id=new_id("int", desk.caller.tenant),
        operation=attempt.operation,
        resource_id=resource_id,
        processor_key=processor_key(desk, attempt) if has_own_key else None,
        word=new_word(),
    )
    row = {
        **_row(desk, attempt, intent.intent_id, resource_id, "pending"),
        "customer_id": customer_id,
        "account_id": account_id,
        "processor_key": intent.processor_key,
        "attempts": 1,
        "word": intent.word,
    }
    return intent, inserted(intents, row, if_absent=True, clocks={"lease_until": LEASE_SECONDS})


def new_word() -> bytes:
    """A lease's word: whoever names it is who holds the lease."""
    return secrets.token_bytes(16)


def known(desk: Desk, attempt: Attempt, resource_id: str) -> Change:
    """An intent that is done already: the call with this key is a replay of what made the resource."""
    row = _row(desk, attempt, new_id("int", desk.caller.tenant), resource_id, "done")
    return inserted(intents, row, if_absent=True, clocks={"lease_until": 0, "finished_at": 0})


def _row(desk: Desk, attempt: Attempt, intent_id: str, resource_id: str, state: str) -> dict[str, Any]:
    return {
        "tenant_id": desk.caller.tenant,
        "intent_id": intent_id,
        "operation": attempt.operation,
        "key_digest": key_digest(desk, attempt),
        "fingerprint": attempt.fingerprint,
        "resource_id": resource_id,
        "state": state,
        "created_at": desk.caller.at,
    }


def replayed(desk: Desk, attempt: Attempt) -> First | None:
    """The first call with this key, None if there was none.

    Raises KeyReused for another body, InProgress while the first call is being worked on.
    """
    if attempt.key is None:
        return None
    asked = {"of_operation": attempt.operation, "of_key_digest": key_digest(desk, attempt)}
    with reading(desk.records) as connection:
        row = _BY_KEY.one_or_none(connection, {"of_tenant": desk.caller.tenant, **asked})
    if row is None:
        return None
    if not hmac.compare_digest(row.fingerprint, attempt.fingerprint):
        raise KeyReused("This Idempotency-Key was used with another body. Use a new key for a new request.")
    if row.working:
        raise InProgress("A request with this Idempotency-Key is being worked on. Try again with the same key.")
    return First(resource_id=row.resource_id, at=row.created_at)


def finish(tx: Connection, intent: Intent, **changes: Any) -> bool:  # noqa: ANN401  # columns of the table
    """Mark the intent done, unless its lease is lost; whether it was. `changes` are further columns."""
    return write(tx, finished(intent, **changes))[0]


def finished(intent: Intent, **changes: Any) -> Change:  # noqa: ANN401  # columns of the table
    """That the intent is done, to be written together with what ends it; no row is changed where the lease is lost."""
    return updated(intents, _key_of(intent), {"state": "done", **changes}, _OPEN, clocks={"finished_at": 0})


def finished_of(tenant: str, resource_id: str) -> tuple[Change, ...]:
    """All open intents of a resource, done: somebody looked, and what they asked is answered."""
    return each({"of_tenant": tenant, "of_resource": resource_id}, _FINISH_ALL)


def leave_to_worker(tx: Connection, intent: Intent, **changes: Any) -> bool:  # noqa: ANN401  # columns of the table
    """Give the lease back at once, for the worker to look the outcome up; whether it was still this one's to give."""
    return write(tx, left_to_worker(intent, **changes))[0]


def left_to_worker(intent: Intent, **changes: Any) -> Change:  # noqa: ANN401  # columns of the table
    """That the lease is given back, to be written together with what says that the outcome is unknown."""
    return updated(intents, _key_of(intent), changes, _OPEN, clocks={"lease_until": 0})


def resource_of(connection: Connection, intent: Intent) -> str:
    """The resource that the intent names now."""
    return str(connection.execute(select(intents.c.resource_id).where(_THIS), _named(intent)).scalar_one())


def forget_attempt(tx: Connection, intent: Intent) -> bool:
    """Delete the intent of a call that was certainly never made, so that the same key may begin again.

    Whether it was deleted: who has lost the lease deletes nothing, and takes nothing else back.
    """
    return tx.execute(_FORGET, {**_named(intent), "of_word": intent.word}).rowcount == 1


_THIS = given(intents, "intent_id")
_OPEN = intents.c.state.in_(("pending", "manual"))
_FINISH_ALL = (
    update(intents).where(given(intents, "resource_id"), _OPEN).values(state="done", finished_at=database_clock())
)
_FORGET = delete(intents).where(_THIS, _OPEN, intents.c.word == bindparam("of_word"))
_WORKING = and_(intents.c.state == "pending", intents.c.lease_until > database_clock())
_BY_KEY = Prepared(
    select(
        intents.c.fingerprint,
        intents.c.resource_id,
        intents.c.created_at,
        case((_WORKING, 1), else_=0).label("working"),
    ).where(given(intents, "operation", "key_digest"))
)


def _key_of(intent: Intent) -> dict[str, Any]:
    return {"tenant_id": intent.tenant, "intent_id": intent.intent_id, "word": intent.word}


def _named(intent: Intent) -> dict[str, Any]:
    return {"of_tenant": intent.tenant, "of_intent": intent.intent_id}


def key_digest(desk: Desk, attempt: Attempt) -> bytes | None:
    """HMAC-SHA256 of mode, operation and the client's key: what is remembered of it."""
    if attempt.key is None:
        return None
    return hmac.digest(
        _key(desk.keyring, desk.caller.tenant, "client-key"), _scoped(desk.caller, attempt, attempt.key), hashlib.sha256
    )


def _scoped(caller: Caller, attempt: Attempt, named: str) -> bytes:
    """A key is one tenant's, one mode's and one operation's."""
    mode = "live" if caller.live else "test"
    return f"{caller.tenant}\0{mode}\0{attempt.operation}\0{named}".encode()


def processor_key(desk: Desk, attempt: Attempt) -> str:
    """The idempotency key that the processor sees of a call that pays no obligation: from the client's own key.

    So that the same client call after a lost database sends the same key. Without a client's key it is random.
    """
    named = attempt.key if attempt.key is not None else secrets.token_hex(16)
    return _sent(desk.keyring, desk.caller.tenant, _scoped(desk.caller, attempt, named))


def obligation_key(keyring: Keyring, tenant: str, *, live: bool, account: bytes, obligation: bytes, number: int) -> str:
    """The idempotency key under which an obligation is paid at a processor account: whoever pays it sends the same one.

    `account` names the processor's own account, `obligation` is the digest in `charges`, and `number` is one more than
    the highest that these records know to be used up. So the processor, which alone sees what every server and every
    history of these records sent, takes one of them.
    """
    mode = "live" if live else "test"
    return _sent(keyring, tenant, b"\0".join((tenant.encode(), mode.encode(), account, obligation, b"%d" % number)))


def _sent(keyring: Keyring, tenant: str, about: bytes) -> str:
    return "panless-" + hmac.digest(_key(keyring, tenant, "send"), about, hashlib.sha256).hex()


def resource_id(desk: Desk, prefix: str, attempt: Attempt) -> str:
    """The id of what this call makes: from the client's own key, so that the same call makes the same thing again.

    Commits that a failover lost are made again by the client's retry: the processor then sees the same key and the same
    tag, and answers with the payment that is there. Without a client's key it is random.
    """
    if attempt.key is None:
        return new_id(prefix, desk.caller.tenant)
    seed = hmac.digest(
        _key(desk.keyring, desk.caller.tenant, "resource"), _scoped(desk.caller, attempt, attempt.key), hashlib.sha256
    )
    return derived_id(prefix, desk.caller.tenant, seed)


def marks(keyring: Keyring, tenant: str, resource_id: str, obligation: bytes | None = None) -> Marks:
    """What an object that we make at a processor says of us: three words that open nothing and name nobody."""
    named = obligation.hex() if obligation is not None else None
    return Marks(tag=tag(keyring, tenant, resource_id), id=resource_id, obligation=named)


def tag(keyring: Keyring, tenant: str, resource_id: str) -> str:
    """What stands in the processor's metadata, so that its object is found again after our rows are lost."""
    return hmac.digest(_key(keyring, tenant, "tag"), resource_id.encode(), hashlib.sha256)[:16].hex()


def is_ours(keyring: Keyring, tenant: str, marks: Marks | None, prefix: str) -> bool:
    """Whether a processor's object carries an id of ours that begins so, with the tag that only we can make for it."""
    return marks is not None and is_id(marks.id, prefix) and marks.tag == tag(keyring, tenant, marks.id)


def _key(keyring: Keyring, tenant: str, label: str) -> bytes:
    return keyring.subkey(tenant, "processor_key", label)
