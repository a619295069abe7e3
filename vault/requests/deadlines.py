"""By when a rights request must be answered: the policy's clocks, counted as the law counts.

Regulation (EEC, Euratom) 1182/71 art. 3 counts for the GDPR: the day of the event is not part of the period (1); a
period of months ends on the same date of the last month, or on its last day where it has no such date (2)(c); it ends
with the last hour of that day, and a Saturday, Sunday or public holiday moves it to the next working day (4). Days are
days in the policy's time zone; every moment, taken and given, is aware, and given in UTC.
"""

from calendar import monthrange
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from vault.errors import Invalid
from vault.policy import Clock, Policy

SATURDAY = 5
DAY = timedelta(days=1)


def due(policy: Policy, regulation: str, *, submitted_at: datetime, received_at: datetime) -> datetime:
    """The last second in which an answer is in time. Raises Invalid for a regulation that the policy does not name.

    GDPR art. 12(3): one month. CCPA: 45 days from receipt, however long verifying takes (Cal. Code Regs. tit. 11,
    § 7021(b)); a weekend does not move it.
    """
    clock = _clock(policy, regulation)
    return _end(policy, _last_day(policy, clock, _first_day(policy, clock, submitted_at, received_at), clock.amount))


def extended(policy: Policy, regulation: str, *, submitted_at: datetime, received_at: datetime) -> datetime:
    """The last second for a request that was extended, of which the person must be told before `due`. Raises Invalid.

    GDPR art. 12(3): two further months. CCPA: 90 days in all (Cal. Civ. Code § 1798.130(a)(2)(A)). Both are counted
    from the first start, not from a first end that a weekend moved.
    """
    clock = _clock(policy, regulation)
    first, amount = _first_day(policy, clock, submitted_at, received_at), clock.amount + clock.extension
    return _end(policy, _last_day(policy, clock, first, amount))


def pressing_before(policy: Policy, regulation: str, at: datetime) -> datetime:
    """A request that is open at `at` is pressing if its clock began before this. Raises Invalid.

    It is so from the first second of the day that the policy chose, in the policy's time zone.
    """
    warned = _day(policy, at) - _clock(policy, regulation).warn_after_days * DAY
    return _beginning(policy, warned + DAY)


def acknowledge_by(policy: Policy, regulation: str, *, received_at: datetime) -> datetime | None:
    """The last second in which to confirm receipt; None where the regulation asks for no such thing. Raises Invalid.

    CCPA: 10 business days after receipt (Cal. Code Regs. tit. 11, § 7021(a)).
    """
    clock = _clock(policy, regulation)
    if clock.acknowledge_working_days is None:
        return None
    day = _day(policy, received_at)
    for _ in range(clock.acknowledge_working_days):
        day = _working_day(policy, day + DAY)
    return _end(policy, day)


def _clock(policy: Policy, regulation: str) -> Clock:
    if regulation not in policy.regulations:
        known = ", ".join(sorted(policy.regulations))
        raise Invalid("regulation", f"The policy has a clock for these regulations: {known}.")
    return policy.regulations[regulation]


def _first_day(policy: Policy, clock: Clock, submitted_at: datetime, received_at: datetime) -> date:
    return _day(policy, submitted_at if clock.starts == "submitted" else received_at)


def _last_day(policy: Policy, clock: Clock, first: date, amount: int) -> date:
    last = _months_later(first, amount) if clock.unit == "month" else first + amount * DAY
    return _working_day(policy, last) if clock.to_working_day else last


def _months_later(day: date, months: int) -> date:
    years, month = divmod(day.month - 1 + months, 12)
    year, month = day.year + years, month + 1
    return date(year, month, min(day.day, monthrange(year, month)[1]))


def _working_day(policy: Policy, day: date) -> date:
    while day.weekday() >= SATURDAY or day in policy.holidays:
        day += DAY
    return day


def _day(policy: Policy, moment: datetime) -> date:
    return moment.astimezone(ZoneInfo(policy.time_zone)).date()


def _beginning(policy: Policy, day: date) -> datetime:
    return datetime.combine(day, time(), ZoneInfo(policy.time_zone)).astimezone(UTC)


def _end(policy: Policy, day: date) -> datetime:
    """Counted back from the next midnight: where clocks change at night, 23:59:59 may come twice or not at all."""
    return _beginning(policy, day + DAY) - timedelta(seconds=1)
