"""What a charge goes over: a token that may be charged, its processor account, and what the processor calls both."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Row,
    ScalarSelect,
    and_,
    bindparam,
    exists,
    false,
    func,
    literal,
    or_,
    select,
)

from keys.dek import Dek
from keys.keyring import Keyring
from rows import changes
from rows.changes import Change
from rows.columns import Id
from rows.engine import reading
from rows.prepared import Prepared
from vault.caller import Caller
from vault.cards.tokens import there
from vault.charge_states import UNPAID
from vault.desk import Desk
from vault.errors import NotUsable
from vault.money.charge import retrying
from vault.money.charge.retrying import Caps
from vault.people import customer_rows
from vault.processing import references
from vault.processing.connecting import Connected, Processors, connect
from vault.tables import charges, processor_accounts, processor_references, tokens
from vault.tables import customers as customer_table


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The token's row, its customer's key, and the names under which the processor has token and customer."""

    token: Row[Any]
    connected: Connected
    dek: Dek
    reference: str = field(repr=False)
    customer_reference: str = field(repr=False)
    network_transaction_id: str | None = field(repr=False)
    key_number: int
    """Which of the obligation's keys this charge is sent with."""

    @property
    def kept(self) -> references.Kept:
        """Where the token's reference is kept."""
        token = self.token
        return references.Kept(
            tenant=token.tenant_id,
            owner=token.token_id,
            account=token.account_id,
            customer=token.customer_id,
            version=token.reference_version,
            reference=self.reference,
        )


def find(desk: Desk, processors: Processors, caps: Caps, token_id: str, obligation: bytes | None) -> Route:
    """The route of a charge that pays `obligation` (its digest), in one look.

    Raises NotFoundHere, Erased, Restricted, NotUsable, DoNotRetry, KeyDestroyed.
    """
    asked = {**_asked(desk.caller, token_id), **retrying.asked(caps), "of_obligation": obligation}
    with reading(desk.records) as connection:
        token = there(_WHOLE.one_or_none(connection, asked))
    _refuse_unchargeable(token)
    retrying.refuse(token, desk.caller.at)
    return _route(desk.keyring, processors, token)


def hold(tx: Connection, caller: Caller, token_id: str) -> None:
    """Keep token and customer from being deleted, erased or restricted before `tx` ends. Raises as `find` does."""
    _refuse_unchargeable(there(_HELD.one_or_none(tx, _asked(caller, token_id))))


def held(caller: Caller, token_id: str) -> Change:
    """That token and customer are so held, as what `write_whole` must find."""
    return changes.held(_HELD_CHARGEABLE, _asked(caller, token_id))


def number_is_free(route: Route, obligation: bytes) -> Change:
    """That the route's key number of this obligation was not used up meanwhile, as what `write_whole` must find."""
    token = route.token
    asked = {"of_tenant": token.tenant_id, "of_account": token.account_id, "of_obligation": obligation}
    return changes.held(_NUMBER_FREE, {**asked, "of_number": route.key_number})


def _asked(caller: Caller, token_id: str) -> dict[str, object]:
    return {"of_tenant": caller.tenant, "of_mode": caller.live, "of_token": token_id}


def _refuse_unchargeable(token: Row[Any]) -> None:
    customer_rows.refuse_restricted(token)
    if token.state != "active":
        raise NotUsable("token_not_active", "This token can't be charged: its status says why.")


def _route(keyring: Keyring, processors: Processors, token: Row[Any]) -> Route:
    if token.reference is None or token.customer_reference is None:
        raise NotUsable("token_not_active", "This token can't be charged: its processor does not have it any more.")
    dek = keyring.dek(token.tenant_id, token.dek_id)
    stored = references.open_record(keyring, dek, token, owner=token.token_id, account=token.account_id)
    return Route(
        token=token,
        connected=connect(processors, keyring, token.tenant_id, token),
        dek=dek,
        reference=stored["reference"],
        customer_reference=references.open_customer(keyring, dek, token)["reference"],
        network_transaction_id=stored.get("network_transaction_id"),
        key_number=(token.used_number or 0) + 1,
    )


_OF_CUSTOMER = and_(
    customer_table.c.tenant_id == tokens.c.tenant_id, customer_table.c.customer_id == tokens.c.customer_id
)
_THIS = and_(
    tokens.c.tenant_id == bindparam("of_tenant"),
    tokens.c.live == bindparam("of_mode"),
    tokens.c.token_id == bindparam("of_token"),
)
_STATES = (tokens.c.state, customer_table.c.state.label("customer_state"), customer_table.c.restricted)
_AT_ACCOUNT = processor_accounts.alias("at_account")
_OTHER_ROW = processor_accounts.alias("other_row")


def _used_number(account: ColumnElement[str]) -> ScalarSelect[Any]:
    """The highest number of the obligation's keys that is used up at the processor's account, whose row `account` is.

    Two rows may name one account of the processor, which has one set of keys.
    """
    same = exists(
        select(_AT_ACCOUNT.c.account_id).where(
            _AT_ACCOUNT.c.tenant_id == charges.c.tenant_id,
            _AT_ACCOUNT.c.account_id == account,
            _OTHER_ROW.c.tenant_id == charges.c.tenant_id,
            _OTHER_ROW.c.account_id == charges.c.account_id,
            _OTHER_ROW.c.named == _AT_ACCOUNT.c.named,
        )
    )
    return (
        select(func.max(charges.c.key_number))
        .where(
            charges.c.tenant_id == bindparam("of_tenant"),
            charges.c.obligation_digest == bindparam("of_obligation"),
            charges.c.state.in_(UNPAID),
            or_(charges.c.account_id == account, same),
        )
        .scalar_subquery()
    )


_NUMBER_FREE = select(literal(1).label("free")).where(
    func.coalesce(_used_number(bindparam("of_account", type_=Id)), 0) < bindparam("of_number", type_=Integer)
)
_ITS_OWN, _ITS_CUSTOMERS = processor_references.alias("its_own"), processor_references.alias("its_customers")
_WHOLE = Prepared(
    select(
        *_STATES,
        tokens.c.tenant_id,
        tokens.c.token_id,
        tokens.c.customer_id,
        tokens.c.account_id,
        tokens.c.blocked_code,
        retrying.DAYS_LAST.label("days_last"),
        retrying.MONTHS_LAST.label("months_last"),
        customer_table.c.dek_id,
        processor_accounts.c.kind,
        processor_accounts.c.credentials,
        processor_accounts.c.credentials_version,
        processor_accounts.c.named,
        _used_number(tokens.c.account_id).label("used_number"),
        _ITS_OWN.c.reference,
        _ITS_OWN.c.reference_version,
        _ITS_CUSTOMERS.c.reference.label("customer_reference"),
        _ITS_CUSTOMERS.c.reference_version.label("customer_reference_version"),
    )
    .join(customer_table, _OF_CUSTOMER)
    .join(
        processor_accounts,
        and_(
            processor_accounts.c.tenant_id == tokens.c.tenant_id, processor_accounts.c.account_id == tokens.c.account_id
        ),
    )
    .outerjoin(
        _ITS_OWN,
        and_(
            _ITS_OWN.c.tenant_id == tokens.c.tenant_id,
            _ITS_OWN.c.owner_id == tokens.c.token_id,
            _ITS_OWN.c.account_id == tokens.c.account_id,
        ),
    )
    .outerjoin(
        _ITS_CUSTOMERS,
        and_(
            _ITS_CUSTOMERS.c.tenant_id == tokens.c.tenant_id,
            _ITS_CUSTOMERS.c.owner_id == tokens.c.customer_id,
            _ITS_CUSTOMERS.c.account_id == tokens.c.account_id,
        ),
    )
    .where(_THIS)
)
_HELD_ROWS = (
    select(*_STATES)
    .join(customer_table, _OF_CUSTOMER)
    .where(_THIS)
    .with_for_update(read=True, of=(tokens, customer_table))
)
_HELD = Prepared(_HELD_ROWS)
_HELD_CHARGEABLE = _HELD_ROWS.where(
    tokens.c.state == "active", customer_table.c.state == "active", customer_table.c.restricted.is_(false())
)
