from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import Engine, insert, select, update
from sqlalchemy.exc import IntegrityError, StatementError

from keys.errors import KeyMissing, WatermarkMoved
from keys.keyring import Keyring
from keys.keystore import (
    BEGINNING,
    DEKS,
    DEPLOYMENT,
    GUARD,
    Watermark,
    advance,
    deployment_of,
    found,
    has_live_dek,
    metadata,
    watermark,
)
from rows.engine import reading, transaction

AT = datetime(2026, 2, 3, 4, 5, 6, 7, tzinfo=UTC)
FIRST, SECOND = Watermark(1, b"1" * 32), Watermark(2, b"2" * 32)


def mark(keystore: Engine) -> Watermark:
    with reading(keystore) as connection:
        return watermark(connection)


def is_live(keystore: Engine, subject_id: str, tenant_id: str = "ten_1") -> bool:
    with reading(keystore) as connection:
        return has_live_dek(connection, tenant_id, subject_id)


def test_a_founded_keystore(keystore: Engine) -> None:
    """A keystore knows its deployment, and starts before the ledger's first entry."""
    with reading(keystore) as connection:
        assert deployment_of(connection) == "dep_1"
    assert mark(keystore) == BEGINNING == Watermark(0, bytes(32))


def test_a_keystore_is_founded_once(keystore: Engine) -> None:
    """A second deployment can't take a keystore over, and a refused attempt changes nothing."""
    with pytest.raises(IntegrityError), transaction(keystore) as connection:
        found(connection, "dep_2")
    with reading(keystore) as connection:
        assert deployment_of(connection) == "dep_1"


def test_a_keystore_that_was_never_founded(new_database: Callable[[], Engine]) -> None:
    """It has no deployment, and asking for its watermark says that something is missing."""
    engine = new_database()
    metadata.create_all(engine)
    with reading(engine) as connection:
        assert deployment_of(connection) is None
        with pytest.raises(KeyMissing):
            watermark(connection)


def test_advance_moves_the_mark_and_destroys(keystore: Engine, ring: Keyring) -> None:
    """One call tombstones the DEKs named, with when and by which entry, moves the mark, and touches no other DEK."""
    gone = ring.new_dek("ten_1", "customer", "cus_1")
    ring.new_dek("ten_1", "customer", "cus_2")
    assert advance(keystore, before=BEGINNING, after=FIRST, destroyed=[("ten_1", gone.id)], at=AT) == []
    assert mark(keystore) == FIRST
    assert not is_live(keystore, "cus_1")
    assert is_live(keystore, "cus_2")
    columns = (DEKS.c.wrapped, DEKS.c.destroyed_at, DEKS.c.destroyed_by_seq, DEKS.c.subject_id)
    with reading(keystore) as connection:
        row = connection.execute(select(*columns).where(DEKS.c.dek_id == gone.id)).one()
    assert tuple(row) == (None, AT, 1, "cus_1")


def test_somebody_resealed_lives_until_the_last_of_their_deks_goes(keystore: Engine, ring: Keyring) -> None:
    """Two DEKs of one customer: one destroyed is not enough; one of another tenant's customer is no one's."""
    deks = [ring.new_dek("ten_1", "customer", "cus_1") for _ in range(2)]
    advance(keystore, before=BEGINNING, after=FIRST, destroyed=[("ten_1", deks[0].id)], at=AT)
    assert is_live(keystore, "cus_1")
    assert not is_live(keystore, "cus_1", "ten_2")
    advance(keystore, before=FIRST, after=SECOND, destroyed=[("ten_1", deks[1].id)], at=AT)
    assert not is_live(keystore, "cus_1")


def test_a_lost_race_changes_nothing(keystore: Engine, ring: Keyring) -> None:
    """From another mark, by sequence or by hash, nothing moves and nothing is destroyed."""
    dek = ring.new_dek("ten_1", "customer", "cus_1")
    for wrong in (FIRST, Watermark(0, b"x" * 32)):
        with pytest.raises(WatermarkMoved) as lost:
            advance(keystore, before=wrong, after=SECOND, destroyed=[("ten_1", dek.id)], at=AT)
        assert lost.value.retryable
    assert mark(keystore) == BEGINNING
    assert is_live(keystore, "cus_1")


def test_one_of_many_advances_wins(keystore: Engine) -> None:
    """Of several processes that advance from the same mark at once, exactly one does."""

    def attempt(number: int) -> bool:
        try:
            advance(keystore, before=BEGINNING, after=Watermark(1, bytes([number]) * 32), destroyed=[], at=AT)
        except WatermarkMoved:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(attempt, range(8))) == 1
    assert mark(keystore).seq == 1


def test_missing_rows_are_reported(keystore: Engine, ring: Keyring) -> None:
    """A DEK that has no row is reported and not invented; one of another tenant counts as missing; the rest goes on."""
    dek = ring.new_dek("ten_1", "customer", "cus_1")
    named = [("ten_1", bytes(16)), ("ten_2", dek.id), ("ten_1", dek.id)]
    assert advance(keystore, before=BEGINNING, after=FIRST, destroyed=named, at=AT) == named[:2]
    assert not is_live(keystore, "cus_1")
    assert not is_live(keystore, "cus_2")
    assert mark(keystore) == FIRST


def test_a_tombstone_keeps_its_first_date(keystore: Engine, ring: Keyring) -> None:
    """Destroying again reports nothing missing, and leaves when and why it was destroyed."""
    dek = ring.new_dek("ten_1", "customer", "cus_1")
    advance(keystore, before=BEGINNING, after=FIRST, destroyed=[("ten_1", dek.id)], at=AT)
    later = AT + timedelta(days=1)
    assert advance(keystore, before=FIRST, after=SECOND, destroyed=[("ten_1", dek.id)], at=later) == []
    with reading(keystore) as connection:
        row = connection.execute(select(DEKS.c.destroyed_at, DEKS.c.destroyed_by_seq).where(DEKS.c.dek_id == dek.id))
        assert tuple(row.one()) == (AT, 1)


def test_a_failure_in_the_middle_changes_nothing(keystore: Engine, ring: Keyring) -> None:
    """If destroying fails, the mark has not moved: it never covers a living DEK."""
    dek = ring.new_dek("ten_1", "customer", "cus_1")
    with pytest.raises(ValueError, match="without a zone"):
        advance(keystore, before=BEGINNING, after=FIRST, destroyed=[("ten_1", dek.id)], at=AT.replace(tzinfo=None))
    assert mark(keystore) == BEGINNING
    assert is_live(keystore, "cus_1")


def test_no_row_is_half_destroyed(keystore: Engine, ring: Keyring) -> None:
    """The database itself refuses a tombstone with a key, and a living row without one."""
    dek = ring.new_dek("ten_1", "customer", "cus_1")
    for half in ({"wrapped": None}, {"destroyed_at": AT}):
        with pytest.raises(IntegrityError), transaction(keystore) as connection:
            connection.execute(update(DEKS).where(DEKS.c.dek_id == dek.id).values(half))


def test_there_is_one_guard(keystore: Engine) -> None:
    """The database itself refuses a second watermark."""
    with pytest.raises(IntegrityError), transaction(keystore) as connection:
        connection.execute(insert(GUARD).values(id=2, seq=0, hash=bytes(32)))


def test_times_come_back_aware(keystore: Engine) -> None:
    """A moment given in any zone comes back as the same moment in UTC; one without a zone is refused."""
    moment = datetime(2026, 7, 1, 12, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    with transaction(keystore) as connection:
        connection.execute(update(DEPLOYMENT).values(created_at=moment))
    with reading(keystore) as connection:
        back = connection.scalar(select(DEPLOYMENT.c.created_at))
    assert back == moment
    assert back.tzinfo is UTC or back.utcoffset() == timedelta(0)
    with pytest.raises(StatementError), transaction(keystore) as connection:
        connection.execute(update(DEPLOYMENT).values(created_at=moment.replace(tzinfo=None)))
