"""The folder that `panless dev` keeps everything in: made once, recognized again, and refused when it is not whole.

Nothing is made anew beside what is there: a new keyfile beside an old keystore would only hide that the old is lost.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import DatabaseError

from keys import keystore as keystores
from keys.keystore import Watermark
from keys.providers import keyfile
from panless.settings import opendsr_files
from panless.settings.policies import example_policy, read_policy
from panless.shown.trouble import Refused
from rows.engine import open_database, reading
from vault import deployments
from vault.ledger.watermarks import watermark

OPENDSR_DOMAIN = "localhost"


@dataclass(frozen=True, slots=True)
class Home:
    """The files of a home."""

    folder: Path

    @property
    def keyfile(self) -> Path:
        """The root key."""
        return self.folder / "keyfile"

    @property
    def records(self) -> Path:
        """The records' database."""
        return self.folder / "records.db"

    @property
    def keystore(self) -> Path:
        """The keystore's database."""
        return self.folder / "keystore.db"

    @property
    def ledger(self) -> Path:
        """The ledger's folder."""
        return self.folder / "ledger"

    @property
    def anchors(self) -> Path:
        """Where the audit log is anchored."""
        return self.folder / "anchors"

    @property
    def policy(self) -> Path:
        """The policy file."""
        return self.folder / "policy.toml"

    @property
    def opendsr_key(self) -> Path:
        """The key that OpenDSR's answers are signed with here."""
        return self.folder / "opendsr-key.pem"

    @property
    def opendsr_certificate(self) -> Path:
        """Its certificate, which it signs itself."""
        return self.folder / "opendsr-certificate.pem"

    @property
    def environment(self) -> Path:
        """What a shell and the next run read: addresses, paths, API keys."""
        return self.folder / "dev.env"

    @property
    def logs(self) -> Path:
        """The folder of the programs' logs."""
        return self.folder / "logs"

    @property
    def unfinished(self) -> Path:
        """A mark that stands from the beginning of the first set-up to its end: nothing was served before."""
        return self.folder / "setup-unfinished"


@contextmanager
def locked(home: Home) -> Iterator[None]:
    """Hold the home for this process alone. Raises Refused when another one has it."""
    home.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = os.open(home.folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _lock(folder, home)
        yield
    finally:
        os.close(folder)


def _lock(folder: int, home: Home) -> None:
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Refused(f"Another panless dev runs on {home.folder}. Stop it, or name another folder: --home.") from None


def lay_out(home: Home) -> None:
    """Make the files of a new home, or check those of an old one. Raises Refused, KeyfileRefused, PolicyError."""
    if not any(home.folder.iterdir()):
        home.unfinished.touch()
    if home.unfinished.exists():
        _make(home)
    else:
        _check(home)
    home.anchors.mkdir(exist_ok=True)  # homes of before had none
    _sign_as_localhost(home)


def _make(home: Home) -> None:
    """Make what is missing; a set-up that was interrupted goes on where it stopped."""
    if not home.keyfile.exists():
        keyfile.create(home.keyfile)
    home.ledger.mkdir(exist_ok=True)
    if not home.policy.exists():
        home.policy.write_text(example_policy())


def _sign_as_localhost(home: Home) -> None:
    """Make what OpenDSR signs with, unless it is there: nothing hangs on it."""
    files = (home.opendsr_key, home.opendsr_certificate)
    if not all(file.exists() for file in files):
        for file in files:
            file.unlink(missing_ok=True)
        opendsr_files.create(OPENDSR_DOMAIN, *files, datetime.now(UTC))


def _check(home: Home) -> None:
    _refuse_missing(home)
    keyfile.load(home.keyfile)
    read_policy(home.policy)
    records, keystore = (open_database(f"sqlite:///{file}") for file in (home.records, home.keystore))
    try:
        marks = _marks_of_one_deployment(home, records, keystore)
    finally:
        records.dispose()
        keystore.dispose()
    if not home.ledger.is_dir():
        if max(mark.seq for mark in marks):
            raise Refused(f"{home.ledger} is missing, and the databases know of entries in it. Bring it back.")
        home.ledger.mkdir()  # nothing was ever written to it


def _refuse_missing(home: Home) -> None:
    whole = {
        home.keystore: "Without it nothing in records.db can be read.",
        home.records: "The keys in keystore.db are of no use without it.",
        home.keyfile: "Without it nothing in keystore.db opens.",
        home.policy: "Copy panless/policy.toml there, if you never changed it.",
    }
    missing = [file for file in whole if not file.exists()]
    if len(missing) == len(whole):
        raise Refused(f"{home.folder} holds other files than a home of Panless. Name an empty or a new folder: --home.")
    if missing:
        file = missing[0]
        raise Refused(f"{file} is missing. {whole[file]} Bring it back, or start anew in another folder: --home.")


def _marks_of_one_deployment(home: Home, records: Engine, keystore: Engine) -> tuple[Watermark, Watermark]:
    """How far each database followed the ledger. Raises Refused if they are not two databases of one deployment."""
    try:
        with reading(records) as of_records, reading(keystore) as of_keystore:
            theirs = deployments.deployment_of(of_records), keystores.deployment_of(of_keystore)
            if theirs[0] is None or theirs[0] != theirs[1]:
                raise Refused(
                    f"{home.records} and {home.keystore} are not of the same deployment. "
                    "Bring back the one that belongs to the other."
                )
            return watermark(of_records), keystores.watermark(of_keystore)
    except DatabaseError as error:
        raise Refused(f"A database in {home.folder} can't be read ({error.orig}). Bring back a whole copy.") from None
