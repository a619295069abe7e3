"""Whether real money is meant here: live clients, and live accounts at a kind of processor, of any tenant."""

from sqlalchemy import ColumnElement, Engine, exists, select

from rows.engine import reading
from vault.tables import clients, processor_accounts


def has_live_client(records: Engine) -> bool:
    """Whether anybody's live key still opens the door."""
    return _is_there(records, clients.c.live & clients.c.revoked_at.is_(None))


def has_live_account(records: Engine, kind: str) -> bool:
    """Whether live charges may go to a processor of this kind."""
    accounts = processor_accounts.c
    return _is_there(records, accounts.live & (accounts.kind == kind) & accounts.deleted_at.is_(None))


def _is_there(records: Engine, row: ColumnElement[bool]) -> bool:
    with reading(records) as connection:
        return bool(connection.scalar(select(exists().where(row))))
