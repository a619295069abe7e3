"""Commands for tenants, their clients, and their accounts at processors."""

import os
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import click

from keys.errors import KeyMissing
from panless.settings import read_settings
from panless.tables import table
from panless.trouble import Refused
from panless.wiring import Components, build
from vault import clients, processor_accounts
from vault.caller import Caller
from vault.ids import is_id, new_id
from vault.intents import Attempt
from vault.scopes import ROLES, SCOPES

NO_KEY = "An API key of a processor is 8 to 255 visible ASCII characters."
ENVIRONMENT = {"api_key": "PANLESS_PROCESSOR_API_KEY", "webhook_secret": "PANLESS_PROCESSOR_WEBHOOK_SECRET"}

of_tenant = click.option(
    "--tenant", required=True, envvar="PANLESS_TENANT", show_envvar=True, help="The tenant's id: ten_..."
)
mode = click.option("--live/--test", default=False, help="Real money, or the processor's test mode.")


@click.group("tenants")
def tenants_group() -> None:
    """Tenants: whose records these are."""


@tenants_group.command("create")
@click.option("--name", required=True)
def create_tenant(name: str) -> None:
    """Make a tenant with its own keys; prints its id."""
    house = build(read_settings())
    tenant = clients.create_tenant(house.records, house.keyring, cell=house.settings.cell, name=name, at=house.clock())
    click.echo(tenant)


@click.group("clients")
def clients_group() -> None:
    """Clients: programs that call, each with one API key."""


@clients_group.command("create")
@of_tenant
@click.option("--name", required=True)
@click.option("--role", type=click.Choice(sorted(ROLES)), help="A preset of scopes.")
@click.option("--scopes", help=f"Or scopes, with commas between: {', '.join(sorted(SCOPES))}.")
@mode
def create_client(tenant: str, name: str, role: str | None, scopes: str | None, *, live: bool) -> None:
    """Make a client; prints its id, and its API key this once."""
    granted = _granted(role, scopes)
    house = _house_of(tenant)
    try:
        client_id, key = clients.create_client(
            house.records, house.keyring, tenant=tenant, name=name, live=live, scopes=granted, at=house.clock()
        )
    except KeyMissing:
        raise Refused(f"There is no tenant {tenant}.") from None
    click.echo(f"{client_id}\n{key.value}")


@clients_group.command("list")
@of_tenant
def list_clients(tenant: str) -> None:
    """Show a tenant's clients, the revoked ones too."""
    house = _house_of(tenant)
    rows = [
        (one.client_id, one.name, _mode(live=one.live), _when(one.created_at), _when(one.revoked_at), _scopes(one))
        for one in clients.list_clients(house.records, tenant)
    ]
    click.echo(table(("CLIENT", "NAME", "MODE", "CREATED", "REVOKED", "SCOPES"), rows))


@clients_group.command("revoke")
@of_tenant
@click.option("--client", required=True, help="The client's id: cli_...")
def revoke_client(tenant: str, client: str) -> None:
    """Take a client's key out of use for good; the erasure ledger remembers it through any restore."""
    house = _house_of(tenant)
    verdict = house.guard.check()
    if not verdict.is_good:
        raise Refused(verdict.message)
    clients.revoke_client(house.records, house.keyring, house.ledger, _caller(house, tenant), client)
    click.echo(f"{client} is revoked.")


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
    house = _house_of(tenant)
    if kind not in house.processors:
        raise Refused(f"This deployment has no processor {kind}; it has: {', '.join(sorted(house.processors))}.")
    account = add(
        house,
        _caller(house, tenant, live=live),
        kind=kind,
        label=label,
        default=default,
        credentials=_credentials(api_key_file, webhook_secret_file),
    )
    click.echo(account.id)


def add(
    house: Components, caller: Caller, *, kind: str, label: str, default: bool, credentials: Mapping[str, str]
) -> processor_accounts.Account:
    """Add an account on the operator's word."""
    attempt = Attempt(operation="processor_account.add", key=None, fingerprint=b"")
    try:
        account, _ = processor_accounts.add(
            house.records,
            house.keyring,
            caller,
            kind=kind,
            label=label,
            credentials=credentials,
            default=default,
            attempt=attempt,
        )
    except KeyMissing:
        raise Refused(f"There is no tenant {caller.tenant}.") from None
    return account


@accounts_group.command("list")
@of_tenant
@mode
def list_accounts(tenant: str, *, live: bool) -> None:
    """Show a tenant's accounts of one mode, without their credentials."""
    house = _house_of(tenant)
    rows = [
        (one.id, one.kind, one.label, _mode(live=one.live), "yes" if one.is_default else "", _when(one.created_at))
        for one in processor_accounts.list_accounts(house.records, _caller(house, tenant, live=live))
    ]
    click.echo(table(("ACCOUNT", "KIND", "LABEL", "MODE", "DEFAULT", "ADDED"), rows))


def _granted(role: str | None, scopes: str | None) -> frozenset[str]:
    if (role is None) == (scopes is None):
        raise Refused("Say what the client may do: --role or --scopes, one of them.")
    granted = ROLES[role] if role is not None else frozenset((scopes or "").replace(",", " ").split())
    if unknown := granted - SCOPES:
        raise Refused(f"There is no scope {', '.join(sorted(unknown))}. See panless clients create --help.")
    return granted


def _house_of(tenant: str) -> Components:
    """The parts, for a command about `tenant`."""
    if not is_id(tenant, "ten"):
        raise Refused("A tenant's id looks like ten_...; `panless tenants create` printed it.")
    return build(read_settings())


def _caller(house: Components, tenant: str, *, live: bool = False) -> Caller:
    return Caller(tenant=tenant, client="", live=live, at=house.clock(), request_id=new_id("req", tenant))


def _credentials(api_key_file: Path | None, webhook_secret_file: Path | None) -> dict[str, str]:
    api_key = _secret("api_key", api_key_file) or _asked()
    webhook_secret = _secret("webhook_secret", webhook_secret_file)
    return {"api_key": api_key} | ({"webhook_secret": webhook_secret} if webhook_secret else {})


def _secret(name: str, file: Path | None) -> str:
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


def _scopes(client: clients.Client) -> str:
    role = next((name for name, scopes in ROLES.items() if scopes == client.scopes), None)
    return role or ",".join(sorted(client.scopes))


def _mode(*, live: bool) -> str:
    return "live" if live else "test"


def _when(at: datetime | None) -> str:
    return at.strftime("%Y-%m-%d %H:%M") if at else ""


COMMANDS = (tenants_group, clients_group, accounts_group)
