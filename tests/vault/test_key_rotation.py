"""Epochs roll over by themselves: the worker's lane, its audit entries, and what clients see of it (nothing)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from house import PURPOSE, House, Tenant, open_house
from records_scene import rows

from keys import keks
from keys.keks import KekStatus
from panless.wiring import utc_now
from vault.lanes.keeping import anchor_once, rotate_once, sequence_once
from vault.tables import audit_entries

DAY = timedelta(days=1)
PERSON = {"reference": "R-1", "billing_contact": {"name": "Ada Lovelace", "email": "ada@lovelace.example"}}


@contextmanager
def later(house: House, days: float) -> Iterator[House]:
    """The deployment so many days later, with nothing in memory."""
    opened = open_house(house.home, house.environment, house.sandbox, lambda: utc_now() + days * DAY)
    yield opened
    opened.components.close()


def round_at(house: House, days: float) -> int:
    """A round of the worker's lane, so many days later."""
    reported: list[object] = []
    with later(house, days) as then:
        shop = then.components.workshop
        for lane in (anchor_once, sequence_once):  # keys wait while the log of the days before has no anchor
            lane(shop, lambda *failed: reported.append(failed))
        done = rotate_once(shop, lambda *failed: reported.append(failed))
    assert reported == []
    return done


def of_tenant(house: House, tenant: str) -> list[KekStatus]:
    return [kek for kek in keks.status(house.components.keyring) if kek.tenant_id == tenant]


@pytest.fixture
def shop(own_house: House) -> Tenant:
    return own_house.tenant()


def test_an_epoch_from_beginning_to_end(own_house: House, shop: Tenant) -> None:
    """After 30 days a new KEK, all DEKs on it; after the backups' days the old one goes; the audit log tells."""
    token = shop.token(customer=PERSON)
    charge = shop.charge(token["id"]).get_json()["id"]
    own_house.work()
    assert round_at(own_house, 0) == round_at(own_house, 29) == 0
    assert round_at(own_house, 30) == 4  # of the tenant and of the deployment itself: a new KEK each, an old one empty
    old, new = of_tenant(own_house, shop.id)
    assert (old.state, old.live, new.state, new.live > 7) == ("retired", 0, "active", True)
    kept = own_house.components.policy.keystore_backup_days
    assert round_at(own_house, 30 + kept - 0.1) == 0
    assert round_at(own_house, 30 + kept) == 2
    assert [(kek.state, bool(kek.roots)) for kek in of_tenant(own_house, shop.id)] == [
        ("destroyed", False),
        ("active", True),
    ]
    told = [row for row in rows(own_house, audit_entries, tenant_id=shop.id) if row.action.startswith("kek.")]
    assert [(row.action, row.resource_id) for row in sorted(told, key=_at)] == [
        ("kek.rotated", new.kek_id.hex()),
        ("kek.emptied", old.kek_id.hex()),
        ("kek.destroyed", old.kek_id.hex()),
    ]
    with later(own_house, 0) as restarted:
        serves_as_before(replace(shop, house=restarted), token, charge)


def _at(row: object) -> datetime:
    return row.at  # type: ignore[attr-defined]


def serves_as_before(shop: Tenant, token: dict[str, str], charge: str) -> None:
    """What was sealed before opens, what is sealed now opens, and an erasure is one."""
    contact = shop.call("GET", f"/v1/customers/{token['customer']}/billing-contact", **_purpose())
    assert contact.get_json()["email"] == "ada@lovelace.example"
    assert shop.charge(token["id"]).status_code == 201
    assert shop.call("POST", f"/v1/charges/{charge}/refunds", Idempotency_Key="r").status_code == 201
    assert shop.token("5555555555554444")["card"]["last4"] == "4444"
    assert shop.erase(token["customer"]).status_code == 200
    assert shop.call("GET", f"/v1/tokens/{token['id']}").status_code == 410


def _purpose() -> dict[str, str]:
    return {name.replace("-", "_"): value for name, value in PURPOSE.items()}
