"""What is kept of one customer, gathered for the person: all of it for access, what they gave for portability.

GDPR art. 15 and 20. `about` gives what there is one of, `LISTS` what grows, page by page, newest first. A processor's
own names for things are never among it, nor what a processor shows a client for the next step, which may quote them.
Each page looks again whether the customer is still there: an erasure ends a disclosure that is under way.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select, tuple_

from rows.conditions import given, together
from rows.engine import reading
from vault import cursors
from vault.cards import tokens
from vault.desk import Desk
from vault.errors import NotUsable
from vault.exports import notices
from vault.exports.notices import Notices
from vault.money.charge import charges
from vault.people import contacts
from vault.people.customer_rows import row_of
from vault.tables import LOST, audit_entries, clients, refunds
from vault.tables import charges as charge_table
from vault.tables import tokens as token_table

PAGE = 500
"""Rows that are in memory at once."""

_CARD = ("brand", "last4", "exp_month", "exp_year", "funding", "country")
_CONTACT = ("name", "email", "phone", "line1", "line2", "city", "state", "postal_code", "country")
_MONEY = ("amount", "currency", "amount_captured", "amount_refunded", "obligation")

FIELDS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "access": {
        "contact": ("customer", "reference", *_CONTACT),
        "payment_methods": (
            *("id", "status", "usage", *_CARD, "fingerprint", "processor", "metadata"),
            *("declined", "refused", "created_at"),
        ),
        "charges": (
            *("id", "payment_method", "status", *_MONEY, "capture_method", "initiator", "reason", "processor"),
            *("statement_descriptor", "metadata", "declined", "refused", "created_at"),
        ),
        "refunds": ("id", "charge", "status", "amount", "currency", "reason", "created_at"),
        "access_log": ("at", "client", "client_name", "actor", "action", "purpose", "reference"),
    },
    "portability": {
        "contact": ("customer", *_CONTACT),
        "payment_methods": ("id", *_CARD, "created_at"),
        "charges": ("id", "payment_method", "status", *_MONEY, "created_at"),
    },
}
"""What each right shows, by list: portability leaves out what was observed or concluded, fraud marks among it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Whose data is disclosed, under which right, and where it is read. `kind` is a name in FIELDS."""

    desk: Desk
    customer_id: str
    kind: str
    notices: Notices


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Some rows of a list; `after` is where the next begin, None at the end."""

    data: Sequence[Mapping[str, Any]]
    after: str | None


def about(source: Source) -> dict[str, Any]:
    """What there is one of: who it is, and for access how it is processed. Raises NotFoundHere, Erased, Unreadable."""
    with reading(source.desk.records) as connection:
        row = row_of(connection, source.desk.caller, source.customer_id)
        more = _processed(connection, source, row) if source.kind == "access" else {}
    head = {"kind": source.kind, "generated_at": source.desk.caller.at, "customer": source.customer_id}
    return {**head, "contact": _contact(source, row), **more}


def _contact(source: Source, row: Row[Any]) -> dict[str, Any] | None:
    """The billing contact in one level; None where a correction of it was lost, because the old one is wrong."""
    try:
        reference, contact = contacts.opened(source.desk.keyring, row)
    except NotUsable:
        return None
    flat = {"customer": row.customer_id, "reference": reference, **asdict(contact), **contact.address}
    return _shown(source, "contact", flat)


def _processed(connection: Connection, source: Source, row: Row[Any]) -> dict[str, Any]:
    restriction = {"ground": row.restriction_ground, "since": row.restricted_at}
    return {
        "created_at": row.created_at,
        "restriction": restriction if row.restricted else None,
        "rights_requests": notices.requests(connection, source.desk.caller, source.customer_id),
        "processing": notices.processing(connection, source.notices, source.desk.caller, source.customer_id),
    }


def _payment_methods(source: Source, after: str | None) -> Rows:
    which = token_table.c.card.is_not(None) if source.kind == "portability" else token_table.c.state != LOST
    wanted = cursors.Wanted(limit=PAGE, cursor=after)
    page = tokens.of_customer(source.desk, source.customer_id, wanted, which)
    # The token's own fields win: its fingerprint is our digest, the card's is the processor's own.
    found = [(asdict(token.card) if token.card else {}) | asdict(token) for token in page.data]
    return _rows(source, "payment_methods", found, page.next_cursor)


def _charges(source: Source, after: str | None) -> Rows:
    with reading(source.desk.records) as connection:
        row_of(connection, source.desk.caller, source.customer_id)
    theirs, wanted = charges.Filter(customer=source.customer_id), cursors.Wanted(limit=PAGE, cursor=after)
    page = charges.find(source.desk, theirs, wanted)
    found = [asdict(charge) | {"payment_method": charge.token} for charge in page.data]
    return _rows(source, "charges", found, page.next_cursor)


def _refunds(source: Source, after: str | None) -> Rows:
    """Along the charges: a page of those may have no refund at all."""
    statement = select(charge_table.c.charge_id, charge_table.c.created_at).where(
        charge_table.c.tenant_id == source.desk.caller.tenant, charge_table.c.customer_id == source.customer_id
    )
    order = (charge_table.c.created_at, charge_table.c.charge_id)
    with reading(source.desk.records) as connection:
        row_of(connection, source.desk.caller, source.customer_id)
        page = cursors.page(connection, statement, order, cursors.Wanted(limit=PAGE, cursor=after), list)
        named = {"of_tenant": source.desk.caller.tenant, "of_charges": [row.charge_id for row in page.data]}
        found = [each._asdict() for each in connection.execute(_REFUNDS, named)]
    return _rows(source, "refunds", found, page.next_cursor)


def _access_log(source: Source, after: str | None) -> Rows:
    """Every audit entry about the customer, out of its leaf: who did what, when and why."""
    statement = _LOOKS if after is None else _LOOKS.where(tuple_(*_ORDER) < tuple_(*_place(after)))
    named = {"of_tenant": source.desk.caller.tenant, "of_customer": source.customer_id}
    with reading(source.desk.records) as connection:
        row_of(connection, source.desk.caller, source.customer_id)
        rows = connection.execute(statement, named).all()
    shown = rows[:PAGE]
    more = json.dumps([shown[-1].at.isoformat(), shown[-1].lane, shown[-1].counter]) if len(rows) > PAGE else None
    found = [json.loads(row.leaf) | {"at": row.at, "client_name": row.client_name} for row in shown]
    return _rows(source, "access_log", found, more)


LISTS: Mapping[str, Callable[[Source, str | None], Rows]] = {
    "payment_methods": _payment_methods,
    "charges": _charges,
    "refunds": _refunds,
    "access_log": _access_log,
}
"""What grows, by its name in FIELDS; each takes where to begin. All raise NotFoundHere, Erased, Unreadable."""


def _rows(source: Source, name: str, found: Sequence[Mapping[str, Any]], after: str | None) -> Rows:
    return Rows(data=[_shown(source, name, each) for each in found], after=after)


def _shown(source: Source, name: str, found: Mapping[str, Any]) -> dict[str, Any]:
    return {field: found.get(field) for field in FIELDS[source.kind][name]}


def _place(after: str) -> tuple[datetime, str, int]:
    moment, lane, counter = json.loads(after)
    return datetime.fromisoformat(moment), lane, counter


_REFUNDS = (
    select(
        refunds.c.refund_id.label("id"),
        refunds.c.charge_id.label("charge"),
        refunds.c.state.label("status"),
        refunds.c.amount,
        charge_table.c.currency,
        refunds.c.reason,
        refunds.c.created_at,
    )
    .join(charge_table, together(charge_table, refunds, "charge_id"))
    .where(
        refunds.c.tenant_id == bindparam("of_tenant"),
        refunds.c.charge_id.in_(bindparam("of_charges", expanding=True)),
    )
    .order_by(refunds.c.created_at.desc(), refunds.c.refund_id)
)
_ORDER = (audit_entries.c.at, audit_entries.c.lane, audit_entries.c.counter)
_LOOKS = (
    select(*_ORDER, audit_entries.c.leaf, clients.c.name.label("client_name"))
    .outerjoin(clients, together(clients, audit_entries, "client_id"))
    .where(given(audit_entries, "customer_id"))
    .order_by(*(column.desc() for column in _ORDER))
    .limit(PAGE + 1)
)
