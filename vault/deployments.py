"""What these records belong to: the deployment's id, made once and written into both databases."""

from datetime import datetime

from sqlalchemy import Connection, insert, select

from keys.keystore import BEGINNING
from vault.processing import beats
from vault.tables import deployment, guard


def found(tx: Connection, deployment_id: str, at: datetime) -> None:
    """Make empty records this deployment's, their watermark before the ledger's first entry."""
    tx.execute(insert(guard), {"id": 1, "seq": BEGINNING.seq, "hash": BEGINNING.hash})
    tx.execute(insert(deployment), {"deployment_id": deployment_id, "created_at": at})
    beats.found(tx)


def deployment_of(connection: Connection) -> str | None:
    """Whose records these are; None before they were founded."""
    return connection.execute(select(deployment.c.deployment_id)).scalar_one_or_none()
