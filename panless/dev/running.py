"""`panless dev`: everything on one machine, on loopback, out of one folder."""

import os
import re
import shlex
import signal
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import click

from panless.dev.accounts import KEY_NAMES, set_up
from panless.dev.children import Family
from panless.dev.home import OPENDSR_DOMAIN, Home, lay_out, locked
from panless.process.stopping import Stop
from panless.serving.ports import free_port, refuse_taken, split
from panless.shown.trouble import Refused

START_SECONDS = 60.0
SANDBOX = "PANLESS_SANDBOX_URL"


def run_dev(folder: Path, port: int, sandbox_port: int | None) -> None:
    """Set the home up, run everything until told to stop. Raises Refused and whatever is wrong with the home."""
    home = Home(folder)
    with locked(home):
        before = _read(home.environment)
        settings = _settings(home, port, sandbox_port or _last_port(before) or free_port())
        _refuse_taken_ports(settings)
        lay_out(home)
        _take_environment(settings)
        accounts = set_up(home, before)
        _run(home, settings, accounts)


def _settings(home: Home, port: int, sandbox_port: int) -> dict[str, str]:
    return {
        "PANLESS_RECORDS_URL": f"sqlite:///{home.records}",
        "PANLESS_KEYSTORE_URL": f"sqlite:///{home.keystore}",
        "PANLESS_KEYFILE": str(home.keyfile),
        "PANLESS_LEDGER": str(home.ledger),
        "PANLESS_AUDIT_ANCHOR": str(home.anchors),
        "PANLESS_POLICY": str(home.policy),
        "PANLESS_BIND": f"127.0.0.1:{port}",
        "PANLESS_ACCEPT_RAW_CARDS": "true",
        "PANLESS_RUN_AS_ROOT": "always",
        "PANLESS_OPENDSR_DOMAIN": OPENDSR_DOMAIN,
        "PANLESS_OPENDSR_KEY_FILE": str(home.opendsr_key),
        "PANLESS_OPENDSR_CERTIFICATE_FILE": str(home.opendsr_certificate),
        SANDBOX: f"http://127.0.0.1:{sandbox_port}",
    }


def _refuse_taken_ports(settings: Mapping[str, str]) -> None:
    refuse_taken(settings["PANLESS_BIND"], "Stop what listens there, or name another port: --port.")
    sandbox = settings[SANDBOX].removeprefix("http://")
    refuse_taken(sandbox, "The sandbox had this port. Stop what listens there, or name another: --sandbox-port.")


def _last_port(environment: Mapping[str, str]) -> int | None:
    match = re.fullmatch(r"http://127\.0\.0\.1:(\d{1,5})", environment.get(SANDBOX, ""))
    return int(match[1]) if match else None


def _take_environment(settings: Mapping[str, str]) -> None:
    """Put these settings into the environment of this process and its children, in the place of all others alike."""
    for name in (*settings, *KEY_NAMES.values(), "PANLESS_ROOT_KEYS"):
        os.environ.pop(name, None)
        os.environ.pop(f"{name}_FILE", None)
    os.environ |= settings


def _run(home: Home, settings: Mapping[str, str], accounts: Mapping[str, str]) -> None:
    stop = Stop(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    family = Family(home.logs)
    try:
        _start(home, family, settings)
        family.wait_until(lambda: stop.is_asked or _answers(settings), START_SECONDS)
        if not stop.is_asked:
            _write(home.environment, {**settings, "PANLESS_URL": _url(settings), **accounts})
            click.echo(_welcome(home, settings))
        while not stop.wait(0.2):
            family.check()
        click.echo("Stopping.")
    except Refused:
        if not stop.wait(1.0):  # Ctrl-C reaches the programs too: then they had better stop
            raise
    finally:
        family.stop()


def _start(home: Home, family: Family, settings: Mapping[str, str]) -> None:
    _, sandbox_port = split(settings[SANDBOX])
    family.start("sandbox", "sandbox", "--port", str(sandbox_port), "--state", str(home.folder / "sandbox.json"))
    family.start("server", "panless", "serve")
    family.start("worker", "panless", "worker")


def _url(settings: Mapping[str, str]) -> str:
    return f"http://{settings['PANLESS_BIND']}"


def _answers(settings: Mapping[str, str]) -> bool:
    """Whether the server is alive and the sandbox listens."""
    return all(_reached(url) for url in (f"{_url(settings)}/livez", f"{settings[SANDBOX]}/_ledger"))


def _reached(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  # our own loopback address
            return bool(answer.status == 200)  # noqa: PLR2004  # OK
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def _read(file: Path) -> dict[str, str]:
    """The `NAME=value` lines of the last run; none if there was none. A value that is no shell word counts as empty."""
    if not file.exists():
        return {}
    pairs = (line.partition("=") for line in file.read_text(errors="replace").splitlines())
    return {name: _unquoted(value) for name, _, value in pairs}


def _unquoted(value: str) -> str:
    try:
        return "".join(shlex.split(value))
    except ValueError:
        return ""


def _write(file: Path, values: Mapping[str, str]) -> None:
    """Put the file in place at once, readable by its owner alone."""
    draft = file.with_name(f".{file.name}")
    draft.write_text("".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items()))
    draft.replace(file)


def _welcome(home: Home, settings: Mapping[str, str]) -> str:
    return f"""
Panless listens on {_url(settings)} (reference: {_url(settings)}/docs), its sandbox processor on {settings[SANDBOX]}.
Try it in another terminal:

set -a; . {shlex.quote(str(home.environment))}
{TOKENIZE}
{CHARGE}
{READ_CONTACT}

Ctrl-C stops everything. Logs are in {home.logs}.
"""


_JSON = "-H 'Content-Type: application/json'"
TOKENIZE = (
    f"""ANSWER=$(curl -s "$PANLESS_URL/v1/tokens" -H "Authorization: Bearer $PANLESS_CHECKOUT_KEY" {_JSON} """
    """-d '{"type": "card", "card": {"number": "4242424242424242", "exp_month": 12, "exp_year": 2034, "cvc": "123"}, """
    """"customer": {"reference": "shop-1", "billing_contact": {"name": "Jo Doe", "email": "jo@example.com"}}}'); """
    """echo "$ANSWER\""""
)
CHARGE = (
    f"""curl -s "$PANLESS_URL/v1/charges" -H "Authorization: Bearer $PANLESS_BILLING_KEY" {_JSON} """
    """-H 'Idempotency-Key: first-charge' -d '{"amount": 1999, "currency": "eur", "obligation": "invoice-1", """
    """"token": "'$(echo "$ANSWER" | grep -o 'tok_[a-z0-9]*' | head -n 1)'"}'"""
)
READ_CONTACT = (
    """curl -s "$PANLESS_URL/v1/customers/$(echo "$ANSWER" | grep -o 'cus_[a-z0-9]*' | head -n 1)/billing-contact" """
    """-H "Authorization: Bearer $PANLESS_BILLING_KEY" -H 'Access-Purpose: billing; ref="ticket-1"'"""
)
