"""What `panless check` looks at: all that can be found wrong with a deployment from here, each with its mend."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from sqlalchemy import URL, make_url

from keys.errors import KeyMissing, RootKeyAway, RootKeyDenied, Unreadable
from panless import opendsr_files, root_keys
from panless.policies import read_policy
from panless.ports import split
from panless.root_keys import LOOPBACK, KeyfilePlace
from panless.settings import Bucket, Settings, read_settings
from panless.trouble import EXPECTED, sentence
from panless.wiring import Components, build

LONG_TTL = 300.0
SOON = 30
"""Days before its end that a certificate wants renewing."""
REACH = timedelta(days=100)
"""How far ahead a request that comes in today may be due, once it was extended: three months, and a weekend."""

SAFE_TLS = ("verify-full", "verify-ca")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is unsafe, or worth knowing."""

    what: str
    mend: str
    is_unsafe: bool = True


def examine() -> list[Finding]:
    """All that can be found. What can't be looked at because something else is wrong is not guessed at."""
    try:
        settings = read_settings()
    except EXPECTED as error:
        return [_broken(error)]
    findings = [finding for look in LOOKS for finding in look(settings)]
    try:
        with closing(build(settings)) as house:
            return [*findings, *_of_house(house), *_holidays(house)]
    except EXPECTED as error:
        broken = _broken(error)
        return findings if broken in findings else [*findings, broken]


def _broken(error: Exception) -> Finding:
    """Trouble that says its own mend."""
    return Finding(what=sentence(error), mend="")


def _root_keys_and_policy(settings: Settings) -> Iterator[Finding]:
    for load in (lambda: root_keys.load(settings.roots), lambda: read_policy(settings.policy)):
        try:
            load()
        except EXPECTED as error:
            yield _broken(error)


def _disks(settings: Settings) -> Iterator[Finding]:
    """A copy of one disk must not hold what protects it."""
    for name, url in _databases(settings):
        file = _file(url)
        if file is None:
            continue
        yield from _keyfiles_beside(settings, file, name)
        if isinstance(settings.ledger, Path) and _same_disk(file, settings.ledger):
            yield Finding(
                what=f"The ledger lies on the same disk as the {name}: restoring that disk undoes erasures unseen.",
                mend="Put it on another disk (PANLESS_LEDGER).",
            )
        if file.exists() and file.stat().st_mode & 0o077:
            yield Finding(what=f"{file} can be read by other users.", mend=f"Run: chmod 600 {file}")


def _keyfiles_beside(settings: Settings, database: Path, name: str) -> Iterator[Finding]:
    for place in settings.roots:
        if isinstance(place, KeyfilePlace) and _same_disk(database, place.path):
            yield Finding(
                what=f"The keyfile lies on the same disk as the {name}: who copies that disk can read everything.",
                mend=f"Mount the keyfile from elsewhere ({_setting(settings)}).",
            )


def _setting(settings: Settings) -> str:
    """The setting that names the root keys here."""
    return "PANLESS_ROOT_KEYS" if settings.root_keys else "PANLESS_KEYFILE"


def _servers(settings: Settings) -> Iterator[Finding]:
    """Keys and what they open must not fall together."""
    records, keystore = (url for _, url in _databases(settings))
    if records.get_backend_name() != keystore.get_backend_name():
        return
    if _same_server(records, keystore):
        yield Finding(
            what="The keystore stands beside the records: one stolen backup holds both.",
            mend="Give it a server of its own, with its own short backups (PANLESS_KEYSTORE_URL).",
        )
    if records.username and records.username == keystore.username:
        yield Finding(
            what="Records and keystore are opened by the same database user.",
            mend="Give each its own user, which can't open the other.",
        )


def _tls(settings: Settings) -> Iterator[Finding]:
    for name, url in _databases(settings):
        if url.host in (None, *LOOPBACK) or str(url.host).startswith("/") or url.query.get("sslmode") in SAFE_TLS:
            continue
        yield Finding(
            what=f"The connection to the {name} at {url.host} does not prove who answers.",
            mend="Add ?sslmode=verify-full&sslrootcert=FILE to its URL.",
        )
    if split(settings.bind)[0] not in LOOPBACK and settings.tls_key_file is None:
        yield Finding(
            what=f"The server listens beyond this machine ({settings.bind}) and speaks plain HTTP.",
            mend="Let only a proxy that speaks TLS reach it, or set PANLESS_TLS_CERTIFICATE_FILE and _KEY_FILE.",
            is_unsafe=False,
        )


def _choices(settings: Settings) -> Iterator[Finding]:
    """What is allowed, and has a price."""
    if settings.accept_raw_cards:
        yield _note("Raw cards are accepted, which puts you in PCI scope.", "Unset PANLESS_ACCEPT_RAW_CARDS.")
    if settings.sandbox_url is not None:
        yield _note("A sandbox processor is configured.", "In production, unset PANLESS_SANDBOX_URL.")
    if settings.kek_ttl > LONG_TTL:
        yield _note(
            f"KEKs stay in memory for {settings.kek_ttl:.0f} s: so long a root key that was taken away still serves.",
            f"Set PANLESS_KEK_TTL to {LONG_TTL:.0f} or less.",
        )
    if isinstance(settings.ledger, Bucket) and settings.ledger_lock_days is None:
        yield _note("Who may delete from the ledger's bucket can cut the ledger.", "Set PANLESS_LEDGER_LOCK_DAYS.")
    if settings.is_sqlite:
        yield _note("SQLite writes one at a time.", "Use PostgreSQL where many write.")
    if settings.log_level == "DEBUG":
        yield _note("The log level is DEBUG.", "Set PANLESS_LOG_LEVEL=INFO.")


def _of_house(house: Components) -> Iterator[Finding]:
    """What only the databases and the ledger know."""
    try:
        house.keyring.tenant_key(house.keyring.deployment, "signing")
    except (RootKeyAway, RootKeyDenied, Unreadable, KeyMissing) as error:
        what = f"The root key does not open this keystore ({sentence(error).rstrip('.')})."
        yield Finding(what=what, mend=f"Point {_setting(house.settings)} at the one that it was made with.")
        return
    verdict = house.guard.check()
    if not verdict.is_good:
        yield Finding(what=verdict.message, mend=verdict.cause)
    if house.opendsr is not None:
        days = opendsr_files.days_left(house.opendsr, house.clock())
        if days < SOON:
            yield Finding(
                what=f"The certificate for OpenDSR is good for {max(days, 0)} days more.",
                mend="Renew it (PANLESS_OPENDSR_CERTIFICATE_FILE).",
                is_unsafe=days < 0,
            )


def _holidays(house: Components) -> Iterator[Finding]:
    """An answer can be due on a day that nobody wrote down as a holiday yet."""
    reach = (house.clock() + REACH).date()
    if max(house.policy.holidays, default=date.min) < reach:
        yield _note(
            f"The policy file names no holiday on {reach} or later, and a rights request may be due then.",
            "Add the next year's (PANLESS_POLICY).",
        )


LOOKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (_root_keys_and_policy, _disks, _servers, _tls, _choices)


def _note(what: str, mend: str) -> Finding:
    return Finding(what=what, mend=mend, is_unsafe=False)


def _databases(settings: Settings) -> tuple[tuple[str, URL], ...]:
    return ("records", make_url(settings.records_url.value)), ("keystore", make_url(settings.keystore_url.value))


def _file(url: URL) -> Path | None:
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def _server(url: URL) -> tuple[object, int]:
    """Where a database answers; a socket's folder may stand in the query."""
    return url.host or url.query.get("host", "localhost"), url.port or 5432


def _same_server(one: URL, other: URL) -> bool:
    files = _file(one), _file(other)
    if files[0] is not None and files[1] is not None:
        return _same_disk(files[0], files[1])
    return _server(one) == _server(other)


def _same_disk(one: Path, other: Path) -> bool:
    try:
        return one.stat().st_dev == other.stat().st_dev
    except OSError:
        return False  # one of them is missing, which is found elsewhere
