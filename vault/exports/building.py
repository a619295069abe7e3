"""Filling a package: piece by piece, each sealed and committed with the place where the next one begins.

So a build that is killed goes on after its last piece, in any process, and two builds of one package never both write.
"""

from itertools import islice
from typing import Any

from sqlalchemy import Engine, Row, and_, bindparam, update

from keys.dek import Dek
from keys.envelope import seal
from keys.keyring import Keyring
from rows.changes import insert
from rows.clock import database_clock
from rows.conditions import given
from rows.engine import reading, transaction
from vault.desk import Desk
from vault.errors import NotFoundHere
from vault.exports.disclosure import Source
from vault.exports.files import Piece, parts_of, pieces
from vault.exports.notices import Notices
from vault.exports.packages import LEASE_SECONDS, LIFE, chunk_place, customers_of, find
from vault.tables import package_chunks, packages

TURN = 20
"""Pieces in a row, at most about a second and a half: what a request may wait for, and the worker's other work."""


def build(desk: Desk, notices: Notices, package_id: str, *, most: int = TURN) -> bool:
    """Write at most `most` pieces more; whether the package is ready. Whoever calls has its lease.

    Raises NotFoundHere, and Erased for a customer that is being erased: so will be the package.
    """
    with reading(desk.records) as connection:
        row = find(connection, desk.caller.tenant, package_id)
        theirs = customers_of(connection, desk.caller.tenant, package_id)
    if row is None:
        raise NotFoundHere("No such package.")
    dek = _key(desk.records, desk.keyring, row) if row.state == "building" else None
    if dek is None:
        return bool(row.state == "ready")
    parts = parts_of([Source(desk=desk, customer_id=each, kind=row.kind, notices=notices) for each in theirs])
    for number, piece in enumerate(islice(pieces(parts, row.part, row.after), most), row.chunks):
        is_last = piece.part == len(parts)
        if not _write(desk, dek, package_id, number, piece, is_last=is_last):
            return False
        if is_last:
            return True
    return False


def _key(records: Engine, keyring: Keyring, row: Row[Any]) -> Dek | None:
    """The package's own key; made with the first piece, keystore first. None if another process was faster."""
    if row.dek_id is not None:
        return keyring.dek(row.tenant_id, row.dek_id)
    dek = keyring.new_dek(row.tenant_id, "package", row.package_id)
    named = {"of_tenant": row.tenant_id, "of_package": row.package_id, "new_dek": dek.id}
    with transaction(records) as tx:
        return dek if tx.execute(_ADOPT_KEY, named).rowcount == 1 else None


def _write(desk: Desk, dek: Dek, package_id: str, number: int, piece: Piece, *, is_last: bool) -> bool:
    """Commit one piece; False when the package was ended or resealed, or another process wrote this one."""
    plain = piece.file.encode() + b"\0" + piece.text.encode()
    content = seal(dek, plain, chunk_place(desk.keyring, desk.caller.tenant, package_id, number))
    named = {"of_tenant": desk.caller.tenant, "of_package": package_id, "of_number": number, "of_dek": dek.id}
    news = {
        "new_part": piece.part,
        "new_after": piece.after,
        "more": piece.rows,
        "new_state": "ready" if is_last else "building",
        "new_end": desk.caller.at + LIFE if is_last else None,
    }
    with transaction(desk.records) as tx:
        if tx.execute(_ADVANCE, named | news).rowcount != 1:
            return False
        key = {"tenant_id": desk.caller.tenant, "package_id": package_id, "number": number}
        insert(tx, package_chunks, key | {"content": content})
    return True


_BUILDING = and_(given(packages, "package_id"), packages.c.state == "building")
_ADOPT_KEY = update(packages).where(_BUILDING, packages.c.dek_id.is_(None)).values(dek_id=bindparam("new_dek"))
_ADVANCE = (
    update(packages)
    .where(_BUILDING, packages.c.chunks == bindparam("of_number"), packages.c.dek_id == bindparam("of_dek"))
    .values(
        chunks=packages.c.chunks + 1,
        progress=packages.c.progress + bindparam("more"),
        part=bindparam("new_part"),
        after=bindparam("new_after"),
        state=bindparam("new_state"),
        expires_at=bindparam("new_end", type_=packages.c.expires_at.type),
        lease_until=database_clock(LEASE_SECONDS),
    )
)
