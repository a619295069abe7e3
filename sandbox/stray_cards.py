"""Card numbers where none belongs: refused before anything is kept, for metadata is kept."""

import re
from collections.abc import Iterator
from typing import Any

from sandbox import errors
from sandbox.cards import is_luhn_valid

# A whole run of 14 to 19 digits, perhaps in groups, beginning as card numbers do, that no letter, hyphen or plus
# touches: phone numbers, UUIDs and hexadecimal tags stay what they are.
RUN = re.compile(r"(?<![\w+-])[2-6](?:[ -]?[0-9]){13,18}(?![\w-])")


def refuse(fields: dict[str, Any], *others: str) -> None:
    """Raise 400 for a card number anywhere but in ``card[number]``; what was found is not repeated."""
    if any(_holds_card(text) for text in (*others, *_texts(fields))):
        message = "A card number belongs in card[number] only. Nothing of this request was kept."
        raise errors.invalid(message)


def _texts(fields: dict[str, Any]) -> Iterator[str]:
    for name, value in fields.items():
        yield name
        if isinstance(value, dict):
            without = {key: text for key, text in value.items() if (name, key) != ("card", "number")}
            yield from _texts(without)
        else:
            yield value


def _holds_card(text: str) -> bool:
    return any(is_luhn_valid(re.sub("[ -]", "", run)) for run in RUN.findall(text))
