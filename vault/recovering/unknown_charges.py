"""Charges whose outcome is unknown: looked up in the complete list of the account's payments, their keys burnt.

All that are due at one account are looked up in one list. Which answer means what is in `vault/money/findings.py`; here
the list is read, the answer is carried out, and what is not decided yet comes again.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal

from sqlalchemy import Row

from rows.changes import updated, write
from rows.engine import reading, transaction
from vault.charge_states import UNSETTLED
from vault.money.charge import aftermath, charges, looking, recovered
from vault.money.charge.looking import Underway
from vault.money.charge.outcomes import Charging, conclude
from vault.money.findings import (
    Burn,
    CallOff,
    Conclude,
    NeverCharged,
    NextKey,
    PaidElsewhere,
    Seen,
    Wait,
    decide,
    own_or_other,
)
from vault.processing import accounts, doubt, intents, sending
from vault.processing.answers import Approved, Authorized, Failure, Payment, PaymentPage, Voided
from vault.processing.connecting import Connected, connect, each_page
from vault.processing.intents import is_ours
from vault.recovering import burning
from vault.tables import charges as charge_table
from vault.workshop import Workshop, desk_of

ENDED, LATER, AGAIN = "ended", "later", "again"
ROUNDS = 8
"""Lists that are read for one charge before others have their turn: each key that was found used costs one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A processor account, connected, and since when its records may have lost something."""

    row: Row[Any]
    connected: Connected
    lost_since: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """One charge, its intent's row, whose lease this process has, and what burning its key came to."""

    row: Row[Any]
    charging: Charging
    tag: str
    burnt: Literal["fresh", "used"] | None
    is_settled: bool

    @property
    def obligation(self) -> str | None:
        """How payments of the same obligation are marked at the processor."""
        digest = self.charging.row["obligation_digest"]
        return digest.hex() if digest is not None else None


Attempt = Callable[[Row[Any], Callable[[], "Done"]], "Done | None"]
"""Takes a step with an intent; None where that failed, which is reported and counted."""

Done = tuple[str, Unknown]


def opened(shop: Workshop, tenant: str, account_id: str) -> Account:
    """The account. Raises NotUsable."""
    with reading(shop.records) as connection:
        row = accounts.by_id(connection, tenant, account_id)
        since = doubt.since(connection, row) if doubt.is_doubted(connection, tenant, account_id) else None
    return Account(row=row, connected=connect(shop.processors, shop.keyring, tenant, row), lost_since=since)


def unknown(shop: Workshop, row: Row[Any], intent: intents.Intent) -> Unknown:
    """The charge of an intent that was taken up."""
    desk = desk_of(shop, row.tenant_id, live=row.live)
    charging = looking.begun(desk, row.resource_id, intent)
    tag = intents.tag(desk.keyring, row.tenant_id, row.resource_id)
    return Unknown(row=row, charging=charging, tag=tag, burnt=row.burnt, is_settled=bool(row.is_settled))


def resolve(shop: Workshop, account: Account, ones: Sequence[Unknown], attempt: Attempt) -> set[str]:
    """Bring charges of one account to their end, as far as the processor says it now: the intents that ended."""
    ended: set[str] = set()
    for _ in range(ROUNDS):
        listed = _listed(shop, account, ones)
        if not ones or listed is None:
            break
        steps = [(one, partial(_carry_out, shop, account, one, listed[one.tag])) for one in ones]
        done = [made for one, step in steps if (made := attempt(one.row, step)) is not None]
        ended |= {one.row.intent_id for how, one in done if how == ENDED}
        ones = [one for how, one in done if how == AGAIN]
    return ended


def _listed(shop: Workshop, account: Account, ones: Sequence[Unknown]) -> dict[str, Seen] | None:
    """What the complete list has of each, read once for all of them; None where it could not be read to its end."""
    seen = {one.tag: Seen() for one in ones}
    for page in _pages(account.connected, min((_since(account, one) for one in ones), default=None)):
        if not isinstance(page, PaymentPage):
            return None
        genuine = [each for each in page.payments if is_ours(shop.keyring, account.row.tenant_id, each.marks, "chg")]
        for one in ones:
            mine, before = own_or_other(genuine, one.tag, one.obligation), seen[one.tag]
            seen[one.tag] = Seen(own=(*before.own, *mine.own), others=(*before.others, *mine.others))
        if all(_has_paid(each) for each in seen.values()):
            break
    return seen


def _has_paid(seen: Seen) -> bool:
    """Whether a charge's own payment took money: that is how it ended, whatever else the list has."""
    return any(isinstance(each.outcome, Approved) for each in seen.own)


def _since(account: Account, one: Unknown) -> datetime:
    """From when on a payment may be this charge's, or another's for the same obligation.

    A key is kept for so long; whoever paid earlier is known here, or found by a walk.
    """
    processor, begun = account.connected.processor, one.row.created_at
    if one.obligation is not None:
        begun -= processor.key_lifetime or timedelta()
        begun = min(begun, account.lost_since or begun)
    moment: datetime = begun - timedelta(seconds=doubt.settling(processor) + doubt.CLOCKS)
    return moment


def _pages(connected: Connected, since: datetime | None) -> Iterator[PaymentPage | Failure]:
    if since is None:
        return iter(())
    return each_page(partial(connected.processor.list_payments, connected.credentials, since=since, until=None))


def _carry_out(shop: Workshop, account: Account, one: Unknown, seen: Seen) -> Done:
    has_number = one.charging.row["key_number"] is not None
    decision = decide(seen, one.burnt, has_number=has_number, is_settled=one.is_settled)
    match decision:
        case Conclude():
            how = _conclude(account, one, decision.payment)
        case CallOff():
            how = _call_off(account, one, decision.payment)
        case PaidElsewhere():
            how = _give_way(account, one, seen, decision)
        case NeverCharged():
            conclude(one.charging, decision)
            how = ENDED
        case Burn():
            how, one = _burn(shop, account, one)
        case NextKey():
            how, one = AGAIN, _with_next_key(shop, one)
        case Wait():
            how = LATER
    return how, one


def _conclude(account: Account, one: Unknown, payment: Payment) -> str:
    """Read the object itself: a list may be older than it, and the answer that was lost is older than both."""
    connected = account.connected
    outcome = connected.processor.read_charge(connected.credentials, reference=payment.reference)
    if not isinstance(outcome, looking.DEFINITE):
        return LATER
    if isinstance(outcome, Approved | Authorized):  # before its end is written: the word waits for that
        desk = one.charging.desk
        with transaction(desk.records) as tx:
            write(tx, aftermath.awaited(desk, account.row.account_id, payment.reference))
    underway = Underway(charging=one.charging, connected=connected, reference=payment.reference)
    charge = looking.seen(underway, outcome)
    return LATER if charge.status in UNSETTLED else ENDED


def _call_off(account: Account, one: Unknown, payment: Payment) -> str:
    connected, key = account.connected, f"panless-off-{one.tag}"
    void = partial(connected.processor.void, connected.credentials, reference=payment.reference, key=key)
    return AGAIN if isinstance(sending.once(one.charging.desk.caller, void), Voided) else LATER


def _give_way(account: Account, one: Unknown, seen: Seen, decision: PaidElsewhere) -> str:
    """Another charge paid: this one says so, and where these records have lost that one, it is written again."""
    conclude(one.charging, decision)
    for each in seen.others:
        recovered.write_again(one.charging.desk, account.row.account_id, each)
    return ENDED


def _burn(shop: Workshop, account: Account, one: Unknown) -> Done:
    key = charges.processor_key(shop.keyring, one.charging.begun, one.charging.row, account.row)
    burnt, is_settled = burning.burn(shop, one.charging.begun, account.connected, key, _words(one))
    now = replace(one, burnt=burnt, is_settled=is_settled)
    return (AGAIN if burnt is not None and is_settled else LATER), now


def _words(one: Unknown) -> dict[str, str]:
    """What the burn says: of an obligation's key nothing of the charge, so that whoever burns it says the same."""
    number = one.charging.row["key_number"]
    if number is None or one.obligation is None:
        return burning.words(one.row)
    return {"panless_for": one.obligation, "panless_burns": str(number)}


def _with_next_key(shop: Workshop, one: Unknown) -> Unknown:
    """The key is used up: the charge names the next one, which is to be burnt, too."""
    row, number = one.charging.row, one.charging.row["key_number"] + 1
    key = {"tenant_id": row["tenant_id"], "charge_id": row["charge_id"]}
    with transaction(shop.records) as tx:
        moved = updated(charge_table, {**key, "key_number": row["key_number"]}, {"key_number": number})
        write(tx, moved, burning.kept(one.charging.begun, None, 0))
    charging = replace(one.charging, row={**row, "key_number": number})
    return replace(one, burnt=None, is_settled=True, charging=charging)
