"""Finds card numbers where none may be: in any string or key, however it is written.

A run of digits counts as a card number when it has a brand's prefix, one of that brand's lengths and a good check digit
(Luhn, ISO/IEC 7812-1), and does not touch a letter. Digits are read in every script, circled and full-width ones too
(Unicode NFKC), through invisible characters, and across what people write between groups; any neighbouring groups may
form the number, so that an expiry date behind it hides nothing. Thirteen-digit Visa numbers are left out: they died
out, and phone numbers look so. The letters that excuse a number are those of order numbers, which have two cases:
Chinese or Arabic text stands next to a card number without a space.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import accumulate
from urllib.parse import unquote

_HIDDEN = "\x1f"
"""Stands for any row of invisible characters: it parts two groups of digits, and may also stand within one."""

_BETWEEN = rf"(?![0-9]){_HIDDEN}?(?:(?: ++|(?!{_HIDDEN})[\W_]){_HIDDEN}?){{0,3}}"
_RUN = re.compile(rf"[0-9]+(?:{_BETWEEN}[0-9]+)*")
_GROUP = re.compile("[0-9]+")
SHORTEST = 14
ENCODINGS = 3
"""How often a text is percent-decoded, which programs on its way may have encoded one after the other."""

BRANDS = (
    ("visa", re.compile("4"), (16, 19)),
    ("mastercard", re.compile("5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"), (16,)),
    ("amex", re.compile("3[47]"), (15,)),
    ("diners", re.compile("30[0-5]|3[689]"), (14, 15, 16, 17, 18, 19)),
    ("discover", re.compile("6011|64[4-9]|65"), (16, 17, 18, 19)),
    ("jcb", re.compile("35(2[89]|[3-8])"), (16, 17, 18, 19)),
    ("unionpay", re.compile("62|81"), (16, 17, 18, 19)),
    ("maestro", re.compile("50(18|20|38)|5893|6304|67(59|6[1-3])"), (16, 17, 18, 19)),
)
"""Brand, prefixes, lengths: ISO/IEC 7812 issuer ranges as the card schemes publish them."""

_LONGEST_PREFIX = 4
_DOUBLED = str.maketrans("0123456789", "0246813579")
_INVISIBLE = {"Cf", "Mn", "Me", "Cc"}
_BLANKS = "\u115f\u1160\u3164\u2800"
"""Characters that Unicode calls letters or symbols, and that show nothing."""


def has_card_number(text: str) -> bool:
    """Whether a card number stands anywhere in `text`, as it is or percent-encoded."""
    return any(map(_stands_in, _decoded(text)))


def _decoded(text: str) -> Iterator[str]:
    """The text, and what it is percent-decoded, some times over: each time costs as much as all of it."""
    yield text
    for _ in range(ENCODINGS):
        text, before = unquote(text), text
        if text == before:
            return
        yield text


def _stands_in(text: str) -> bool:
    plain = text if text.isascii() and text.isprintable() else _plain(text)
    if sum(map(str.isdigit, plain)) < SHORTEST:
        return False
    return any(_holds_card_number(plain, run) for run in _RUN.finditer(plain))


def mask_card_numbers(text: str) -> str:
    """`text`, or a mask in its place when a card number stands in it: what a log may show."""
    return "[card number removed]" if has_card_number(text) else text


def _plain(text: str) -> str:
    """Compatibility forms folded, all digits as ASCII, each row of invisible characters as one mark."""
    folded = "".join(map(_character, unicodedata.normalize("NFKC", text)))
    return re.sub(f"{_HIDDEN}+", _HIDDEN, folded)


def _character(char: str) -> str:
    if char.isdigit():
        return str(unicodedata.digit(char))
    if char.isspace() and char != _HIDDEN:
        return " "
    return _HIDDEN if unicodedata.category(char) in _INVISIBLE or char in _BLANKS else char


def _holds_card_number(text: str, run: re.Match[str]) -> bool:
    """Whether some neighbouring groups of a run are together a card number that touches no letter."""
    groups = list(_GROUP.finditer(text, run.start(), run.end()))
    digits = "".join(group.group() for group in groups)
    edges = list(accumulate((len(group.group()) for group in groups), initial=0))
    ending = dict(zip(edges[1:], groups, strict=True))
    return any(
        (last := ending.get(edge + length)) is not None
        and not _touches_letter(text, group.start(), last.end())
        and _is_card_number(digits[edge : edge + length])
        for edge, group in zip(edges, groups, strict=False)
        for length in _lengths(digits[edge : edge + _LONGEST_PREFIX])
    )


@lru_cache(maxsize=10_000)
def _lengths(prefix: str) -> frozenset[int]:
    """How long a card number is that begins with these digits."""
    return frozenset(length for _, begins, lengths in BRANDS if begins.match(prefix) for length in lengths)


def _touches_letter(text: str, start: int, end: int) -> bool:
    return _is_letter(text[start - 1 : start]) or _is_letter(text[end : end + 1])


def _is_letter(char: str) -> bool:
    return char.lower() != char.upper()


def _is_card_number(digits: str) -> bool:
    """The check digit of ISO/IEC 7812-1, annex B; one digit over and over passes it and is a filler."""
    total = sum(map(int, digits[-1::-2] + digits[-2::-2].translate(_DOUBLED)))
    return total % 10 == 0 and len(set(digits)) > 1
