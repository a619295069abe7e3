"""A disclosure as files: `data.json` with schema.org terms, and a CSV of each list for who opens it in a spreadsheet.

A file is a run of parts, a part a run of rows, and rows come in pages: `pieces` gives one piece of text for each page
and says where the next begins, so that writing may stop after any piece and go on there, in another process too.
"""

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from io import StringIO
from typing import Any

from vault.exports.disclosure import FIELDS, LISTS, Rows, Source, about

JSON_FILE = "data.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Rows of one file: `opening` before the first, `between` any two, `closing` after the last."""

    file: str
    rows: Callable[[str | None], Rows]
    written: Callable[[Mapping[str, Any]], str]
    opening: str = ""
    between: str = ""
    closing: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Text of one file that holds so many rows; the next piece is of part number `part`, behind the row `after`."""

    file: str
    text: str
    rows: int
    part: int
    after: str | None


def pieces(parts: Sequence[Part], part: int = 0, after: str | None = None) -> Iterator[Piece]:
    """All pieces from there on. Raises what the rows raise: NotFoundHere, Erased, Unreadable."""
    while part < len(parts):
        here = parts[part]
        found = here.rows(after)
        text = here.opening if after is None else here.between * bool(found.data)
        text += here.between.join(here.written(row) for row in found.data)
        part, after = (part, found.after) if found.after is not None else (part + 1, None)
        yield Piece(
            file=here.file,
            text=text + here.closing * (after is None),
            rows=len(found.data),
            part=part,
            after=after,
        )


def parts_of(sources: Sequence[Source]) -> list[Part]:
    """All files of these disclosures; each has a folder of its own, named for its customer, where there are several."""
    folders = {source.customer_id: f"{source.customer_id}/" if len(sources) > 1 else "" for source in sources}
    return [part for source in sources for part in _files(source, folders[source.customer_id])]


def json_parts(source: Source) -> list[Part]:
    """`data.json` alone."""
    return _json(source, about(source), JSON_FILE)


def _files(source: Source, folder: str) -> list[Part]:
    found = about(source)
    contact = Rows(data=[found["contact"] or {}], after=None)
    tables: dict[str, Callable[[str | None], Rows]] = {"contact": lambda _after: contact}
    tables |= {name: partial(rows, source) for name, rows in LISTS.items() if name in FIELDS[source.kind]}
    csvs = [_csv(FIELDS[source.kind][name], rows, f"{folder}{name}.csv") for name, rows in tables.items()]
    return [*_json(source, found, f"{folder}{JSON_FILE}"), *csvs]


def _json(source: Source, found: Mapping[str, Any], file: str) -> list[Part]:
    head = {name: value for name, value in found.items() if name != "contact"}
    head |= {
        "contact_known": found["contact"] is not None,
        "person": _person(found["customer"], found["contact"] or {}),
    }
    if "reference" in FIELDS[source.kind]["contact"]:
        head["customer_reference"] = (found["contact"] or {}).get("reference")
    lists = [name for name in LISTS if name in FIELDS[source.kind]]
    opening = Part(file=file, rows=_no_rows, written=_as_json, opening=_as_json(head)[:-1])
    arrays = [
        Part(
            file=file,
            rows=partial(LISTS[name], source),
            written=_as_json,
            opening=f',\n"{name}":[\n',
            between=",\n",
            closing="\n]",
        )
        for name in lists
    ]
    return [opening, *arrays, Part(file=file, rows=_no_rows, written=_as_json, closing="}\n")]


def _person(customer: str, contact: Mapping[str, Any]) -> dict[str, Any]:
    """The contact in the words of schema.org: https://schema.org/Person, https://schema.org/PostalAddress."""
    street = "\n".join(filter(None, (contact.get("line1"), contact.get("line2"))))
    address = {
        "@type": "PostalAddress",
        "streetAddress": street or None,
        "addressLocality": contact.get("city"),
        "addressRegion": contact.get("state"),
        "postalCode": contact.get("postal_code"),
        "addressCountry": contact.get("country"),
    }
    return {
        "@context": "https://schema.org",
        "@type": "Person",
        "identifier": customer,
        "name": contact.get("name"),
        "email": contact.get("email"),
        "telephone": contact.get("phone"),
        "address": address,
    }


def _csv(columns: Sequence[str], rows: Callable[[str | None], Rows], file: str) -> Part:
    return Part(
        file=file,
        rows=rows,
        written=lambda row: _line([_cell(row.get(name)) for name in columns]),
        opening=_line(columns),
    )


def _line(cells: Sequence[str]) -> str:
    """One line of CSV (RFC 4180), every cell in quotes."""
    text = StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerow(cells)
    return text.getvalue()


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case datetime():
            return _moment(value)
        case bool() | int():
            return str(value)
        case str():
            return harmless(value)
        case _:
            return harmless(_as_json(value))


_FORMULA = re.compile(r"""(^|[,;|"'\t\r\n])(\s*)(?=[=+\-@\uff0b\uff0d\uff1d\uff20])""")


def harmless(text: str) -> str:
    """`text` with an apostrophe before everything that a spreadsheet would take for a formula.

    OWASP's page on CSV injection: not at the start of a cell alone, because a program that splits at another sign
    begins cells where we did not. `data.json` has the text as it is.
    """
    return _FORMULA.sub(r"\1\2'", text)


def _no_rows(_after: str | None) -> Rows:
    return Rows(data=[], after=None)


def _as_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=_moment)


def _moment(value: object) -> str:
    """RFC 3339, UTC, to the second."""
    if not isinstance(value, datetime):
        raise TypeError(f"{type(value).__name__} has no form in JSON")
    return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
