"""What the ledger's protocol decides from what was read: no database, no ledger, nothing but these rules.

`ledger`, `guard`, `replay` and `effects` read, ask here, and write. `tests/vault/test_ledger_protocol.py` asks the same
functions in every order in which processes, crashes and restores can take the steps between.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from keys.identity import Identity, goes_on
from keys.keystore import Watermark

APPLY, APPLIED, BEHIND, PENDING, UNKNOWN = "apply", "applied", "behind", "pending", "unknown"
GOOD, RECORDS_RESTORED, KEYSTORE_RESTORED = "good", "records_restored", "keystore_restored"


class Placed(Protocol):
    """An entry in the ledger."""

    @property
    def mark(self) -> Watermark:
        """Its number and hash."""

    @property
    def id(self) -> str:
        """Its own random id."""

    @property
    def doomed(self) -> Sequence[tuple[str, bytes]]:
        """Tenant and id of each DEK that goes with it."""


Entries = TypeVar("Entries", bound=Placed)


@dataclass(frozen=True, slots=True)
class Seen:
    """Which databases were found, each with how far it has followed the ledger."""

    records: Identity
    keystore: Identity


def is_on_chain(mark: Watermark, hash_there: bytes | None) -> bool:
    """Whether the ledger still has the entry that was applied. Its number is not enough: another may stand there."""
    return mark.seq == 0 or mark.hash == hash_there


def stands(entry_id: str, after: Iterable[Placed]) -> bool:
    """Whether an entry was appended already, by whoever took up this step before."""
    return any(entry.id == entry_id for entry in after)


def lost(*, pending: bool, known: bool) -> str:
    """What has become of an entry while another one took its place in the ledger.

    APPLIED: by whoever took it up meanwhile. UNKNOWN: these are not the records that decided it, so it is lost.
    """
    if pending:
        return PENDING
    return APPLIED if known else UNKNOWN


def may_follow(keystore: Watermark, records: Watermark) -> bool:
    """Whether the keystore may catch up by itself. Keys go first, so one behind the records has lost something."""
    return keystore.seq >= records.seq


def doomed(entries: Iterable[Placed]) -> list[tuple[str, bytes]]:
    """The DEKs that go with these entries: of the incarnations that were erased, never of who came back."""
    return [dek for entry in entries for dek in entry.doomed]


def due(entries: Sequence[Entries], mark: Watermark, keystore: Watermark) -> Sequence[Entries]:
    """What the records, standing at `mark`, may apply: in the ledger's order, and no further than the keystore is."""
    return [entry for entry in entries if mark.seq < entry.mark.seq <= keystore.seq]


def fate(*, moved: bool, known: bool) -> str:
    """What becomes of a transaction that would apply an entry to the records.

    BEHIND: another process moved the watermark first. UNKNOWN: these records never decided it, so they were restored.
    """
    if not moved:
        return BEHIND
    return APPLY if known else UNKNOWN


def sets(version: Any, current: Any) -> Any:  # noqa: ANN401  # numbers, or columns of a statement
    """Whether a restriction comes into force: of two of one version the restrictive one wins."""
    return current <= version


def lifts(version: Any, current: Any, entry_id: Any, last: Any) -> Any:  # noqa: ANN401  # as above
    """Whether a restriction is lifted: by a newer entry, or by the last one. A late lift never wins."""
    return (current < version) | ((current == version) & (last == entry_id))


def finding(before: Seen, after: Sequence[Placed], known: Collection[str], again: Seen) -> str | None:
    """What the guard has found; None where it must look again, because a database was replaced meanwhile.

    It read in this order: `before`; the entries `after` the records' watermark; which of their ids the records `known`;
    `again`. In any other order an entry that is being appended looks like a restore.
    """
    if not _go_on(before, again):
        return None
    if any(entry.id not in known for entry in after if entry.mark.seq > again.records.mark.seq):
        return RECORDS_RESTORED
    return GOOD if may_follow(again.keystore.mark, again.records.mark) else KEYSTORE_RESTORED


def serves_on(then: Seen, now: Seen) -> bool:
    """Whether the last verdict holds while the ledger is away: for the same databases, none of which went back."""
    return _go_on(then, now) and may_follow(now.keystore.mark, now.records.mark)


def _go_on(then: Seen, now: Seen) -> bool:
    return goes_on(then.records, now.records) and goes_on(then.keystore, now.keystore)
