"""Finds card numbers where none may be: in any string or key, however it is written.

A run of digits counts as a card number when it has a brand's prefix, one of that brand's lengths and a good check digit
(Luhn, ISO/IEC 7812-1), and does not touch a letter. Digits are read after Unicode NFKC, with invisible characters taken
out, and across the separators people write between groups; any neighbouring groups may form the number, so that an
expiry date behind it hides nothing. Thirteen-digit Visa numbers are left out: they died out, and phone numbers look so.
"""

import re
import unicodedata
from collections.abc import Iterator

_SEPARATORS = "[\\s.\\-_/\\\\|,:;*+'\"\u00b7\u2010-\u2015\u2022\u2212]{1,3}"
_RUN = re.compile(rf"\d+(?:{_SEPARATORS}\d+)*")
_GROUP = re.compile(r"\d+")
SHORTEST = 14

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


def has_card_number(text: str) -> bool:
    """Whether a card number stands anywhere in `text`."""
    if sum(map(str.isdigit, text)) < SHORTEST:
        return False
    plain = _plain(text)
    return any(_is_card_number(number) for run in _RUN.finditer(plain) for number in _numbers(plain, run))


def mask_card_numbers(text: str) -> str:
    """`text`, or a mask in its place when a card number stands in it: what a log may show."""
    return "[card number removed]" if has_card_number(text) else text


def _plain(text: str) -> str:
    """Compatibility forms folded (full-width digits), all scripts' digits as ASCII, invisible characters out."""
    folded = unicodedata.normalize("NFKC", text)
    return "".join(_character(char) for char in folded if unicodedata.category(char) not in {"Cf", "Mn", "Cc"})


def _character(char: str) -> str:
    return str(unicodedata.decimal(char)) if char.isdecimal() else char


def _numbers(text: str, run: re.Match[str]) -> Iterator[str]:
    """Every row of neighbouring groups of a run that is as long as a card number and touches no letter."""
    groups = [(match.start() + run.start(), match.group()) for match in _GROUP.finditer(run.group())]
    for first in range(len(groups)):
        digits = ""
        for start, group in groups[first:]:
            digits += group
            if len(digits) > 19:  # noqa: PLR2004  # the longest card number
                break
            if len(digits) >= SHORTEST and not _touches_letter(text, groups[first][0], start + len(group)):
                yield digits


def _touches_letter(text: str, start: int, end: int) -> bool:
    return text[start - 1 : start].isalpha() or text[end : end + 1].isalpha()


def _is_card_number(digits: str) -> bool:
    of_brand = any(len(digits) in lengths and prefix.match(digits) for _, prefix, lengths in BRANDS)
    return of_brand and len(set(digits)) > 1 and _luhn(digits)


def _luhn(digits: str) -> bool:
    """The check digit of ISO/IEC 7812-1, annex B."""
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0
