"""The provider of the root key is away, or refuses, under load, and comes back."""

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from commands import panless
from failure_scene import WELL, Load, Told, ask, assert_paid_as_told, outcomes, read, row, under_load, until
from house import House, serve
from noticing import GOOD, probe
from ports import free_port
from transit_house import moved
from transit_standin import Transit

TTL = 6
"""Seconds for which KEKs stay in memory here."""

EMAIL = "ada@lovelace.example"
ORDER = {"customer": {"billing_contact": {"name": "Ada Lovelace", "email": EMAIL}}}
AWAY, DENIED = (503, "root_key_unavailable"), (503, "root_key_denied")


@pytest.fixture
def transit() -> Iterator[Transit]:
    made = Transit(["root"])
    yield made
    made.front.stop()


@row("the root key")
def test_the_root_key_is_away(own_house: House, transit: Transit) -> None:
    """Served from memory; then 503 with Retry-After, and readiness names the provider; then well again, by itself."""
    tenant, unused = own_house.tenant(), own_house.tenant()
    key, token, other = tenant.keys["all"], tenant.token(**ORDER), unused.token()
    house = moved(own_house, transit)
    with (
        serve(house, free_port(), PANLESS_KEK_TTL=str(TTL)) as (_, url),
        under_load(url, key, token) as load,
    ):
        assert outcomes(load.next()) == WELL
        with transit.front.gone():
            gone_at = time.monotonic()
            assert read(url, unused.keys["all"], other["customer"]).outcome == AWAY
            until(lambda: outcomes(load.next()) == {AWAY})
            told = ask(f"{url}/readyz", "")
            assert (told.outcome, told.retry_after) == (AWAY, "10")
            assert told.body["detail"] == "No root key answers. Asked were: hashicorp-transit."
            assert probe(url, "/livez") == GOOD
        asked, back_at = len(transit.seen), time.monotonic()
        until(lambda: outcomes(load.next()) == WELL)
        assert probe(url, "/readyz") == GOOD
        assert len(transit.seen) - asked < 20  # a KEK each for two tenants and two processes, not one a request
    look_at(load, gone_at, back_at)
    assert_paid_as_told(replace(tenant, house=house), load.told)
    house.components.close()


@row("the root key")
def test_the_root_key_is_refused(own_house: House, transit: Transit) -> None:
    """503 that says when to come back, no values that do not open; the log and the commands name the mend."""
    tenant = own_house.tenant()
    key, token = tenant.keys["all"], tenant.token(**ORDER)
    house = moved(own_house, transit)
    with serve(house, free_port(), PANLESS_KEK_TTL="1") as (_, url), under_load(url, key, token) as load:
        assert outcomes(load.next()) == WELL
        transit.keys["root"].soft_deleted = True
        until(lambda: outcomes(load.next()) == {DENIED})
        assert probe(url, "/readyz") == DENIED
        check = panless("keys", "check", env=house.environment)
        assert (check.returncode, check.stdout) == (1, "")
        mend = "which is soft-deleted: write to its soft-delete-restore"
        assert mend in check.stderr
        assert mend in (house.home / "server.log").read_text()
        transit.keys["root"].soft_deleted = False
        until(lambda: outcomes(load.next()) == WELL)
    assert {each.retry_after for each in load.told if each.outcome == DENIED} == {"10"}
    assert_says_nothing(load.told)
    assert_paid_as_told(replace(tenant, house=house), load.told)
    house.components.close()


def look_at(load: Load, gone_at: float, back_at: float) -> None:
    """Right answers, or 503 that says when to come back and nothing else; each in its time.

    What was sent when the key ran out is 202, as it happens.
    """
    assert outcomes(load.told) - {(202, None)} == {*WELL, AWAY}
    from_memory = [each.at for each in load.told if gone_at + 1 < each.at < back_at and each.status != 503]
    assert from_memory
    assert max(from_memory) < gone_at + TTL + 5
    assert {each.retry_after for each in load.told if each.status == 503} == {"1"}
    assert {each.body["email"] for each in load.told if each.outcome == (200, None)} == {EMAIL}
    assert_says_nothing(load.told)


def assert_says_nothing(told: list[Told]) -> None:
    """No value, sealed or not, in what is refused."""
    for each in told:
        secrets = (EMAIL, "Lovelace", "4242", "vault:v1", "pm_", "cus_")
        assert each.status != 503 or not any(secret in str(each.body) for secret in secrets)
