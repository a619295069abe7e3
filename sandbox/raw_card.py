"""The one place that sees a card number and a CVC: what goes on from here is the row of a test card and its face."""

import re
import time
from typing import Any

from sandbox import cards, errors
from sandbox import params as parameters
from sandbox.cards import BY_NUMBER, Card
from sandbox.state import Account, Object

NOT_A_TEST_CARD = {
    "code": "card_declined",
    "decline_code": "test_mode_live_card",
    "message": "Your card was declined. This is test mode, and the card is not one of the documented test cards.",
}
INPUT_ERRORS = {
    "number": ("incorrect_number", "Your card number is incorrect."),
    "exp_month": ("invalid_expiry_month", "Your card's expiration month is invalid."),
    "exp_year": ("invalid_expiry_year", "Your card's expiration year is invalid."),
    "cvc": ("invalid_cvc", "Your card's security code is invalid."),
}


def read(account: Account, raw: dict[str, Any]) -> tuple[Card, Object]:
    """The row of the table and the face of a card; this is as far as a number and a CVC go."""
    for part in ("number", "exp_month", "exp_year"):
        if not raw.get(part):
            name = f"card[{part}]"
            raise errors.invalid(f"Missing required param: {name}.", param=name, code="parameter_missing")
    number = str(raw["number"]).replace(" ", "").replace("-", "")
    if not (re.fullmatch("[0-9]{12,19}", number) and cards.is_luhn_valid(number)):
        raise _input_error("number")
    month, year = (parameters.integer(f"card[{part}]", raw[part]) for part in ("exp_month", "exp_year"))
    year += 2000 if year < 100 else 0  # noqa: PLR2004 - a year of two digits
    check_expiry(account, month, year)
    if number not in BY_NUMBER:
        raise errors.card_error(NOT_A_TEST_CARD)
    card, cvc = BY_NUMBER[number], str(raw.get("cvc") or "")
    if cvc and not (cvc.isdecimal() and len(cvc) == cards.CVC_LENGTH.get(card.brand, 3)):
        raise _input_error("cvc")
    return card, face(account, card, exp_month=month, exp_year=year, cvc=bool(cvc))


def check_expiry(account: Account, month: int, year: int) -> None:
    """Refuse with 402 a month that is none, or that has passed, and a year too far away."""
    today = time.gmtime(account.now())
    if not 1 <= month <= 12 or (year == today.tm_year and month < today.tm_mon):  # noqa: PLR2004 - months
        raise _input_error("exp_month")
    if not today.tm_year <= year <= today.tm_year + 50:
        raise _input_error("exp_year")


def _input_error(part: str) -> errors.WireError:
    code, message = INPUT_ERRORS[part]
    return errors.card_error({"code": code, "message": message, "param": part})


def face(account: Account, card: Card, *, exp_month: int, exp_year: int, cvc: bool) -> Object:
    """What may be shown of a card: the ``card`` of a payment method."""
    checks = {"address_line1_check": None, "address_postal_code_check": None}
    return {
        "brand": card.brand,
        "checks": checks | {"cvc_check": "unchecked" if cvc else None},
        "country": "US",
        "display_brand": cards.DISPLAY_BRANDS.get(card.brand, card.brand),
        "exp_month": exp_month,
        "exp_year": exp_year,
        "fingerprint": account.sandbox.digest("card", account.id, card.number)[:16],
        "funding": card.funding,
        "generated_from": None,
        "last4": card.number[-4:],
        "networks": {"available": [card.brand], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }
