"""Takes card numbers out of what is about to be logged: of every string and number in an event, keys too."""

import re
from collections.abc import Mapping
from typing import Any

from structlog.typing import EventDict, WrappedLogger

from api.pan_guard import SHORTEST, has_card_number, mask_card_numbers

DEEPEST = 8
"""What lies deeper in an event is shown as its repr, scrubbed as one string."""

_MAY_HOLD_ONE = re.compile(rf"(?:[0-9][^A-Za-z0-9]*){{{SHORTEST - 1}}}[0-9]")
"""As many digits in a row as a card number has, no letter between them. ASCII text without is clean: no closer look."""


def scrub(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The event without card numbers: the last structlog processor before the line is written."""
    return {scrub_text(str(key)): _scrubbed(value, 1) for key, value in event.items()}


def scrub_text(text: str) -> str:
    """`text` without the lines that hold a card number; all of it is masked where one runs over several lines."""
    if text.isascii() and not _MAY_HOLD_ONE.search(text):
        return text
    masked = "\n".join(map(mask_card_numbers, text.split("\n")))
    return mask_card_numbers(masked)


def _scrubbed(value: Any, depth: int) -> Any:  # noqa: ANN401  # whatever somebody logs
    match value:
        case str():
            return scrub_text(value)
        case bool() | None:
            return value
        case int() | float():
            return scrub_text(str(value)) if has_card_number(str(value)) else value
        case Mapping() if depth < DEEPEST:
            return {scrub_text(str(key)): _scrubbed(part, depth + 1) for key, part in value.items()}
        case list() | tuple() | set() | frozenset() if depth < DEEPEST:
            return [_scrubbed(part, depth + 1) for part in value]
        case _:
            return scrub_text(repr(value))
