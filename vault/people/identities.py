"""One person, however the identity is written: the one form of it that is indexed, and the hashes that others send.

Version 2 of the normalization, of emails and phones; of references version 1 (keys/blindindex.py) stands.

`email`: Unicode NFKC, stripped; the part before the last @ case folded, and I and i, with a dot or without, taken for
one letter, so that the capitals of every language meet; the domain mapped by UTS 46 without its transitional rules and
written in ASCII (RFC 3492), so that `bücher.de` is `xn--bcher-kva.de` and `straße.de` is not `strasse.de`. Folding may
change how long a text is; it is compared, never shown or sent.

`phone`: E.164, as the tables of libphonenumber read it: exit codes, trunk zeros and extensions go. A number without
its country is one of the tenant's region; where there is none, and for what is no number, it is its digits, as in
version 1.
"""

import hashlib
import re
import unicodedata
from collections.abc import Callable, Collection, Iterator

import idna
import phonenumbers
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberFormat

from keys.blindindex import NORMALIZATION, normalize

VERSIONS = {"email": 2, "phone": 2}
_EXIT = re.compile(r"[^+0-9]*0[^+0-9]*0")
_LONGEST_LABEL = 63


def version(field: str) -> int:
    """By which version of the rules a field is normalized now."""
    return VERSIONS.get(field, NORMALIZATION)


def needs_region(field: str, value: str) -> bool:
    """Whether what is meant depends on the tenant's region: a phone without a plus in front."""
    return field == "phone" and not normalize(field, value).startswith("+")


def canonical(field: str, value: str, region: str) -> str:
    """The one form of an identity; `region` is a code of ISO 3166, or empty."""
    match field:
        case "email":
            return _email(value, _ascii)
        case "phone":
            number = _number(value, region)
            return _e164(number) if number else normalize(field, value)
        case _:
            return normalize(field, value)


def hashes(field: str, value: str, region: str) -> list[str]:
    """The hex SHA-256 values that privacy protocols may send of it.

    Of what was typed, as it is or in lower case; of the one form; of an email also with its domain in Unicode.
    """
    typed = value.strip()
    written = [canonical(field, value, region)] if field in VERSIONS else []
    if field == "email":
        written.append(_email(value, _unicode))
    return [hashlib.sha256(each.encode()).hexdigest() for each in dict.fromkeys((typed, typed.lower(), *written))]


def earlier(field: str, value: str, region: str) -> Collection[str]:
    """What rows hold of the same identity that were made by version 1, or before the tenant had a region."""
    if field == "email":
        return {normalize(field, each) for each in (value, _email(value, _ascii), _email(value, _unicode))}
    number = _number(value, region) if field == "phone" else None
    return {normalize(field, value), *(_dialled(number, region) if number else ())}


def _email(value: str, of_label: Callable[[str], str]) -> str:
    local, at, domain = unicodedata.normalize("NFKC", value).strip().rpartition("@")
    try:
        domain = idna.uts46_remap(domain, std3_rules=False, transitional=False)
    except idna.IDNAError:  # no domain by these rules
        domain = domain.casefold()
    labels = _dotted(domain).rstrip(".").split(".")
    return f"{_folded(local)}{at}{'.'.join(map(of_label, labels))}"


def _folded(local: str) -> str:
    return unicodedata.normalize("NFKC", _dotted(local.casefold()).replace("\N{LATIN SMALL LETTER DOTLESS I}", "i"))


def _dotted(text: str) -> str:
    """A capital I with a dot becomes an i and a dot above it, which no other language writes."""
    return text.replace("i\N{COMBINING DOT ABOVE}", "i")


def _ascii(label: str) -> str:
    """The label as the domain name system has it; IDNA 2008 forbids some that are registered all the same."""
    return label if label.isascii() or len(label) > _LONGEST_LABEL else f"xn--{label.encode('punycode').decode()}"


def _unicode(label: str) -> str:
    try:
        return label[4:].encode().decode("punycode") if label.startswith("xn--") else label
    except UnicodeError:
        return label


def _number(value: str, region: str) -> PhoneNumber | None:
    """The number that somebody in the region means; the likelier of two readings where it begins with two zeros."""
    text = "".join(str(unicodedata.decimal(each)) if each.isdecimal() else each for each in value)
    text = unicodedata.normalize("NFKC", text).strip()
    abroad = _EXIT.sub("+", text, count=1) if _EXIT.match(text) else None
    readings = [_parsed(text, region or None), _parsed(abroad, None) if abroad else None]
    return max(filter(None, readings), key=_likelihood, default=None)


def _parsed(text: str, region: str | None) -> PhoneNumber | None:
    try:
        return phonenumbers.parse(text, region)
    except NumberParseException:
        return None


def _likelihood(number: PhoneNumber) -> tuple[bool, bool]:
    return phonenumbers.is_valid_number(number), phonenumbers.is_possible_number(number)


def _e164(number: PhoneNumber) -> str:
    text: str = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    return text


def _dialled(number: PhoneNumber, region: str) -> Iterator[str]:
    """The digits of the ways in which people write it: as version 1 kept them."""
    code, own = str(number.country_code), phonenumbers.national_significant_number(number)
    at_home = normalize("phone", phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL))
    for exit_code in ("+", "00", ""):
        yield from (f"{exit_code}{code}{rest}" for rest in (own, f"0{own}"))
    if phonenumbers.country_code_for_region(region) == number.country_code:
        yield from (own, at_home)
