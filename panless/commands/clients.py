"""Commands for tenants and their clients."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from keys.errors import KeyMissing
from panless.commands.tenancy import caller_of, house_of, mode, mode_of, of_tenant, when
from panless.settings.environment import read_settings
from panless.shown.tables import table
from panless.shown.trouble import Refused
from panless.wiring import Components, build
from vault.errors import NotFoundHere
from vault.tenancy import client_keys, client_rotation, clients, phone_regions
from vault.tenancy.client_keys import Terms
from vault.tenancy.scopes import ROLES, SCOPES


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


@tenants_group.command("phone-region")
@of_tenant
@click.argument("region", metavar="REGION|none")
def phone_region(tenant: str, region: str) -> None:
    """Say where phone numbers without their country are from: FR, US, ... The worker then reads those anew."""
    house = house_of(tenant)
    try:
        phone_regions.put(house.desk(caller_of(house, tenant)), None if region == "none" else region)
    except (ValueError, NotFoundHere) as error:
        raise Refused(str(error)) from None
    click.echo("Phone numbers without their country are read so from now on; the worker reads the stored ones anew.")


@click.group("clients")
def clients_group() -> None:
    """Clients: programs that call, each with one API key."""


def _terms_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options for what a key is bound to."""
    for option in (
        click.option("--certificate", help="SHA-256 of the client certificate that must come with the key, in hex."),
        click.option("--network", "networks", multiple=True, help="From where the key may come: 192.0.2.0/24. Repeat."),
        click.option("--expires", type=click.DateTime(["%Y-%m-%d"]), help="The key's first day without use, in UTC."),
    ):
        command = option(command)
    return command


@clients_group.command("create")
@of_tenant
@click.option("--name", required=True)
@click.option("--role", type=click.Choice(sorted(ROLES)), help="A preset of scopes.")
@click.option("--scopes", help=f"Or scopes, with commas between: {', '.join(sorted(SCOPES))}.")
@click.option("--subject", help="Instead of an API key: what the issuer's tokens call this client.")
@mode
@_terms_options
def create_client(
    tenant: str,
    name: str,
    role: str | None,
    scopes: str | None,
    subject: str | None,
    *,
    live: bool,
    expires: datetime | None,
    networks: Sequence[str],
    certificate: str | None,
) -> None:
    """Make a client; prints its id, and its API key this once."""
    granted, terms = _granted(role, scopes), _terms(expires, networks, certificate)
    house = house_of(tenant)
    client: dict[str, Any] = {"name": name, "live": live, "scopes": granted, "at": house.clock(), "terms": terms}
    try:
        if subject is None:
            client_id, key = clients.create_client(house.records, house.keyring, tenant=tenant, **client)
            click.echo(f"{client_id}\n{key.value}")
        else:
            named = client_keys.of_issuer(tenant, _issuer(house), subject)
            click.echo(clients.register_client(house.records, house.keyring, named, **client))
    except KeyMissing:
        raise Refused(f"There is no tenant {tenant}.") from None
    except ValueError as error:
        raise Refused(str(error)) from None


def _issuer(house: Components) -> str:
    if house.settings.oauth_issuer is None:
        raise Refused("PANLESS_OAUTH_ISSUER is not set. Without an issuer no token names a client.")
    return house.settings.oauth_issuer


@clients_group.command("rotate")
@of_tenant
@click.option("--client", required=True, help="The client's id: cli_...")
@click.option(
    "--overlap-hours",
    type=click.IntRange(0, 24 * 90),
    default=24,
    show_default=True,
    help="For how long the old key works beside the new one.",
)
@_terms_options
def rotate_client(
    tenant: str,
    client: str,
    overlap_hours: int,
    expires: datetime | None,
    networks: Sequence[str],
    certificate: str | None,
) -> None:
    """Make a client another API key, printed this once; the old one ends after the overlap."""
    terms = _terms(expires, networks, certificate)
    house = house_of(tenant)
    caller = caller_of(house, tenant)
    until = caller.at + timedelta(hours=overlap_hours)
    key = client_rotation.rotate_client(house.desk(caller), client, old_until=until, terms=terms)
    click.echo(key.value)


@clients_group.command("list")
@of_tenant
def list_clients(tenant: str) -> None:
    """Show a tenant's clients, the revoked ones too, with the end and the last use of their keys."""
    house = house_of(tenant)
    keys = clients.list_keys(house.records, tenant)
    rows = [
        (
            one.client_id,
            one.name,
            mode_of(live=one.live),
            when(one.created_at),
            when(one.revoked_at),
            *_of_keys([key for key in keys if key.client_id == one.client_id]),
            _scopes(one),
        )
        for one in clients.list_clients(house.records, tenant)
    ]
    click.echo(table(("CLIENT", "NAME", "MODE", "CREATED", "REVOKED", "EXPIRES", "LAST USED", "SCOPES"), rows))


def _of_keys(keys: Sequence[clients.KeyShown]) -> tuple[str, str]:
    """When the last of a client's keys ends, and when the last one was used."""
    ends = [key.terms.expires_at for key in keys]
    end = None if None in ends else max((end for end in ends if end), default=None)
    return when(end), when(max((key.last_used_at for key in keys if key.last_used_at), default=None))


@clients_group.command("revoke")
@of_tenant
@click.option("--client", required=True, help="The client's id: cli_...")
def revoke_client(tenant: str, client: str) -> None:
    """Take a client's key out of use for good; the erasure ledger remembers it through any restore."""
    house = house_of(tenant)
    verdict = house.guard.check()
    if not verdict.is_good:
        raise Refused(verdict.message)
    clients.revoke_client(house.desk(caller_of(house, tenant)), house.ledger, client)
    click.echo(f"{client} is revoked.")


def _terms(expires: datetime | None, networks: Sequence[str], certificate: str | None) -> Terms:
    """What the options bind a key to. Raises Refused."""
    digest = certificate.replace(":", "").lower() if certificate else None
    if digest is not None and not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise Refused("A certificate is named by its SHA-256: 64 hex digits. See: openssl x509 -fingerprint -sha256.")
    try:
        written = client_keys.networks(networks)
    except ValueError as error:
        raise Refused(f"That is no network: {error}.") from None
    return Terms(expires_at=expires and expires.replace(tzinfo=UTC), networks=written, certificate=digest)


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
