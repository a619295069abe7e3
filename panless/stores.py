"""Where numbered files that are written once lie, by the settings: the ledger's entries, the audit log's anchors."""

from typing import TYPE_CHECKING

from panless.errors import WiringError
from panless.settings.environment import Settings
from panless.settings.stores import Bucket
from vault.ledger.book import LedgerStore
from vault.stores.directory import DirectoryStore
from vault.stores.kinds import ANCHORS, LEDGER, Kind
from vault.tlog.anchor_store import AnchorStore

if TYPE_CHECKING:
    from vault.stores.s3 import S3Store


def ledger_store(settings: Settings) -> LedgerStore:
    """The store that PANLESS_LEDGER names. Raises WiringError where boto3 is needed and not installed."""
    if not isinstance(settings.ledger, Bucket):
        return DirectoryStore(settings.ledger)
    return _bucket_store(LEDGER, settings.ledger, settings.ledger_endpoint, settings.ledger_lock_days)


def anchor_store(settings: Settings) -> AnchorStore | None:
    """The store that PANLESS_AUDIT_ANCHOR names, if it names one. Raises as `ledger_store`."""
    place = settings.audit_anchor
    if not isinstance(place, Bucket):
        return None if place is None else DirectoryStore(place, ANCHORS)
    return _bucket_store(ANCHORS, place, settings.audit_anchor_endpoint, settings.audit_anchor_lock_days)


def _bucket_store(kind: Kind, place: Bucket, endpoint: str | None, lock_days: int | None) -> "S3Store":
    try:
        from vault.stores.s3 import S3Store  # noqa: PLC0415  # boto3 is an extra; most do without
    except ModuleNotFoundError:
        needs = f"{kind.setting} in s3:// needs boto3. Run: pip install -r requirements/s3.txt."
        raise WiringError(needs) from None
    return S3Store(place.name, place.prefix, endpoint=endpoint, lock_days=lock_days, kind=kind)
