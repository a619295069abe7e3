from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from house import Tenant
from hypothesis import given
from hypothesis import strategies as st

from panless.settings.policies import read_policy
from vault.errors import Invalid
from vault.policy import Policy
from vault.requests import deadlines

POLICY = read_policy(Path(__file__).parents[2] / "panless" / "policy.toml")
NOON = 12
DAY = timedelta(days=1)
LAST = timedelta(hours=23, minutes=59, seconds=59)

moments = st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # hypothesis wants them naive
zones = st.sampled_from(("UTC", "Europe/Paris", "Asia/Beirut", "America/Nuuk", "Pacific/Kiritimati"))
holidays = st.frozensets(st.dates(date(2000, 1, 1), date(2101, 1, 1)), max_size=30)


def policy_in(zone: str = "UTC", *off: date) -> Policy:
    """The example's clocks, in another zone with other holidays."""
    return replace(POLICY, time_zone=zone, holidays=frozenset(off))


def moment(text: str) -> datetime:
    """A moment of UTC: noon where only a day is given."""
    at = datetime.fromisoformat(text).replace(tzinfo=UTC)
    return at if "T" in text else at.replace(hour=NOON)


def due(policy: Policy, asked: datetime, regulation: str = "gdpr") -> datetime:
    return deadlines.due(policy, regulation, submitted_at=asked, received_at=asked)


def extended(policy: Policy, asked: datetime, regulation: str = "gdpr") -> datetime:
    return deadlines.extended(policy, regulation, submitted_at=asked, received_at=asked)


def end_of(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC) + LAST


@pytest.mark.parametrize(
    ("asked", "last"),
    [
        ("2026-03-10", "2026-04-10"),  # the same date, a Friday, in 31 days
        ("2026-02-10", "2026-03-10"),  # and in 28
        ("2025-01-31", "2025-02-28"),  # no 31 February: the last day, a Friday
        ("2028-01-31", "2028-02-29"),  # in a leap year that is the 29th
        ("2028-01-30", "2028-02-29"),
        ("2028-02-29", "2028-03-29"),
        ("2024-02-29", "2024-03-29"),
        ("2026-03-31", "2026-04-30"),
        ("2025-12-31", "2026-02-02"),  # over the year's end; 31 January 2026 is a Saturday
        ("2026-11-30", "2026-12-30"),
        ("2027-01-31", "2027-03-01"),  # 28 February 2027 is a Sunday: moved out of the month
        ("2026-05-06", "2026-06-08"),  # 6 June is a Saturday
        ("2026-05-07", "2026-06-08"),  # 7 June is a Sunday
        ("2026-05-08", "2026-06-08"),
    ],
)
def test_a_calendar_month(asked: str, last: str) -> None:
    """A month ends at that date of the next one, or at its last day where it has no such date, never at a weekend."""
    assert due(policy_in(), moment(asked)) == end_of(last)


@pytest.mark.parametrize(
    ("asked", "off", "last"),
    [
        ("2026-11-25", ["2026-12-25"], "2026-12-28"),  # Christmas on a Friday, then the weekend
        ("2026-11-25", ["2026-12-25", "2026-12-28"], "2026-12-29"),
        ("2026-03-03", ["2026-04-03", "2026-04-06"], "2026-04-07"),  # Good Friday to Easter Monday
        ("2026-11-26", ["2026-12-28", "2026-12-29", "2026-12-30", "2026-12-31", "2027-01-01"], "2027-01-04"),
        ("2026-03-10", ["2026-04-09", "2026-04-11"], "2026-04-10"),  # holidays around it change nothing
        ("2028-01-31", ["2028-02-29"], "2028-03-01"),
    ],
)
def test_holidays_and_weekends_in_a_row(asked: str, off: list[str], last: str) -> None:
    """A last day that is a holiday moves on, past as many holidays and weekends as follow one another."""
    assert due(policy_in("UTC", *map(date.fromisoformat, off)), moment(asked)) == end_of(last)


@pytest.mark.parametrize(
    ("asked", "last"),
    [
        ("2026-01-31", "2026-04-30"),  # three months from the start, not two from 28 February
        ("2025-11-30", "2026-03-02"),  # 28 February 2026 is a Saturday
        ("2026-05-06", "2026-08-06"),  # though the first end was moved to the 8th
        ("2027-11-30", "2028-02-29"),
    ],
)
def test_two_further_months_from_the_same_start(asked: str, last: str) -> None:
    """An extension is counted from the first start, so that a month end or a weekend in between moves nothing."""
    assert extended(policy_in(), moment(asked)) == end_of(last)


@pytest.mark.parametrize(
    ("zone", "asked", "last"),
    [
        ("Europe/Paris", "2026-03-09T22:59:59", "2026-04-09T21:59:59"),  # 23:59:59 of the 9th in Paris, in winter
        ("Europe/Paris", "2026-03-09T23:00:00", "2026-04-10T21:59:59"),  # the 10th there, still the 9th in UTC
        ("Europe/Paris", "2026-09-29T12:00:00", "2026-10-29T22:59:59"),  # from summer into winter
        ("America/Los_Angeles", "2026-03-10T06:59:59", "2026-04-10T06:59:59"),  # there it is the 9th
        ("Pacific/Kiritimati", "2026-03-09T10:00:00", "2026-04-10T09:59:59"),  # and there the 10th
        ("Asia/Kathmandu", "2026-03-09T18:15:00", "2026-04-10T18:14:59"),
        ("Asia/Beirut", "2022-09-29T12:00:00", "2022-10-31T21:59:59"),  # moved over a night whose 23:00 came twice
    ],
)
def test_days_are_days_where_the_controller_is(zone: str, asked: str, last: str) -> None:
    """The policy's time zone says which day a request came in, and when the last day is over, summer or winter."""
    assert due(policy_in(zone), moment(asked)) == moment(last)


@pytest.mark.parametrize(
    ("zone", "day", "last"),
    [
        ("Asia/Beirut", "2022-10-29", "2022-10-29T21:59:59"),  # 23:59:59 came twice: the second one
        ("America/Nuuk", "2024-03-30", "2024-03-31T00:59:59"),  # 23:00 to 24:00 did not come at all
        ("America/Havana", "2026-03-07", "2026-03-08T04:59:59"),  # the next day had no midnight
        ("America/Havana", "2026-10-31", "2026-11-01T03:59:59"),  # and here two
        ("Pacific/Apia", "2011-12-29", "2011-12-30T09:59:59"),  # and here there was no next day at all
        ("Pacific/Apia", "2011-12-30", "2011-12-30T09:59:59"),
    ],
)
def test_a_night_in_which_clocks_change(zone: str, day: str, last: str) -> None:
    """A day ends one second before the next begins, also where 23:59:59 or midnight comes twice or never."""
    asked = moment(day) - timedelta(days=45)
    assert due(policy_in(zone), asked, "ccpa") == moment(last)


@pytest.mark.parametrize(
    ("asked", "last", "extended_last"),
    [
        ("2026-03-01", "2026-04-15", "2026-05-30"),
        ("2026-05-02", "2026-06-16", "2026-07-31"),
        ("2026-03-04", "2026-04-18", "2026-06-02"),  # a Saturday stays one
        ("2028-02-28", "2028-04-13", "2028-05-28"),  # over a leap day; the second a Sunday
        ("2026-11-10", "2026-12-25", "2027-02-08"),  # a holiday too
    ],
)
def test_ccpa_counts_days(asked: str, last: str, extended_last: str) -> None:
    """45 calendar days, 90 in all once extended, whatever day that is."""
    policy = policy_in("UTC", date(2026, 12, 25))
    assert due(policy, moment(asked), "ccpa") == end_of(last)
    assert extended(policy, moment(asked), "ccpa") == end_of(extended_last)


def test_which_moment_a_clock_starts_from() -> None:
    """The GDPR's runs from when the person asked, the CCPA's from when it came in."""
    when = {"submitted_at": moment("2026-03-10"), "received_at": moment("2026-03-20")}
    assert deadlines.due(policy_in(), "gdpr", **when) == end_of("2026-04-10")
    assert deadlines.due(policy_in(), "ccpa", **when) == end_of("2026-05-04")


@pytest.mark.parametrize(("regulation", "day"), [("gdpr", "2026-04-07"), ("ccpa", "2026-04-17")])
def test_pressing_from_a_day_s_first_second(regulation: str, day: str) -> None:
    """It begins at midnight where the controller is, whatever time of that day the request came in."""
    policy = policy_in("Pacific/Auckland")
    zone = ZoneInfo("Pacific/Auckland")
    began = datetime(2026, 3, 10, 23, 59, 59, tzinfo=zone)
    midnight = datetime.fromisoformat(day).replace(tzinfo=zone)
    assert began < deadlines.pressing_before(policy, regulation, midnight)
    assert began >= deadlines.pressing_before(policy, regulation, midnight - timedelta(seconds=1))


@pytest.mark.parametrize(
    ("received", "off", "last"),
    [
        ("2026-03-02", [], "2026-03-16"),  # a Monday: two weeks
        ("2026-03-06", [], "2026-03-20"),
        ("2026-03-07", [], "2026-03-20"),  # on a weekend the first business day is Monday
        ("2026-12-18", ["2026-12-25", "2027-01-01"], "2027-01-05"),
    ],
)
def test_ten_business_days_to_acknowledge(received: str, off: list[str], last: str) -> None:
    """Weekends and holidays don't count, nor does the day of receipt; the GDPR has no such deadline."""
    policy = policy_in("UTC", *map(date.fromisoformat, off))
    assert deadlines.acknowledge_by(policy, "ccpa", received_at=moment(received)) == end_of(last)
    assert deadlines.acknowledge_by(policy, "gdpr", received_at=moment(received)) is None


@pytest.mark.parametrize("ask", [deadlines.due, deadlines.extended])
def test_a_regulation_without_a_clock(ask: object) -> None:
    """A regulation that the policy does not name is refused with those that it does, and is not quoted."""
    at = moment("2026-03-10")
    with pytest.raises(Invalid, match="these regulations: ccpa, gdpr") as refused:
        ask(POLICY, "lgpd", submitted_at=at, received_at=at)
    assert refused.value.field == "regulation"
    assert "lgpd" not in str(refused.value)
    with pytest.raises(Invalid):
        deadlines.acknowledge_by(POLICY, "lgpd", received_at=at)
    with pytest.raises(Invalid):
        deadlines.pressing_before(POLICY, "lgpd", at)


def walked(first: date, months: int, off: frozenset[date]) -> date:
    """The last day as one finds it with a finger on a calendar."""
    day, target = first, first.year * 12 + first.month + months
    while day.year * 12 + day.month < target or (day.day < first.day and (day + DAY).month == day.month):
        day += DAY
    while day in off or f"{day:%a}" in {"Sat", "Sun"}:
        day += DAY
    return day


def test_an_erasure_is_due_by_the_policy(tenant: Tenant) -> None:
    """What DELETE answers with: the GDPR's month, counted from the call."""
    answer = tenant.call("DELETE", f"/v1/customers/{tenant.token()['customer']}", role="privacy").get_json()
    asked, said = (datetime.fromisoformat(answer[name]) for name in ("submitted_at", "due_at"))
    assert said == due(tenant.house.components.policy, asked)


@given(moments, zones, holidays)
def test_gdpr_ends_as_a_calendar_shows_it(asked: datetime, zone: str, off: frozenset[date]) -> None:
    """In any zone, with any holidays: the last second of the first working day from the same date on."""
    policy, first = policy_in(zone, *off), asked.astimezone(ZoneInfo(zone)).date()
    for end, months in ((due(policy, asked), 1), (extended(policy, asked), 3)):
        assert end.astimezone(ZoneInfo(zone)).date() == walked(first, months, off)
        assert (end + timedelta(seconds=1)).astimezone(ZoneInfo(zone)).date() == walked(first, months, off) + DAY


@given(moments, moments, zones, holidays, st.sampled_from(("gdpr", "ccpa")))
def test_who_asks_later_is_not_due_earlier(
    one: datetime, other: datetime, zone: str, off: frozenset[date], regulation: str
) -> None:
    """Every deadline keeps the order of requests; and one is warned of, due and overdue in that order."""
    policy, (first, second) = policy_in(zone, *off), sorted((one, other))
    for deadline in (due, extended):
        assert deadline(policy, first, regulation) <= deadline(policy, second, regulation)
    assert first >= deadlines.pressing_before(policy, regulation, first)
    assert first < deadlines.pressing_before(policy, regulation, due(policy, first, regulation))
    assert due(policy, first, regulation) < extended(policy, first, regulation)
