"""The test cards: what each number does. The numbers stand here and nowhere else; state keeps the behaviour's name.

Sources: the table in Stripe's testing page, the advice and network codes of its decline recordings.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What a card does.

    ``decline`` names the decline every charge meets; ``attaches`` is false when attaching and setting up meet it too.
    ``authentication`` is wanted ``never``, ``always``, ``unless_set_up`` (on session always) or ``on_session``.
    ``dispute`` names the dispute and ``refund`` the course of a refund that follow a successful charge.
    """

    decline: str | None = None
    attaches: bool = True
    authentication: str = "never"
    dispute: str | None = None
    refund: str = "succeeds"


@dataclass(frozen=True, slots=True)
class Card:
    """One row of the table."""

    number: str
    brand: str
    funding: str
    behaviour: str
    shortcut: str


DECLINE_FIELDS = (
    "code",
    "decline_code",
    "message",
    "advice_code",
    "network_decline_code",
    "network_advice_code",
    "param",
)
DECLINED, NO_FUNDS, AGAIN, NEVER, CHECK = (
    "Your card was declined.",
    "Your card has insufficient funds.",
    "try_again_later",
    "do_not_try_again",
    "confirm_card_data",
)
DECLINES = {
    "generic_decline": ("card_declined", "generic_decline", DECLINED, AGAIN, "01", None, None),
    "insufficient_funds": ("card_declined", "insufficient_funds", NO_FUNDS, AGAIN, "51", "02", None),
    "lost_card": ("card_declined", "lost_card", DECLINED, NEVER, "41", "01", None),
    "stolen_card": ("card_declined", "stolen_card", DECLINED, NEVER, "43", "01", None),
    "expired_card": ("expired_card", None, "Your card has expired.", CHECK, "54", "03", "exp_month"),
    "incorrect_cvc": ("incorrect_cvc", None, "Your card's security code is wrong.", CHECK, "N7", "03", "cvc"),
    "processing_error": ("processing_error", None, "The card's network failed.", AGAIN, "06", None, None),
    "authentication_required": (*("authentication_required",) * 2, DECLINED, None, None, None, None),
}

BEHAVIOURS = {
    "succeeds": Behaviour(),
    "declines": Behaviour(decline="generic_decline", attaches=False),
    "insufficient_funds": Behaviour(decline="insufficient_funds", attaches=False),
    "lost_card": Behaviour(decline="lost_card", attaches=False),
    "stolen_card": Behaviour(decline="stolen_card", attaches=False),
    "lost_since": Behaviour(decline="lost_card"),
    "expired_card": Behaviour(decline="expired_card", attaches=False),
    "incorrect_cvc": Behaviour(decline="incorrect_cvc", attaches=False),
    "processing_error": Behaviour(decline="processing_error", attaches=False),
    "declines_after_attaching": Behaviour(decline="generic_decline"),
    "authentication_unless_set_up": Behaviour(authentication="unless_set_up"),
    "authentication_always": Behaviour(authentication="always"),
    "authentication_on_session": Behaviour(authentication="on_session"),
    "authentication_then_insufficient_funds": Behaviour(decline="insufficient_funds", authentication="unless_set_up"),
    "disputed_fraudulent": Behaviour(dispute="fraudulent"),
    "disputed_inquiry": Behaviour(dispute="inquiry"),
    "refund_pending": Behaviour(refund="pending"),
    "refund_fails": Behaviour(refund="fails"),
}

CARDS = (
    Card("4242424242424242", "visa", "credit", "succeeds", "pm_card_visa"),
    Card("4000056655665556", "visa", "debit", "succeeds", "pm_card_visa_debit"),
    Card("5555555555554444", "mastercard", "credit", "succeeds", "pm_card_mastercard"),
    Card("2223003122003222", "mastercard", "credit", "succeeds", ""),
    Card("5200828282828210", "mastercard", "debit", "succeeds", "pm_card_mastercard_debit"),
    Card("5105105105105100", "mastercard", "prepaid", "succeeds", "pm_card_mastercard_prepaid"),
    Card("378282246310005", "amex", "credit", "succeeds", "pm_card_amex"),
    Card("371449635398431", "amex", "credit", "succeeds", ""),
    Card("6011111111111117", "discover", "credit", "succeeds", "pm_card_discover"),
    Card("3056930009020004", "diners", "credit", "succeeds", "pm_card_diners"),
    Card("3566002020360505", "jcb", "credit", "succeeds", "pm_card_jcb"),
    Card("6200000000000005", "unionpay", "credit", "succeeds", "pm_card_unionpay"),
    Card("4000000000000002", "visa", "credit", "declines", "pm_card_visa_chargeDeclined"),
    Card("4000000000009995", "visa", "credit", "insufficient_funds", "pm_card_visa_chargeDeclinedInsufficientFunds"),
    Card("4000000000009987", "visa", "credit", "lost_card", "pm_card_visa_chargeDeclinedLostCard"),
    Card("4000000000009979", "visa", "credit", "stolen_card", "pm_card_visa_chargeDeclinedStolenCard"),
    Card("4000000000000069", "visa", "credit", "expired_card", "pm_card_chargeDeclinedExpiredCard"),
    Card("4000000000000127", "visa", "credit", "incorrect_cvc", "pm_card_chargeDeclinedIncorrectCvc"),
    Card("4000000000000119", "visa", "credit", "processing_error", "pm_card_chargeDeclinedProcessingError"),
    # Not one of Stripe's: a card that was stored and is reported lost since, which theirs have no number for.
    Card("4000000000097008", "visa", "credit", "lost_since", "pm_card_chargeCustomerLost"),
    Card("4000000000000341", "visa", "credit", "declines_after_attaching", "pm_card_chargeCustomerFail"),
    Card("4000002500003155", "visa", "credit", "authentication_unless_set_up", "pm_card_authenticationRequiredOnSetup"),
    Card("4000002760003184", "visa", "credit", "authentication_always", "pm_card_authenticationRequired"),
    Card(
        "4000003800000446",
        "visa",
        "credit",
        "authentication_on_session",
        "pm_card_authenticationRequiredSetupForOffSession",
    ),
    Card(
        "4000008260003178",
        "visa",
        "credit",
        "authentication_then_insufficient_funds",
        "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds",
    ),
    Card("4000000000000259", "visa", "credit", "disputed_fraudulent", "pm_card_createDispute"),
    Card("4000000000001976", "visa", "credit", "disputed_inquiry", "pm_card_createDisputeInquiry"),
    Card("4000000000007726", "visa", "credit", "refund_pending", "pm_card_pendingRefund"),
    Card("4000000000005126", "visa", "credit", "refund_fails", "pm_card_refundFail"),
)
BY_NUMBER = {card.number: card for card in CARDS}
BY_SHORTCUT = {card.shortcut: card for card in CARDS if card.shortcut}
CVC_LENGTH = {"amex": 4}
DISPLAY_BRANDS = {"amex": "american_express", "diners": "diners_club"}


def is_luhn_valid(digits: str) -> bool:
    """Whether the check digit of a card number is right (ISO/IEC 7812-1, annex B)."""
    doubled = (2 * int(digit) for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(n - 9 if n > 9 else n for n in doubled)) % 10 == 0  # noqa: PLR2004 - digit arithmetic


def decline(name: str) -> dict[str, Any]:
    """The fields of the error object that says why an issuer refused."""
    fields = zip(DECLINE_FIELDS, DECLINES[name], strict=True)
    return {field: value for field, value in fields if value is not None}
