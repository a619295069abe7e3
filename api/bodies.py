"""Reads a request's body and query before any schema does: size, type, encoding, depth, stray card numbers.

What is refused here is never echoed. A card number may stand in `card.number` and nowhere else.
"""

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import unquote_to_bytes

from flask import Request
from marshmallow import Schema, fields
from werkzeug.exceptions import HTTPException

from api.pan_guard import has_card_number
from api.problems import Problem

DEEPEST = 32
LARGEST = 64 * 1024
MOST_UNREAD = 1024 * 1024
CARD_NUMBER = ("card", "number")
_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_UNWANTED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def read_json(request: Request, *, keep: bool = False, reads: Schema | None = None) -> dict[str, Any]:
    """The parsed body, an object; `keep` has its bytes in the request's memory. Raises Problem (400, 413, 415, 422).

    `reads` is the schema of a protocol that others extend: what it does not know is dropped before anything else.
    """
    if request.mimetype != "application/json":
        raise Problem(415, "unsupported_media_type", "Send the body as application/json.")
    value = _parse(_read(request, keep=keep))
    if reads is not None:
        value = _known(reads, value)
    check_values(_leaves(value))
    if not isinstance(value, dict):
        raise Problem(422, "invalid_request", "The body must be one JSON object.")
    return value


def read_raw(request: Request) -> bytes:
    """The body as it is, for who checks a signature over it. Raises Problem (400), the framework's 413."""
    return _read(request, keep=False)


def is_percent_encoded(query: bytes) -> bool:
    """Whether a query is percent-encoded UTF-8; what is not would reach a filter as something else."""
    if _BROKEN_ESCAPE.search(query):
        return False
    try:
        unquote_to_bytes(query).decode()
    except UnicodeDecodeError:
        return False
    return True


def check_values(values: Iterable[tuple[tuple[str, ...], str]]) -> None:
    """Refuse control characters, and card numbers anywhere but in card.number. Raises Problem."""
    for path, text in values:
        if _UNWANTED.search(text):
            raise Problem(422, "invalid_characters", "A string holds control characters or half a surrogate pair.")
        if path != CARD_NUMBER and has_card_number(text):
            raise Problem(
                422, "card_number_misplaced", "A card number stands outside card.number. It was not kept; leave it out."
            )


def _known(schema: Schema, value: Any) -> Any:  # noqa: ANN401  # JSON is any of its types
    """What of an object the schema reads, as deep as the schema goes."""
    if not isinstance(value, dict):
        return value
    return {name: _known_in(schema.fields[name], inner) for name, inner in value.items() if name in schema.fields}


def _known_in(field: fields.Field[Any], value: Any) -> Any:  # noqa: ANN401  # as above
    if isinstance(field, fields.Nested):
        return _known(field.schema, value)
    if isinstance(field, fields.List) and isinstance(value, list):
        return [_known_in(field.inner, each) for each in value]
    return value


def take_the_rest(request: Request) -> None:
    """Read what is left of a body that was refused unread, up to a limit.

    A server that closes on unread bytes resets the connection, and the client may lose the answer that says why.
    """
    if not request.environ.get("wsgi.input_terminated"):
        return  # nobody says where the body ends
    with suppress(Exception):  # the answer stands already; whatever this body is does not matter any more
        for _ in range(MOST_UNREAD // LARGEST):
            if not request.environ["wsgi.input"].read(LARGEST):
                return


def _read(request: Request, *, keep: bool) -> bytes:
    try:
        raw = request.get_data(cache=keep)
        request.stream.read(1)  # a body without a length is cut at the limit, and only asking for more raises the 413
    except HTTPException:
        raise
    except Exception:  # noqa: BLE001  # each server has errors of its own for a body that breaks off
        raise Problem(400, "bad_request", "The body could not be read to its end.") from None
    return raw


def _parse(raw: bytes) -> Any:  # noqa: ANN401  # JSON is any of its types
    try:
        return json.loads(raw.decode(), object_pairs_hook=_object, parse_constant=_no_constant)
    except RecursionError:
        raise Problem(400, "json_too_deep", "The JSON is nested too deep.") from None
    except ValueError:  # UnicodeDecodeError and JSONDecodeError are both
        raise Problem(400, "malformed_json", "The body is not one JSON value in UTF-8 with each key once.") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key stands twice")
    return value


def _no_constant(_name: str) -> Any:  # noqa: ANN401  # the parser's signature
    raise ValueError("not a number in JSON")


def _leaves(value: object) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every key, string and number with the path to it; without recursion, so that no depth can exhaust the stack."""
    waiting: list[tuple[tuple[str, ...], object]] = [((), value)]
    while waiting:
        path, item = waiting.pop()
        if len(path) > DEEPEST:
            raise Problem(400, "json_too_deep", "The JSON is nested too deep.")
        if isinstance(item, dict):
            yield from (((*path, "key"), key) for key in item)
            waiting.extend(((*path, key), inner) for key, inner in item.items())
        elif isinstance(item, list):
            waiting.extend(((*path, "item"), inner) for inner in item)
        elif isinstance(item, str):
            yield path, item
        elif isinstance(item, int | float) and not isinstance(item, bool):
            yield path, str(item)
