import re
import signal
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from commands import PLAIN, panless
from program_scene import Dev, ask, card, refusal, until

ON_SHARED = pytest.mark.xdist_group("the running dev")
NAMES = {
    "PANLESS_URL",
    "PANLESS_SANDBOX_URL",
    "PANLESS_RECORDS_URL",
    "PANLESS_KEYSTORE_URL",
    "PANLESS_KEYFILE",
    "PANLESS_LEDGER",
    "PANLESS_POLICY",
    "PANLESS_TENANT",
    *(f"PANLESS_{role}_KEY" for role in ("CHECKOUT", "BILLING", "PRIVACY", "AUDITOR", "ADMIN")),
}


@ON_SHARED
def test_it_serves_from_nothing(running: Dev) -> None:
    """An empty place becomes a ready server; dev.env says where it is and how to get in."""
    env = running.env
    assert env.keys() >= NAMES
    assert ask(f"{env['PANLESS_URL']}/readyz").status == 200


@ON_SHARED
def test_nobody_else_can_read_its_files(running: Dev) -> None:
    """The home is 0700, every file in it 0600."""
    assert running.env
    assert stat.S_IMODE(running.home.stat().st_mode) == 0o700
    modes = {stat.S_IMODE(file.stat().st_mode) for file in running.home.rglob("*") if file.is_file()}
    assert modes == {0o600}


@ON_SHARED
def test_the_lines_that_it_prints_work_as_printed(running: Dev) -> None:
    """Pasted into a shell they store a card, charge it, and read the contact on the record."""
    assert running.env
    lines = re.findall(r"^(?:set -a|ANSWER=|curl ).*$", running.output.read_text(), re.MULTILINE)
    assert len(lines) == 4
    done = subprocess.run(["sh"], input="\n".join(lines), env=PLAIN, capture_output=True, text=True, check=True)
    token, charge, contact = done.stdout.replace("}{", "}\n{").splitlines()
    assert '"status":"active"' in token
    assert '"status":"succeeded"' in charge
    assert '"email":"jo@example.com"' in contact


@ON_SHARED
def test_its_environment_makes_other_commands_work(running: Dev) -> None:
    """With dev.env in the environment, `clients list` shows a client per role."""
    shown = panless("clients", "list", env=running.env).stdout
    assert {"checkout", "billing", "privacy", "auditor", "admin"} <= set(shown.split())


@ON_SHARED
def test_all_of_it_is_one_process_group_on_loopback(running: Dev) -> None:
    """Every program is in its group, and listens on 127.0.0.1 only."""
    assert running.env
    listening = {
        one.laddr.ip
        for member in running.members()
        for one in member.net_connections()
        if one.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}
    assert len(running.members()) >= 5  # itself, sandbox, gunicorn, its worker, worker


def test_a_second_run_finds_everything_again(home: Path, dev: Callable[..., Dev]) -> None:
    """Same keys, same records; and yesterday's token still charges, because the sandbox remembers its card.

    Ctrl-C and SIGTERM each end a run with exit code 0, and leave no process of their group.
    """
    first = dev(home)
    env = first.env
    made = ask(f"{env['PANLESS_URL']}/v1/tokens", env["PANLESS_CHECKOUT_KEY"], card(), Idempotency_Key="one")
    assert made.status == 201, made.body
    assert first.press_ctrl_c() == 0
    assert first.members() == []
    again = dev(home)
    assert {name: again.env[name] for name in NAMES - {"PANLESS_URL"}} == {
        name: env[name] for name in NAMES - {"PANLESS_URL"}
    }
    order = {"token": made.body["id"], "amount": 500, "currency": "eur", "obligation": "i-1"}
    paid = ask(f"{again.env['PANLESS_URL']}/v1/charges", env["PANLESS_BILLING_KEY"], order, Idempotency_Key="two")
    assert (paid.status, paid.body["status"]) == (201, "succeeded")
    assert again.stop(signal.SIGTERM) == 0
    assert again.members() == []


def test_lost_keys_are_made_anew(home: Path, dev: Callable[..., Dev]) -> None:
    """Without dev.env the data stays, new clients are made, and it says so."""
    (home / "dev.env").unlink()
    one = dev(home)
    assert ask(f"{one.env['PANLESS_URL']}/v1/charges", one.env["PANLESS_BILLING_KEY"]).status == 200
    assert "new ones were made" in one.output.read_text()


def test_killing_it_leaves_no_orphan(home: Path, dev: Callable[..., Dev]) -> None:
    """Even after SIGKILL its programs stop by themselves."""
    one = dev(home)
    assert one.env
    one.stop(signal.SIGKILL)
    until(lambda: one.members() == [], 10)


def test_a_program_that_dies_ends_it(home: Path, dev: Callable[..., Dev]) -> None:
    """It says which one, and how its log ends; the others stop."""
    one = dev(home)
    assert one.env
    victim = next(child for child in psutil.Process(one.process.pid).children() if "gunicorn" in child.cmdline())
    victim.kill()
    assert one.process.wait(20) == 1
    until(lambda: one.members() == [], 5)
    last = one.output.read_text().splitlines()[-1]
    assert re.fullmatch(r"The server stopped with exit code -9\. .*/logs/server\.log ends: .+", last)


@ON_SHARED
def test_one_home_one_run(running: Dev) -> None:
    """A second `panless dev` on a home that is in use is refused, and the first serves on."""
    assert running.env
    done = panless("dev", "--home", str(running.home), "--port", "1")
    assert "Another panless dev runs on" in refusal(done)
    assert ask(f"{running.env['PANLESS_URL']}/readyz").status == 200


@ON_SHARED
def test_the_shells_own_settings_do_not_reach_it(running: Dev) -> None:
    """What another home's dev.env left in the shell is not used, nor a FILE variant of it."""
    assert running.env["PANLESS_RECORDS_URL"] == f"sqlite:///{running.home}/records.db"


def test_an_interrupted_first_run_is_taken_up(home: Path, tmp_path: Path, dev: Callable[..., Dev]) -> None:
    """A first set-up that was stopped half-way goes on where it stopped."""
    half = tmp_path / "half"
    half.mkdir(mode=0o700)
    (half / "setup-unfinished").touch()
    (home / "keyfile").rename(half / "keyfile")
    one = dev(half)
    assert ask(f"{one.env['PANLESS_URL']}/readyz").status == 200
    assert not (half / "setup-unfinished").exists()
