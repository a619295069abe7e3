"""`panless doubt`: accounts whose payments these records may have lost are listed, and waived on the record."""

import subprocess
from datetime import timedelta

from commands import panless
from house import House, Tenant
from sqlalchemy import update

from rows.engine import reading, transaction
from vault.processing import doubt
from vault.processing.beats import begin
from vault.tables import audit_entries, beats, processor_accounts
from vault.tables import charges as charge_table

BEFORE = "an instance before"


def run(house: House, *words: str) -> subprocess.CompletedProcess[str]:
    return panless("doubt", *words, env=house.environment)


def lose_commits(tenant: Tenant, *, ago: timedelta = timedelta(minutes=5)) -> None:
    """As after a failover: the account is known on an instance that was last alive so long ago."""
    records, now = tenant.house.components.records, tenant.house.components.clock()
    with transaction(records) as tx:
        tx.execute(beats.insert().values(instance=BEFORE, since=now - ago, at=now - ago))
        this = processor_accounts.c.account_id == tenant.account
        tx.execute(update(processor_accounts).where(this).values(known_on=BEFORE))
    begin(records)


def line_of(house: House, account: str) -> list[str]:
    """What the list says of an account, by column."""
    head, *lines = run(house, "list").stdout.splitlines()
    names = ("ACCOUNT", "KIND", "MODE", "LABEL", "LOST SINCE", "KEYS GUARD UNTIL", "ORDERS WAIT SINCE", "NEXT WALK")
    places = [head.index(name) for name in names]
    [line] = [each for each in lines if each.startswith(account)]
    return [line[start:end].strip() for start, end in zip(places, [*places[1:], None], strict=True)]


def test_no_doubt(own_house: House) -> None:
    """Nobody waits for anything, and there is nothing to waive."""
    tenant = own_house.tenant()
    own_house.work()
    assert run(own_house, "list").stderr == "0 in doubt.\n"
    refused = run(own_house, "waive", tenant.account)
    assert (refused.returncode, "no such processor account in doubt" in refused.stderr) == (1, True)


def test_listed(own_house: House) -> None:
    """Since when commits may be lost, until when a key guards, whether orders wait; who is in no doubt is not in it."""
    tenant = own_house.tenant()
    lose_commits(tenant)
    other = own_house.tenant()
    beat = own_house.components.clock() - timedelta(minutes=5)
    account, kind, mode, label, since, until, waits, _ = line_of(own_house, tenant.account)
    assert (account, kind, mode, label, waits) == (tenant.account, "sandbox", "test", "test", "")
    assert since == f"{beat - timedelta(seconds=doubt.CLOCKS):%Y-%m-%d %H:%M}"
    guarded = timedelta(seconds=doubt.guarded_for(own_house.components.processors["sandbox"]))
    assert until == f"{beat + guarded:%Y-%m-%d %H:%M}"
    assert other.account not in run(own_house, "list").stdout


def test_orders_wait(own_house: House) -> None:
    """Where no key guards any more an order waits, which the list says, and a waiver lets it go on."""
    tenant = own_house.tenant()
    token = tenant.token()["id"]
    own_house.work()
    lose_commits(tenant, ago=timedelta(days=2))
    answer = tenant.charge(token, key="one", obligation="INV-1")
    assert (answer.status_code, answer.get_json()["code"]) == (503, "in_doubt")
    *_, until, waits, _ = line_of(own_house, tenant.account)
    assert (until, waits != "") == ("no key does", True)
    assert run(own_house, "waive", tenant.account).returncode == 0
    assert run(own_house, "list").stderr == "0 in doubt.\n"
    assert tenant.charge(token, key="one", obligation="INV-1").status_code == 201
    with reading(own_house.components.records) as connection:
        found = connection.execute(audit_entries.select().where(audit_entries.c.action == "doubt.waive")).all()
        paid = connection.execute(charge_table.select()).all()
    assert [(each.tenant_id, each.resource_id) for each in found] == [(tenant.id, tenant.account)]
    assert [each.state for each in paid] == ["succeeded"]


def test_an_account_that_was_never_known(own_house: House) -> None:
    """What it was paid before is not known at all: it is in doubt from ever, and no key guards it."""
    tenant = own_house.tenant()
    with transaction(own_house.components.records) as tx:
        tx.execute(update(processor_accounts).values(known_on=None))
    *_, since, until, _, _ = line_of(own_house, tenant.account)
    assert (since, until) == ("ever", "no key does")
