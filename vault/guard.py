"""The boot guard: whether these databases may serve, held against the erasure ledger.

Read both watermarks, then the ledger, then the outbox ids with the records' watermark again, then the keystore's: in
any other order an entry that is being appended looks like a restored database. The first finding that matches wins.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import InterfaceError, OperationalError

from keys import keystore as keystores
from keys.database import reading
from keys.errors import KeyMissing
from vault import protocol
from vault.effects import Entry
from vault.errors import LedgerAway, LedgerBroken
from vault.ledger import Ledger, chain, watermark
from vault.protocol import Marks
from vault.tables import deployment, ledger_outbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the guard found: `good`, or a code and a sentence that says what to do.

    `cause` is what the ledger or its store said, also of one that is away within the grace. It is for who runs
    Panless; clients are not told.
    """

    code: str
    message: str = ""
    cause: str = ""

    @property
    def is_good(self) -> bool:
        """Whether requests may be served."""
        return self.code == "good"


GOOD = Verdict(code="good")
NOT_CHECKED = Verdict(code="starting", message="The ledger has not been checked yet.")
_MESSAGES = {
    "good": "",
    "deployment_mismatch": "Records and keystore do not belong together. Point both settings at one deployment.",
    "database_unavailable": "A database does not answer. Bring it back; nothing else has to be done.",
    "ledger_unavailable": "The erasure ledger does not answer. Bring it back; nothing is served without it.",
    "ledger_cut": "The erasure ledger is shorter than these databases know, or was changed. Restore the whole ledger.",
    "records_restored": "These records are older than the ledger: they were restored. Run `panless erasure replay`.",
    "keystore_restored": "This keystore is older than the records: it was restored. Run `panless erasure replay`.",
}


class Guard:
    """The last verdict of one process, and since when the ledger has been away."""

    def __init__(
        self,
        *,
        records: Engine,
        ledger: Ledger,
        clock: Callable[[], datetime],
        grace: timedelta = timedelta(minutes=15),
    ) -> None:
        """Take what to check; nothing is checked, and nothing serves, before the first `check`."""
        self.verdict = NOT_CHECKED
        self._records = records
        self._ledger = ledger
        self._clock = clock
        self._grace = grace
        self._last_good: datetime | None = None

    def check(self) -> Verdict:
        """Look again, and keep the verdict. While the ledger is away, a good one serves on for the grace."""
        found = inspect(self._records, self._ledger)
        now = self._clock()
        if found.is_good:
            self._last_good = now
        elif found.code == "ledger_unavailable" and self._last_good and now - self._last_good <= self._grace:
            found = replace(GOOD, cause=found.cause)
        self.verdict = found
        return found


def inspect(records: Engine, ledger: Ledger) -> Verdict:
    """Hold both databases against the ledger, once."""
    for _ in range(20):
        try:
            verdict = _inspect(records, ledger)
        except LedgerAway as error:
            return _verdict("ledger_unavailable", str(error))
        except LedgerBroken as error:
            return _verdict("ledger_cut", str(error))
        except KeyMissing:
            return _verdict("deployment_mismatch")
        except (OperationalError, InterfaceError):
            return _verdict("database_unavailable")
        if verdict is not None:
            return verdict
    return _verdict("database_unavailable")  # the databases went back at every look: they are being replaced


def _inspect(records: Engine, ledger: Ledger) -> Verdict | None:
    before = _marks(records, ledger)
    if not _same_deployment(records, ledger):
        return _verdict("deployment_mismatch")
    after = chain(ledger, before.records)
    chain(ledger, before.keystore)
    with reading(records) as connection:
        known = _known(connection, after)
    found = protocol.finding(before, after, known, _marks(records, ledger))
    return None if found is None else _verdict(found)


def _marks(records: Engine, ledger: Ledger) -> Marks:
    with reading(records) as connection:
        of_records = watermark(connection)
    with reading(ledger.keystore) as connection:
        return Marks(of_records, keystores.watermark(connection))


def _same_deployment(records: Engine, ledger: Ledger) -> bool:
    with reading(records) as connection:
        ours = connection.execute(select(deployment.c.deployment_id)).scalar_one_or_none()
    with reading(ledger.keystore) as connection:
        return ours is not None and ours == keystores.deployment_of(connection)


def _known(connection: Connection, entries: list[Entry]) -> set[str]:
    """Which of these entries' ids the records have decided."""
    ids = [entry.id for entry in entries]
    if not ids:
        return set()
    return set(connection.scalars(select(ledger_outbox.c.entry_id).where(ledger_outbox.c.entry_id.in_(ids))))


def _verdict(code: str, cause: str = "") -> Verdict:
    return Verdict(code=code, message=_MESSAGES[code], cause=cause)
