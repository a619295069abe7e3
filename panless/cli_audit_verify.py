"""`panless audit verify`: the audit log from its files alone, or in the records with what only its keys can tell."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import click

from panless.cli_audit import KEYS, logs, of_logs
from panless.progress import progress
from panless.settings import read_settings
from panless.trouble import Refused
from panless.wiring import build
from vault.tlog import rows, signing
from vault.tlog.anchoring import anchored
from vault.tlog.files import Folder, Kept
from vault.tlog.notes import Verifier, parse_verifier
from vault.tlog.paths import CHECKPOINT
from vault.tlog.verifying import Finding, verify

FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)

Found = Iterable[tuple[str, Finding]]


@click.command("verify")
@click.option("--against", multiple=True, type=FILE, help="A checkpoint from before; may be repeated.")
@click.option("--offline", "folder", type=FOLDER, help="An export, of one log or of several; needs nothing else.")
@click.option("--key", "keys", multiple=True, help="With --offline: a key that `panless audit key` printed.")
@of_logs
def verify_logs(against: tuple[Path, ...], folder: Path | None, keys: tuple[str, ...], only: tuple[str, ...]) -> None:
    """Check every entry, every tile and every signature; exit code 1 if anything is wrong."""
    if folder is None and keys:
        raise Refused("--key goes with --offline: here the keys are at hand.")
    notes = [(path, path.read_bytes()) for path in against]
    wrong = 0
    for name, finding in _in_records(only, notes) if folder is None else _in_folder(folder, keys, only, notes):
        wrong += 1
        click.echo(f"{name}{f', entry {finding.place}' if finding.place >= 0 else ''}: {finding.what}")
    if wrong:
        click.echo(f"{wrong} wrong.", err=True)
        sys.exit(1)
    click.echo("Nothing wrong was found.")


def _in_records(only: Sequence[str], notes: Sequence[tuple[Path, bytes]]) -> Found:
    """What is wrong with logs in the records. They are held against their anchors too."""
    house = build(read_settings())
    chosen = logs(house, only)
    _refuse_foreign(notes, [log.tenant_id for log in chosen])
    for log in chosen:
        anchors = [] if house.logs.anchors is None else anchored(house.logs.anchors, log.tenant_id, log.generation)
        verifiers = signing.verifiers(house.keyring, log.tenant_id)
        files = Kept(house.records, log.tenant_id, log.checkpoint)
        with progress(f"Entries of {log.tenant_id}, twice", 2 * log.size) as told:
            for finding in verify(files, verifiers, [*_of(log.tenant_id, notes), *anchors], told):
                yield log.tenant_id, finding
            for finding in rows.check(house.records, house.keyring, log.tenant_id, log.size, house.clock(), told):
                yield log.tenant_id, finding


def _in_folder(folder: Path, keys: Sequence[str], only: Sequence[str], notes: Sequence[tuple[Path, bytes]]) -> Found:
    """The same of an export: of one log, or of a folder of them."""
    places = [folder] if (folder / CHECKPOINT).exists() else sorted(path.parent for path in folder.glob("*/tile"))
    chosen = [place for place in places if not only or place.name in only]
    if not chosen:
        raise Refused(f"There is no such log in {folder}: `panless audit export` writes one.")
    names = {place: place.name if len(places) > 1 else _tenant_in(place / CHECKPOINT) for place in chosen}
    _refuse_foreign(notes, list(names.values()))
    for place, name in names.items():
        verifiers = [parse_verifier(line) for line in keys] or _keys_beside(place)
        with progress(f"Bundles of {name}, in entries", 0) as told:
            for finding in verify(Folder(place), verifiers, [*_of(name, notes)], told):
                yield name, finding


def _keys_beside(place: Path) -> list[Verifier]:
    click.echo(f"The keys are those in {place / KEYS}: compare them with the ones that you were given.", err=True)
    return [parse_verifier(line) for line in (place / KEYS).read_text().splitlines()]


def _of(tenant: str, notes: Sequence[tuple[Path, bytes]]) -> Iterator[bytes]:
    return (note for path, note in notes if _tenant_in(path) == tenant)


def _refuse_foreign(notes: Sequence[tuple[Path, bytes]], tenants: Sequence[str]) -> None:
    for path, _ in notes:
        if _tenant_in(path) not in tenants:
            raise Refused(f"{path} is no checkpoint of a log that is looked at.")


def _tenant_in(path: Path) -> str:
    """Whose log the origin line of a checkpoint names; empty where it is none."""
    parts = path.read_bytes().partition(b"\n")[0].decode(errors="replace").split("/")
    return parts[2] if len(parts) in {3, 4} else ""
