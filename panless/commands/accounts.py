"""Commands for a tenant's accounts at processors. Credentials come in by file, environment or input, never argument."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from keys.errors import KeyMissing
from panless.commands.tenancy import caller_of, house_of, mode, mode_of, of_tenant, when
from panless.settings import secret_files
from panless.shown.tables import table
from panless.shown.trouble import Refused
from panless.wiring import Components
from vault.caller import Caller
from vault.processing import accounts
from vault.processing.intents import Attempt

NO_KEY = "An API key of a processor is 8 to 255 visible ASCII characters."
ENVIRONMENT = {"api_key": "PANLESS_PROCESSOR_API_KEY", "webhook_secret": "PANLESS_PROCESSOR_WEBHOOK_SECRET"}


@click.group("processor-accounts")
def accounts_group() -> None:
    """Processor accounts: where a tenant's cards are stored and charged."""


@accounts_group.command("add")
@of_tenant
@click.option("--kind", required=True, help="stripe, or sandbox.")
@click.option("--label", required=True)
@mode
@click.option("--default", is_flag=True, help="Store cards here where a call names no account.")
@click.option("--api-key-file", type=click.Path(path_type=Path, exists=True), help="Else PANLESS_PROCESSOR_API_KEY.")
@click.option(
    "--webhook-secret-file", type=click.Path(path_type=Path, exists=True), help="Or PANLESS_PROCESSOR_WEBHOOK_SECRET."
)
def add_account(
    tenant: str,
    kind: str,
    label: str,
    *,
    live: bool,
    default: bool,
    api_key_file: Path | None,
    webhook_secret_file: Path | None,
) -> None:
    """Add an account; its API key comes from a file, the environment or standard input, never an argument."""
    house = house_of(tenant)
    if kind not in house.processors:
        raise Refused(f"This deployment has no processor {kind}; it has: {', '.join(sorted(house.processors))}.")
    account = add(
        house,
        caller_of(house, tenant, live=live),
        kind=kind,
        label=label,
        default=default,
        credentials=_credentials(api_key_file, webhook_secret_file),
    )
    click.echo(account.id)


def add(
    house: Components, caller: Caller, *, kind: str, label: str, default: bool, credentials: Mapping[str, str]
) -> accounts.Account:
    """Add an account on the operator's word."""
    attempt = Attempt(operation="processor_account.add", key=None, fingerprint=b"")
    try:
        account = accounts.add(
            house.desk(caller),
            house.processors,
            kind=kind,
            label=label,
            credentials=credentials,
            default=default,
            attempt=attempt,
        ).value
    except KeyMissing:
        raise Refused(f"There is no tenant {caller.tenant}.") from None
    return account


@accounts_group.command("list")
@of_tenant
@mode
def list_accounts(tenant: str, *, live: bool) -> None:
    """Show a tenant's accounts of one mode, without their credentials."""
    house = house_of(tenant)
    rows = [
        (
            one.id,
            one.kind,
            one.label,
            mode_of(live=one.live),
            "yes" if one.is_default else "",
            "yes" if one.is_proven else "no",
            when(one.created_at),
        )
        for one in accounts.list_accounts(house.desk(caller_of(house, tenant, live=live)))
    ]
    click.echo(table(("ACCOUNT", "KIND", "LABEL", "MODE", "DEFAULT", "PROVEN", "ADDED"), rows))


def _credentials(api_key_file: Path | None, webhook_secret_file: Path | None) -> dict[str, str]:
    api_key = _secret("api_key", api_key_file) or _asked()
    webhook_secret = _secret("webhook_secret", webhook_secret_file)
    return {"api_key": api_key} | ({"webhook_secret": webhook_secret} if webhook_secret else {})


def _secret(name: str, file: Path | None) -> str:
    if file is not None:
        secret_files.refuse_open(file, f"--{name.replace('_', '-')}-file")
    value = file.read_text() if file else os.environ.get(ENVIRONMENT[name], "")
    return _checked(value.strip()) if value else ""


def _asked() -> str:
    if sys.stdin.isatty():
        return _checked(click.prompt("The processor's API key", hide_input=True).strip())
    return _checked(sys.stdin.readline().strip())


def _checked(value: str) -> str:
    if not (8 <= len(value) <= 255 and value.isascii() and value.isprintable() and " " not in value):  # noqa: PLR2004  # as the API says
        raise Refused(NO_KEY)
    return value


COMMANDS = (accounts_group,)
