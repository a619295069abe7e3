from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from backups import backup, restore
from house import PURPOSE, House, Sandbox, Tenant, build_house, link_to, open_house, package_of
from postgres import create_database, own_server
from records_scene import CONTACT, rows
from sqlalchemy import Engine

from vault.erasing import erasure
from vault.errors import Refused
from vault.people import holds, restrictions
from vault.processing.intents import Attempt
from vault.tables import ledger_outbox


def answer(tenant: Tenant, customer: str) -> tuple[int, str | None]:
    """What reading a contact is answered: it looks at the records, then at the keystore."""
    headers = {name.replace("-", "_"): value for name, value in PURPOSE.items()}
    shown = tenant.call("GET", f"/v1/customers/{customer}/billing-contact", **headers)
    return shown.status_code, shown.get_json().get("code")


def people(tenant: Tenant, count: int) -> list[str]:
    return [tenant.token(customer={"billing_contact": CONTACT})["customer"] for _ in range(count)]


def take_away(house: House) -> None:
    (house.home / "ledger").rename(house.home / "away")


def bring_back(house: House) -> None:
    (house.home / "away").rename(house.home / "ledger")


def records_of(house: House) -> Engine:
    return house.components.records


def keystore_of(house: House) -> Engine:
    return house.components.keystore


@pytest.mark.parametrize(("which", "code"), [(records_of, "records_restored"), (keystore_of, "keystore_restored")])
def test_the_next_request_refuses(
    own_house: House, tmp_path: Path, which: Callable[[House], Engine], code: str
) -> None:
    """A backup is put back under a server: nobody looks, and its next request says so; with the ledger away too."""
    tenant = own_house.tenant()
    [gone, stays] = people(tenant, 2)
    copy = backup(which(own_house), tmp_path / "copy")
    assert tenant.erase(gone).status_code == 200
    assert [answer(tenant, one) for one in (gone, stays)] == [(410, "erased"), (200, None)]
    restore(which(own_house), copy)
    take_away(own_house)
    assert [answer(tenant, one) for one in (stays, gone, stays)] == [(503, "ledger_unavailable")] * 3
    bring_back(own_house)
    own_house.components.guard.check()
    assert [answer(tenant, one) for one in (stays, gone)] == [(503, code)] * 2


def test_the_first_request_after_it_refuses(own_house: House, tmp_path: Path) -> None:
    """Nothing is answered in between, not even 401 to a client that the older records do not know."""
    copy = backup(own_house.components.records, tmp_path / "copy")
    tenant = own_house.tenant()
    [gone] = people(tenant, 1)
    assert tenant.erase(gone).status_code == 200
    restore(own_house.components.records, copy)
    assert answer(tenant, gone) == (503, "records_restored")
    assert own_house.app.test_client().get("/readyz").status_code == 503


def test_another_copy_is_checked_before_it_serves(own_house: House, tmp_path: Path) -> None:
    """Put back as it was a moment ago: good, and served; with the ledger away nobody knows, and it is refused."""
    tenant = own_house.tenant()
    [gone, stays] = people(tenant, 2)
    assert tenant.erase(gone).status_code == 200
    for engine in (own_house.components.records, own_house.components.keystore):
        restore(engine, backup(engine, tmp_path / "copy"))
        assert [answer(tenant, one) for one in (stays, gone)] == [(200, None), (410, "erased")]


def test_the_grace_is_for_the_same_databases(own_house: House, tmp_path: Path) -> None:
    """The ledger away: the same ones serve; older ones do not, whoever looks first, request or guard."""
    tenant = own_house.tenant()
    [gone, stays] = people(tenant, 2)
    copy = backup(own_house.components.records, tmp_path / "copy")
    assert tenant.erase(gone).status_code == 200
    take_away(own_house)
    assert own_house.components.guard.check().is_good
    assert answer(tenant, stays) == (200, None)
    restore(own_house.components.records, copy)
    assert own_house.components.guard.check().code == "ledger_unavailable"
    assert answer(tenant, gone) == (503, "ledger_unavailable")


def test_a_link_is_refused_too(own_house: House, tmp_path: Path) -> None:
    """Who has a link shows no key: the records are asked all the same, before they say whether it opens something."""
    tenant = own_house.tenant()
    gone, stays = people(tenant, 2)
    link = link_to(tenant, package_of(tenant, stays))
    copy = backup(own_house.components.records, tmp_path / "copy")
    assert tenant.erase(gone).status_code == 200
    restore(own_house.components.records, copy)
    shown = own_house.app.test_client().get(f"/v1/packages/{link}")
    assert (shown.status_code, shown.get_json()["code"]) == (503, "records_restored")


def test_a_server_that_started_anew(tmp_path: Path, sandbox: Sandbox) -> None:
    """Its databases may be a backup's: looked at before they serve, and refused where the ledger can't tell."""
    home = tmp_path / "house"
    with own_server() as server:
        records, keystore = (create_database(server.get_uri(), name) for name in ("records", "keystore"))
        house = build_house(home, records, keystore, sandbox)
        tenant = house.tenant()
        [stays] = people(tenant, 1)
        assert answer(tenant, stays) == (200, None)
        for away, expected in ((False, (200, None)), (True, (503, "ledger_unavailable"))):
            server.stop()
            server.start()
            for engine in (house.components.records, house.components.keystore):
                engine.dispose()
            if away:
                take_away(house)
            assert answer(tenant, stays) == expected
        house.components.close()


def test_nothing_is_decided_in_other_records(own_house: House, tmp_path: Path) -> None:
    """The identity is read in the transaction that decides: a hold that a backup has lost is not overlooked."""
    tenant, parts = own_house.tenant(), own_house.components
    [held] = people(tenant, 1)
    copy = backup(parts.records, tmp_path / "copy")
    attempt = Attempt(operation="hold.set", key=None, fingerprint=b"")
    order = holds.Order(customer=held, reason="litigation")
    holds.hold(tenant.desk, parts.ledger, order, attempt)
    restore(parts.records, copy)
    with pytest.raises(Refused, match="were restored"):
        erasure.execute(tenant.desk, parts.ledger, parts.policy, held)
    with pytest.raises(Refused, match="were restored"):
        restrictions.restrict(tenant.desk, parts.ledger, held, "objection")
    assert rows(own_house, ledger_outbox) == []


def test_our_own_steps_are_no_other_database(own_house: House, sandbox: Sandbox) -> None:
    """Two servers erase in turn and both serve: neither ever takes the databases for others, and looks."""
    tenant = own_house.tenant()
    twin = open_house(own_house.home, own_house.environment, sandbox)
    both = [tenant, replace(tenant, house=twin)]
    looked: list[None] = []
    for house in (own_house, twin):
        for witness in (house.components.ledger.witness, house.components.keyring.witness):
            witness.alarm = lambda: looked.append(None)
    stays, *doomed = people(tenant, 5)
    for number, gone in enumerate(doomed):
        assert both[number % 2].call("DELETE", f"/v1/customers/{gone}").status_code == 202
        assert [answer(each, one) for each in both for one in (gone, stays)] == [(410, "erased"), (200, None)] * 2
    assert looked == []
    twin.components.close()


def test_a_file_in_the_place_of_another(tmp_path: Path, sandbox: Sandbox) -> None:
    """An open connection goes on in the file that is gone: the next request sees it, and opens the new one."""
    home = tmp_path / "house"
    home.mkdir()
    house = build_house(home, f"sqlite:///{home}/records.db", f"sqlite:///{home}/keystore.db", sandbox)
    tenant = house.tenant()
    [gone] = people(tenant, 1)
    copy = backup(house.components.records, tmp_path / "copy")
    same = backup(house.components.keystore, tmp_path / "same")
    assert tenant.erase(gone).status_code == 200
    copy.replace(home / "records.db")
    assert answer(tenant, gone) == (503, "records_restored")
    same.replace(home / "keystore.db")
    assert house.components.guard.check().code == "records_restored"
    house.components.close()
