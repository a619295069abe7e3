"""Tokenizing: intent, the processor stores the card, token. No database connection is held while it does."""

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, Row
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from keys.dek import Dek
from keys.errors import KeyDestroyed, KeysError
from rows.changes import Change, inserted, write
from rows.engine import reading
from vault import audit
from vault.caller import Caller
from vault.cards import sending, tokens
from vault.cards.outcomes import conclude
from vault.cards.storing import Storing, Tokenized, token_of
from vault.cards.tokens import token_place
from vault.desk import Desk
from vault.errors import LedgerAway, MovedOn
from vault.ledger.book import Ledger
from vault.ledger.settling import settle
from vault.people import contacts, customer_index, customer_rows, customers
from vault.personal import BillingContact, Card
from vault.processing import accounts, intents, references
from vault.processing.connecting import Connected, Processors, connect
from vault.sealing import seal_value
from vault.tables import tokens as token_table

_TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a checkout flow wants stored: a card, or the processor's reference to one; for whom; for what.

    `contact` is a new customer's; with `corrects` it corrects that of a known one, and else changes nothing of it.
    """

    source: Card | str
    customer: str | None = None
    reference: str | None = field(default=None, repr=False)
    contact: BillingContact | None = None
    corrects: bool = False
    account: str | None = None
    usage: str = "off_session"
    metadata: dict[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """Where the card shall go. `new` is a customer that is not in the records yet, `reference` the processor's name.

    `contact` is what the processor is sent: the one that is held of the customer, or will be.
    """

    account: Row[Any]
    connected: Connected
    customer_id: str
    dek: Dek
    new: customers.NewCustomer | None
    reference: str | None = field(repr=False)
    contact: BillingContact | None
    contact_version: int = 1
    differs: bool = False
    corrects: bool = False


def tokenize(desk: Desk, ledger: Ledger, processors: Processors, order: Order, attempt: intents.Attempt) -> Tokenized:
    """Store a card at the processor and give out a token for it.

    Raises NotFoundHere, Erased, Restricted, NotUsable, KeyReused, InProgress, ProcessorRefused, ProcessorNotReached.
    """
    for _ in range(_TRIES):
        try:
            storing, plan = _begin(desk, ledger, processors, order, attempt)
        except IntegrityError:  # a twin made a customer of the same reference first: use that one
            continue
        except intents.Known:
            return _replay(desk, order, attempt)
        outcome, opened = sending.store(storing, order.source, plan.contact)
        try:
            made = conclude(storing, outcome, opened)
        except (SQLAlchemyError, KeysError) as error:
            if isinstance(error, KeyDestroyed):
                raise
            made = Tokenized(token=token_of(storing, "pending"))  # it was sent: nobody is to try again
        if plan.corrects:
            with suppress(LedgerAway):  # which loses nothing: the worker takes it there
                settle(ledger, desk.records)
        return replace(made, contact_differs=plan.differs and not plan.corrects)
    raise MovedOn("This customer reference is being created elsewhere. Try again.")


def _begin(
    desk: Desk, ledger: Ledger, processors: Processors, order: Order, attempt: intents.Attempt
) -> tuple[Storing, _Plan]:
    """Commit the intent and the pending token, and what was planned with them.

    Raises Known when the client's own key was used before.
    """
    if order.customer is None and intents.replayed(desk, attempt) is not None:
        raise intents.Known  # before a key is made for a customer that exists already
    plan = _plan(desk, processors, order)
    token_id, account = intents.resource_id(desk, "tok", attempt), plan.account
    intent, begun = intents.begun(
        desk, attempt, resource_id=token_id, customer_id=plan.customer_id, account_id=account.account_id
    )
    storing = Storing(
        desk=desk,
        intent=intent,
        connected=plan.connected,
        account_id=account.account_id,
        kind=account.kind,
        token_id=token_id,
        customer_id=plan.customer_id,
        dek=plan.dek,
        customer_reference=plan.reference,
        usage=order.usage,
        metadata=order.metadata,
        created_at=desk.caller.at,
        contact_version=plan.contact_version,
    )
    changes = begun, _pending(storing)
    if plan.corrects:
        _correct(desk, ledger, plan.customer_id, order, *changes)
    elif not _written(desk, plan.new, *changes):
        raise intents.Known
    return storing, plan


def _correct(desk: Desk, ledger: Ledger, customer_id: str, order: Order, *changes: Change) -> None:
    """Commit intent and token with the correction of the contact. Raises Known, Erased, MovedOn."""

    def edit(held: BillingContact) -> BillingContact:
        return contacts.corrected(held, order.contact or BillingContact())

    def begin(tx: Connection) -> None:
        if not all(write(tx, *changes)):
            raise intents.Known

    contacts.commit(desk, ledger, customer_id, edit, begin)


def _written(desk: Desk, new: customers.NewCustomer | None, *changes: Change) -> bool:
    """Commit intent and token, with a new customer before them; whether the intent is the first of its key."""
    if new is None:
        return audit.write_whole(desk.records, lambda _: changes)
    with audit.transaction(desk.records) as tx:
        customers.insert_new(desk, tx, new)
        if not all(write(tx, *changes)):
            raise intents.Known
    return True


def _plan(desk: Desk, processors: Processors, order: Order) -> _Plan:
    with reading(desk.records) as connection:
        account = row = _at_default_account(connection, desk.caller, order)
        if account is None:
            account = accounts.choose(connection, desk.caller, order.account)
            row = _customer(desk, connection, order, account.account_id)
    connected = connect(processors, desk.keyring, desk.caller.tenant, account)
    if row is None:
        new = customers.prepare(desk, order.reference, order.contact)
        return _Plan(
            account=account,
            connected=connected,
            customer_id=new.id,
            dek=new.dek,
            new=new,
            reference=None,
            contact=order.contact,
        )
    customer_rows.refuse_restricted(row)
    dek = desk.keyring.dek(desk.caller.tenant, row.dek_id)
    reference = None
    if row.reference is not None:
        owner = row.customer_id
        reference = references.open_record(desk.keyring, dek, row, owner=owner, account=account.account_id)["reference"]
    held = contacts.held(desk.keyring, row)
    wanted = _wanted(held, order)
    corrects = order.corrects and wanted != held
    return _Plan(
        account=account,
        connected=connected,
        customer_id=row.customer_id,
        dek=dek,
        new=None,
        reference=reference,
        contact=wanted if corrects else held,
        contact_version=row.contact_version + corrects,
        differs=wanted != held,
        corrects=corrects,
    )


def _wanted(held: BillingContact, order: Order) -> BillingContact:
    """What the contact would be by the order's word."""
    return held if order.contact is None else contacts.corrected(held, order.contact)


def _at_default_account(connection: Connection, caller: Caller, order: Order) -> Row[Any] | None:
    """A known customer at the default account, which most orders name, in one look."""
    if order.customer is None or order.account is not None:
        return None
    return customer_rows.row_with_default_account(connection, caller, order.customer)


def _customer(desk: Desk, connection: Connection, order: Order, account_id: str) -> Row[Any] | None:
    """The row of the customer that an order names, with its sealed name at the processor; None for a new one."""
    customer_id = order.customer
    if customer_id is None and order.reference:
        customer_id = customer_index.by_reference(desk, connection, order.reference)
    if customer_id is None:
        return None
    return customer_rows.row_with_reference(connection, desk.caller, customer_id, account_id)


def _pending(storing: Storing) -> Change:
    metadata = None
    if storing.metadata:
        metadata = seal_value(storing.dek, storing.metadata, token_place(storing.desk.keyring, storing, "metadata", 1))
    row = {
        "tenant_id": storing.tenant_id,
        "token_id": storing.token_id,
        "customer_id": storing.customer_id,
        "account_id": storing.account_id,
        "state": "pending",
        "usage": storing.usage,
        "live": storing.desk.caller.live,
        "metadata": metadata,
        "created_at": storing.created_at,
    }
    return inserted(token_table, row, if_absent=True)  # its id comes from the client's key: a known one is there


def _replay(desk: Desk, order: Order, attempt: intents.Attempt) -> Tokenized:
    first = intents.replayed(desk, attempt)
    if first is None:
        raise MovedOn("The first call with this Idempotency-Key has just been taken back. Try again.")
    token = tokens.read(desk, first.resource_id)
    differs = not order.corrects and order.contact is not None and _differs(desk, token, order)
    return Tokenized(token=token, replayed=True, deduplicated=token.created_at < first.at, contact_differs=differs)


def _differs(desk: Desk, token: tokens.Token, order: Order) -> bool:
    """Whether the contact that is held now is another than the order's."""
    with reading(desk.records) as connection:
        held = contacts.held(desk.keyring, customer_rows.row_of(connection, desk.caller, token.customer))
    return _wanted(held, order) != held
