"""What a replayed certificate says that recipients answered: those words are written down again, and no better ones.

A certificate names no reference, so its lines are laid beside the rows of the same account and kind in their order.
Where these records know fewer rows than it has lines, each row gets the weakest word of those lines.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, select

from rows.changes import update_row
from rows.conditions import given
from vault.ledger.effects import Entry
from vault.tables import erasure_recipients

Line = Mapping[str, Any]
WEAKEST = ("pending", "not_found", "already_gone", "erased")
KEY = ("tenant_id", "erasure_id", "recipient_id")


def learn(tx: Connection, entry: Entry, erasure_id: str) -> None:
    """Write down the answers of those who are pending here; whom no line names had nothing of the person."""
    lines: Sequence[Line] = entry.body["certificate"]["recipients"]
    named = {"of_tenant": entry.body["tenant"], "of_erasure": erasure_id}
    rows = tx.execute(_ROWS, named).all()
    for place in dict.fromkeys((row.account_id, row.what) for row in rows):
        theirs = [row for row in rows if (row.account_id, row.what) == place]
        said = [line for line in lines if (line["processor_account"], line["what"]) == place]
        for row, line in _beside(theirs, said):
            if row.result == "pending" and line["result"] != "pending":
                update_row(tx, erasure_recipients, {name: getattr(row, name) for name in KEY}, _answer(line))
        if not said and all(line["result"] != "pending" for line in lines):
            tx.execute(_NOBODY, {**named, "of_account": place[0], "of_kind": place[1]})


def _beside(rows: Sequence[Row[Any]], lines: Sequence[Line]) -> Iterator[tuple[Row[Any], Line]]:
    if len(rows) == len(lines):
        yield from zip(rows, lines, strict=True)
    elif lines:
        weakest = min(lines, key=lambda line: WEAKEST.index(line["result"]))
        yield from ((row, weakest) for row in rows)


def _answer(line: Line) -> dict[str, Any]:
    return {
        "result": line["result"],
        "answered_at": datetime.fromisoformat(line["answered_at"]),
        "looked_for": line.get("looked_for"),  # certificates from before there was such a word lack it
        "reference": None,
        "waits_for": None,
    }


_TOLD = erasure_recipients.c.what != "redaction"
_ROWS = (
    select(erasure_recipients)
    .where(given(erasure_recipients, "erasure_id"), _TOLD)
    .order_by(erasure_recipients.c.recipient_id)
)
_NOBODY = delete(erasure_recipients).where(
    given(erasure_recipients, "erasure_id", "account_id"),
    erasure_recipients.c.what == bindparam("of_kind"),
    erasure_recipients.c.result == "pending",
)
