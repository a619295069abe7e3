from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from house import House, Tenant, open_house
from sqlalchemy import Table, update

from panless.checks import audit_log, money, people, running, upkeep
from panless.checks.finding import Finding, OfHouse
from panless.errors import SettingsError
from panless.settings.stores import Bucket
from panless.wiring import Components
from rows.clock import database_clock
from rows.engine import transaction
from vault.tables import beats, erasures, intents, processor_accounts


@pytest.fixture
def shop(own_house: House) -> Tenant:
    return own_house.tenant()


def said(look: OfHouse, house: House, *, unsafe: bool = True, after: timedelta = timedelta(), **changed: Any) -> str:
    """What a check says of the house, after some time and with other parts."""
    parts: Components = replace(house.components, **changed)
    parts = replace(parts, clock=lambda: house.components.clock() + after)
    findings: Iterator[Finding] = look(parts)
    return "\n".join(f"{one.what} {one.mend}" for one in findings if one.is_unsafe == unsafe)


def write(house: House, table: Table, **values: object) -> None:
    with transaction(house.components.records) as tx:
        tx.execute(update(table).values(**values))


def test_a_worker_that_does_not_work_is_unsafe(own_house: House) -> None:
    """A minute after it last said that it is alive; one round of it, and nothing is said."""
    assert said(running.worker, own_house) == ""
    write(own_house, beats, at=database_clock(-150))
    own_house = open_house(
        own_house.home, own_house.environment, own_house.sandbox
    )  # `panless check` is new there, too
    assert said(running.worker, own_house).startswith("No worker has worked for 2 minutes.")
    own_house.work()
    assert said(running.worker, own_house) == ""


def test_keks_past_their_epoch_are_unsafe(shop: Tenant) -> None:
    """With a day of slack, in which the worker finds its root key again."""
    house, epoch = shop.house, timedelta(days=30)
    assert said(upkeep.kek_epochs, house, after=epoch + timedelta(hours=20)) == ""
    late = said(upkeep.kek_epochs, house, after=epoch + timedelta(hours=28))
    assert late.startswith("The key encryption keys of 2 tenants are more than 30 days old.")  # the deployment's too
    assert "panless keys rotate" in late


def test_a_long_backup_window_is_unsafe(own_house: House) -> None:
    """The keystore's, beyond a week; what the example policy has is not."""
    policy = own_house.components.policy
    assert said(upkeep.backups, own_house) == ""
    long = replace(policy, keystore_backup_days=8)
    assert "kept for 8 days: for so long they open what was erased" in said(upkeep.backups, own_house, policy=long)


def test_a_lock_shorter_than_backups_is_unsafe(own_house: House) -> None:
    """Entries of a ledger in a bucket must outlast the backups that they are replayed into; a folder has no lock."""
    settings = replace(own_house.components.settings, ledger=Bucket(name="ledger", prefix=""))
    kept = own_house.components.policy.records_backup_days
    assert said(upkeep.ledger_lock, own_house) == ""
    short = replace(settings, ledger_lock_days=kept - 1)
    assert f"LOCK_DAYS to more than {kept}" in said(upkeep.ledger_lock, own_house, settings=short)
    long = replace(settings, ledger_lock_days=kept + 1)
    assert said(upkeep.ledger_lock, own_house, settings=long) == ""
    assert "PANLESS_LEDGER_LOCK_DAYS" in said(upkeep.ledger_lock, own_house, unsafe=False, settings=settings)


def test_overdue_rights_requests_are_unsafe(shop: Tenant) -> None:
    """One that wants an answer soon is a note first; one that is late is unsafe."""
    customer = shop.token()["customer"]
    order = {"type": "access", "regulation": "ccpa", "customers": [customer], "verification": {"method": "account"}}
    assert shop.call("POST", "/v1/rights-requests", order).status_code == 201
    look = people.requests
    assert said(look, shop.house) == said(look, shop.house, unsafe=False) == ""
    assert "1 rights requests want an answer soon" in said(look, shop.house, unsafe=False, after=timedelta(days=41))
    assert "1 rights requests are overdue" in said(look, shop.house, after=timedelta(days=60))


def test_erasures_that_stand_still(shop: Tenant) -> None:
    """Decided and not carried out for an hour is unsafe; no answer from a processor for a week is a note."""
    look, customer = people.erasures, shop.token()["customer"]
    assert shop.call("DELETE", f"/v1/customers/{customer}").status_code == 202
    assert said(look, shop.house, after=timedelta(days=8)) == ""
    assert said(look, shop.house, unsafe=False, after=timedelta(days=6)) == ""
    assert "1 erasures wait for a processor's answer" in said(look, shop.house, unsafe=False, after=timedelta(days=8))
    write(shop.house, erasures, state="decided")
    assert said(look, shop.house) == ""
    assert "1 erasures were decided an hour ago or longer" in said(look, shop.house, after=timedelta(minutes=61))


def test_an_erasure_that_is_done_is_not_mentioned(shop: Tenant) -> None:
    """However long ago."""
    assert shop.erase(shop.token()["customer"]).status_code == 200
    for unsafe in (True, False):
        assert said(people.erasures, shop.house, unsafe=unsafe, after=timedelta(days=90)) == ""


def test_a_sandbox_in_live_use_is_unsafe(own_house: House) -> None:
    """Live clients beside it, or a live account at it; with test clients alone it is a note, without it nothing."""
    look, settings = money.sandbox_in_live_use, own_house.components.settings
    own_house.tenant()
    assert said(look, own_house) == ""
    assert "A sandbox processor is configured" in said(look, own_house, unsafe=False)
    own_house.tenant(live=True)
    found = said(look, own_house)
    assert "A live processor account lies at the sandbox" in found
    assert "clients with live keys call" in found
    without = said(look, own_house, settings=replace(settings, sandbox_url=None))
    assert "A live processor account" in without
    assert "live keys" not in without


def test_a_log_that_is_late_is_unsafe(shop: Tenant) -> None:
    """Entries without places for a minute; checkpoints without an anchor for five, where one is set."""
    look = audit_log.in_time
    assert said(look, shop.house) == ""
    assert "waited for their places" in said(look, shop.house, after=timedelta(seconds=61))
    shop.house.work()
    assert said(look, shop.house, after=timedelta(minutes=4)) == ""
    assert "was not anchored for" in said(look, shop.house, after=timedelta(minutes=6))


def test_calls_without_an_end_are_a_note(shop: Tenant) -> None:
    """None without one; for how long, once the oldest is open for an hour; those that need a human at once."""
    look = money.open_calls
    shop.token()
    assert said(look, shop.house, unsafe=False) == ""
    write(shop.house, intents, state="pending")
    assert said(look, shop.house, unsafe=False, after=timedelta(minutes=59)) == ""
    old = said(look, shop.house, unsafe=False, after=timedelta(minutes=61))
    assert old.startswith("A call to a processor has been open for 1 h 1 min.")
    assert "panless intents list --older 1h" in old
    write(shop.house, intents, state="manual")
    human = said(look, shop.house, unsafe=False, after=timedelta(minutes=125))
    assert "calls to processors need a human, the oldest for 2 h 5 min." in human
    assert "panless intents list --manual" in human


def test_accounts_that_nobody_could_walk_are_a_note(shop: Tenant) -> None:
    """Ten minutes after the worker came to these records, not before; how many orders wait for, and how it is ended."""
    look, account = money.lost_commits, {"known_on": None, "wanted_at": database_clock()}
    write(shop.house, processor_accounts, **account, created_at=database_clock(-700))
    write(shop.house, beats, since=database_clock(-590))
    assert said(look, shop.house, unsafe=False) == ""
    write(shop.house, beats, since=database_clock(-610))
    found = said(look, shop.house, unsafe=False)
    assert found.startswith("1 processor accounts could not be walked through for 10 minutes; orders wait for 1.")
    assert "panless doubt list" in found
    write(shop.house, processor_accounts, created_at=database_clock(-590))
    assert said(look, shop.house, unsafe=False) == ""


@pytest.mark.parametrize("lag", ["-1", "3601", "nan", "soon"])
def test_a_lag_that_no_list_has(own_house: House, lag: str) -> None:
    """PANLESS_LIST_LAG is a number of seconds from 0 to an hour; anything else is refused at start, by name."""
    wrong = own_house.environment | {"PANLESS_LIST_LAG": lag}
    with pytest.raises(SettingsError, match="LIST_LAG"):
        open_house(own_house.home, wrong, own_house.sandbox)


def test_the_lag_of_lists(own_house: House) -> None:
    """Every processor is taken to lag by it: for so much longer nothing is decided by a list."""
    longer = open_house(own_house.home, own_house.environment | {"PANLESS_LIST_LAG": "45"}, own_house.sandbox)
    assert {each.list_lag for each in longer.components.processors.values()} == {timedelta(seconds=45)}
