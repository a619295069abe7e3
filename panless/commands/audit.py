"""Commands about the audit log: export it for others to verify, show who looked at a customer, print its keys."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from sqlalchemy import Row, select

from panless.settings.environment import read_settings
from panless.shown.progress import progress
from panless.shown.tables import table
from panless.shown.trouble import Refused
from panless.wiring import Components, build
from rows.engine import reading
from vault.cursors import Wanted
from vault.stores.kinds import checked_folder
from vault.tables import audit_entries, audit_logs
from vault.tlog import files, listed, signing
from vault.tlog.files import Kept
from vault.tlog.listed import Entry

KEYS = "keys"
"""The file of an export that has its verifier keys."""

PAGE = 500
_HEAD = ("ENTRY", "AT", "ACTION", "CLIENT", "ACTOR", "PURPOSE", "REFERENCE", "REQUEST")

of_logs = click.option(
    "--tenant", "only", multiple=True, help="One log; may be repeated. Else all, the deployment's own too."
)


@click.group("audit")
def audit_group() -> None:
    """The audit log: every look and every change, in a tree that shows tampering."""


@audit_group.command("key")
@of_logs
def key(only: tuple[str, ...]) -> None:
    """Print the keys that checkpoints are verified with, newest first. Give them to whoever verifies."""
    house = build(read_settings())
    for log in logs(house, only):
        click.echo(_keys(house, log), nl=False)


@audit_group.command("export")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@of_logs
def export(folder: Path, only: tuple[str, ...]) -> None:
    """Write logs into FOLDER, one folder each, as C2SP tlog-tiles. What is there is not written again."""
    house = build(read_settings())
    for log in logs(house, only):
        if not log.checkpoint:
            raise Refused(f"The audit log of {log.tenant_id} has no checkpoint. Run: panless audit verify.")
        into = folder / checked_folder(log.tenant_id)
        with progress(f"Entries of {log.tenant_id}", log.size) as told:
            files.write(Kept(house.records, log.tenant_id, log.checkpoint), log.size, into, told)
        (into / KEYS).write_text(_keys(house, log))


@audit_group.command("show")
@click.option("--customer", required=True, help="The customer's id: cus_...")
@click.option("--json", "as_json", is_flag=True, help="For programs: an entry a line.")
def show(*, customer: str, as_json: bool) -> None:
    """Show who looked at a customer or changed it, when and why, newest first; erased customers too."""
    house = build(read_settings())
    mine = select(audit_entries.c.tenant_id).where(audit_entries.c.customer_id == customer).limit(1)
    with reading(house.records) as connection:
        tenant = connection.execute(mine).scalar_one_or_none()
    if tenant is None:
        raise Refused(f"The audit log has nothing about {customer}.")
    found = sorted(_about(house, tenant, customer), key=lambda each: str(each.leaf["at"]), reverse=True)
    if as_json:
        for each in found:
            click.echo(json.dumps({"position": each.position} | each.leaf))
    else:
        click.echo(table(_HEAD, [_row(each) for each in found]))


def logs(house: Components, only: Sequence[str]) -> Sequence[Row[Any]]:
    """The rows of the logs that are named, or of all. Raises Refused."""
    with reading(house.records) as connection:
        found = connection.execute(select(audit_logs).order_by(audit_logs.c.tenant_id)).all()
    if unknown := sorted({*only} - {log.tenant_id for log in found}):
        raise Refused(f"There is no audit log of {unknown[0]}. The worker begins one with its first entry.")
    return [log for log in found if not only or log.tenant_id in only]


def _keys(house: Components, log: Row[Any]) -> str:
    return "".join(f"{verifier}\n" for verifier in signing.verifiers(house.keyring, log.tenant_id))


def _about(house: Components, tenant: str, customer: str) -> Iterator[Entry]:
    cursor: str | None = None
    while True:
        page = listed.entries(house.records, tenant, customer, Wanted(limit=PAGE, cursor=cursor))
        yield from page.data
        cursor = page.next_cursor
        if cursor is None:
            return


def _row(entry: Entry) -> tuple[object, ...]:
    leaf = entry.leaf
    who = entry.client_name or leaf["client"] or "(Panless)"
    optional = (leaf[name] or "-" for name in ("actor", "purpose", "reference"))
    return (entry.position, leaf["at"][:19], leaf["action"], who, *optional, leaf["request_id"])


COMMANDS = (audit_group,)
