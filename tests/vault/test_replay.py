import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import commands
import pytest
from backups import backup, restore
from house import PURPOSE, House, Tenant
from records_scene import CONTACT, at_once, at_processor, catch_up, row, rows, work
from sqlalchemy import Engine

from keys.errors import KeyDestroyed, RootKeyAway
from keys.keyring import Keyring
from rows.engine import reading
from vault.errors import LedgerBroken
from vault.events import queueing
from vault.ledger.book import Ledger
from vault.recovering.replay import replay
from vault.tables import audit_entries, customers, ledger_outbox
from vault.tlog import turns

CUSTOMERS, ERASED = 200, 100


def quiet(_done: int, _total: int) -> None:
    """Progress that nobody watches."""


def panless(house: House, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return commands.panless(*arguments, env=house.environment)


def both(house: House) -> tuple[Engine, Engine]:
    return house.components.records, house.components.keystore


def people(tenant: Tenant, count: int) -> list[str]:
    return [tenant.token(customer={"billing_contact": CONTACT})["customer"] for _ in range(count)]


def status(tenant: Tenant, customer: str) -> int:
    return tenant.call("GET", f"/v1/customers/{customer}/billing-contact", **header(PURPOSE)).status_code


def header(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("-", "_"): value for name, value in headers.items()}


def erase(tenant: Tenant, customer: str) -> None:
    assert tenant.erase(customer).status_code == 200


def erased_and_restored(house: House, tenant: Tenant, tmp_path: Path, count: int) -> list[str]:
    """People who were erased, in databases that were both restored to before that."""
    ids = people(tenant, count)
    copies = [backup(engine, tmp_path / name) for engine, name in zip(both(house), ("r", "k"), strict=True)]
    for customer in ids:
        erase(tenant, customer)
    for engine, copy in zip(both(house), copies, strict=True):
        restore(engine, copy)
    return ids


def assert_undecryptable(house: House, tenant: Tenant, customer: str) -> None:
    with pytest.raises(KeyDestroyed):
        house.components.keyring.dek(tenant.id, row(house, customers, customer_id=customer).dek_id)


def test_the_restore_drill(own_house: House, tmp_path: Path) -> None:
    """Both databases restored to before 100 erasures: nothing serves until the replay, then who went stays gone."""
    tenant = own_house.tenant()
    ids = people(tenant, CUSTOMERS)
    copies = [backup(engine, tmp_path / name) for engine, name in zip(both(own_house), ("r", "k"), strict=True)]
    for customer in ids[:ERASED]:
        erase(tenant, customer)
    client = own_house.app.test_client()
    named = {"Authorization": f"Bearer {tenant.keys['checkout']}"}
    revoked = _client_of(own_house, tenant, "checkout")
    assert panless(own_house, "clients", "revoke", "--tenant", tenant.id, "--client", revoked).returncode == 0
    for engine, copy in zip(both(own_house), copies, strict=True):
        restore(engine, copy)
    own_house.components.keyring.forget_cached()

    assert own_house.components.guard.check().code == "records_restored"
    assert client.get("/readyz").status_code == 503
    assert {status(tenant, customer) for customer in ids} == {503}
    done = panless(own_house, "erasure", "replay")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{2 * ERASED + 1} entries replayed. These databases may serve.\n"
    assert own_house.components.guard.check().is_good
    assert {status(tenant, customer) for customer in ids[:ERASED]} == {410}
    assert {status(tenant, customer) for customer in ids[ERASED:]} == {200}
    for customer in ids[:ERASED]:
        assert_undecryptable(own_house, tenant, customer)
    assert client.get("/v1/tokens/tok_x", headers=named).status_code == 401
    said = rows(own_house, audit_entries, action="ledger.replay")
    assert {entry.customer_id for entry in said} == {*ids[:ERASED], None}  # None: the client
    assert len({entry.resource_id for entry in said}) == len(said) == 2 * ERASED + 1
    assert panless(own_house, "erasure", "replay").stdout.startswith("0 entries")


def _client_of(house: House, tenant: Tenant, role: str) -> str:
    listed = panless(house, "clients", "list", "--tenant", tenant.id).stdout.splitlines()
    return next(line.split()[0] for line in listed if line.split()[1] == role)


def test_records_alone_restored_open_nothing(own_house: House, tmp_path: Path) -> None:
    """The keystore is from now: the erased ones do not open even before the replay."""
    tenant = own_house.tenant()
    [customer] = people(tenant, 1)
    copy = backup(own_house.components.records, tmp_path / "r")
    erase(tenant, customer)
    restore(own_house.components.records, copy)
    assert row(own_house, customers, customer_id=customer).contact is not None
    assert_undecryptable(own_house, tenant, customer)
    replay(own_house.components.ledger, own_house.components.records, quiet)
    assert own_house.components.guard.check().is_good
    assert row(own_house, customers, customer_id=customer).contact is None
    assert status(tenant, customer) == 410


def test_an_erasure_that_was_not_told_yet_is_told_after_the_replay(own_house: House, tmp_path: Path) -> None:
    """Restored to before its decision: the request is there again, the processor is found by our tag, it completes."""
    tenant = own_house.tenant()
    [known] = people(tenant, 1)
    copies = [backup(engine, tmp_path / name) for engine, name in zip(both(own_house), ("r", "k"), strict=True)]
    [newer] = people(tenant, 1)
    asked = {each: tenant.call("DELETE", f"/v1/customers/{each}").get_json() for each in (known, newer)}
    assert len(at_processor(tenant)) == 2
    for engine, copy in zip(both(own_house), copies, strict=True):
        restore(engine, copy)
    replay(own_house.components.ledger, own_house.components.records, quiet)
    assert own_house.components.guard.check().is_good
    for customer, request in asked.items():
        again = tenant.call("DELETE", f"/v1/customers/{customer}")
        assert (again.status_code, again.get_json()["id"]) == (202, request["id"])
        assert again.get_json()["due_at"] == request["due_at"]
    assert work(own_house) == []
    assert at_processor(tenant) == {}
    for customer, request in asked.items():
        assert tenant.call("DELETE", f"/v1/customers/{customer}").status_code == 200
        certificate = tenant.call("GET", f"/v1/rights-requests/{request['id']}/certificate").get_json()["certificate"]
        assert [each["result"] for each in certificate["recipients"]] == ["erased"]


def test_an_erasure_that_was_complete_is_complete_after_the_replay(own_house: House, tmp_path: Path) -> None:
    """Its request answers complete, with the certificate that was given out, and nobody is told again."""
    tenant = own_house.tenant()
    [customer] = people(tenant, 1)
    copies = [backup(engine, tmp_path / name) for engine, name in zip(both(own_house), ("r", "k"), strict=True)]
    erase(tenant, customer)
    request = tenant.call("DELETE", f"/v1/customers/{customer}").get_json()["id"]
    path = f"/v1/rights-requests/{request}/certificate"
    given_out = tenant.call("GET", path).get_json()
    for engine, copy in zip(both(own_house), copies, strict=True):
        restore(engine, copy)
    replay(own_house.components.ledger, own_house.components.records, quiet)
    assert own_house.components.guard.check().is_good
    assert tenant.call("DELETE", f"/v1/customers/{customer}").status_code == 200
    assert tenant.call("GET", path).get_json() == given_out
    queueing.fan_out(own_house.components.workshop)  # what the backup had not sent on yet
    for step in turns.placing(own_house.components.workshop):  # what the replay put on the record
        step()
    assert own_house.work() == (0, [])


def test_a_customer_newer_than_the_backup_is_buried(own_house: House, tmp_path: Path) -> None:
    """Made after the backup, erased before the restore, its tenant unknown too: a tombstone keeps the id's 410."""
    copy = backup(own_house.components.records, tmp_path / "r")
    tenant = own_house.tenant()
    [customer] = people(tenant, 1)
    erase(tenant, customer)
    restore(own_house.components.records, copy)
    assert own_house.components.guard.check().code == "records_restored"
    replay(own_house.components.ledger, own_house.components.records, quiet)
    buried = row(own_house, customers, customer_id=customer)
    assert (buried.state, buried.live, buried.contact) == ("erased", False, None)
    assert own_house.components.guard.check().is_good


def test_a_tenant_whose_keys_are_lost_is_named(own_house: House, tmp_path: Path) -> None:
    """One newer than both backups: its erasure is replayed all the same; that its log lacks that is said."""
    copies = [backup(engine, tmp_path / name) for engine, name in zip(both(own_house), ("r", "k"), strict=True)]
    tenant = own_house.tenant()
    [customer] = people(tenant, 1)
    erase(tenant, customer)
    for engine, copy in zip(both(own_house), copies, strict=True):
        restore(engine, copy)
    done = panless(own_house, "erasure", "replay")
    assert (done.returncode, f"The audit key of {tenant.id} does not open" in done.stderr) == (0, True), done.stderr
    assert row(own_house, customers, customer_id=customer).state == "erased"
    assert rows(own_house, audit_entries, tenant_id=tenant.id) == []


class Away:
    """A keyring whose root key is away where it comes to one tenant; it counts how often it is asked."""

    def __init__(self, keyring: Keyring, tenant: str) -> None:
        self._keyring, self._tenant, self.asked = keyring, tenant, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._keyring, name)

    def subkey(self, tenant_id: str, purpose: str, label: str) -> bytes:
        if tenant_id != self._tenant:
            return self._keyring.subkey(tenant_id, purpose, label)
        self.asked += 1
        raise RootKeyAway("no root key answers")


def test_no_entry_waits_for_an_audit_key(own_house: House, tmp_path: Path) -> None:
    """With its root key away a tenant is erased again all the same; that key is asked for once, not for each entry."""
    parts, tenant = own_house.components, own_house.tenant()
    ids = people(tenant, 3)
    copy = backup(parts.records, tmp_path / "r")
    for customer in ids:
        erase(tenant, customer)
    restore(parts.records, copy)
    away = Away(parts.keyring, tenant.id)
    ledger = replace(parts.ledger, keyring=away)  # type: ignore[arg-type]  # it is one in all else
    assert replay(ledger, parts.records, quiet).unrecorded == [tenant.id]
    assert away.asked == 1
    assert {row(own_house, customers, customer_id=customer).state for customer in ids} == {"erased"}
    assert rows(own_house, audit_entries, action="ledger.replay") == []


def test_a_token_newer_than_the_backup_is_buried(own_house: House, tmp_path: Path) -> None:
    """Made and deleted after the backup: 410, never 404. Its customer, if as new, is there without what is lost."""
    tenant = own_house.tenant()
    old = tenant.token(customer={"billing_contact": CONTACT})
    copy = backup(own_house.components.records, tmp_path / "r")
    added = tenant.token("5555555555554444", customer=old["customer"])
    new = tenant.token(customer={"billing_contact": CONTACT})
    for token in (old, added, new):
        assert tenant.call("DELETE", f"/v1/tokens/{token['id']}").status_code == 200
    restore(own_house.components.records, copy)
    replay(own_house.components.ledger, own_house.components.records, quiet)
    assert own_house.components.guard.check().is_good
    shown = [tenant.call("GET", f"/v1/tokens/{token['id']}").status_code for token in (old, added, new)]
    assert shown == [200, 410, 410]
    catch_up(own_house)
    assert tenant.charge(added["id"]).status_code == 410
    listed = tenant.call("GET", f"/v1/tokens?customer={old['customer']}").get_json()["data"]
    assert [(one["id"], one["status"]) for one in listed] == [(old["id"], "detached")]
    assert status(tenant, new["customer"]) == 409
    erase(tenant, new["customer"])
    assert status(tenant, new["customer"]) == 410
    assert_undecryptable(own_house, tenant, new["customer"])


def test_a_restored_keystore_destroys_again_and_names_what_it_lost(own_house: House, tmp_path: Path) -> None:
    """Keys that it holds again go again; a customer made since the backup has none, and is named."""
    parts, tenant = own_house.components, own_house.tenant()
    [gone, stays] = people(tenant, 2)
    copy = backup(parts.keystore, tmp_path / "k")
    erase(tenant, gone)
    [lost] = people(tenant, 1)
    restore(parts.keystore, copy)
    parts.keyring.forget_cached()
    assert parts.guard.check().code == "keystore_restored"
    done = panless(own_house, "erasure", "replay")
    assert done.returncode == 0, done.stderr
    assert f"{lost} has no key" in done.stderr
    assert gone not in done.stderr
    assert parts.guard.check().is_good
    assert_undecryptable(own_house, tenant, gone)
    assert [status(tenant, customer) for customer in (gone, stays)] == [410, 200]


def test_a_lost_correction_makes_the_contact_unusable(own_house: House, tmp_path: Path) -> None:
    """The old contact is known to be wrong: 409 until it is entered again."""
    tenant = own_house.tenant()
    [customer] = people(tenant, 1)
    copy = backup(own_house.components.records, tmp_path / "r")
    path = f"/v1/customers/{customer}/billing-contact"
    assert tenant.call("PUT", path, {"name": "Grace Hopper"}, **header(PURPOSE)).status_code == 200
    restore(own_house.components.records, copy)
    replay(own_house.components.ledger, own_house.components.records, quiet)
    own_house.components.guard.check()
    assert status(tenant, customer) == 409
    assert tenant.call("PUT", path, {"name": "Grace Hopper"}, **header(PURPOSE)).status_code == 200
    assert tenant.call("GET", path, **header(PURPOSE)).get_json()["name"] == "Grace Hopper"


def test_a_correction_that_the_backup_has_stays(own_house: House, tmp_path: Path) -> None:
    """Restored to after the correction was decided but before it was applied: the new contact is there, and usable."""
    tenant = own_house.tenant()
    [customer] = people(tenant, 1)
    path = f"/v1/customers/{customer}/billing-contact"
    assert tenant.call("PUT", path, {"name": "Grace Hopper"}, **header(PURPOSE)).status_code == 200
    copy = backup(own_house.components.records, tmp_path / "r")
    erase(tenant, people(tenant, 1)[0])
    restore(own_house.components.records, copy)
    replay(own_house.components.ledger, own_house.components.records, quiet)
    own_house.components.guard.check()
    assert tenant.call("GET", path, **header(PURPOSE)).get_json()["name"] == "Grace Hopper"


def test_a_cut_ledger_is_not_replayed(own_house: House, tmp_path: Path) -> None:
    """What is missing can't be applied: refused in words, and nothing moved."""
    tenant = own_house.tenant()
    [customer] = people(tenant, 1)
    erase(tenant, customer)
    shutil.copytree(own_house.home / "ledger", tmp_path / "whole")
    max((own_house.home / "ledger").iterdir()).unlink()
    before = rows(own_house, ledger_outbox)
    with pytest.raises(LedgerBroken):
        replay(own_house.components.ledger, own_house.components.records, quiet)
    refused = panless(own_house, "erasure", "replay")
    assert (refused.returncode, "missing" in refused.stderr) == (1, True)
    assert rows(own_house, ledger_outbox) == before


class Stopped(Exception):
    """The replay is stopped here."""


def test_a_replay_is_stopped_anywhere_and_goes_on(own_house: House, tmp_path: Path) -> None:
    """Stopped after each entry, it says how far it came, serves nothing, and the next one ends it."""
    tenant = own_house.tenant()
    ids = erased_and_restored(own_house, tenant, tmp_path, 4)
    parts, left = own_house.components, 8
    while left:

        def stop(done: int, total: int, expected: int = left) -> None:
            assert (done, total) == (1, expected)
            raise Stopped

        assert parts.guard.check().code == "records_restored"
        with pytest.raises(Stopped):
            replay(parts.ledger, parts.records, stop)
        left -= 1
    assert parts.guard.check().is_good
    assert {status(tenant, customer) for customer in ids} == {410}


def test_two_replays_at_once(own_house: House, tmp_path: Path) -> None:
    """Four replays of one ledger end at its head, each entry applied once."""
    tenant = own_house.tenant()
    ids = erased_and_restored(own_house, tenant, tmp_path, 6)
    parts = own_house.components
    at_once(4, lambda _: replay(parts.ledger, parts.records, quiet))
    assert parts.guard.check().is_good
    assert sorted(each.seq for each in rows(own_house, ledger_outbox)) == list(range(1, 13))
    assert {status(tenant, customer) for customer in ids} == {410}


def test_a_certificate_is_verified_offline(own_house: House, tmp_path: Path) -> None:
    """With the public key alone, no database and no settings: genuine, or refused in words."""
    tenant = own_house.tenant()
    [customer] = people(tenant, 1)
    request = tenant.erase(customer).get_json()["id"]
    shown = tenant.call("GET", f"/v1/rights-requests/{request}/certificate").get_json()
    file, key = tmp_path / "certificate.json", panless(own_house, "erasure", "public-key").stdout.strip()
    file.write_text(json.dumps(shown, indent=4))
    offline = mock.Mock(environment={})
    done = panless(offline, "erasure", "verify", str(file), "--key", key)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["customer"] == customer
    shown["certificate"]["completed_at"] = "2020-01-01T00:00:00Z"
    file.write_text(json.dumps(shown))
    forged = panless(offline, "erasure", "verify", str(file), "--key", key)
    assert (forged.returncode, forged.stdout) == (1, "")
    assert "not a genuine certificate" in forged.stderr
    file.write_text("nonsense")
    assert "not a genuine" in panless(offline, "erasure", "verify", str(file), "--key", key).stderr
    assert panless(offline, "erasure", "verify", str(file), "--key", "xyz").returncode == 1


def test_a_good_deployment_has_nothing_to_replay(own_house: House) -> None:
    """Nothing to do is nothing done."""
    ledger: Ledger = own_house.components.ledger
    assert replay(ledger, own_house.components.records, quiet).entries == 0
    with reading(own_house.components.records) as connection:
        assert connection.scalar(ledger_outbox.select()) is None
