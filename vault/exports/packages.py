"""Packages: what a person is handed for access or portability, kept in sealed chunks until it is taken, once.

`building` -> `ready` -> `taken`; `expired` when seven days pass first, `erased` when a customer in it is erased. Each
package has a key of its own. To end one is to delete its chunks and to destroy that key along the ledger, so that no
restore brings back what its link opened. `building.py` fills them, `links.py` hands them out.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Row, and_, bindparam, delete, insert, or_, select, update

from keys import keystore as keystores
from keys.context import Context
from keys.keyring import Keyring
from rows.changes import update_row
from rows.clock import database_clock
from rows.conditions import given, of_row, spelled, together
from rows.engine import reading, transaction
from vault import audit, leases
from vault.desk import Desk
from vault.errors import Invalid, NotFoundHere
from vault.exports.disclosure import FIELDS
from vault.ids import new_id
from vault.ledger.book import Ledger
from vault.ledger.deciding import decide
from vault.ledger.settling import settle
from vault.people.customer_rows import shared_row_of
from vault.sealing import place_of
from vault.tables import package_chunks, package_customers, packages

LIFE = timedelta(days=7)
"""How long one that is ready may be taken (OpenDSR 2.0: results live 7 days)."""

LEASE_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """Where a package stands; `progress` counts the rows that are in it so far."""

    id: str
    request: str
    kind: str
    status: str
    progress: int
    created_at: datetime
    expires_at: datetime | None


def request_package(desk: Desk, tx: Connection, *, request_id: str, kind: str, customer_ids: Iterable[str]) -> str:
    """Order a package of all that these customers' disclosures hold, in `tx`; its id. The worker builds it.

    `kind` is `access` or `portability`. Raises Invalid, NotFoundHere, Erased.
    """
    if kind not in FIELDS:
        raise Invalid("type", f"There are packages for: {', '.join(FIELDS)}.")
    package_id, theirs = new_id("pkg", desk.caller.tenant), sorted(set(customer_ids))
    if not theirs:
        raise Invalid("customers", "A package is of one customer at least.")
    for customer_id in theirs:
        shared_row_of(tx, desk.caller, customer_id)
    key = {"tenant_id": desk.caller.tenant, "package_id": package_id}
    row = {
        "request_id": request_id,
        "kind": kind,
        "live": desk.caller.live,
        "state": "building",
        "created_at": desk.caller.at,
    }
    tx.execute(_INSERT, key | row)
    tx.execute(insert(package_customers), [key | {"customer_id": customer_id} for customer_id in theirs])
    record(desk, tx, "package.request", package_id, theirs)
    return package_id


def of_request(desk: Desk, request_id: str) -> Package:
    """The newest package of a request. Raises NotFoundHere."""
    named = {"of_tenant": desk.caller.tenant, "of_live": desk.caller.live, "of_request": request_id}
    with reading(desk.records) as connection:
        row = connection.execute(_OF_REQUEST, named).first()
    if row is None:
        raise NotFoundHere("No such package.")
    return Package(
        id=row.package_id,
        request=row.request_id,
        kind=row.kind,
        status="expired" if is_over(row, desk.caller.at) else row.state,
        progress=row.progress,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )


def is_over(row: Row[Any], at: datetime) -> bool:
    """Whether it was ready and its time is over, whether or not the worker has ended it yet."""
    return bool(row.state == "ready" and row.expires_at <= at)


def find(connection: Connection, tenant: str, package_id: str) -> Row[Any] | None:
    """The row of a package."""
    return connection.execute(_ONE, {"of_tenant": tenant, "of_package": package_id}).one_or_none()


def customers_of(connection: Connection, tenant: str, package_id: str) -> Sequence[str]:
    """Who is in a package, in the order of its files."""
    named = {"of_tenant": tenant, "of_package": package_id}
    return connection.scalars(_CUSTOMERS, named).all()


def record(desk: Desk, tx: Connection, action: str, package_id: str, customer_ids: Iterable[str]) -> None:
    """One audit entry for each customer in it: every one of them has a right to know."""
    for customer_id in customer_ids:
        audit.record(desk, tx, action, customer=customer_id, resource=package_id)


def chunk_place(keyring: Keyring, tenant: str, package_id: str, number: int, version: int = 1) -> Context:
    """Where a chunk stands. Its customers are not in it: they are the package's, and so is the key."""
    return place_of(keyring, tenant, "package_chunks", "content", package_id, number, version=version)


def destroy_of_customer(desk: Desk, tx: Connection, ledger: Ledger, customer_id: str) -> None:
    """End every package that this customer is in, in the transaction that decides the erasure."""
    named = {"of_tenant": desk.caller.tenant, "of_customer": customer_id}
    for row in tx.execute(_OF_CUSTOMER, named).all():
        _destroy(desk, tx, ledger, row, "erased")


def end(desk: Desk, ledger: Ledger, package_id: str) -> None:
    """Destroy what is left of a package that was taken or that nobody took. Again, it changes nothing."""
    with audit.transaction(desk.records) as tx:
        row = tx.execute(_HELD, {"of_tenant": desk.caller.tenant, "of_package": package_id}).one()
        if row.dek_id is not None:
            _destroy(desk, tx, ledger, row, "taken" if row.state == "taken" else "expired")
    settle(ledger, desk.records)


def open_packages(records: Engine, at: datetime) -> Sequence[Row[Any]]:
    """What the worker has to do: build what nobody builds, end what was taken or is over at the moment `at`."""
    with reading(records) as connection:
        return connection.execute(_OPEN, {"now": at}).all()


def take_up(records: Engine, row: Row[Any]) -> bool:
    """Take the lease of a package that is being built; whether this process got it."""
    return leases.take(records, packages, row, "lease_until", LEASE_SECONDS, packages.c.state == "building")


def put_back(records: Engine, row: Row[Any]) -> None:
    """Give the lease back, if it is still being built: any process may go on."""
    this = and_(of_row(packages, row), packages.c.state == "building")
    with transaction(records) as tx:
        tx.execute(update(packages).where(this).values(lease_until=database_clock()))


def _destroy(desk: Desk, tx: Connection, ledger: Ledger, row: Row[Any], state: str) -> None:
    """Chunks now, the key once the entry has gone through the ledger: from the commit on it will."""
    named = {"of_tenant": row.tenant_id, "of_package": row.package_id}
    tx.execute(_DELETE_CHUNKS, named)
    key = {"tenant_id": row.tenant_id, "package_id": row.package_id}
    update_row(tx, packages, key, {"state": state, "dek_id": None})
    if row.dek_id is not None:
        with reading(ledger.keystore) as connection:
            ever = keystores.deks_of(connection, row.tenant_id, row.package_id)
        former = [each for each in ever if each != row.dek_id]
        decide(tx, ledger, desk.caller, "package.destroy", row.package_id, version=1, dek_id=row.dek_id, former=former)
    record(desk, tx, "package.destroy", row.package_id, tx.scalars(_CUSTOMERS, named).all())


_INSERT = insert(packages).values(lease_until=database_clock())  # free at once: whoever orders one does not build it
_ONE = select(packages).where(given(packages, "package_id"))
_HELD = _ONE.with_for_update()
_OF_REQUEST = (
    select(packages)
    .where(given(packages, "live", "request_id"))
    .order_by(packages.c.created_at.desc(), packages.c.package_id)
)
_CUSTOMERS = (
    select(package_customers.c.customer_id)
    .where(given(package_customers, "package_id"))
    .order_by(package_customers.c.customer_id)
)
_IS_OPEN = or_(spelled(packages.c.state, "building"), packages.c.dek_id.is_not(None))
_OF_CUSTOMER = (
    select(packages)
    .join(package_customers, together(package_customers, packages, "package_id"))
    .where(given(package_customers, "customer_id"), _IS_OPEN)
    .with_for_update(of=packages)
)
_OPEN = select(packages).where(
    _IS_OPEN,
    or_(
        and_(packages.c.state.in_(("building", "taken")), packages.c.lease_until <= database_clock()),
        and_(packages.c.state == "ready", packages.c.expires_at <= bindparam("now")),
    ),
)
_DELETE_CHUNKS = delete(package_chunks).where(given(package_chunks, "package_id"))
