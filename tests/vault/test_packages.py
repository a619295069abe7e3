import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from backups import backup, restore
from house import PURPOSE, ROOT, House, Tenant, link_to, make_app, package_of, serve
from records_scene import CONTACT, LONG_AGO, Crash, at_once, later, many_charges, row, rows, work
from sqlalchemy import text, update

from keys.errors import KeyDestroyed
from rows.engine import reading, transaction
from vault import audit
from vault.errors import Erased, Gone, Invalid, NotFoundHere, NotUsable
from vault.exports import building, packages
from vault.exports import links as package_links
from vault.exports.disclosure import PAGE
from vault.exports.notices import notices_of
from vault.ids import new_id
from vault.ledger.guard import Guard
from vault.recovering.replay import replay
from vault.tables import audit_entries, package_chunks, rights_requests
from vault.tables import packages as package_table


def person_of(tenant: Tenant, name: str = "Ada Kanarie") -> str:
    """A customer with a contact, a card and a charge."""
    token = tenant.token(customer={"billing_contact": CONTACT | {"name": name}})
    assert tenant.charge(token["id"], metadata={"for": name}).status_code == 201
    return token["customer"]


def follow(house: House, link: str, method: str = "GET") -> Any:
    """What whoever has the link gets, without an API key."""
    return house.app.test_client().open(f"/v1/packages/{link}", method=method, buffered=True)


def files_of(answer: Any) -> dict[str, bytes]:
    assert answer.status_code == 200, answer.get_data(as_text=True)
    with zipfile.ZipFile(io.BytesIO(answer.get_data())) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def build(tenant: Tenant, package: str, most: int) -> bool:
    parts = tenant.house.components
    caller = replace(tenant.caller, at=parts.clock())
    return building.build(parts.desk(caller), notices_of(parts.policy), package, most=most)


def key_of(house: House, package: str) -> bytes | None:
    """The wrapped key of a package; None once it is a tombstone."""
    with reading(house.components.keystore) as connection:
        found = connection.execute(text("SELECT wrapped FROM deks WHERE subject_id = :id"), {"id": package})
        [wrapped] = found.scalars().all()
        return wrapped


def chunks_of(house: House, package: str) -> Sequence[Any]:
    return rows(house, package_chunks, package_id=package)


def state_of(house: House, package: str) -> str:
    return str(row(house, package_table, package_id=package).state)


def assert_shredded(house: House, package: str, kept: Sequence[Any]) -> None:
    """No chunk is left, and what was one opens no more: its key is a tombstone."""
    assert chunks_of(house, package) == []
    assert key_of(house, package) is None
    assert kept
    for chunk in kept:
        with pytest.raises(KeyDestroyed):
            house.components.keyring.dek(chunk.tenant_id, chunk.content[2:18])


def download_is_over(house: House) -> None:
    """As if an hour had gone by since the package was taken."""
    with transaction(house.components.records) as tx:
        tx.execute(update(package_table).where(package_table.c.state == "taken").values(lease_until=LONG_AGO))


def test_the_worker_builds_what_was_asked_for(tenant: Tenant) -> None:
    """From the request to the bytes: the same files as an export has."""
    customer = person_of(tenant)
    package = package_of(tenant, customer, build=False)
    assert state_of(tenant.house, package) == "building"
    assert work(tenant.house) == []
    assert state_of(tenant.house, package) == "ready"
    files = files_of(follow(tenant.house, link_to(tenant, package)))
    assert json.loads(files["data.json"])["person"]["name"] == "Ada Kanarie"
    answer = tenant.call("GET", f"/v1/customers/{customer}/export?format=zip", **PURPOSE)
    assert files_of(answer).keys() == files.keys()


def test_a_package_of_several_customers(tenant: Tenant) -> None:
    """One folder for each, one manifest for all; nothing of one in the other's folder."""
    one, two = person_of(tenant, "Ada Kanarie"), person_of(tenant, "Byron Zaunkoenig")
    files = files_of(follow(tenant.house, link_to(tenant, package_of(tenant, one, two, kind="portability"))))
    assert {name.partition("/")[0] for name in files} == {one, two, "manifest.json"}
    assert len(json.loads(files["manifest.json"])["files"]) == len(files) - 1 == 8
    for customer, name, other in ((one, b"Ada Kanarie", b"Zaunkoenig"), (two, b"Byron Zaunkoenig", b"Kanarie")):
        folder = b"".join(content for file, content in files.items() if file.startswith(customer))
        assert name in folder
        assert other not in folder


def test_a_link_opens_once(tenant: Tenant) -> None:
    """Then 410, for ever; the key is gone, and so are the chunks."""
    package = package_of(tenant, person_of(tenant))
    kept = chunks_of(tenant.house, package)
    link = link_to(tenant, package)
    first = follow(tenant.house, link)
    assert (first.status_code, first.content_type) == (200, "application/zip")
    assert first.headers["Cache-Control"] == "no-store"
    assert_shredded(tenant.house, package, kept)
    for house in (tenant.house, later(tenant.house, days=30)):
        again = follow(house, link)
        assert (again.status_code, again.get_json()["code"]) == (410, "gone")
    assert state_of(tenant.house, package) == "taken"
    assert work(tenant.house) == []


def test_one_of_twenty_takers_wins(tenant: Tenant) -> None:
    """All at once with the same link: one gets the package, whole; the others 410 and not a byte of it."""
    package = package_of(tenant, person_of(tenant))
    link = link_to(tenant, package)
    answers = at_once(20, lambda _: follow(tenant.house, link))
    assert sorted(answer.status_code for answer in answers) == [200, *[410] * 19]
    [won] = [answer for answer in answers if answer.status_code == 200]
    assert "data.json" in files_of(won)
    taken = rows(tenant.house, audit_entries, tenant_id=tenant.id, action="package.take")
    assert len(taken) == 1


def test_over_http(own_house: House, free_port: int) -> None:
    """Behind the real server: twenty takers, one whole package; an export by pages; no word of a link in its log."""
    tenant = own_house.tenant()
    token = tenant.token(customer={"billing_contact": CONTACT})
    many_charges(tenant, tenant.charge(token["id"]).get_json()["id"], 2 * PAGE)
    link = link_to(tenant, package_of(tenant, token["customer"]))
    with serve(own_house, free_port, PANLESS_LOG_LEVEL="DEBUG") as (_, url):
        answers = at_once(20, lambda _: fetch(f"{url}/v1/packages/{link}"))
        exported = fetch(
            f"{url}/v1/customers/{token['customer']}/export?format=zip",
            Authorization=f"Bearer {tenant.keys['privacy']}",
            **PURPOSE,
        )
    [package] = [body for status, body in answers if status == 200]
    assert sorted(status for status, _ in answers) == [200, *[410] * 19]
    for body in (package, exported[1]):
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            assert len(json.loads(archive.read("data.json"))["charges"]) == 2 * PAGE + 1
    log = (own_house.home / "server.log").read_text()
    assert "/v1/packages/<link>" in log
    assert link[60:] not in log


def fetch(url: str, **headers: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read()


def test_links_that_are_none(tenant: Tenant, house: House) -> None:
    """Another secret, tenant or package, an old link, no link at all: 404 in the same bytes, nothing is used up."""
    package, other = (*(package_of(each, person_of(each)) for each in (tenant, house.tenant())),)
    old, link = link_to(tenant, package), link_to(tenant, package)
    wrong = [
        old,
        link[:-1] + ("a" if link[-1] != "a" else "b"),
        link[:32] + other[4:] + link[60:],
        "lnk_" + new_id("ten", "00")[4:] + link[32:],
        link.upper(),
        link[:-1],
        link + "a",
        "lnk_",
        "x",
        package,
    ]
    answers = [follow(house, each) for each in wrong]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.get_data() for answer in answers}) == 1
    assert follow(house, link).status_code == 200


def test_looking_at_a_link_does_not_use_it_up(tenant: Tenant) -> None:
    """HEAD, as mail scanners send it, a query and another method are refused, and the link still opens."""
    link = link_to(tenant, package_of(tenant, person_of(tenant)))
    assert follow(tenant.house, link, "HEAD").status_code == 405
    assert follow(tenant.house, f"{link}?x=1").status_code == 422
    assert follow(tenant.house, link, "POST").status_code == 405
    assert follow(tenant.house, link).status_code == 200


def test_the_guard_holds_for_links(own_house: House) -> None:
    """Without a good verdict nothing is handed out, and the link is not used up."""
    tenant = own_house.tenant()
    link = link_to(tenant, package_of(tenant, person_of(tenant)))
    ledger, away = own_house.home / "ledger", own_house.home / "away"
    ledger.rename(away)
    components = own_house.components
    unchecked = Guard(records=components.records, ledger=components.ledger, clock=components.clock)
    assert not unchecked.check().is_good
    refusing = replace(own_house, app=make_app(replace(components, guard=unchecked)))
    assert follow(refusing, link).status_code == 503
    away.rename(ledger)
    assert follow(own_house, link).status_code == 200


def test_nothing_of_a_package_is_in_clear(own_house: House) -> None:
    """Neither what is in it nor the link's secret stands in any column of either database."""
    tenant = own_house.tenant()
    package = package_of(tenant, person_of(tenant))
    link = link_to(tenant, package)
    wanted = re.compile(b"|".join((link[60:].encode(), b"Kanarie", b"ada@example", b"data.json", b"mastercard")))
    for engine, tables in (
        (own_house.components.records, ("packages", "package_chunks", "package_customers", "audit_entries")),
        (own_house.components.keystore, ("deks",)),
    ):
        with reading(engine) as connection:
            for table in tables:
                found = connection.execute(text(f"SELECT * FROM {table}")).all()  # noqa: S608  # our own names
                assert found
                for value in (value for each in found for value in each):
                    plain = bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
                    assert not wanted.search(plain)


def test_every_step_is_on_the_record(tenant: Tenant) -> None:
    """Request, link, taking and end: an entry for each customer in it, with the package's id and nothing personal."""
    one, two = person_of(tenant), person_of(tenant)
    package = package_of(tenant, one, two)
    follow(tenant.house, link_to(tenant, package))
    for customer in (one, two):
        found = rows(tenant.house, audit_entries, customer_id=customer, resource_id=package)
        assert sorted(each.action for each in found) == [
            "package.destroy",
            "package.link",
            "package.request",
            "package.take",
        ]
        assert all("Kanarie" not in each.leaf for each in found)


def test_what_can_be_asked_for(tenant: Tenant, house: House) -> None:
    """Access and portability, of customers that are there and are this tenant's; a link to what is ready."""
    customer, foreign = person_of(tenant), person_of(house.tenant())
    with pytest.raises(Invalid):
        package_of(tenant, customer, kind="erasure")
    with pytest.raises(Invalid):
        package_of(tenant)
    with pytest.raises(NotFoundHere):
        package_of(tenant, foreign)
    package = package_of(tenant, customer, build=False)
    with pytest.raises(NotUsable):
        link_to(tenant, package)
    with pytest.raises(NotFoundHere):
        link_to(house.tenant(), package)
    with pytest.raises(NotFoundHere):
        link_to(replace(tenant, caller=replace(tenant.caller, live=True)), package)
    tenant.erase(customer)
    with pytest.raises(Erased):
        package_of(tenant, customer)


def test_seven_days(tenant: Tenant) -> None:
    """Until then it opens; from then on 410, worker or not, and the worker leaves nothing that opens."""
    first, second = (package_of(tenant, person_of(tenant)) for _ in range(2))
    links = [link_to(tenant, each) for each in (first, second)]
    kept = chunks_of(tenant.house, second)
    assert follow(later(tenant.house, days=6, hours=23), links[0]).status_code == 200
    over = later(tenant.house, days=7, minutes=1)
    assert follow(over, links[1]).status_code == 410
    with pytest.raises(Gone):
        link_to(replace(tenant, house=over), second)
    assert chunks_of(tenant.house, second) == kept
    assert work(over) == []
    assert state_of(tenant.house, second) == "expired"
    assert_shredded(tenant.house, second, kept)
    assert follow(tenant.house, links[1]).status_code == 410
    assert work(over) == []


def test_no_byte_of_an_old_package_is_in_the_files(own_house: House) -> None:
    """SQLite overwrites what it deletes: not even the sealed bytes are left in the file."""
    if own_house.components.records.dialect.name != "sqlite":
        return  # PostgreSQL keeps dead rows until it vacuums; their key is gone all the same
    tenant = own_house.tenant()
    package = package_of(tenant, person_of(tenant))
    salts = [bytes(chunk.content[18:50]) for chunk in chunks_of(own_house, package)]
    records = Path(own_house.components.records.url.database or "")
    assert all(salt in records.read_bytes() for salt in salts)
    work(later(own_house, days=8))
    assert not any(salt in records.read_bytes() for salt in salts)


def test_progress_is_counted_and_a_build_goes_on_where_it_stopped(tenant: Tenant) -> None:
    """One piece at a time, each time anew: the count grows, and the package is that of one go."""
    token = tenant.token(customer={"billing_contact": CONTACT})
    many_charges(tenant, tenant.charge(token["id"]).get_json()["id"], PAGE + 5)
    whole, steps = (package_of(tenant, token["customer"], kind="portability", build=False) for _ in range(2))
    assert build(tenant, whole, 1000)
    counts = [0]
    while not build(tenant, steps, 1):
        counts.append(row(tenant.house, package_table, package_id=steps).progress)
        assert len(counts) < 20
    counts.append(row(tenant.house, package_table, package_id=steps).progress)
    assert counts == sorted(counts)
    assert counts[-1] == 2 * (PAGE + 6) + 3  # charges and one card, in JSON and CSV, and a contact
    found = packages.of_request(tenant.desk, row(tenant.house, package_table, package_id=steps).request_id)
    assert (found.id, found.status, found.progress) == (steps, "ready", counts[-1])
    first, second = (files_of(follow(tenant.house, link_to(tenant, each))) for each in (whole, steps))
    assert first["charges.csv"] == second["charges.csv"]
    made = [json.loads(files["data.json"]) | {"generated_at": None} for files in (first, second)]
    assert made[0] == made[1]


def test_a_large_package_takes_turns(tenant: Tenant) -> None:
    """A round of the worker writes some pieces and goes on to what else there is; later rounds end it."""
    token = tenant.token()
    charge = tenant.charge(token["id"]).get_json()["id"]
    many_charges(tenant, charge, 6 * PAGE)
    package = package_of(tenant, token["customer"], build=False)
    assert work(tenant.house) == []
    assert state_of(tenant.house, package) == "building"
    assert work(tenant.house) == []
    assert state_of(tenant.house, package) == "ready"  # the lease was given back, no need to wait for its end


def test_killed_between_two_pieces(own_house: House) -> None:
    """`kill -9` of the real worker in the middle; the next one goes on, and no row is missing or double."""
    tenant = own_house.tenant()
    token = tenant.token(customer={"billing_contact": CONTACT})
    many_charges(tenant, tenant.charge(token["id"]).get_json()["id"], 12 * PAGE)
    package = package_of(tenant, token["customer"], build=False)
    with transaction(own_house.components.records) as tx:
        tx.execute(update(package_table).values(lease_until=LONG_AGO))
    environment = {"PATH": os.environ["PATH"], **own_house.environment}
    with subprocess.Popen([sys.executable, "-m", "panless", "worker"], cwd=ROOT, env=environment) as worker:
        end = time.monotonic() + 60
        while len(chunks_of(own_house, package)) < 5:
            assert time.monotonic() < end
            time.sleep(0.005)
        worker.send_signal(signal.SIGKILL)
        worker.wait(10)
    half = len(chunks_of(own_house, package))
    assert state_of(own_house, package) == "building"
    assert [work(own_house) for _ in range(3)] == [[], [], []]
    assert 5 <= half < len(chunks_of(own_house, package))
    files = files_of(follow(own_house, link_to(tenant, package)))
    charges = [each["id"] for each in json.loads(files["data.json"])["charges"]]
    assert len(charges) == len(set(charges)) == 12 * PAGE + 1
    assert files["charges.csv"].count(b"\r\n") == 12 * PAGE + 2


def test_two_builders_at_once(tenant: Tenant) -> None:
    """Whoever loses a piece stops; each row is in the package once."""
    customer = person_of(tenant)
    for _ in range(5):
        package = package_of(tenant, customer, build=False)
        built = at_once(4, lambda _, package=package: build(tenant, package, 100))
        assert any(built)
        files = files_of(follow(tenant.house, link_to(tenant, package)))
        assert len(json.loads(files["data.json"])["charges"]) == 1


def test_erasing_a_customer_destroys_their_packages(tenant: Tenant) -> None:
    """Those being built, those ready, those of several customers; what was taken is gone already."""
    one, two = person_of(tenant), person_of(tenant)
    ready, shared, half = package_of(tenant, one), package_of(tenant, one, two), package_of(tenant, one, build=False)
    begun, others = package_of(tenant, one, build=False), package_of(tenant, two)
    assert not build(tenant, begun, 2)
    links = [link_to(tenant, each) for each in (ready, shared, others)]
    kept = {each: chunks_of(tenant.house, each) for each in (ready, shared, begun)}
    erased = tenant.erase(one)
    assert erased.status_code == 200
    for package, chunks in kept.items():
        assert state_of(tenant.house, package) == "erased"
        assert_shredded(tenant.house, package, chunks)
    assert state_of(tenant.house, half) == "erased"
    assert not build(tenant, half, 100)
    assert [follow(tenant.house, link).status_code for link in links] == [410, 410, 200]
    request = erased.get_json()["id"]
    certificate = tenant.call("GET", f"/v1/rights-requests/{request}/certificate").get_json()["certificate"]
    assert {each["name"]: each["result"] for each in certificate["targets"]}["packages"] == "verified"
    assert work(tenant.house) == []


def test_an_erasure_breaks_a_download_off(tenant: Tenant) -> None:
    """What was handed out is; of the rest not another byte, and no archive that looks whole."""
    token = tenant.token(customer={"billing_contact": CONTACT})
    many_charges(tenant, tenant.charge(token["id"]).get_json()["id"], 2 * PAGE)
    package = package_of(tenant, token["customer"])
    link, parts = link_to(tenant, package), tenant.house.components
    taken = package_links.take(parts.records, parts.ledger, link, parts.clock(), "req_1")
    given = [next(taken)]
    assert tenant.erase(token["customer"]).status_code == 200
    with pytest.raises(Gone):
        given.extend(taken)
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(io.BytesIO(b"".join(given)))
    assert follow(tenant.house, link).status_code == 410


def test_a_download_that_dies(tenant: Tenant) -> None:
    """The link is used up; an hour later the worker destroys what its process did not."""
    package = package_of(tenant, person_of(tenant))
    kept, link, parts = chunks_of(tenant.house, package), link_to(tenant, package), tenant.house.components
    unread = package_links.take(parts.records, parts.ledger, link, parts.clock(), "req_1")
    assert follow(tenant.house, link).status_code == 410
    assert work(tenant.house) == []
    assert chunks_of(tenant.house, package) == kept
    del unread
    download_is_over(tenant.house)
    assert work(tenant.house) == []
    assert_shredded(tenant.house, package, kept)
    assert state_of(tenant.house, package) == "taken"


def test_the_worker_leaves_a_download_alone_that_it_built_for(tenant: Tenant) -> None:
    """Taken before the worker gave its lease back: the lease is the download's now."""
    package = package_of(tenant, person_of(tenant))
    kept, link, parts = chunks_of(tenant.house, package), link_to(tenant, package), tenant.house.components
    taken = package_links.take(parts.records, parts.ledger, link, parts.clock(), "req_1")
    packages.put_back(parts.records, row(tenant.house, package_table, package_id=package))
    assert work(tenant.house) == []
    assert chunks_of(tenant.house, package) == kept
    assert b"".join(taken)


def test_a_client_that_hangs_up(tenant: Tenant) -> None:
    """In the middle of its download: what is left is destroyed at once."""
    package = package_of(tenant, person_of(tenant))
    kept, link, parts = chunks_of(tenant.house, package), link_to(tenant, package), tenant.house.components
    taken: Any = package_links.take(parts.records, parts.ledger, link, parts.clock(), "req_1")
    assert next(taken)
    taken.close()
    assert_shredded(tenant.house, package, kept)


def test_the_ledger_away_at_the_end_of_a_download(own_house: House) -> None:
    """The person gets the package; its key goes as soon as the ledger is back."""
    tenant = own_house.tenant()
    package = package_of(tenant, person_of(tenant))
    kept, link = chunks_of(own_house, package), link_to(tenant, package)
    ledger, away = own_house.home / "ledger", own_house.home / "away"
    ledger.rename(away)
    assert "data.json" in files_of(follow(own_house, link))
    assert follow(own_house, link).status_code == 410
    assert chunks_of(own_house, package) == []
    assert key_of(own_house, package) is not None
    away.rename(ledger)
    assert work(own_house) == []
    assert_shredded(own_house, package, kept)


@pytest.fixture
def restored(own_house: House, tmp_path: Path) -> tuple[Tenant, Any]:
    """A tenant, and what puts its records back to when it was called first, then replays the ledger."""
    tenant, copies = own_house.tenant(), []

    def backup_then_restore() -> None:
        if not copies:
            copies.append(backup(own_house.components.records, tmp_path / "r"))
            return
        restore(own_house.components.records, copies[0])
        assert own_house.components.guard.check().code == "records_restored"
        replay(own_house.components.ledger, own_house.components.records, lambda _done, _total: None)
        assert own_house.components.guard.check().is_good

    return tenant, backup_then_restore


def test_no_restore_brings_a_package_back(restored: tuple[Tenant, Any]) -> None:
    """Taken, expired and erased ones: their links stay dead, their rows go again, and nothing opens."""
    tenant, step = restored
    house, last = tenant.house, person_of(tenant)
    taken, expired, erased = package_of(tenant, person_of(tenant)), package_of(tenant, last), package_of(tenant, last)
    gone = person_of(tenant)
    of_gone, unbuilt = package_of(tenant, gone), package_of(tenant, gone, build=False)
    links = [link_to(tenant, each) for each in (taken, expired, of_gone)]
    kept = {each: chunks_of(house, each) for each in (taken, expired, of_gone, erased)}
    step()
    assert follow(house, links[0]).status_code == 200
    assert work(later(house, days=8)) == []
    other = person_of(tenant)
    tenant.erase(gone)
    step()
    assert [follow(house, link).status_code for link in links] == [410, 410, 410]
    for package, chunks in kept.items():
        assert_shredded(house, package, chunks)
    assert state_of(house, unbuilt) == "erased"
    assert work(house) == []
    assert tenant.call("GET", f"/v1/customers/{other}").status_code == 404
    with pytest.raises(NotFoundHere):
        package_of(tenant, other)


def test_a_request_is_shown_in_the_export(tenant: Tenant) -> None:
    """That the person asked is kept, so an access shows it."""
    customer = person_of(tenant)
    package = package_of(tenant, customer, kind="portability")
    request = row(tenant.house, package_table, package_id=package).request_id
    assert row(tenant.house, rights_requests, request_id=request)
    found = tenant.call("GET", f"/v1/customers/{customer}/export", **PURPOSE).get_json()["rights_requests"]
    assert [(each["id"], each["type"]) for each in found] == [(request, "portability")]


def _order_then_crash(tenant: Tenant, order: Any) -> None:
    parts = tenant.house.components
    with audit.transaction(parts.records) as tx:
        packages.request_package(tenant.desk, tx, **order)
        raise Crash


def test_a_request_and_its_package_are_one_transaction(tenant: Tenant) -> None:
    """What orders a package may still fail: then there is none."""
    customer = person_of(tenant)
    before = rows(tenant.house, package_table, tenant_id=tenant.id)
    request = row(tenant.house, package_table, package_id=package_of(tenant, customer)).request_id
    order = {"request_id": request, "kind": "access", "customer_ids": [customer]}
    with pytest.raises(Crash):
        _order_then_crash(tenant, order)
    assert len(rows(tenant.house, package_table, tenant_id=tenant.id)) == len(before) + 1
