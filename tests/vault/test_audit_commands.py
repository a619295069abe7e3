"""`panless audit`: verify, export, show, key, as an operator and a stranger call them."""

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from audit_commands_scene import run
from house import PURPOSE, House, Tenant
from records_scene import CONTACT, later
from sqlalchemy import delete, update
from tlog_scene import log, look

from rows.engine import transaction
from vault.tables import audit_entries, audit_logs, audit_tiles


@pytest.fixture
def tenant(own_house: House) -> Tenant:
    """A tenant with looks in its log, all in their places and anchored."""
    tenant = own_house.tenant()
    look(tenant, 300)
    own_house.work()
    later(own_house, seconds=30).work()
    return tenant


def test_a_good_log_verifies(tenant: Tenant, tmp_path: Path) -> None:
    """In the records, and exported with nothing of ours at hand; against a checkpoint that a client has kept."""
    kept = tmp_path / "kept"
    kept.write_bytes(tenant.call("GET", "/v1/audit/checkpoint", role="auditor").get_data())
    look(tenant, 5)
    tenant.house.work()
    assert run(tenant.house.environment, "verify", "--against", kept).stdout == "Nothing wrong was found.\n"
    exported = run(tenant.house.environment, "export", tmp_path / "export")
    assert (exported.returncode, exported.stdout) == (0, ""), exported.stderr
    [*keys] = run(tenant.house.environment, "key", "--tenant", tenant.id).stdout.splitlines()
    for given in (["--key", keys[0]], []):
        place = tmp_path / "export" / tenant.id
        answer = run({}, "verify", "--offline", place, "--against", kept, *given)
        assert (answer.returncode, answer.stdout) == (0, "Nothing wrong was found.\n"), answer.stderr
        assert ("compare them" in answer.stderr) == (not given)
        size = log(tenant.house, tenant.id).size
        assert f"Entries of {tenant.id}: {size} of {size}" in answer.stderr
    assert run({}, "verify", "--offline", tmp_path / "export").returncode == 0


def test_an_export_goes_on_where_it_was(tenant: Tenant, tmp_path: Path) -> None:
    """Full tiles that are there are left alone, partial ones of before are gone, what was cut off is made whole."""
    run(tenant.house.environment, "export", tmp_path)
    full = tmp_path / tenant.id / "tile/0/000"
    before = full.stat().st_mtime_ns
    look(tenant, 300)
    tenant.house.work()
    (tmp_path / tenant.id / "tile/entries/000").unlink()
    run(tenant.house.environment, "export", tmp_path)
    assert full.stat().st_mtime_ns == before
    assert run({}, "verify", "--offline", tmp_path).stdout == "Nothing wrong was found.\n"


def test_a_changed_log_is_named(tenant: Tenant) -> None:
    """What a database writer did is told with its place, and the exit code is 1."""
    mine = audit_entries.c.tenant_id == tenant.id
    changes = {
        "forged": update(audit_entries).where(mine, audit_entries.c.position == 7).values(leaf="{}"),
        "hash to": update(audit_tiles).where(audit_tiles.c.tenant_id == tenant.id).values(hashes=b""),
        "other values in client_id": update(audit_entries)
        .where(mine, audit_entries.c.position == 9)
        .values(client_id="cli_x"),
        "missing": delete(audit_entries).where(mine, audit_entries.c.position == 200),
    }
    for words, change in changes.items():
        with transaction(tenant.house.components.records) as tx:
            tx.execute(change)
        answer = run(tenant.house.environment, "verify", "--tenant", tenant.id)
        assert answer.returncode == 1
        assert words in answer.stdout
        assert answer.stdout.startswith(f"{tenant.id}")


def test_leaves_that_no_parser_takes_stop_nothing(tenant: Tenant) -> None:
    """Deep ones and ones of the wrong types are findings like others, and what is wrong behind them is told too."""
    mine = audit_entries.c.tenant_id == tenant.id
    wrong = '{"action":"x","counter":1,"deployment":"%s","lane":[],"tenant":"%s"}'
    made = tenant.house.components.keyring.deployment, tenant.id
    with transaction(tenant.house.components.records) as tx:
        for position, leaf in ((7, "[" * 60_000), (8, wrong % made), (9, "{}")):
            tx.execute(update(audit_entries).where(mine, audit_entries.c.position == position).values(leaf=leaf))
    answer = run(tenant.house.environment, "verify", "--tenant", tenant.id)
    assert (answer.returncode, "Traceback" in answer.stderr) == (1, False)
    for position in (7, 8, 9):
        assert f"{tenant.id}, entry {position}: This is no entry of an audit log." in answer.stdout


def test_an_entry_without_a_place_is_named(tenant: Tenant) -> None:
    """One that waits for over a minute says that no worker runs."""
    look(tenant)
    with transaction(tenant.house.components.records) as tx:
        waiting = audit_entries.c.position.is_(None)
        tx.execute(update(audit_entries).where(waiting).values(at=tenant.caller.at.replace(year=2001)))
    answer = run(tenant.house.environment, "verify")
    assert answer.returncode == 1
    assert "has had no place since 2001" in answer.stdout


def test_anchors_are_held_against_the_log(tenant: Tenant) -> None:
    """Without being told to: what was anchored and is not in the log is named."""
    [anchor] = (tenant.house.components.settings.audit_anchor / tenant.id / "1").iterdir()
    anchor.write_bytes(anchor.read_bytes().replace(b"\n3", b"\n4", 1))
    answer = run(tenant.house.environment, "verify", "--tenant", tenant.id)
    assert (answer.returncode, answer.stdout.count("\n")) == (1, 1)
    assert "is no checkpoint of that log and size" in answer.stdout


def test_so_many_anchors_are_read_as_are_asked_for(tenant: Tenant) -> None:
    """There are three a minute: the newest are read, and an older one by who asks for more; both are told which."""
    look(tenant)
    tenant.house.work()
    later(tenant.house, seconds=60).work()
    older, _newest = sorted((tenant.house.components.settings.audit_anchor / tenant.id / "1").iterdir())
    older.write_bytes(b"")
    found = {most: run(tenant.house.environment, "verify", "--anchors", most) for most in ("1", "2", "0", "5000")}
    assert [each.returncode for each in found.values()] == [0, 1, 2, 1]
    assert "the newest 1 anchors of generation 1 were read" in found["1"].stderr
    assert "were read" not in found["5000"].stderr


def test_what_was_never_anchored_is_named(tenant: Tenant) -> None:
    """Entries that are old and under no anchor, whatever the log's row says of that."""
    look(replace(tenant, house=later(tenant.house, minutes=-9)), 3)
    tenant.house.work()
    mine = audit_logs.c.tenant_id == tenant.id
    with transaction(tenant.house.components.records) as tx:
        tx.execute(update(audit_logs).where(mine).values(waiting_since=None, anchored_size=10_000))
    answer = run(tenant.house.environment, "verify", "--tenant", tenant.id)
    assert (answer.returncode, answer.stdout.count("\n")) == (1, 1)
    assert "From here on nothing is anchored, since" in answer.stdout


def test_a_row_that_is_ahead_of_its_checkpoint_is_named(tenant: Tenant) -> None:
    """Entries between the two would be neither in the log nor told to wait for it."""
    mine = audit_logs.c.tenant_id == tenant.id
    with transaction(tenant.house.components.records) as tx:
        tx.execute(update(audit_logs).where(mine).values(size=audit_logs.c.size + 2))
    answer = run(tenant.house.environment, "verify", "--tenant", tenant.id)
    assert answer.returncode == 1
    assert "and its checkpoint is over" in answer.stdout


def test_a_log_that_is_missing_from_an_export_is_named(tenant: Tenant, tmp_path: Path) -> None:
    """Its tiles gone, all of it gone, another tenant's in its place: by who has its key, or sees its folder."""
    other = tenant.house.tenant()
    look(other, 3)
    tenant.house.work()
    run(tenant.house.environment, "export", tmp_path / "whole")
    [key] = run(tenant.house.environment, "key", "--tenant", tenant.id).stdout.splitlines()
    assert run({}, "verify", "--offline", tmp_path / "whole").returncode == 0

    def damaged(damage: Callable[[Path, Path], None], *words: object) -> subprocess.CompletedProcess[str]:
        folder = tmp_path / f"export {len([*tmp_path.iterdir()])}"
        shutil.copytree(tmp_path / "whole", folder)
        damage(folder / tenant.id, folder / other.id)
        return run({}, "verify", "--offline", folder, *words)

    def swap(mine: Path, theirs: Path) -> None:
        shutil.rmtree(mine)
        shutil.copytree(theirs, mine)

    for answer, said in (
        (damaged(lambda mine, _: shutil.rmtree(mine / "tile")), "are missing from bundle 0"),
        (damaged(swap), f"{tenant.id}: Its checkpoint is that of another log: {other.id}."),
        (damaged(lambda mine, _: shutil.rmtree(mine), "--key", key), f"{tenant.id}: There is a key of this log"),
        (damaged(lambda mine, _: (mine / "checkpoint").unlink()), f"{tenant.id}: The checkpoint:"),
    ):
        assert answer.returncode == 1, answer.stderr
        assert said in answer.stdout


def test_words_that_do_not_fit_are_refused(tenant: Tenant, tmp_path: Path) -> None:
    """Each is one sentence, and nothing is verified by accident."""
    other = tmp_path / "other"
    other.write_text("panless/dep_x/ten_x\n1\nAAAA\n")
    shutil.copytree(tenant.house.home, tmp_path / "no log")
    for words, said in {
        ("verify", "--key", "x"): "--key goes with --offline",
        ("verify", "--against", other): "is no checkpoint of a log that is looked at",
        ("verify", "--tenant", "ten_x"): "There is no audit log of ten_x",
        ("verify", "--offline", tmp_path / "no log"): "There is no such log",
        ("show", "--customer", "cus_x1"): "has nothing about cus_x1",
    }.items():
        answer = run(tenant.house.environment, *words)
        assert answer.returncode == 1
        assert said in answer.stderr


def test_who_looked_when_and_why(tenant: Tenant) -> None:
    """Newest first, with the client's name; after the erasure too."""
    customer = tenant.token(customer={"billing_contact": CONTACT})["customer"]
    tenant.call("GET", f"/v1/customers/{customer}/billing-contact", role="privacy", Panless_Actor="ops.7", **PURPOSE)
    tenant.erase(customer)
    while tenant.house.work()[0]:
        pass
    shown = run(tenant.house.environment, "show", "--customer", customer).stdout.splitlines()
    actions = [line.split()[2] for line in shown[1:]]
    assert actions[:3] == ["customer.erased", "customer.erase", "contact.read"]
    assert sorted(actions[3:]) == ["customer.create", "token.create"]  # of one moment
    [look_at] = [line for line in shown if "contact.read" in line]
    assert look_at.split()[3:7] == ["privacy", "ops.7", "support", "T-1"]
    lines = run(tenant.house.environment, "show", "--customer", customer, "--json").stdout.splitlines()
    assert len(lines) == len(shown) - 1
