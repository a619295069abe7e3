"""What wants doing again and again: new keys, short backups, certificates, next year's holidays."""

from collections.abc import Iterator
from datetime import date, timedelta

from keys import keks
from panless.checks.finding import SOON, Finding, note
from panless.settings import opendsr_files
from panless.settings.environment import Settings
from panless.settings.policies import read_policy
from panless.settings.stores import Bucket
from panless.wiring import Components
from vault.tenancy import key_ends

REACH = timedelta(days=100)
"""How far ahead a request that comes in today may be due, once it was extended: three months, and a weekend."""
SLACK = timedelta(days=1)
"""How late a KEK may be followed by the next one: a root key may be away for a while."""
SHORT = 7
"""Days for which the keystore's backups may be kept (docs/policy.md)."""


def policy(settings: Settings) -> Iterator[Finding]:
    """A policy file that lacks something, for example how long backups are kept: said by the error itself."""
    read_policy(settings.policy)
    yield from ()


def kek_epochs(house: Components) -> Iterator[Finding]:
    """A tenant's newest KEK is older than an epoch is long."""
    epoch = timedelta(days=house.settings.kek_epoch_days)
    late = keks.due(house.keyring, house.clock() - epoch - SLACK)
    if late:
        yield Finding(
            what=f"The key encryption keys of {len(late)} tenants are more than {epoch.days} days old.",
            mend="See why the worker can't rotate them (panless keys status), or run: panless keys rotate.",
        )


def backups(house: Components) -> Iterator[Finding]:
    """For as long as an old keystore can be had, a destroyed key can."""
    days = house.policy.keystore_backup_days
    if days > SHORT:
        yield Finding(
            what=f"Backups of the keystore are kept for {days} days: for so long they open what was erased.",
            mend=f"Keep them for {SHORT} days at most, and say so in the policy file (keystore_backup_days).",
        )


def ledger_lock(house: Components) -> Iterator[Finding]:
    """An old backup needs the entries that came after it."""
    locked, kept = house.settings.ledger_lock_days, house.policy.records_backup_days
    if not isinstance(house.settings.ledger, Bucket):
        return
    if locked is None:
        yield note("Who may delete from the ledger's bucket can cut the ledger.", "Set PANLESS_LEDGER_LOCK_DAYS.")
    elif locked < kept:
        yield Finding(
            what=f"Entries are locked in the bucket for {locked} days, and backups of the records kept for {kept}.",
            mend=f"Set PANLESS_LEDGER_LOCK_DAYS to more than {kept}.",
        )


def opendsr_certificate(house: Components) -> Iterator[Finding]:
    """Controllers refuse one that is over."""
    if house.opendsr is not None:
        days = opendsr_files.days_left(house.opendsr, house.clock())
        if days < SOON:
            yield Finding(
                what=f"The certificate for OpenDSR is good for {max(days, 0)} days more.",
                mend="Renew it (PANLESS_OPENDSR_CERTIFICATE_FILE).",
                is_unsafe=days < 0,
            )


def client_keys(house: Components) -> Iterator[Finding]:
    """A client whose last key has ended is answered 401."""
    now = house.clock()
    clients = key_ends.ending(house.records, now, now + timedelta(days=SOON))
    if clients:
        yield note(
            f"The keys of {len(clients)} clients end within {SOON} days, those of {clients[0]} first.",
            "Give each another one: panless clients rotate --client CLIENT.",
        )


def revoked_clients(house: Components) -> Iterator[Finding]:
    """An old row that somebody wrote back is genuine: only what came after it tells that it is old."""
    if clients := key_ends.revived(house.records):
        yield Finding(
            what=f"The keys of {', '.join(clients)} were revoked and are good again: somebody put their rows back.",
            mend="Revoke them again (panless clients revoke), and see who writes to the records.",
        )


def holidays(house: Components) -> Iterator[Finding]:
    """An answer can be due on a day that nobody wrote down as a holiday yet."""
    reach = (house.clock() + REACH).date()
    if max(house.policy.holidays, default=date.min) < reach:
        yield note(
            f"The policy file names no holiday on {reach} or later, and a rights request may be due then.",
            "Add the next year's (PANLESS_POLICY).",
        )
