"""A disclosure handed out at once, without being kept: the look is on the record before its first byte."""

from collections.abc import Generator

from vault import audit
from vault.exports.archive import as_zip
from vault.exports.disclosure import Source
from vault.exports.files import json_parts, parts_of, pieces
from vault.people.customer_rows import shared_row_of


def export(source: Source, form: str) -> Generator[bytes]:
    """The bytes of `data.json`, or for the form `zip` of all files; page by page, a restricted customer's too.

    Raises NotFoundHere, Erased, Unreadable; an erasure while it is read breaks it off with Erased.
    """
    parts = parts_of([source]) if form == "zip" else json_parts(source)
    with audit.transaction(source.desk.records) as tx:
        shared_row_of(tx, source.desk.caller, source.customer_id)
        details = {"type": source.kind, "format": form}
        audit.record(source.desk, tx, "customer.export", customer=source.customer_id, details=details)
    written = ((piece.file, piece.text.encode()) for piece in pieces(parts))
    return as_zip(written) if form == "zip" else (text for _, text in written)
