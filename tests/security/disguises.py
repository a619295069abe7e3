"""Card numbers as nobody should be able to smuggle them: 2,000 ways of writing one, always the same ones."""

import random
import sys
import unicodedata
from collections.abc import Iterator
from itertools import count
from urllib.parse import quote

CARDS = (
    "4242424242424242",
    "5555555555554444",
    "2223003122003222",
    "378282246310005",
    "6011111111111117",
    "30569309025904",
    "3566002020360505",
    "6205500000000000004",
    "6759649826438453",
)
ZEROS = [chr(code) for code in range(sys.maxunicode + 1) if unicodedata.decimal(chr(code), None) == 0]
"""The zero of every script that has decimal digits; the other nine follow it."""

SEPARATORS = [
    " ",
    "-",
    ".",
    "/",
    "_",
    ",",
    "  ",
    " - ",
    "\t",
    "\n",
    "\r\n",
    "\u00a0",
    "\u2009",
    "\u2013",
    "\u3000",
    "*",
]
INVISIBLE = [
    "\u200b",
    "\u200c",
    "\u200d",
    "\u2060",
    "\ufeff",
    "\u00ad",
    "\u202e",
    "\u2066",
    "\ufe0f",
    "\u3164",
    "\u2800",
]
COMBINING = ["\u0301", "\u0308", "\u0336", "\u20e3", "\u034f", "\u0488"]
AROUND = [
    "{}",
    " {} ",
    "my card is {}, thanks",
    "order 17\n{}",
    "{} 12/34 123",
    "pan={}&cvc=123",
    '{{"number":"{}"}}',
    "https://shop.example/?n={}",
    "卡号{}有效期",
    "<b>{}</b>",
    "1,{},2",
]


def disguises(many: int = 2000, seed: int = 11) -> list[tuple[str, str]]:
    """(the number, how it is written), no two alike."""
    found: dict[str, str] = {}
    for number, text in _all(random.Random(seed)):
        found.setdefault(text, number)
        if len(found) == many:
            break
    return [(number, text) for text, number in found.items()]


def _all(chance: random.Random) -> Iterator[tuple[str, str]]:
    for turn in count():
        number = CARDS[turn % len(CARDS)]
        written = WAYS[turn % len(WAYS)](number, chance)
        yield number, chance.choice(AROUND).format(written)


def _plain(number: str, _chance: random.Random) -> str:
    return number


def _grouped(number: str, chance: random.Random) -> str:
    """In groups of any length, parted by one separator or by several."""
    cuts = sorted(chance.sample(range(1, len(number)), chance.randint(1, 6)))
    groups = [number[start:end] for start, end in zip([0, *cuts], [*cuts, None], strict=True)]
    one = chance.choice(SEPARATORS)
    return "".join(
        group + (chance.choice([one, chance.choice(SEPARATORS)]) if at < len(groups) - 1 else "")
        for at, group in enumerate(groups)
    )


def _of_a_script(number: str, chance: random.Random) -> str:
    zero = chance.choice(ZEROS)
    return "".join(chr(ord(zero) + int(digit)) for digit in number)


def _of_many_scripts(number: str, chance: random.Random) -> str:
    return "".join(chr(ord(chance.choice(ZEROS)) + int(digit)) for digit in number)


def _with_invisible(number: str, chance: random.Random) -> str:
    return "".join(digit + (chance.choice(INVISIBLE) if chance.random() < 0.6 else "") for digit in number)


def _with_combining(number: str, chance: random.Random) -> str:
    return "".join(digit + (chance.choice(COMBINING) if chance.random() < 0.6 else "") for digit in number)


def _percent_encoded(number: str, chance: random.Random) -> str:
    """The separators, or the digits too, once or twice."""
    text = _grouped(number, chance)
    once = quote(text, safe="") if chance.random() < 0.5 else "".join(f"%{byte:02X}" for byte in text.encode())
    return quote(once, safe="") if chance.random() < 0.3 else once


def _mixed(number: str, chance: random.Random) -> str:
    """Groups of another script each, invisible characters within."""
    return chance.choice([" ", "-", "\u00a0"]).join(
        _with_invisible(_of_a_script(number[at : at + 4], chance), chance) for at in range(0, len(number), 4)
    )


WAYS = [_plain, _grouped, _of_a_script, _of_many_scripts, _with_invisible, _with_combining, _percent_encoded, _mixed]


def in_ascii(number: str, many: int = 40) -> list[str]:
    """What may stand in a header."""
    chance = random.Random(5)
    texts = (way(number, chance) for _ in range(many) for way in [_plain, _grouped, _percent_encoded])
    return [text for text in dict.fromkeys(texts) if text.isascii() and text.isprintable()][:many]
