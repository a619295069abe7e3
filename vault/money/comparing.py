"""Reconciling: what the processor has of a processor account's payments against what we have of its charges.

Day by day and page by page. What is open here is left to its intent; a payment without a tag of ours is not ours. Where
a charge is not in the processor's list of that day, the processor is asked for it by name before anything is said.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Row, and_, select

from rows.engine import reading
from vault.charge_states import OPEN, PAID
from vault.desk import Desk
from vault.money.charge import charges as charge_rooms
from vault.processing import intents, references
from vault.processing.answers import Approved, Authorized, Declined, Payment, PaymentPage, Refused, Voided
from vault.processing.connecting import Connected, Processors, connect_to, each_page
from vault.tables import charges

DAY = timedelta(days=1)
SETTLING = timedelta(minutes=5)
"""What is younger may still be under way, here or there."""

HELD = ("authorized", "succeeded")
"""Payments that are money, or may become it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Where the two do not agree: `theirs_only`, `ours_only`, `amount_differs` or `state_differs`; minor units."""

    kind: str
    charge: str | None
    payment: str | None
    ours: Mapping[str, Any] | None
    theirs: Mapping[str, Any] | None


@dataclass(slots=True)
class Report:
    """What a comparison found: how many payments of ours were compared, how many there were not ours."""

    compared: int = 0
    not_ours: int = 0
    differences: list[Difference] = field(default_factory=list)


class NotCompared(Exception):  # it says what did not happen
    """The processor did not list its payments; `reason` is a code."""

    def __init__(self, reason: str) -> None:
        """Keep the reason."""
        super().__init__(f"The processor did not list its payments ({reason}). Try again later.")
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class _Books:
    desk: Desk
    account: str
    connected: Connected


def compare(
    desk: Desk,
    processors: Processors,
    account_id: str,
    since: datetime,
    progress: Callable[[datetime, int], None] = lambda _day, _compared: None,
) -> Report:
    """Compare an account's payments since then, up to five minutes ago. Raises NotCompared, NotUsable."""
    connected = connect_to(desk.records, desk.keyring, processors, desk.caller.tenant, account_id)
    books = _Books(desk=desk, account=account_id, connected=connected)
    report, until = Report(), desk.caller.at - SETTLING
    while since < until:
        end = min(since + DAY, until)
        _compare_day(books, since, end, report)
        progress(end, report.compared)
        since = end
    return report


def _compare_day(books: _Books, since: datetime, until: datetime, report: Report) -> None:
    seen: set[bytes] = set()
    for page in _theirs(books, since, until):
        tagged = [payment for payment in page if payment.marks is not None]
        report.not_ours += len(page) - len(tagged)
        ours = _ours_named(books, tagged)
        for payment in tagged:
            digest = references.digest(books.desk.keyring, books.desk.caller.tenant, books.account, payment.reference)
            seen.add(digest)
            _compare_one(books, payment, ours.get(digest), since, until, report)
    for row in _ours_held(books, since, until):
        if row.reference_digest not in seen:
            _look_for(books, row, report)


def _compare_one(
    books: _Books, payment: Payment, row: Row[Any] | None, since: datetime, until: datetime, report: Report
) -> None:
    if row is None:
        row = _ours_tagged(books, payment, since, until)
        if row is None and _status(payment) in HELD:
            report.differences.append(_difference("theirs_only", None, payment))
            return
    if row is None or (row.state in OPEN and row.state != "authorized"):
        return
    report.compared += 1
    if (row.state in PAID) != (_status(payment) == "succeeded"):
        if row.state != "authorized" or _status(payment) != "authorized":
            report.differences.append(_difference("state_differs", row, payment))
    elif row.state in PAID and (row.amount_captured, _given_back(row)) != (
        payment.captured,
        payment.refunded,
    ):
        report.differences.append(_difference("amount_differs", row, payment))


def _given_back(row: Row[Any]) -> int:
    return charge_rooms.given_back(row.amount_captured, row.amount_refunded)


def _status(payment: Payment) -> str:
    return next((status for kind, status in _STATUS.items() if isinstance(payment.outcome, kind)), "open")


_STATUS: Mapping[type, str] = {Approved: "succeeded", Authorized: "authorized", Voided: "failed", Declined: "failed"}


def _look_for(books: _Books, row: Row[Any], report: Report) -> None:
    """A charge of ours that the day's list does not have: it may stand in the next day's."""
    reference = charge_rooms.open_retained(books.desk.keyring, row).get("reference")
    connected = books.connected
    found = connected.processor.read_charge(connected.credentials, reference=reference or "")
    if not isinstance(found, Approved | Authorized):
        report.differences.append(_difference("ours_only", row, None))


def _theirs(books: _Books, since: datetime, until: datetime) -> Iterator[Sequence[Payment]]:
    connected = books.connected
    for page in each_page(partial(connected.processor.list_payments, connected.credentials, since=since, until=until)):
        if not isinstance(page, PaymentPage):
            raise NotCompared(page.code if isinstance(page, Refused) else page.reason)
        yield page.payments


def _ours_named(books: _Books, payments: Sequence[Payment]) -> dict[bytes, Row[Any]]:
    digests = [
        references.digest(books.desk.keyring, books.desk.caller.tenant, books.account, payment.reference)
        for payment in payments
    ]
    with reading(books.desk.records) as connection:
        rows = connection.execute(select(charges).where(_mine(books), charges.c.reference_digest.in_(digests))).all()
    return {row.reference_digest: row for row in rows}


def _ours_tagged(books: _Books, payment: Payment, since: datetime, until: datetime) -> Row[Any] | None:
    """A charge of ours that was never told the payment's name: an open one, or one that is thought to have failed."""
    about = charges.c.created_at.between(since - DAY, until + DAY)
    nameless = select(charges).where(_mine(books), about, charges.c.reference_digest.is_(None))
    with reading(books.desk.records) as connection:
        for row in connection.execute(nameless):
            if (
                payment.marks
                and intents.tag(books.desk.keyring, books.desk.caller.tenant, row.charge_id) == payment.marks.tag
            ):
                return row
    return None


def _ours_held(books: _Books, since: datetime, until: datetime) -> Sequence[Row[Any]]:
    held = charges.c.state.in_((*PAID, "authorized"))
    then = and_(charges.c.created_at >= since, charges.c.created_at < until)
    with reading(books.desk.records) as connection:
        return connection.execute(select(charges).where(_mine(books), held, then)).all()


def _mine(books: _Books) -> Any:  # noqa: ANN401  # a condition
    return and_(charges.c.tenant_id == books.desk.caller.tenant, charges.c.account_id == books.account)


def _difference(kind: str, row: Row[Any] | None, payment: Payment | None) -> Difference:
    ours = None
    if row is not None:
        ours = {"status": row.state, "captured": row.amount_captured, "refunded": _given_back(row)}
    theirs = None
    if payment is not None:
        theirs = {"status": _status(payment), "captured": payment.captured, "refunded": payment.refunded}
    return Difference(
        kind=kind,
        charge=row.charge_id if row is not None else None,
        payment=payment.reference if payment is not None else None,
        ours=ours,
        theirs=theirs,
    )
