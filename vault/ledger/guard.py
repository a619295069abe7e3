"""The boot guard: whether these databases may serve, held against the erasure ledger.

Read both watermarks, then the ledger, then the outbox ids with the records' watermark again, then the keystore's: in
any other order an entry that is being appended looks like a restored database. The first finding that matches wins.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count

from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from keys import keystore as keystores
from keys.errors import KeyMissing
from keys.identity import Identity, Witness, of_keystore
from rows.engine import REPLACED, is_sqlite, reading
from rows.tenants import for_tenant
from vault.errors import LedgerAway, LedgerBroken, Refused
from vault.ledger import protocol, vouched
from vault.ledger.book import Ledger, chain
from vault.ledger.effects import Entry
from vault.ledger.protocol import Seen
from vault.ledger.watermarks import identity as records_identity
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
_UNSEEN = ("ledger_unavailable", "database_unavailable")
"""What was found without having held the one against the other: the last verdict may go on."""

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
    """The last verdict of one process, and when it was good for the last time."""

    def __init__(
        self,
        *,
        records: Engine,
        ledger: Ledger,
        clock: Callable[[], datetime],
        grace: timedelta | None = timedelta(minutes=15),
    ) -> None:
        """Take what to check; nothing is checked, and nothing serves, before the first `check`.

        `grace`: for how long a good verdict serves while the ledger is away; None is without end, also in a process
        that starts meanwhile, over the two databases that the last good verdict of any process was about.
        From now on it looks at once where a witness, which requests pass by, sees another database. One that does
        not answer undoes no good verdict: that was about these databases, and each request finds out by itself.
        """
        self.verdict = NOT_CHECKED
        self._records = records
        self._ledger = ledger
        self._clock = clock
        self._grace = grace
        self._good: datetime | None = None
        self._lock = threading.Lock()
        self._turns, self._believed = count(1), 0
        for witness in self._witnesses:
            witness.alarm = self._look_at_once
        if is_sqlite(records):
            ledger.witness.suspects = self._has_more

    def check(self) -> Verdict:
        """Look again, and keep the verdict. While the ledger is away, a good one serves on for the grace.

        Several may look at once, so that one whose database hangs keeps nobody waiting: who began last is believed.
        """
        turn = next(self._turns)
        found, seen = _look(self._records, self._ledger)
        now = self._clock()
        is_granted = found.code == "ledger_unavailable" and seen is not None and self._is_within_grace(now, seen)
        told = replace(GOOD, cause=found.cause) if is_granted else found
        with self._lock:
            if turn < self._believed:
                return self.verdict
            if told.code == "database_unavailable" and self.verdict.is_good:
                return told
            self._believed = turn
            self._good = now if found.is_good else self._good
            self.verdict = told
            self._vouch(seen if told.is_good else None)
        if found.code not in _UNSEEN:
            self._keep(seen if found.is_good else None)
        return told

    def _is_within_grace(self, now: datetime, seen: Seen) -> bool:
        """Only for the databases that the last good verdict was about: nobody could say what others have lost."""
        is_over = self._grace is not None and (self._good is None or now - self._good > self._grace)
        then = None if is_over else self._vouched_for()
        return then is not None and protocol.serves_on(then, seen)

    def _vouched_for(self) -> Seen | None:
        records, keystore = (witness.vouched for witness in self._witnesses)
        if records is not None and keystore is not None:
            return Seen(records, keystore)
        if self._grace is not None:
            return None
        try:
            return vouched.kept(self._records, self._ledger.keystore, self._ledger.place)
        except DBAPIError:
            return None

    def _keep(self, seen: Seen | None) -> None:
        """For who starts while the ledger is away. The verdict stands where this fails; the next look tries again."""
        if self._grace is None:
            with suppress(DBAPIError):
                vouched.keep(self._records, self._ledger.keystore, self._ledger.place, seen)

    @property
    def _witnesses(self) -> tuple[Witness, Witness]:
        return self._ledger.witness, self._ledger.keyring.witness

    def _vouch(self, seen: Seen | None) -> None:
        records, keystore = self._witnesses
        records.vouched = seen.records if seen else None
        keystore.vouched = seen.keystore if seen else None

    def _has_more(self, records: Identity) -> bool:
        """Whether the ledger goes on behind these records: they are about to follow it, or were put back."""
        return self._ledger.store.seems_to_have(records.mark.seq + 1)

    def _look_at_once(self) -> None:
        verdict = self.check()
        if not verdict.is_good:
            raise Refused(verdict.code, verdict.message)


def inspect(records: Engine, ledger: Ledger) -> Verdict:
    """Hold both databases against the ledger, once."""
    return _look(records, ledger)[0]


def _look(records: Engine, ledger: Ledger) -> tuple[Verdict, Seen | None]:
    """The verdict, and which databases it is about, where they were seen."""
    seen = None
    for _ in range(20):
        try:
            seen = _seen(records, ledger)
            verdict, again = _inspect(records, ledger, seen)
        except LedgerAway as error:
            return _verdict("ledger_unavailable", str(error)), seen
        except LedgerBroken as error:
            return _verdict("ledger_cut", str(error)), seen
        except KeyMissing:
            return _verdict("deployment_mismatch"), seen
        except (OperationalError, InterfaceError):
            return _verdict("database_unavailable"), seen
        if verdict is not None:
            return verdict, again
    return _verdict("database_unavailable"), seen  # another one at every look: they are being replaced


def _inspect(records: Engine, ledger: Ledger, before: Seen) -> tuple[Verdict | None, Seen]:
    if not _same_deployment(records, ledger):
        return _verdict("deployment_mismatch"), before
    after = chain(ledger, before.records.mark)
    if before.keystore.mark != before.records.mark:
        chain(ledger, before.keystore.mark)
    known = _known(records, after)
    again = _seen(records, ledger)
    found = protocol.finding(before, after, known, again)
    return (None if found is None else _verdict(found)), again


def _seen(records: Engine, ledger: Ledger) -> Seen:
    return Seen(_identity(records, records_identity), _identity(ledger.keystore, of_keystore))


def _identity(engine: Engine, identity: Callable[[Connection], Identity]) -> Identity:
    """Which database the engine reads: not a file that another one has taken the place of."""
    with reading(engine) as connection:
        found = identity(connection)
    if found.instance == REPLACED:
        engine.dispose()
        with reading(engine) as connection:
            found = identity(connection)
    return found


def _same_deployment(records: Engine, ledger: Ledger) -> bool:
    with reading(records) as connection:
        ours = connection.execute(select(deployment.c.deployment_id)).scalar_one_or_none()
    with reading(ledger.keystore) as connection:
        return ours is not None and ours == keystores.deployment_of(connection)


def _known(records: Engine, entries: list[Entry]) -> set[str]:
    """Which of these entries' ids the records have decided."""
    wanted = ledger_outbox.c.entry_id.in_([entry.id for entry in entries])
    known: set[str] = set()
    for rows in {for_tenant(records, tenant) for tenant in {entry.body["tenant"] for entry in entries}}:
        with reading(rows) as connection:
            known.update(connection.scalars(select(ledger_outbox.c.entry_id).where(wanted)))
    return known


def _verdict(code: str, cause: str = "") -> Verdict:
    return Verdict(code=code, message=_MESSAGES[code], cause=cause)
