"""Commands for tenants and their clients."""

import click

from keys.errors import KeyMissing
from panless.cli_tenancy import caller_of, house_of, mode, mode_of, of_tenant, when
from panless.settings import read_settings
from panless.tables import table
from panless.trouble import Refused
from panless.wiring import build
from vault import clients
from vault.scopes import ROLES, SCOPES


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
    house = house_of(tenant)
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
    house = house_of(tenant)
    rows = [
        (one.client_id, one.name, mode_of(live=one.live), when(one.created_at), when(one.revoked_at), _scopes(one))
        for one in clients.list_clients(house.records, tenant)
    ]
    click.echo(table(("CLIENT", "NAME", "MODE", "CREATED", "REVOKED", "SCOPES"), rows))


@clients_group.command("revoke")
@of_tenant
@click.option("--client", required=True, help="The client's id: cli_...")
def revoke_client(tenant: str, client: str) -> None:
    """Take a client's key out of use for good; the erasure ledger remembers it through any restore."""
    house = house_of(tenant)
    verdict = house.guard.check()
    if not verdict.is_good:
        raise Refused(verdict.message)
    clients.revoke_client(house.records, house.keyring, house.ledger, caller_of(house, tenant), client)
    click.echo(f"{client} is revoked.")


def _granted(role: str | None, scopes: str | None) -> frozenset[str]:
    if (role is None) == (scopes is None):
        raise Refused("Say what the client may do: --role or --scopes, one of them.")
    granted = ROLES[role] if role is not None else frozenset((scopes or "").replace(",", " ").split())
    if unknown := granted - SCOPES:
        raise Refused(f"There is no scope {', '.join(sorted(unknown))}. See panless clients create --help.")
    return granted


def _scopes(client: clients.Client) -> str:
    role = next((name for name, scopes in ROLES.items() if scopes == client.scopes), None)
    return role or ",".join(sorted(client.scopes))


COMMANDS = (tenants_group, clients_group)
