"""Links to packages: whoever has one may take the package, once, without an API key.

A link reads `lnk_`, the tenant's and the package's id, and 256 random bits, so that the tenant is known before the
first row is read. What is stored is an HMAC that binds all three. A new link takes the place of the one before.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Row, bindparam, select, update
from sqlalchemy.exc import SQLAlchemyError

from keys.dek import Dek
from keys.envelope import unseal
from keys.errors import KeyDestroyed, KeyMissing
from keys.framing import frame
from keys.keyring import Keyring
from rows.changes import update_row
from rows.clock import database_clock
from rows.conditions import given
from rows.engine import reading
from rows.tenants import for_tenant
from vault import audit
from vault.caller import Caller
from vault.desk import Desk, desk_for
from vault.errors import Gone, NotFoundHere, NotUsable, VaultError
from vault.exports.archive import as_zip
from vault.exports.packages import Package, chunk_place, customers_of, end, find, is_over, of_request, record
from vault.ids import BODY_LENGTH, base32
from vault.ledger.book import Ledger
from vault.sealing import near
from vault.tables import package_chunks, packages

DOWNLOAD_SECONDS = 3600
"""Once that long has passed since it was taken, the worker ends a package that its process did not."""

_PEPPER = ("client_key", "package-link")
_LINK = re.compile(rf"lnk_([a-z0-9]{{{BODY_LENGTH}}})([a-z0-9]{{{BODY_LENGTH}}})([a-z2-7]{{52}})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link as it is given out, this once, and until when it opens something."""

    id: str = field(repr=False)
    expires_at: datetime


def link(desk: Desk, package_id: str) -> Link:
    """A new link to a package that is ready; the one before it opens nothing from now on.

    Raises NotFoundHere, NotUsable while it is being built, Gone.
    """
    secret = base32(secrets.token_bytes(32))
    key = {"tenant_id": desk.caller.tenant, "package_id": package_id}
    with audit.transaction(desk.records) as tx:
        row = find(tx, desk.caller.tenant, package_id)
        if row is None or row.live != desk.caller.live:
            raise NotFoundHere("No such package.")
        if row.state == "building":
            raise NotUsable("package_not_ready", "This package is still being built. Ask again later.")
        digest = _digest(desk.keyring.subkey(desk.caller.tenant, *_PEPPER), desk.caller.tenant, package_id, secret)
        if is_over(row, desk.caller.at) or not update_row(tx, packages, key, {"link_digest": digest}, _IS_READY):
            raise _gone()
        record(desk, tx, "package.link", package_id, customers_of(tx, desk.caller.tenant, package_id))
    return Link(id=f"lnk_{desk.caller.tenant[4:]}{package_id[4:]}{secret}", expires_at=row.expires_at)


def link_of_request(desk: Desk, request_id: str) -> tuple[Package, str]:
    """The package of a request, and a new link to it. Raises as `link`, NotFoundHere where nothing was ordered."""
    package = of_request(desk, request_id)
    return package, link(desk, package.id).id


def tenant_of(link_id: str) -> str:
    """The tenant that a link says it is of; empty for what is no link of ours."""
    match = _LINK.fullmatch(link_id)
    return f"ten_{match[1]}" if match else ""


def take(records: Engine, ledger: Ledger, link_id: str, at: datetime, request_id: str) -> Generator[bytes]:
    """The package behind a link, as the bytes of a ZIP; from now on the link opens nothing.

    Raises NotFoundHere for what is no link of ours, Gone for one that was used or whose time is over. The claim is
    committed when this returns; that the package was given out is on the record by then.
    """
    row, digest = _presented(records, ledger.keyring, link_id)
    if is_over(row, at) or row.state != "ready":
        raise _gone()
    try:
        dek = ledger.keyring.dek(row.tenant_id, row.dek_id)
    except (KeyDestroyed, KeyMissing):  # the records, or both databases, are older than the end of this package
        raise _gone() from None
    caller = Caller(tenant=row.tenant_id, client="", live=row.live, at=at, request_id=request_id)
    desk = desk_for(records, ledger.keyring, caller)
    _claim(desk, row, digest)
    return _streamed(desk, ledger, row, dek)


def _presented(records: Engine, keyring: Keyring, link_id: str) -> tuple[Row[Any], bytes]:
    """The package of a genuine link, and the link's digest: for every other reason the same answer."""
    match = _LINK.fullmatch(link_id)
    if match is None:
        raise _unknown()
    tenant, package_id, secret = f"ten_{match[1]}", f"pkg_{match[2]}", match[3]
    try:
        keyring.subkey(tenant, *_PEPPER)
    except KeyMissing:
        raise _unknown() from None
    with reading(for_tenant(records, tenant)) as connection:
        row = find(connection, tenant, package_id)
    if row is None or row.link_digest is None or not _is_genuine(keyring, row, secret):
        raise _unknown()
    return row, row.link_digest


def _claim(desk: Desk, row: Row[Any], digest: bytes) -> None:
    """Of all who present the link at once, one gets on from here."""
    named = {"of_tenant": desk.caller.tenant, "of_package": row.package_id, "of_digest": digest}
    with audit.transaction(desk.records) as tx:
        if tx.execute(_TAKE, named).rowcount != 1:
            raise _gone()
        record(desk, tx, "package.take", row.package_id, customers_of(tx, desk.caller.tenant, row.package_id))


def _streamed(desk: Desk, ledger: Ledger, row: Row[Any], dek: Dek) -> Generator[bytes]:
    try:
        yield from as_zip(_opened(desk.records, ledger.keyring, row, dek))
    finally:
        with suppress(VaultError, SQLAlchemyError):  # what fails here the worker does when the lease is over
            end(desk, ledger, row.package_id)


def _opened(records: Engine, keyring: Keyring, row: Row[Any], dek: Dek) -> Iterator[tuple[str, bytes]]:
    """Each chunk, read when its turn comes: of one that an erasure ends meanwhile, no more comes out."""
    for number in range(row.chunks):
        named = {"of_tenant": row.tenant_id, "of_package": row.package_id, "of_number": number}
        with reading(records) as connection:
            chunk = connection.execute(_CHUNK, named).one_or_none()
        if chunk is None:
            raise _gone()
        place = chunk_place(keyring, row.tenant_id, row.package_id, number, chunk.content_version)
        file, _, text = unseal(near(keyring, row.tenant_id, dek, chunk.content), chunk.content, place).partition(b"\0")
        yield file.decode(), text


def _is_genuine(keyring: Keyring, row: Row[Any], secret: str) -> bool:
    """Whether one of the tenant's peppers made the digest of its link: the newest, or one before it."""
    return any(
        hmac.compare_digest(_digest(key, row.tenant_id, row.package_id, secret), row.link_digest)
        for subkeys in (keyring.subkeys, keyring.subkeys_now)
        for key in subkeys(row.tenant_id, *_PEPPER).values()
    )


def _digest(key: bytes, tenant: str, package_id: str, secret: str) -> bytes:
    return hmac.digest(key, frame(tenant.encode(), package_id.encode(), secret.encode()), hashlib.sha256)


def _unknown() -> NotFoundHere:
    return NotFoundHere("No such package.")


def _gone() -> Gone:
    return Gone("This package was taken, or its time is over. Ask for a new one.")


_IS_READY = packages.c.state == "ready"
_TAKE = (
    update(packages)
    .where(given(packages, "package_id"), packages.c.link_digest == bindparam("of_digest"), _IS_READY)
    .values(state="taken", lease_until=database_clock(DOWNLOAD_SECONDS))
)
_CHUNK = select(package_chunks).where(given(package_chunks, "package_id", "number"))
