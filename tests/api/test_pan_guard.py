"""Card numbers are found however they are written; what only looks a little like one is let pass."""

import random
import string
import sys
import time
import unicodedata
import uuid

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat

from api.pan_guard import BRANDS, has_card_number, mask_card_numbers

TEST_CARDS = (
    "4242424242424242",
    "4000056655665556",
    "5555555555554444",
    "2223003122003222",
    "378282246310005",
    "6011111111111117",
    "3056930009020004",
    "36227206271667",
    "3566002020360505",
    "6200000000000005",
    "6205500000000000004",
    "6759649826438453",
)
ZEROS = [chr(code) for code in range(sys.maxunicode + 1) if unicodedata.decimal(chr(code), None) == 0]
"""The zero of every script that has decimal digits; the other nine follow it."""

INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u180e\u202e\u2066\ufe0f\u034f\u3164\u115f\uffa0\u2800"
PREFIXES = (
    "4",
    "51",
    "55",
    "2221",
    "2720",
    "34",
    "37",
    "300",
    "36",
    "38",
    "6011",
    "644",
    "65",
    "3528",
    "3589",
    "62",
    "81",
    "6759",
)


def _luhn(body: str) -> str:
    """The digits with their check digit behind them (ISO/IEC 7812-1, annex B), written apart from the code's own."""
    total = 0
    for place, digit in enumerate(reversed(body)):
        doubled = int(digit) * (2 if place % 2 == 0 else 1)
        total += doubled // 10 + doubled % 10
    return body + str(-total % 10)


@st.composite
def card_numbers(draw: st.DrawFn) -> str:
    """A number of some brand, of one of that brand's lengths, with a good check digit."""
    prefix = draw(st.sampled_from(PREFIXES))
    lengths = next(lengths for _, begins, lengths in BRANDS if begins.match(prefix))
    length = draw(st.sampled_from(lengths))
    rest = draw(st.text("0123456789", min_size=length - 1 - len(prefix), max_size=length - 1 - len(prefix)))
    return _luhn(prefix + rest)


@pytest.mark.parametrize("number", TEST_CARDS)
def test_test_cards(number: str) -> None:
    """The processors' published test numbers, of every brand, alone and inside a sentence."""
    for text in (
        number,
        f"card: {number}.",
        f"({number})",
        f"{number}/12/34",
        f"\n{number}\n",
        f"card={number};cvc=123",
    ):
        assert has_card_number(text), text


@given(card_numbers())
def test_numbers_of_every_brand(number: str) -> None:
    """Any number with a brand's prefix, length and check digit; and none with another check digit."""
    assert has_card_number(number) == (len(set(number)) > 1)
    wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
    assert not has_card_number(wrong)


@given(
    card_numbers(),
    st.sampled_from(
        [" ", "-", ".", "/", "_", "  ", " - ", "\t", "\n", "\u00a0", "·", "\u2013", "#", "=", ")(", "|", "\\", ":"]
    ),
    st.data(),
)
def test_numbers_in_groups(number: str, separator: str, data: st.DataObject) -> None:
    """Cut anywhere, as often as one likes, with any separator of up to three signs or any row of blanks between."""
    cuts = sorted(data.draw(st.sets(st.integers(1, len(number) - 1))))
    groups = [number[start:end] for start, end in zip([0, *cuts], [*cuts, None], strict=True)]
    assert has_card_number(separator.join(groups)) == (len(set(number)) > 1)


@given(card_numbers(), st.text(INVISIBLE, min_size=1, max_size=6), st.integers(1, 13))
def test_invisible_characters_inside(number: str, hidden: str, place: int) -> None:
    """Zero-width, soft-hyphen, direction, filler and combining characters hide nothing, wherever they stand."""
    found = len(set(number)) > 1
    assert has_card_number(number[:place] + hidden + number[place:]) == found
    assert has_card_number(hidden.join(number)) == found
    assert has_card_number(hidden + number + hidden) == found


@pytest.mark.parametrize("zero", ZEROS, ids=[f"U+{ord(zero):04X}" for zero in ZEROS])
def test_digits_of_every_script(zero: str) -> None:
    """Full-width, Arabic, Devanagari, mathematical ...: the decimal digits of all of Unicode."""
    number = "".join(chr(ord(zero) + int(digit)) for digit in TEST_CARDS[0])
    assert has_card_number(number)
    assert has_card_number(f"4242 {number[4:8]}-{number[8:12]} 4242")


@pytest.mark.parametrize(
    "text",
    [
        "④②④②④②④②④②④②④②④②",
        "⑷⑵⑷⑵⑷⑵⑷⑵⑷⑵⑷⑵⑷⑵⑷⑵",
        "⒋⒉⒋⒉⒋⒉⒋⒉⒋⒉⒋⒉⒋⒉⒋⒉",
        "❹❷❹❷❹❷❹❷❹❷❹❷❹❷❹❷",
        "➍➋➍➋➍➋➍➋➍➋➍➋➍➋➍➋",
        "㊷㊷㊷㊷㊷㊷㊷㊷",
        "⁴²⁴²⁴²⁴²⁴²⁴²⁴²⁴²",
        "₄₂₄₂₄₂₄₂₄₂₄₂₄₂₄₂",
        "፬፪፬፪፬፪፬፪፬፪፬፪፬፪፬፪",
        "4️⃣2️⃣4️⃣2️⃣4️⃣2️⃣4️⃣2️⃣4️⃣2️⃣4️⃣2️⃣4️⃣2️⃣4️⃣2️⃣",
        "4̸2̸4̸2̸4̸2̸4̸2̸4̸2̸4̸2̸4̸2̸4̸2̸",
    ],
)
def test_digits_in_disguise(text: str) -> None:
    """Circled, bracketed, dotted, raised and keycap digits, those of scripts without a zero, and struck-out ones."""
    assert has_card_number(text)


@pytest.mark.parametrize(
    "text",
    [
        "Order 12345\n4242424242424242",
        "4242424242424242\n12345",
        "12345\u200b4242424242424242",
        "2026-11-23 4242424242424242",
        "4242424242424242 12/34 123",
        "1,4242424242424242,2",
        "card_4242424242424242",
        "卡号4242424242424242有效期",
        "カード番号4242424242424242です",
        "\u0628\u0637\u0627\u0642\u06294242424242424242",
        "4242        4242 4242 4242",
    ],
)
def test_neighbours_hide_nothing(text: str) -> None:
    """Another number before or behind, on another line or glued with a zero-width character; text without blanks."""
    assert has_card_number(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4242",
        "4242424242424241",
        "0000000000000000",
        "4444444444444444",
        "x4242424242424242",
        "4242424242424242x",
        "ORD4242424242424242",
        "42424242424242424242",
        "4242424242424242" * 2,
        "4222222222222",
        "4242a4242b4242c4242",
        "4242424242424242é",
        "№4242424242424242Ж",
    ],
)
def test_what_is_no_card_number(text: str) -> None:
    """A wrong check digit, a filler, digits that touch a letter, a longer run, Visa's old thirteen digits."""
    assert not has_card_number(text)


PHONES = """+49 151 ########|0049 171 #######|+49 (0)30 ########|+1 (###) ###-####|001-###-###-####|+44 20 #### ####
+33 # ## ## ## ##|+39 3## ### ####|+34 6## ### ###|+86 1## #### ####|+91 ##### #####|+81 90-####-####
+55 (11) 9####-####|+7 (9##) ###-##-##|+61 4## ### ###|+82 10-####-####|+52 1 55 #### ####|+62 8##-####-####
+90 5## ### ## ##|+48 ### ### ###|+31 6 ########|+32 4## ## ## ##|+41 7# ### ## ##|+43 664 #######|+46 70-### ## ##
+47 ### ## ###|+45 ## ## ## ##|+358 40 #######|+353 8# ### ####|+351 9## ### ###|+30 69# ### ####|+972 5#-###-####
+971 5# ### ####|+27 ## ### ####|+234 80# ### ####|+20 1## ### ####|0151 ######## / 0170 #######""".replace("\n", "|")
ORDERS = """INV-########-####|RE2026#########|ORD################|@@@-########-@#######|2026-11-##-########X
@###############|sub_@#######_2026-11|SO########/####/@@|#########@#######|PO 45######## pos @#""".replace("\n", "|")


def _filled(pattern: str, chance: random.Random) -> str:
    fill = {"#": string.digits, "@": string.ascii_uppercase}
    return "".join(chance.choice(fill[sign]) if sign in fill else sign for sign in pattern)


REGIONS = (  # noqa: SIM905  # one line a code would be forty
    "DE FR GB US CA MX BR AR CL CO ES PT IT NL BE CH AT SE NO DK FI IE PL CZ GR TR IL AE ZA NG EG IN CN JP KR ID AU NZ"
).split()
FORMS = (PhoneNumberFormat.E164, PhoneNumberFormat.INTERNATIONAL, PhoneNumberFormat.NATIONAL, PhoneNumberFormat.RFC3966)


def _phone(chance: random.Random) -> str:
    """A mobile number as its country writes it: the library's example with other digits at its end."""
    example = phonenumbers.example_number_for_type(chance.choice(REGIONS), phonenumbers.PhoneNumberType.MOBILE)
    keep = example.national_number // 10**6 * 10**6
    example.national_number = keep + chance.randrange(10**6)
    return phonenumbers.format_number(example, chance.choice(FORMS))


def test_false_alarms_on_phone_numbers_of_38_countries() -> None:
    """At most one in a thousand of 100,000, in each way that a country's numbers are written."""
    chance = random.Random(8)
    many = 100_000
    assert len({_phone(chance) for _ in range(1000)}) > 990
    assert sum(has_card_number(_phone(chance)) for _ in range(many)) <= many // 1000


@pytest.mark.parametrize("kind", ["uuid", "phone", "order"])
def test_false_alarms(kind: str) -> None:
    """At most one in a thousand of 100,000 UUIDs, phone numbers of 30 countries, order numbers with letters."""
    chance = random.Random(7)
    patterns = {"phone": PHONES, "order": ORDERS}.get(kind, "").split("|")
    many = 100_000
    alarms = sum(
        has_card_number(
            str(uuid.UUID(int=chance.getrandbits(128), version=4))
            if kind == "uuid"
            else _filled(chance.choice(patterns), chance)
        )
        for _ in range(many)
    )
    assert alarms <= many // 1000


@given(card_numbers(), st.integers(0, 3), st.sampled_from(["", " ", "-", "\u00a0"]))
def test_percent_encoded(number: str, times: int, separator: str) -> None:
    """As in a URL, digits and all, as often as three programs one after another would encode it."""
    text = separator.join(number)
    for _ in range(times):
        text = "".join(f"%{byte:02x}" for byte in text.encode())
    assert has_card_number(f"https://shop.example/?n={text}&x=1") == (len(set(number)) > 1)


@given(st.text(max_size=300))
@settings(max_examples=300)
def test_any_text_at_all(text: str) -> None:
    """No text breaks the guard; a number put behind it on a line of its own is found whatever the text was."""
    has_card_number(text)
    assert has_card_number(f"{text}\n;;;;\n4242424242424242")
    assert "4242424242424242" not in mask_card_numbers(f"{text} 4242424242424242 ")


@pytest.mark.parametrize("piece", ["1 ", "4 ", "4242 ", "4\u200b", "63 04 ", "٤ ", "4-", "%34%20", "%2525"])
def test_the_largest_body_takes_no_long_time(piece: str) -> None:
    """Sixteen times the worst there is takes nothing like 256 times as long: growing a body holds no process up.

    Sixteen would be linear. The bound stands as far from it as from the square, so that neither a cold cache nor a
    neighbour on the machine decides.
    """

    def seconds(size: int) -> float:
        text = piece * (size // len(piece.encode()))
        start = time.process_time()
        has_card_number(text)
        return time.process_time() - start

    assert min(seconds(64 * 1024) for _ in range(5)) < 64 * min(seconds(4 * 1024) for _ in range(5))
