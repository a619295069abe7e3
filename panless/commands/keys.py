"""Commands about keys."""

import json
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path

import click

from keys import keks, roots
from keys.keks import KekStatus
from keys.providers import keyfile
from keys.rewrapping import rewrap
from panless.settings.environment import read_settings
from panless.shown.progress import progress
from panless.shown.tables import table
from panless.shown.trouble import Refused
from panless.wiring import Components, build
from vault.resealing import key_rotation


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
    """Show each tenant's KEKs: which root keys open them, how many DEKs hang on them, when they are destroyed."""
    house = build(read_settings())
    found, backups = keks.status(house.keyring), key_rotation.backups(house.workshop)
    if as_json:
        click.echo(json.dumps([_plain(kek, backups) for kek in found], indent=2))
    else:
        head = ("TENANT", "EPOCH", "STATE", "CREATED", "LIVE DEKS", "DESTROYED", "KEK", "GOES", "ROOT KEYS")
        click.echo(table(head, [_row(kek, backups) for kek in found]))


def _plain(kek: KekStatus, backups: timedelta) -> dict[str, object]:
    shown = asdict(kek) | {"kek_id": kek.kek_id.hex(), "destroyed_from": kek.destroyed_from(backups)}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in shown.items()}


def _row(kek: KekStatus, backups: timedelta) -> tuple[object, ...]:
    goes = kek.destroyed_from(backups)
    return (
        *(kek.tenant_id, kek.epoch, kek.state, f"{kek.created_at:%Y-%m-%d %H:%M}", kek.live, kek.destroyed),
        *(kek.kek_id.hex(), f"{goes:%Y-%m-%d}" if goes else "-", " ".join(kek.roots) or "-"),
    )


@keys_group.command("rotate")
@click.option("--tenant", "only", multiple=True, help="One tenant only; may be repeated. Else all, and the deployment.")
@click.option("--provider", help="Have the root keys of this provider alone wrap the new KEKs.")
def rotate(only: tuple[str, ...], provider: str | None) -> None:
    """Begin a new epoch now: new KEKs, and every DEK moves to them. Safe to stop; `keys rewrap` goes on."""
    house = build(read_settings())
    chosen = [root for root in house.keyring.roots if root.provider == provider]
    if provider is not None and not chosen:
        raise Refused(f"No root key of {provider} is set. Put one into PANLESS_ROOT_KEYS, beside the one in use.")
    every = keks.tenants(house.keyring)
    if unknown := sorted({*only} - {*every}):
        raise Refused(f"There is no tenant {unknown[0]}.")
    with progress("New KEKs", len(only or every)) as told:
        for tenant in only or every:
            key_rotation.rotate(house.workshop, tenant, chosen)
            told(1)
    _rewrap(house)


@keys_group.command("rewrap")
def rewrap_() -> None:
    """Move every DEK from retired KEKs to its tenant's newest one. Safe to stop, to repeat, to run twice at once."""
    _rewrap(build(read_settings()))


def _rewrap(house: Components) -> None:
    ring, backups = house.keyring, key_rotation.backups(house.workshop)
    todo = keks.to_empty(ring)
    key_rotation.require_proofs(house.workshop, (row.tenant_id for row in todo))
    wanted = {(row.tenant_id, row.kek_id) for row in todo}
    total = sum(kek.live for kek in keks.status(ring) if (kek.tenant_id, kek.kek_id) in wanted)
    with progress("DEKs moved", total) as told:
        for kek in todo:
            rewrap(ring, kek.tenant_id, kek.kek_id, told)
    empty = [key_rotation.note_empty(house.workshop, kek) for kek in todo]
    if not all(empty):
        raise Refused("Another process has some DEKs in hand still: see `panless keys status`.")
    dates = [goes for kek in keks.status(ring) if (goes := kek.destroyed_from(backups))]
    if dates:
        click.echo(f"{len(dates)} empty KEKs. The worker destroys them from {min(dates):%Y-%m-%d} on.")


@keys_group.command("add-root")
@click.argument("name", metavar="PROVIDER:KEY_ID")
def add_root(name: str) -> None:
    """Have one more root key open every KEK. It must be set here; `keys status` shows such names."""
    house = build(read_settings())
    ring = house.keyring
    root = next((root for root in ring.roots if roots.name_of(root) == name), None)
    if root is None:
        raise Refused(f"{name} is not set here. These are: {', '.join(map(roots.name_of, ring.roots))}.")
    added = key_rotation.add_root(house.workshop, root)
    click.echo(f"{name} opens {added} KEKs more.")


@keys_group.command("drop-root")
@click.argument("name", metavar="PROVIDER:KEY_ID")
def drop_root(name: str) -> None:
    """Delete every wrap by a root key, each once another root key that is set here has opened the KEK."""
    provider, _, key_id = name.partition(":")
    dropped = key_rotation.drop_root(build(read_settings()).workshop, provider, key_id)
    click.echo(f"{dropped} wraps deleted. Take {name} out of the settings now.")


COMMANDS = (keys_group,)
