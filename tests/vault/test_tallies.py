"""What is counted instead of recorded one by one: an entry a minute, in the log of whom it is about."""

import json
import zlib
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from house import House, open_house
from records_scene import rows

from panless.wiring import utc_now
from vault.tables import audit_entries
from vault.tallies import MOST_STRANGERS, Tallies
from vault.tenancy.client_keys import Terms
from vault.tenancy.client_rotation import rotate_client
from vault.tenancy.clients import revoke_client


def told(house: House, tenant: str, action: str) -> list[dict[str, Any]]:
    return [json.loads(each.leaf) for each in rows(house, audit_entries, tenant_id=tenant, action=action)]


def write_down(house: House, **later: float) -> int:
    parts = house.components
    return parts.tallies.write_down(parts.records, parts.keyring, parts.clock() + timedelta(**later))


def test_failed_logins_are_told_by_the_minute(own_house: House) -> None:
    """Ten wrong keys of a tenant are one entry in its log; what names no tenant, or none that is, the deployment's."""
    tenant = own_house.tenant()
    good = tenant.keys["all"]
    forged = replace(tenant, keys={"all": good[:-9] + ("a" if good[-9] != "a" else "b") + good[-8:]})
    revoked = replace(tenant, keys={"all": _of_nobody(good)})
    for _ in range(10):
        assert revoked.call("GET", "/v1/charges").status_code == 401
        assert forged.call("GET", "/v1/charges").status_code == 401
    assert tenant.call("GET", "/v1/charges").status_code == 200
    assert told(own_house, tenant.id, "login.failed") == []
    write_down(own_house, minutes=1)
    entries = told(own_house, tenant.id, "login.failed")
    assert sum(each["details"]["attempts"] for each in entries) == 10
    assert all(each["client"] == "" and each["details"]["minute"] for each in entries)
    others = told(own_house, own_house.components.keyring.deployment, "login.failed")
    assert sum(each["details"]["attempts"] for each in others) == 10


def test_a_minute_is_told_once_it_is_over(own_house: House) -> None:
    """Not before, so that it is one entry, and not twice."""
    tenant = own_house.tenant()
    own_house.components.tallies.refused(tenant.id, own_house.components.clock())
    assert write_down(own_house, seconds=-61) == 0
    assert write_down(own_house, minutes=1) >= 1
    write_down(own_house, minutes=5)
    assert len(told(own_house, tenant.id, "login.failed")) == 1


def test_tenants_that_are_none_are_one(own_house: House) -> None:
    """Somebody who makes up tenants fills neither the memory nor the log."""
    parts, at = own_house.components, own_house.components.clock()  # one minute: what is counted is counted by minutes
    tallies = Tallies(parts.keyring.deployment)
    for number in range(3 * MOST_STRANGERS):
        tallies.refused(f"ten_{number:026}", at)
    written = [tallies.write_down(parts.records, parts.keyring, at, all_of_it=True) for _ in range(3)]
    assert written == [MOST_STRANGERS + 1, 1, 0]  # those that there are not are counted again, as the deployment's
    entries = told(own_house, parts.keyring.deployment, "login.failed")
    assert sum(each["details"]["attempts"] for each in entries) == 3 * MOST_STRANGERS
    assert len(entries) <= 2


def test_what_can_not_be_written_is_kept(own_house: House) -> None:
    """While the records are away nothing of it is lost."""
    tenant, parts = own_house.tenant(), own_house.components
    parts.tallies.refused(tenant.id, parts.clock())
    away = replace(own_house, components=replace(parts, records=parts.keystore))  # it has no such table
    with pytest.raises(Exception, match="audit_entries"):
        write_down(away, minutes=1)
    write_down(own_house, minutes=1)
    assert len(told(own_house, tenant.id, "login.failed")) == 1


def test_looks_at_the_log_are_told(own_house: House) -> None:
    """Of an auditor who reads entries, however they do; a checkpoint and hashes say nothing about anybody."""
    tenant = own_house.tenant()
    while own_house.work()[0] or not tenant.call("GET", "/v1/audit/entries").get_json()["data"]:
        pass
    write_down(own_house, minutes=1)
    before = len(told(own_house, tenant.id, "audit.read"))
    for path in ("entries", "tile/entries/000.p/1", "tile/0/000.p/1", "checkpoint"):
        assert tenant.call("GET", f"/v1/audit/{path}", role="auditor").status_code == 200
    write_down(own_house, minutes=1)
    entries = told(own_house, tenant.id, "audit.read")[before:]
    assert sum(each["details"]["requests"] for each in entries) == 2


def test_who_may_call_is_told(own_house: House) -> None:
    """Tenants and clients, from the command line as much as anybody's: made, given another key, taken out of use."""
    tenant, parts = own_house.tenant(), own_house.components
    [made] = told(own_house, tenant.id, "tenant.create")
    assert made["resource"] == tenant.id
    created = told(own_house, tenant.id, "client.create")
    scopes = {each["resource"]: each["details"]["scopes"] for each in created}
    [auditor] = [client for client, granted in scopes.items() if granted == "audit:read"]
    terms = {"old_until": parts.clock(), "terms": Terms()}
    rotate_client(tenant.desk, auditor, **terms)
    revoke_client(tenant.desk, parts.ledger, auditor)
    for action in ("client.rotate", "client.revoke"):
        [entry] = told(own_house, tenant.id, action)
        assert entry["resource"] == auditor


def test_unlocked_keks_are_told(own_house: House) -> None:
    """Each KEK that a root key opened, in its tenant's log, with which root key; one in memory is opened once."""
    tenant = own_house.tenant()
    token = tenant.token()
    again = open_house(own_house.home, own_house.environment, own_house.sandbox, utc_now)
    fresh = replace(tenant, house=again)
    for _ in range(3):
        assert fresh.call("GET", f"/v1/tokens/{token['id']}").status_code == 200
    write_down(again, minutes=1)
    [entry] = told(again, tenant.id, "kek.unlock")
    assert (entry["details"]["times"], entry["details"]["root"].split(":")[0]) == (1, "keyfile")
    again.components.close()


def _of_nobody(key: str) -> str:
    """A well-formed key of the tenant that was never given out."""
    body = key[:-8].translate(str.maketrans("abc", "bca"))
    body = key[:41] + body[41:]
    return f"{body}{zlib.crc32(body.encode()):08x}"
