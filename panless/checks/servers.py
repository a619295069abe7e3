"""Database servers: keys and what they open must not fall together, nor be read on the way."""

import os
from collections.abc import Iterator, Sequence

from sqlalchemy import URL

from panless.checks.finding import Finding, note
from panless.checks.places import databases, same_server
from panless.settings.environment import Settings
from panless.settings.root_keys import LOOPBACK
from panless.wiring import Components
from rows.engine import is_sqlite, reading
from rows.tenants import is_kept_apart, open_tables
from vault.tables import metadata

OF_TENANTS = sorted(each.name for each in metadata.sorted_tables if "tenant_id" in each.c)
SAFE_TLS = ("verify-full", "verify-ca")


def apart(settings: Settings) -> Iterator[Finding]:
    """Records and keystore, each on a server of its own."""
    records, keystore = (url for _, url in databases(settings))
    if same_server(records, keystore):
        yield Finding(
            what="The keystore stands beside the records: one stolen backup holds both.",
            mend="Give it a server of its own, with its own short backups (PANLESS_KEYSTORE_URL).",
        )


def users(settings: Settings) -> Iterator[Finding]:
    """One database user each."""
    records, keystore = (url for _, url in databases(settings))
    if records.username and records.username == keystore.username:
        yield Finding(
            what="Records and keystore are opened by the same database user.",
            mend="Give each its own user, which can't open the other.",
        )


def encrypted(settings: Settings) -> Iterator[Finding]:
    """A connection that leaves this machine proves who answers."""
    for name, url in databases(settings):
        host = _host(url)
        if host and url.query.get("sslmode") not in SAFE_TLS:
            yield Finding(
                what=f"The connection to the {name} at {host} does not prove who answers.",
                mend="Add ?sslmode=verify-full&sslrootcert=FILE to its URL.",
            )


def _host(url: URL) -> str:
    """The other machine; empty for this one, reached by a file, a socket's folder or loopback."""
    said = (url.host, *(url.query.get(name) for name in ("host", "hostaddr", "service")), os.getenv("PGHOST"))
    host = str(next(filter(None, said), ""))
    return "" if host in LOOPBACK or host.startswith("/") else host


def _open(tables: Sequence[str]) -> Iterator[Finding]:
    if tables:
        yield Finding(
            what=f"Row-level security does not hold the records' user in {', '.join(tables)}.",
            mend="See who owns them and which policies they have (\\d TABLE), then: panless migrate --roles.",
        )


def tenants_apart(house: Components) -> Iterator[Finding]:
    """Whether the database keeps tenants apart, should the program ever forget to."""
    with reading(house.records) as connection:
        if is_sqlite(connection):
            return
        if is_kept_apart(connection):
            yield from _open(open_tables(connection, OF_TENANTS))
            return
    yield note(
        "The records' user sees every tenant's rows: right for the worker and for commands, not for the server.",
        "Let `panless serve` come as a user of its own (panless migrate --roles, docs/postgresql.md).",
    )
