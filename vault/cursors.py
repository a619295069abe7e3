"""Cursor pagination, newest first: a page, and where the next one begins."""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from sqlalchemy import Column, Connection, Row, Select, tuple_

from vault.errors import Invalid
from vault.ids import is_id

T = TypeVar("T")

MOST = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """Some of a list; `next_cursor` is None on the last page."""

    data: Sequence[T]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which page: at most `limit` rows after `cursor` (the newest where it is None)."""

    limit: int = 20
    cursor: str | None = None


def page(
    connection: Connection,
    statement: Select[Any],
    order: tuple[Column[Any], Column[Any]],
    wanted: Wanted,
    read: Callable[[Sequence[Row[Any]]], Sequence[T]],
) -> Page[T]:
    """Run `statement` for one page by `order` (moment, id), newest first. Raises Invalid for a bad cursor."""
    moment, ident = order
    if wanted.cursor is not None:
        statement = statement.where(tuple_(moment, ident) < tuple_(*_decode(wanted.cursor)))
    rows = connection.execute(statement.order_by(moment.desc(), ident.desc()).limit(wanted.limit + 1)).all()
    shown = rows[: wanted.limit]
    more = len(rows) > wanted.limit
    cursor = _encode(getattr(shown[-1], moment.name), getattr(shown[-1], ident.name)) if more else None
    return Page(data=read(shown), next_cursor=cursor)


def _encode(moment: datetime, ident: str) -> str:
    return base64.urlsafe_b64encode(f"{moment.isoformat()} {ident}".encode()).decode().rstrip("=")


def _decode(cursor: str) -> tuple[datetime, str]:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        moment, _, ident = text.partition(" ")
        parsed = datetime.fromisoformat(moment)
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise _not_ours() from None
    if parsed.utcoffset() != timedelta(0) or not is_id(ident, ident.partition("_")[0]):
        raise _not_ours()
    return parsed, ident


def _not_ours() -> Invalid:
    return Invalid("cursor", "This cursor is not one of ours. Use next_cursor of the page before.")
