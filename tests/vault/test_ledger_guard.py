import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from backups import backup, restore
from house import ROOT, House, Sandbox, Tenant, build_house, open_house
from records_scene import at, at_once, end_leases, row, rows, work
from sqlalchemy import Table, update

from keys.keystore import BEGINNING, DEPLOYMENT
from keys.keystore import watermark as keystore_watermark
from rows.engine import reading, transaction
from vault.errors import KeystoreRestored, LedgerBroken
from vault.ledger.book import chain
from vault.ledger.guard import inspect
from vault.ledger.settling import settle
from vault.ledger.watermarks import watermark
from vault.tables import customers, deployment, ledger_outbox


def entry(house: House, seq: int) -> Path:
    return house.home / "ledger" / f"{seq:020}.json"


def entries(house: House) -> list[Path]:
    return sorted((house.home / "ledger").iterdir())


def with_entries(house: House, count: int) -> Tenant:
    """A tenant whose deletions put that many entries on the ledger."""
    tenant = house.tenant()
    for _ in range(count):
        assert tenant.call("DELETE", f"/v1/tokens/{tenant.token()['id']}").status_code == 200
    assert len(entries(house)) == count
    return tenant


def assert_refused(house: House, tenant: Tenant, code: str) -> None:
    """The verdict, and 503 with its code from /readyz and every /v1 endpoint."""
    assert house.components.guard.check().code == code
    client = house.app.test_client()
    ready = client.get("/readyz")
    assert (ready.status_code, ready.get_json()["code"]) == (503, code)
    assert client.get("/livez").status_code == 200
    ids = {"token_id": "tok", "customer_id": "cus", "charge_id": "chg", "account_id": "pa", "request_id": "rr"}
    seen = 0
    for rule in house.app.url_map.iter_rules():
        if not rule.rule.startswith("/v1/"):
            continue
        path = rule.rule
        for name, prefix in ids.items():
            path = path.replace(f"<{name}>", f"{prefix}_00{'a' * 26}")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            answer = tenant.call(method, path, {} if method in {"POST", "PUT", "PATCH"} else None)
            assert (answer.status_code, answer.get_json()["code"]) == (503, code), (method, path)
            seen += 1
    assert seen >= 20


def rewrite(house: House, seq: int, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change an entry in the ledger by hand."""
    body = json.loads(entry(house, seq).read_bytes())
    edit(body)
    entry(house, seq).write_bytes(rfc8785.dumps(body))


def cut(house: House) -> None:
    entry(house, 3).unlink()


def hole(house: House) -> None:
    entry(house, 2).unlink()


def swap(house: House) -> None:
    first, second = (entry(house, seq).read_bytes() for seq in (2, 3))
    entry(house, 2).write_bytes(second)
    entry(house, 3).write_bytes(first)


def empty(house: House) -> None:
    for file in entries(house):
        file.unlink()


def edit_last(house: House) -> None:
    rewrite(house, 3, lambda body: body.update(version=99))


def forge_signature(house: House) -> None:
    rewrite(house, 3, lambda body: body.update(signature="A" * 86 + "=="))


def not_json(house: House) -> None:
    entry(house, 3).write_bytes(b"\x00\xff garbage")


BREAKS = [cut, swap, empty, edit_last, forge_signature, not_json]


def test_a_ledger_that_was_changed_is_refused(own_house: House) -> None:
    """Cut, reordered, emptied, edited, forged: the verdict is ledger_cut, and nothing is served."""
    tenant = with_entries(own_house, 3)
    whole = shutil.copytree(own_house.home / "ledger", own_house.home / "whole")
    for damage in BREAKS:
        assert own_house.components.guard.check().is_good
        damage(own_house)
        assert_refused(own_house, tenant, "ledger_cut")
        shutil.copytree(whole, own_house.home / "ledger", dirs_exist_ok=True)
    assert own_house.components.guard.check().is_good
    assert tenant.call("GET", "/v1/charges").status_code == 200


def test_a_broken_chain_does_not_verify(own_house: House) -> None:
    """Read from the beginning, a chain that was changed does not hold together; a shorter one misses the watermark."""
    with_entries(own_house, 3)
    whole = shutil.copytree(own_house.home / "ledger", own_house.home / "whole")
    ledger = own_house.components.ledger
    for damage in (swap, edit_last, forge_signature, not_json):
        assert [each.mark.seq for each in chain(ledger, BEGINNING)] == [1, 2, 3]
        damage(own_house)
        with pytest.raises(LedgerBroken):
            chain(ledger, BEGINNING)
        shutil.copytree(whole, own_house.home / "ledger", dirs_exist_ok=True)
    for damage, left in ((cut, 2), (hole, 1), (empty, 0)):
        damage(own_house)
        assert len(chain(ledger, BEGINNING)) == left
        with reading(own_house.components.records) as connection:
            mark = watermark(connection)
        if damage is not hole:
            with pytest.raises(LedgerBroken):
                chain(ledger, mark)
        shutil.copytree(whole, own_house.home / "ledger", dirs_exist_ok=True)


def test_an_entry_of_another_deployment_does_not_verify(own_house: House, tmp_path: Path, sandbox: Sandbox) -> None:
    """The entries of one deployment are no entries of another: its key signed them."""
    other = build_house(tmp_path / "o", f"sqlite:///{tmp_path}/or.db", f"sqlite:///{tmp_path}/ok.db", sandbox)
    with_entries(other, 1)
    tenant = own_house.tenant()
    shutil.copy(entry(other, 1), entry(own_house, 1))
    assert_refused(own_house, tenant, "ledger_cut")
    other.components.close()


def test_records_from_before_an_erasure_are_refused(own_house: House, tmp_path: Path) -> None:
    """Last night's records bring nobody back: they don't know the entry, and every endpoint answers 503."""
    tenant = own_house.tenant()
    token = tenant.token()
    copy = backup(own_house.components.records, tmp_path / "backup")
    assert tenant.erase(token["customer"]).status_code == 200
    restore(own_house.components.records, copy)
    assert row(own_house, customers, customer_id=token["customer"]).state == "active"
    assert_refused(own_house, tenant, "records_restored")
    [(what, error), *_] = work(own_house)
    assert (what, type(error).__name__) == ("ledger", "RecordsRestored")
    assert_refused(own_house, tenant, "records_restored")
    assert row(own_house, customers, customer_id=token["customer"]).state == "active"


def test_records_that_know_the_decision_catch_up(own_house: House, tmp_path: Path) -> None:
    """A backup between decision and ledger is good: the worker takes the entry through its steps again."""
    tenant = own_house.tenant()
    token = tenant.token()
    (own_house.home / "ledger").rename(own_house.home / "away")
    assert tenant.call("DELETE", f"/v1/tokens/{token['id']}").status_code == 503
    copy = backup(own_house.components.records, tmp_path / "backup")
    (own_house.home / "away").rename(own_house.home / "ledger")
    assert work(own_house) == []
    restore(own_house.components.records, copy)
    assert [each.seq for each in rows(own_house, ledger_outbox)] == [None]
    assert own_house.components.guard.check().is_good
    assert work(own_house) == []
    assert [each.seq for each in rows(own_house, ledger_outbox)] == [1]
    assert tenant.call("GET", f"/v1/tokens/{token['id']}").get_json()["status"] == "detached"


def test_a_keystore_from_before_an_erasure_is_refused(own_house: House, tmp_path: Path) -> None:
    """It would hold the destroyed key again, and lack newer ones: refused, and nothing heals it behind our back."""
    parts = own_house.components
    tenant = own_house.tenant()
    token = tenant.token()
    copy = backup(parts.keystore, tmp_path / "backup")
    assert tenant.erase(token["customer"]).status_code == 200
    restore(parts.keystore, copy)
    assert_refused(own_house, tenant, "keystore_restored")
    with pytest.raises(KeystoreRestored):
        settle(parts.ledger, parts.records)
    [(what, error), *_] = work(own_house)
    assert (what, type(error).__name__) == ("ledger", "KeystoreRestored")
    assert_refused(own_house, tenant, "keystore_restored")


def test_databases_of_two_deployments_are_refused(own_house: House, tmp_path: Path, sandbox: Sandbox) -> None:
    """A program that is given both ends with a sentence; the verdict over both says mismatch."""
    other = build_house(tmp_path / "o", f"sqlite:///{tmp_path}/or.db", f"sqlite:///{tmp_path}/ok.db", sandbox)
    tenant = own_house.tenant()
    mixed = own_house.environment | {"PANLESS_KEYSTORE_URL": other.environment["PANLESS_KEYSTORE_URL"]}
    command = [sys.executable, "-m", "panless", "worker", "--once"]
    ended = subprocess.run(command, env=mixed, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "do not belong to the same deployment" in ended.stderr
    swapped = replace(own_house.components.ledger, keystore=other.components.keystore)
    assert inspect(own_house.components.records, swapped).code == "deployment_mismatch"
    assert tenant.call("GET", "/v1/charges").status_code == 200
    other.components.close()


def test_the_last_good_verdict_serves_for_the_grace(own_house: House) -> None:
    """The ledger away: SQLite's serve on for fifteen minutes, PostgreSQL's without end; back again: served again."""
    tenant, now = own_house.tenant(), datetime.now(UTC)
    guard = own_house.components.guard
    moment = [now]
    guard._clock = lambda: moment[0]  # noqa: SLF001  # the guard was built with the wall clock
    assert guard.check().is_good
    (own_house.home / "ledger").rename(own_house.home / "away")
    ends = own_house.components.records.dialect.name == "sqlite"
    token = tenant.token()
    for seconds, good in ((1, True), (899, True), (901, not ends), (3600 * 24 * 30, not ends)):
        moment[0] = now + timedelta(seconds=seconds)
        assert guard.check().is_good is good
    if ends:
        assert_refused(own_house, tenant, "ledger_unavailable")
    else:
        assert tenant.charge(token["id"]).status_code == 201
        assert tenant.call("DELETE", f"/v1/customers/{token['customer']}").status_code == 503
    (own_house.home / "away").rename(own_house.home / "ledger")
    assert guard.check().is_good
    assert tenant.call("GET", "/v1/charges").status_code == 200


def without_ledger(house: House, sandbox: Sandbox) -> House:
    """A process that starts while the ledger is away."""
    return open_house(house.home, house.environment, sandbox)


def test_a_start_without_the_ledger(own_house: House, sandbox: Sandbox) -> None:
    """PostgreSQL's two databases that a good verdict was about serve in a new process too; SQLite's need the ledger."""
    tenant = own_house.tenant()
    token = tenant.token()
    assert own_house.components.guard.check().is_good
    (own_house.home / "ledger").rename(own_house.home / "away")
    cold = without_ledger(own_house, sandbox)
    serves = cold.components.records.dialect.name == "postgresql"
    assert cold.components.guard.verdict.code == ("good" if serves else "ledger_unavailable")
    assert cold.app.test_client().get("/readyz").status_code == (200 if serves else 503)
    there = replace(tenant, house=cold)
    assert there.charge(token["id"]).status_code == (201 if serves else 503)
    assert there.call("DELETE", f"/v1/customers/{token['customer']}").status_code == 503
    cold.components.close()


def test_a_start_with_another_ledger(own_house: House, sandbox: Sandbox) -> None:
    """A process that is given a ledger that is not there is told so, whatever another one vouched for."""
    own_house.tenant()
    assert own_house.components.guard.check().is_good
    elsewhere = {**own_house.environment, "PANLESS_LEDGER": str(own_house.home / "nowhere")}
    cold = without_ledger(replace(own_house, environment=elsewhere), sandbox)
    assert cold.components.guard.verdict.code == "ledger_unavailable"
    cold.components.close()


@pytest.mark.parametrize("which", ["records", "keystore"])
def test_a_start_without_the_ledger_after_a_restore(
    own_house: House, sandbox: Sandbox, tmp_path: Path, which: str
) -> None:
    """A database that was put back meanwhile is not the one that the verdict was about: nothing is served."""
    own_house.tenant()
    assert own_house.components.guard.check().is_good
    engine = getattr(own_house.components, which)
    copy = backup(engine, tmp_path / "backup")
    (own_house.home / "ledger").rename(own_house.home / "away")
    restore(engine, copy)
    cold = without_ledger(own_house, sandbox)
    assert cold.components.guard.verdict.code == "ledger_unavailable"
    cold.components.close()


@pytest.mark.parametrize("table", [deployment, DEPLOYMENT], ids=["records", "keystore"])
def test_a_start_without_the_ledger_goes_by_both(own_house: House, sandbox: Sandbox, table: Table) -> None:
    """Where one database says another thing than the other, or nothing, a start needs the ledger."""
    own_house.tenant()
    assert own_house.components.guard.check().is_good
    engine = own_house.components.records if table is deployment else own_house.components.keystore
    (own_house.home / "ledger").rename(own_house.home / "away")
    for said in ('["", ["1/2", "3", 0, "00"], ["1/2", "3", 0, "00"]]', None):
        with transaction(engine) as tx:
            tx.execute(update(table).values(vouched=said))
        cold = without_ledger(own_house, sandbox)
        assert cold.components.guard.verdict.code == "ledger_unavailable"
        cold.components.close()


def test_a_start_without_the_ledger_after_it_was_cut(own_house: House, sandbox: Sandbox) -> None:
    """The last verdict was no good one: that the ledger is away now makes it none."""
    with_entries(own_house, 2)
    entry(own_house, 2).unlink()
    assert own_house.components.guard.check().code == "ledger_cut"
    (own_house.home / "ledger").rename(own_house.home / "away")
    assert own_house.components.guard.check().code == "ledger_unavailable"
    cold = without_ledger(own_house, sandbox)
    assert cold.components.guard.verdict.code == "ledger_unavailable"
    cold.components.close()


def test_a_start_without_the_ledger_where_the_grace_ends(own_house: House, sandbox: Sandbox) -> None:
    """A grace that was set is counted from a verdict of the same process: a new one has none."""
    own_house.tenant()
    assert own_house.components.guard.check().is_good
    (own_house.home / "ledger").rename(own_house.home / "away")
    ends = replace(own_house, environment={**own_house.environment, "PANLESS_LEDGER_GRACE": "900"})
    cold = without_ledger(ends, sandbox)
    assert cold.components.guard.verdict.code == "ledger_unavailable"
    cold.components.close()


def test_no_verdict_no_service(own_house: House) -> None:
    """Before its first look the guard lets nothing through."""
    fresh = at(own_house, own_house.components.clock)
    guard = type(own_house.components.guard)(
        records=fresh.components.records, ledger=fresh.components.ledger, clock=fresh.components.clock
    )
    assert guard.verdict.code == "starting"
    assert not guard.verdict.is_good


SETTLE = """
import sys
from panless.settings.environment import read_settings
from panless.wiring import build
from vault.ledger.settling import settle
parts = build(read_settings())
sys.stdin.read(1)
settle(parts.ledger, parts.records)
"""


def test_threads_and_processes_settle_every_entry_once(own_house: House) -> None:
    """Twenty decided entries, four threads and two programs at once: each once, contiguous, applied everywhere."""
    parts, tenant = own_house.components, own_house.tenant()
    doomed = [tenant.token()["id"] for _ in range(20)]
    (own_house.home / "ledger").rename(own_house.home / "away")
    for token in doomed:
        assert tenant.call("DELETE", f"/v1/tokens/{token}").status_code == 503
    (own_house.home / "away").rename(own_house.home / "ledger")
    command = [sys.executable, "-c", SETTLE]
    environment = own_house.environment | {"PYTHONPATH": str(ROOT)}
    programs = [
        subprocess.Popen(command, env=environment, cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    for program in programs:
        assert program.stdin
        program.stdin.write(b"!")
        program.stdin.flush()
    at_once(4, lambda _: settle(parts.ledger, parts.records))
    assert [program.communicate(timeout=60)[1] for program in programs] == [b"", b""]
    read = chain(parts.ledger, BEGINNING)
    assert [each.mark.seq for each in read] == list(range(1, 21))
    assert sorted(each.body["subject_id"] for each in read) == sorted(doomed)
    outbox = {each.entry_id: each.seq for each in rows(own_house, ledger_outbox)}
    assert outbox == {each.body["entry_id"]: each.mark.seq for each in read}
    with reading(parts.records) as of_records, reading(parts.keystore) as of_keystore:
        assert watermark(of_records) == keystore_watermark(of_keystore) == read[-1].mark
    assert parts.guard.check().is_good


def test_no_false_verdict_at_full_speed(own_house: House) -> None:
    """Four threads erase as fast as they can while others look all the time: every verdict is good."""
    parts, tenant = own_house.components, own_house.tenant()
    end, verdicts, erased = time.monotonic() + 6, [], []

    def erase(_: int) -> None:
        while time.monotonic() < end:
            token = tenant.token()
            answer = tenant.erase(token["customer"])
            erased.append(answer.status_code)

    def look() -> None:
        while time.monotonic() < end:
            verdicts.append(inspect(parts.records, parts.ledger).code)

    lookers = [threading.Thread(target=look) for _ in range(2)]
    for looker in lookers:
        looker.start()
    at_once(4, erase)
    for looker in lookers:
        looker.join()
    assert len(verdicts) > 10
    assert set(verdicts) == {"good"}
    assert len(erased) > 10
    assert set(erased) <= {200, 202}
    end_leases(own_house)
    assert own_house.work()[1] == []
    read = chain(parts.ledger, BEGINNING)
    assert len(read) == len(rows(own_house, ledger_outbox)) >= 2 * len(erased)
    assert len({each.body["entry_id"] for each in read}) == len(read)
