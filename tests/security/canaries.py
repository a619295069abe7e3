"""Looking for what must not be there: in files, in every column of a database, in whatever form."""

import base64
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import re2
from sqlalchemy import Engine, MetaData, select

from rows.engine import reading

OVERLAP = 4096


def forms(secret: str) -> dict[str, bytes]:
    """How a text may stand in a file: as it is, in hex of either case, in base64 at each of its three alignments."""
    raw = secret.encode()
    found = {"raw": raw, "hex": raw.hex().encode(), "HEX": raw.hex().upper().encode()}
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + raw)
        whole = encoded[4 if shift else 0 : len(encoded) // 4 * 4]
        if (len(raw) + shift) % 3:
            whole = whole[:-4]
        found[f"base64+{shift}"] = whole
    return found


def pattern(secrets: Iterable[str], *expressions: bytes) -> Any:
    """Whatever form of whichever of these, and what the expressions match.

    By RE2: hundreds of forms in one pass; the standard library tries each of them at each byte.
    """
    found = [re2.escape(form) for secret in secrets for form in set(forms(secret).values())]
    options = re2.Options()
    options.encoding, options.max_mem = re2.Options.Encoding.LATIN1, 1 << 28
    return re2.compile(b"|".join([*found, *expressions]), options)


def in_files(wanted: Any, *roots: Path) -> list[tuple[str, bytes]]:
    """Every hit in every file below these: where, and what."""
    return [(str(file), hit) for root in roots for file in _files(root) for hit in _in_file(wanted, file)]


def in_columns(wanted: Any, engine: Engine) -> list[tuple[str, bytes]]:
    """Every hit in every column of every table, as text and as the bytes that they are."""
    metadata = MetaData()
    with reading(engine) as connection:
        metadata.reflect(connection)
        assert metadata.tables
        return [
            (str(column), hit)
            for table in metadata.tables.values()
            for row in connection.execute(select(table))
            for column, value in zip(table.columns, row, strict=True)
            for hit in wanted.findall(bytes(value) if isinstance(value, bytes) else str(value).encode())
        ]


def _files(root: Path) -> Iterator[Path]:
    assert root.exists()
    yield from (file for file in root.rglob("*") if file.is_file() and not file.is_symlink())


def _in_file(wanted: Any, file: Path) -> list[bytes]:
    hits: list[bytes] = []
    try:
        with file.open("rb") as opened:
            end = b""
            while piece := opened.read(1 << 24):
                hits += wanted.findall(end + piece)
                end = piece[-OVERLAP:]
    except FileNotFoundError:  # a database removes its own files while we look
        return []
    return hits
