"""Currencies, and how Stripe counts them.

Source: docs.stripe.com/currencies (presentment currencies, three-decimal currencies, special cases), read 2026-12-04.
"""

from sandbox import errors

_KNOWN = """
    aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd bwp byn bzd cad cdf chf clp cny
    cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gnf gtq gyd hkd hnl htg huf idr ils inr isk jmd
    jod jpy kes kgs khr kmf krw kwd kyd kzt lak lbp lkr lrd lsl mad mdl mga mkd mmk mnt mop mur mvr mwk mxn myr mzn nad
    ngn nio nok npr nzd omr pab pen pgk php pkr pln pyg qar ron rsd rub rwf sar sbd scr sek sgd shp sle sos srd std szl
    thb tjs tnd top try ttd twd tzs uah ugx usd uyu uzs vnd vuv wst xaf xcd xcg xof xpf yer zar zmw
"""
KNOWN = frozenset(_KNOWN.split())
STEPS = {"isk": 100, "ugx": 100, "bhd": 10, "jod": 10, "kwd": 10, "omr": 10, "tnd": 10}
"""Counted in hundredths that they do not have; of three decimals the last is 0, because cards do not know it."""
SMALLEST = {"usd": 50, "eur": 50, "chf": 50, "cad": 50, "aud": 50, "gbp": 30, "jpy": 50}
LARGEST = 99_999_999


def check(currency: str) -> None:
    """Refuse with 400 what is no currency that can be charged."""
    if currency not in KNOWN:
        raise errors.invalid("Invalid currency: it is none of those that can be charged.", param="currency")


def check_amount(amount: int, currency: str, *, param: str = "amount") -> None:
    """Refuse with 400 an amount that its currency does not know."""
    step = STEPS.get(currency, 1)
    if amount % step:
        raise errors.invalid(f"Invalid {param}: in {currency} it must be divisible by {step}.", param=param)


def check_size(amount: int, currency: str) -> None:
    """Refuse with 400 an amount that is too small or too large to be charged."""
    smallest = SMALLEST.get(currency, 1)
    if amount < smallest:
        message = f"Amount must be at least {smallest} in {currency}."
        raise errors.invalid(message, param="amount", code="amount_too_small")
    if amount > LARGEST:
        raise errors.invalid(f"Amount must be at most {LARGEST}.", param="amount", code="amount_too_large")
