"""Commands about keys, and `check`: what is wrong with this deployment."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from keys.keyring import KekStatus
from keys.providers import keyfile
from panless.checks import Finding, examine
from panless.settings import read_settings
from panless.tables import table
from panless.wiring import build


@click.group("keys")
def keys_group() -> None:
    """Keys: the root key's file, and the KEKs under it."""


@keys_group.command("new-keyfile")
@click.argument("file", type=click.Path(path_type=Path))
def new_keyfile(file: Path) -> None:
    """Write a new root key to FILE, which must not exist. Back it up: without it nothing opens again."""
    keyfile.create(file)
    click.echo(f"{file} holds a new root key. Keep a copy of it apart from the databases' backups.")


@keys_group.command("status")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status(*, as_json: bool) -> None:
    """Show each tenant's KEKs, and how many DEKs hang on them."""
    keks = build(read_settings()).keyring.status()
    if as_json:
        click.echo(json.dumps([_plain(kek) for kek in keks], indent=2))
    else:
        head = ("TENANT", "EPOCH", "STATE", "CREATED", "LIVE DEKS", "DESTROYED", "KEK")
        click.echo(table(head, [_row(kek) for kek in keks]))


def _plain(kek: KekStatus) -> dict[str, object]:
    return asdict(kek) | {"kek_id": kek.kek_id.hex(), "created_at": kek.created_at.isoformat()}


def _row(kek: KekStatus) -> tuple[object, ...]:
    created = kek.created_at.strftime("%Y-%m-%d %H:%M")
    return kek.tenant_id, kek.epoch, kek.state, created, kek.live, kek.destroyed, kek.kek_id.hex()


@click.command()
def check() -> None:
    """Say what is wrong with this deployment and how to mend it; exit code 1 if anything is unsafe."""
    findings = examine()
    for finding in findings:
        click.echo(_shown(finding))
    unsafe = sum(finding.is_unsafe for finding in findings)
    if unsafe:
        click.echo(f"{unsafe} unsafe.", err=True)
        sys.exit(1)
    click.echo("Nothing unsafe was found.")


def _shown(finding: Finding) -> str:
    return f"{'UNSAFE' if finding.is_unsafe else 'note  '}  {finding.what} {finding.mend}"


COMMANDS = (keys_group, check)
