"""`panless keys reseal` and `panless keys check`, as operators use them."""

import json
import signal
import subprocess
import sys
import time
from typing import Any

import commands
import pytest
from depth import chance, deep
from house import ROOT, House, Tenant, serve
from http_calls import served
from records_scene import CONTACT, row, rows
from reseal_scene import dek_rows
from sealed_scene import live, places_of
from sqlalchemy import delete, update

from keys.envelope import dek_id_of
from keys.keystore import DEKS
from rows.engine import transaction
from vault.tables import customers, metadata, tokens

NOTHING_RUNS = ("--wait", "0")
KILLS = deep(6, at_least=2)


def environment(house: House, **more: str) -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **house.environment, **more}


def panless(house: House, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return commands.panless("keys", *arguments, env=house.environment)


def refused(house: House, *arguments: str) -> str:
    done = panless(house, *arguments)
    assert (done.returncode, done.stdout) == (1, ""), done.stdout
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


def dek_of(house: House, customer: str) -> bytes:
    return row(house, customers, customer_id=customer).dek_id


@pytest.fixture
def shop(own_house: House) -> Tenant:
    return own_house.tenant()


def test_of_a_customer(own_house: House, shop: Tenant) -> None:
    """A new DEK, the old one destroyed, progress told; nobody else's is touched."""
    ids = [shop.token(customer={"billing_contact": CONTACT})["customer"] for _ in range(2)]
    before = [dek_of(own_house, customer) for customer in ids]
    done = panless(own_house, "reseal", "--customer", ids[0], *NOTHING_RUNS)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == ["New DEKs: 1 of 1", "Old DEKs destroyed: 1 of 1"]
    assert done.stdout.startswith("Done. The old DEKs are destroyed")
    assert dek_of(own_house, ids[0]) != before[0]
    assert dek_of(own_house, ids[1]) == before[1]
    assert {each.dek_id for each in dek_rows(own_house) if each.wrapped is None} == {before[0]}


def test_of_a_kek(own_house: House, shop: Tenant) -> None:
    """The active one is rotated first, so that nothing new hangs on it; another tenant's DEKs stay."""
    customer, other = shop.token()["customer"], own_house.tenant()
    theirs, old = other.token()["customer"], dek_of(own_house, customer)
    kept = dek_of(own_house, theirs)
    [kek] = [each for each in json.loads(panless(own_house, "status", "--json").stdout) if each["tenant_id"] == shop.id]
    assert panless(own_house, "reseal", "--kek", kek["kek_id"], *NOTHING_RUNS).returncode == 0
    assert dek_of(own_house, customer) != old
    assert dek_of(own_house, theirs) == kept
    states = [each["state"] for each in json.loads(panless(own_house, "status", "--json").stdout)]
    assert sorted(states) == ["active", "active", "active", "retired"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "one of --kek, --customer and --all"),
        (("--all", "--customer", "cus_x"), "one of --kek, --customer and --all"),
        (("--customer", "cus_x"), "There is no customer cus_x"),
        (("--kek", "00ff"), "There is no KEK 00ff. `panless keys status` shows them."),
        (("--customer", "cus_x", "--before", "2026"), "--before goes with --all."),
        (("--all", "--before", "2999-01-01T00:00:00.000000+0000"), "a moment that has not come yet"),
        (("--all", "--before", "yesterday"), "takes the moment that the stopped run printed"),
    ],
)
def test_what_is_not_understood(house: House, arguments: tuple[str, ...], said: str) -> None:
    """A sentence, and nothing happens."""
    before = len(dek_rows(house))
    assert said in refused(house, "reseal", *arguments)
    assert len(dek_rows(house)) == before


def test_an_erased_customer(own_house: House, shop: Tenant) -> None:
    """There is nothing to reseal, and it says so."""
    customer = shop.token()["customer"]
    assert shop.erase(customer).status_code == 200
    assert "or it was erased" in refused(own_house, "reseal", "--customer", customer)


def test_everything_killed_and_resumed_under_load(own_house: House, free_port: int) -> None:
    """Killed at moments of chance and gone on with, while clients are served without an error.

    At the end all opens, and nothing is left under an old DEK.
    """
    tenant = own_house.tenant()
    people = [tenant.token(customer={"billing_contact": CONTACT | {"name": f"Person {n}"}}) for n in range(20)]
    live(tenant, "a")
    own_house.work()
    draw, killed = chance("resealing"), 0
    with serve(own_house, free_port, PANLESS_KEK_TTL="1") as (_, url), served(url, tenant, people) as answers:
        moment = begun(own_house)
        while killed < KILLS:
            killed += died(own_house, moment, draw.uniform(1.0, 4.0))
        done = panless(own_house, "reseal", "--all", "--before", moment, "--wait", "4")
        assert done.returncode == 0, done.stderr
    assert len(answers) > 300
    assert {*answers} <= {200, 201}, sorted({*answers})
    old = {each.dek_id for each in dek_rows(own_house) if f"{each.created_at:%Y-%m-%dT%H:%M:%S.%f%z}" <= moment}
    assert old
    assert not {dek_id_of(place.value) for place in places_of(tenant)} & old
    own_house.components.keyring.forget_cached()
    for token in people:
        path = f"/v1/customers/{token['customer']}/billing-contact"
        assert tenant.call("GET", path, Access_Purpose='support; ref="T-1"').status_code == 200
    done = panless(own_house, "check", "--all")
    assert (done.returncode, done.stdout.split(" ", 1)[1]) == (0, "looked at, 0 do not open.\n")


def begun(house: House) -> str:
    """A run that is killed as soon as it has said its moment; that moment."""
    command = [sys.executable, "-m", "panless", "keys", "reseal", "--all", "--wait", "4"]
    with subprocess.Popen(command, env=environment(house), cwd=ROOT, stderr=subprocess.PIPE, text=True) as program:
        said = program.stderr.readline()
        program.kill()
    assert "--before" in said
    return said.split()[-1]


def died(house: House, moment: str, seconds: float) -> bool:
    """Go on with the run and kill it so many seconds later; whether it did not end by itself."""
    command = [sys.executable, "-m", "panless", "keys", "reseal", "--all", "--before", moment, "--wait", "4"]
    with subprocess.Popen(command, env=environment(house), cwd=ROOT, stderr=subprocess.DEVNULL) as program:
        time.sleep(seconds)
        program.kill()
    return program.returncode == -signal.SIGKILL


def everything(house: House) -> dict[str, list[Any]]:
    """All but what each program notes when it starts: that it has found these databases in order."""
    return {name: [*rows(house, table)] for name, table in metadata.tables.items() if name != "deployment"}


def damaged(value: bytes) -> bytes:
    return value[:-1] + bytes([value[-1] ^ 1])


def test_check_of_a_sound_deployment(own_house: House, shop: Tenant) -> None:
    """Says how much it looked at, changes nothing, and a sample is a sample."""
    live(shop, "a")
    before = everything(own_house), [tuple(each) for each in dek_rows(own_house)]
    done = panless(own_house, "check")
    assert done.returncode == 0, done.stdout + done.stderr
    looked = json.loads(panless(own_house, "check", "--json", "--all").stdout)
    assert looked["troubles"] == []
    assert min(each["rows"] for each in looked["looked_at"]) > 0
    assert done.stdout == f"{sum(each['rows'] for each in looked['looked_at'])} looked at, 0 do not open.\n"
    some = json.loads(panless(own_house, "check", "--json", "--sample", "1").stdout)
    assert {each["rows"] for each in some["looked_at"]} == {1}
    assert before == (everything(own_house), [tuple(each) for each in dek_rows(own_house)])


def test_check_finds_what_does_not_open(own_house: House, shop: Tenant) -> None:
    """A damaged card and a contact whose DEK is gone are named, and nothing is changed."""
    good, card, gone = (shop.token(customer={"billing_contact": CONTACT}) for _ in range(3))
    place = next(each for each in places_of(shop) if str(each) == "tokens.card" and card["id"] in each.key)
    place.put(card=damaged(place.value))
    lost = dek_of(own_house, gone["customer"])
    forget(own_house, lost)
    before = everything(own_house)
    done = panless(own_house, "check")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert f"tokens.card {card['id']} of {shop.id}: does not open." in lines
    assert f"customers.contact {gone['customer']} of {shop.id}: its DEK is missing." in lines
    assert f"customers.dek_id {gone['customer']} of {shop.id}: its DEK is missing." in lines
    assert not [line for line in lines if good["id"] in line or good["customer"] in line]
    found = json.loads(panless(own_house, "check", "--json").stdout)["troubles"]
    assert len(found) == len(lines) - 1
    assert {
        "tenant": shop.id,
        "table": "tokens",
        "column": "card",
        "row": card["id"],
        "trouble": "does not open",
    } in found
    assert everything(own_house) == before
    assert "Ada" not in done.stdout


def test_check_knows_who_was_erased(own_house: House, shop: Tenant) -> None:
    """A tombstone that the ledger made is no trouble; one that it did not make is."""
    erased, lost = shop.token()["customer"], shop.token()["customer"]
    assert shop.erase(erased).status_code == 200
    assert panless(own_house, "check").returncode == 0
    bury(own_house, dek_of(own_house, lost))
    done = panless(own_house, "check")
    assert done.returncode == 1
    assert f"customers.contact {lost} of {shop.id}: its DEK was destroyed, not by an erasure." in done.stdout
    assert erased not in done.stdout
    assert rows(own_house, tokens, customer_id=lost)


def forget(house: House, dek_id: bytes) -> None:
    with transaction(house.components.keystore) as tx:
        tx.execute(delete(DEKS).where(DEKS.c.dek_id == dek_id))


def bury(house: House, dek_id: bytes) -> None:
    with transaction(house.components.keystore) as tx:
        gone = {"wrapped": None, "destroyed_at": house.components.clock()}
        tx.execute(update(DEKS).where(DEKS.c.dek_id == dek_id).values(gone))
