"""Files: a copy of one disk must not hold what protects it, and nobody else may read or replace what lies there."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from panless.checks.finding import Finding
from panless.checks.places import databases, file_of, same_disk
from panless.checks.roots import setting
from panless.settings.environment import Settings
from panless.settings.root_keys import KeyfilePlace

MOUNTS = Path("/proc/self/mountinfo")
SHARED = {
    *("afs", "beegfs", "ceph", "cifs", "gfs2", "glusterfs", "lustre", "nfs", "nfs4", "ocfs2", "smb3"),
    *("fuse.cephfs", "fuse.glusterfs", "fuse.s3fs", "fuse.sshfs"),
}
"""Kinds of file systems that other machines write to."""


def keyfile_apart(settings: Settings) -> Iterator[Finding]:
    """From both databases."""
    for name, file in _files(settings):
        if any(same_disk(file, keyfile) for keyfile in _keyfiles(settings)):
            yield Finding(
                what=f"The keyfile lies on the same disk as the {name}: who copies that disk can read everything.",
                mend=f"Mount the keyfile from elsewhere ({setting(settings)}).",
            )


def ledger_apart(settings: Settings) -> Iterator[Finding]:
    """From both databases."""
    for name, file in _files(settings):
        if isinstance(settings.ledger, Path) and same_disk(file, settings.ledger):
            yield Finding(
                what=f"The ledger lies on the same disk as the {name}: restoring that disk undoes erasures unseen.",
                mend="Put it on another disk (PANLESS_LEDGER).",
            )


def open_files(settings: Settings) -> Iterator[Finding]:
    """Databases that others can read; a keyfile that others can read does not load."""
    for _, file in _files(settings):
        if file.exists() and file.stat().st_mode & 0o077:
            yield Finding(what=f"{file} can be read by other users.", mend=f"Run: chmod 600 {file}")


def open_folders(settings: Settings) -> Iterator[Finding]:
    """Who can write to a folder can put another file in the place of ours."""
    folders = [place for place in (settings.ledger, settings.audit_anchor) if isinstance(place, Path)]
    files = [*_keyfiles(settings), settings.policy, *(file for _, file in _files(settings)), *_of_the_door(settings)]
    for folder in sorted({*folders, *(file.absolute().parent for file in files)}):
        mode = folder.stat().st_mode if folder.exists() else 0
        if mode & 0o022 and not mode & stat.S_ISVTX:
            yield Finding(what=f"Other users can replace files in {folder}.", mend=f"Run: chmod go-w {folder}")


def shared_files(settings: Settings, mounts: Path = MOUNTS) -> Iterator[Finding]:
    """SQLite's locks hold on one machine only."""
    for name, file in _files(settings):
        kind = _file_system(file, mounts)
        if kind in SHARED:
            yield Finding(
                what=f"The {name} are a SQLite file on {kind}, which other machines can write to at the same time.",
                mend=f"Use PostgreSQL (PANLESS_{name.upper()}_URL), or a disk of this machine alone.",
            )


def _file_system(file: Path, mounts: Path) -> str:
    """The kind of the file system that a file lies on; empty if that is not known."""
    if not (file.exists() and mounts.exists()):
        return ""
    device = file.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    lines = (line.partition(" - ") for line in mounts.read_text().splitlines())
    return next((kind.split()[0] for mount, _, kind in lines if mount.split()[2] == number), "")


def _files(settings: Settings) -> Iterator[tuple[str, Path]]:
    """The databases that are files."""
    return ((name, file) for name, url in databases(settings) if (file := file_of(url)))


def _of_the_door(settings: Settings) -> Iterator[Path]:
    """The files that say whose word counts there."""
    yield from (file for file in (settings.tls_certificate_file, settings.tls_key_file) if file is not None)
    if settings.oauth_jwks is not None and "://" not in settings.oauth_jwks:
        yield Path(settings.oauth_jwks)


def _keyfiles(settings: Settings) -> list[Path]:
    return [place.path for place in settings.roots if isinstance(place, KeyfilePlace)]
