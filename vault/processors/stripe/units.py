"""Amounts: ours are minor units as ISO 4217 counts them, Stripe's are counted by a table of its own.

Sources: docs.stripe.com/currencies (zero-decimal, three-decimal and special cases), read 2026-12-04; ISO 4217 list one
of SIX as published 2026-01-01, without funds, metals and test codes, which have no minor unit.
"""

from fractions import Fraction

from vault.processing.answers import Misfit

_ISO = {
    0: "bif clp djf gnf isk jpy kmf krw pyg rwf ugx uyi vnd vuv xaf xof xpf",
    2: """
        aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bmd bnd bob brl bsd btn bwp byn bzd cad cdf chf cny cop
        crc cup cve czk dkk dop dzd egp ern etb eur fjd fkp gbp gel ghs gip gmd gtq gyd hkd hnl htg huf idr ils inr irr
        jmd kes kgs khr kpw kyd kzt lak lbp lkr lrd lsl mad mdl mga mkd mmk mnt mop mru mur mvr mwk mxn myr mzn nad ngn
        nio nok npr nzd pab pen pgk php pkr pln qar ron rsd rub sar sbd scr sdg sek sgd shp sle sos srd ssp stn svc syp
        szl thb tjs tmt top try ttd twd tzs uah usd uyu uzs ved ves wst xad xcd xcg yer zar zmw zwg
    """,  # `ang` and `bgn` ended in 2025 and are read for what was paid in them
    3: "bhd iqd jod kwd lyd omr tnd",
    4: "clf uyw",
}
ISO = {code: places for places, codes in _ISO.items() for code in codes.split()}
"""The decimal places of each currency's minor unit."""

_STRIPE = {0: "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf", 3: "bhd jod kwd omr tnd"}
STRIPE = {code: 2 for code, places in ISO.items() if places <= 2} | {  # noqa: PLR2004 - decimal places
    code: places for places, codes in _STRIPE.items() for code in codes.split()
}
"""The decimal places that Stripe counts with: `isk` and `ugx` have none there either, and are counted in hundredths."""

STEP = {code: 10 for code, places in STRIPE.items() if places == 3}  # noqa: PLR2004 - decimal places
"""What an amount there must be a multiple of: cards do not know a third decimal."""


def misfit(amount: int, currency: str) -> Misfit | None:
    """Why Stripe can't express an amount, or None where it can."""
    if currency not in ISO:
        return Misfit(field="currency", message="This is no currency of ISO 4217.")
    if currency not in STRIPE:
        return Misfit(field="currency", message=f"The processor takes no payments in {currency}.")
    step = _scaled(STEP.get(currency, 1), STRIPE[currency], ISO[currency])
    if amount % step:
        return Misfit(field="amount", message=f"The processor takes multiples of {step} in {currency}.")
    return None


def theirs(amount: int, currency: str) -> int:
    """Our amount as Stripe counts it. Raises ValueError for a misfit."""
    if (met := misfit(amount, currency)) is not None:
        raise ValueError(met.message)
    return int(_scaled(amount, ISO[currency], STRIPE[currency]))


def ours(amount: int, currency: str) -> int:
    """Stripe's amount as we count it. Raises ValueError where that is no whole number, or the currency none we know."""
    if currency not in STRIPE:
        raise ValueError("no currency of ISO 4217")
    here = _scaled(amount, STRIPE[currency], ISO[currency])
    if here % 1:
        raise ValueError("no whole number of minor units")
    return int(here)


def _scaled(amount: int, places: int, into: int) -> Fraction:
    return amount * Fraction(10) ** (into - places)
