"""`panless audit verify`: the audit log from its files alone, or in the records with what only its keys can tell."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from sqlalchemy import Row, select

from keys.errors import KeyMissing
from panless.commands.audit import KEYS, logs, of_logs
from panless.settings.environment import read_settings
from panless.shown.progress import progress
from panless.shown.trouble import Refused
from panless.wiring import Components, build
from rows.engine import reading
from vault.tables import audit_entries
from vault.tlog import rows, signing
from vault.tlog.anchoring import Anchor, anchors_of
from vault.tlog.files import Folder, Kept
from vault.tlog.lateness import STALE
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
@click.option("--restored", type=int, default=1, help="A generation up to which losses that the log tells are known.")
@click.option(
    "--anchors",
    "most",
    type=click.IntRange(min=1),
    default=5000,
    help="Of each generation the newest so many anchors: a busy log has three a minute. Default: 5000, a day's.",
)
@of_logs
def verify_logs(
    *,
    against: tuple[Path, ...],
    folder: Path | None,
    keys: tuple[str, ...],
    restored: int,
    most: int,
    only: tuple[str, ...],
) -> None:
    """Check every entry, every tile and every signature; exit code 1 if anything is wrong."""
    if folder is None and keys:
        raise Refused("--key goes with --offline: here the keys are at hand.")
    notes = [(path, path.read_bytes()) for path in against]
    wrong = 0
    for name, finding in _in_records(only, notes, most) if folder is None else _in_folder(folder, keys, only, notes):
        wrong += finding.told_by is None or finding.told_by > restored
        click.echo(f"{name}{f', entry {finding.place}' if finding.place >= 0 else ''}: {finding.what}")
    if wrong:
        click.echo(f"{wrong} wrong.", err=True)
        sys.exit(1)
    click.echo("Nothing wrong was found.")


def _in_records(only: Sequence[str], notes: Sequence[tuple[Path, bytes]], most: int) -> Found:
    """What is wrong with logs in the records, or that are not there and were. They are held against their anchors."""
    house = build(read_settings())
    chosen = _all_logs(house, only)
    if not chosen:
        raise Refused("There is no audit log yet, nor an entry. The worker begins a log with its first entry.")
    _refuse_foreign(notes, list(chosen))
    for tenant, log in chosen.items():
        try:
            keys = signing.verifiers(house.keyring, tenant)
        except KeyMissing:
            yield tenant, Finding(-1, "There are no keys of it in this keystore, so nothing of it can be verified.")
            continue
        anchors = [*_anchors(house, keys, tenant, most)]
        _tell_unread(tenant, anchors, most)
        yield from _unanchored(house, tenant, log, anchors)
        yield from ((tenant, _no_anchor(each)) for each in anchors if each.checkpoint is None)
        genuine = [each.note for each in anchors if each.checkpoint is not None]
        if log is None or not log.checkpoint:
            yield from _without_a_log(house, tenant, genuine)
            continue
        if (signed := _size_in(log.checkpoint)) != log.size:
            yield tenant, Finding(-1, f"Its row says {log.size} entries, and its checkpoint is over {signed}.")
        files = Kept(house.records, tenant, log.checkpoint)
        with progress(f"Entries of {tenant}, twice", 2 * log.size) as told:
            for finding in verify(files, keys, [*_of(tenant, notes), *genuine], told):
                yield tenant, finding
            for finding in rows.check(house.records, house.keyring, tenant, log.size, house.clock(), told):
                yield tenant, finding


def _all_logs(house: Components, only: Sequence[str]) -> dict[str, Row[Any] | None]:
    """The rows of logs by tenant; None where there are entries, or anchors, and no row."""
    there = {log.tenant_id: log for log in logs(house, ())}
    with reading(house.records) as connection:
        names = {*connection.scalars(select(audit_entries.c.tenant_id).distinct())}
    names |= {*there} | {*(house.logs.anchors.folders() if house.logs.anchors is not None else ())}
    if unknown := sorted({*only} - names):
        raise Refused(f"There is no audit log of {unknown[0]}. The worker begins one with its first entry.")
    return {name: there.get(name) for name in sorted(names) if not only or name in only}


def _anchors(house: Components, keys: Sequence[Verifier], tenant: str, most: int) -> Iterator[Anchor]:
    if house.logs.anchors is None:
        return iter(())
    return anchors_of(house.logs.anchors, keys, signing.name_of(house.keyring.deployment, tenant), most)


def _tell_unread(tenant: str, anchors: Sequence[Anchor], most: int) -> None:
    for generation, read in Counter(each.place.partition("/")[0] for each in anchors).items():
        if read == most:
            click.echo(
                f"{tenant}: the newest {most} anchors of generation {generation} were read (--anchors).", err=True
            )


def _no_anchor(each: Anchor) -> Finding:
    return Finding(-1, f"What lies among the anchors as {each.place} is no checkpoint of that log and size.")


def _unanchored(house: Components, tenant: str, log: Row[Any] | None, anchors: Sequence[Anchor]) -> Found:
    """Entries that have been in the log for long, and no anchor is over them: by their own time, not by its row."""
    if house.logs.anchors is None or log is None or not log.size:
        return
    newest = next((each.checkpoint for each in anchors if each.checkpoint is not None), None)
    first = 0 if newest is None else newest.size
    if newest is not None and signing.parse_origin(newest.origin)[2] != log.generation:
        first = log.size - 1  # surely of this generation, wherever that began
    place = audit_entries.c.tenant_id == tenant, audit_entries.c.position == first
    with reading(house.records) as connection:
        at = connection.scalar(select(audit_entries.c.at).where(*place))
    if at is not None and house.clock() - at > STALE:
        yield tenant, Finding(first, f"From here on nothing is anchored, since {at:%Y-%m-%d %H:%M:%S}.")


def _without_a_log(house: Components, tenant: str, anchors: Sequence[bytes]) -> Found:
    """A log that was deleted, or is about to begin: then its entries are some seconds old."""
    if anchors:
        yield tenant, Finding(-1, "There are anchors of this log, and it is gone.")
    for finding in rows.check(house.records, house.keyring, tenant, 0, house.clock(), lambda _count: None):
        yield tenant, finding


def _in_folder(folder: Path, keys: Sequence[str], only: Sequence[str], notes: Sequence[tuple[Path, bytes]]) -> Found:
    """What is found in an export: of one log, or of a folder of them."""
    is_one = (folder / CHECKPOINT).exists()
    parts = ("tile", CHECKPOINT, KEYS)
    places = [folder] if is_one else sorted({path.parent for part in parts for path in folder.glob(f"*/{part}")})
    names = {place: _tenant_in(place / CHECKPOINT) if is_one else place.name for place in places}
    chosen = {place: name for place, name in names.items() if not only or name in only}
    if not chosen or {*only} - {*chosen.values()}:
        raise Refused(f"There is no such log in {folder}: `panless audit export` writes one.")
    _refuse_foreign(notes, list(chosen.values()))
    given = [parse_verifier(line) for line in keys]
    for lost in sorted({each.name.rpartition("/")[2] for each in given} - {*names.values()}):
        yield lost, Finding(-1, f"There is a key of this log, and no such log in {folder}.")
    for place, name in chosen.items():
        if (found := _tenant_in(place / CHECKPOINT)) != name:
            yield name, Finding(-1, f"Its checkpoint is that of another log: {found or 'of none'}.")
        verifiers = given or _keys_beside(place)
        with progress(f"Entries of {name}", _size_in(_read(place / CHECKPOINT))) as told:
            for finding in verify(Folder(place), verifiers, [*_of(name, notes)], told):
                yield name, finding


def _keys_beside(place: Path) -> list[Verifier]:
    if not (place / KEYS).exists():
        raise Refused(f"There are no keys in {place}. Give the log's with --key.")
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
    parts = _read(path).partition(b"\n")[0].decode(errors="replace").split("/")
    return parts[2] if len(parts) in {3, 4} else ""


def _size_in(note: bytes) -> int:
    """How many entries a checkpoint says there are; to show how far one is, before anything of it is believed."""
    lines = note.split(b"\n", 2)
    return int(lines[1]) if len(lines) > 1 and lines[1].isdigit() and len(lines[1]) < 19 else 0  # noqa: PLR2004  # 2**63


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""
