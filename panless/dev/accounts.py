"""Who `panless dev` lets in: one tenant, its account at the sandbox, a client per role. Kept from run to run."""

import secrets
from collections.abc import Mapping
from contextlib import closing

import click
from sqlalchemy import select

from keys.errors import KeyMissing, RootKeyAway, Unreadable
from panless.commands.accounts import add
from panless.commands.tenancy import caller_of
from panless.dev.home import Home
from panless.settings.environment import read_settings
from panless.shown.trouble import Refused
from panless.wiring import Components, build, migrate
from rows.engine import reading
from vault.processing import accounts
from vault.tables import tenants
from vault.tenancy import client_keys, clients
from vault.tenancy.scopes import ROLES

TENANT = "PANLESS_TENANT"
NAME = "dev"
KIND = "sandbox"
KEY_NAMES = {role: f"PANLESS_{role.upper()}_KEY" for role in ROLES}


def set_up(home: Home, before: Mapping[str, str]) -> dict[str, str]:
    """Migrate, check that everything opens, see that tenant, account and clients are there; their ids and keys."""
    settings = read_settings()
    migrate(settings)
    with closing(build(settings)) as house:
        _refuse_what_does_not_serve(house)
        tenant = _tenant(house)
        _see_to_account(house, tenant)
        keys = _keys(house, tenant, before)
    if not home.unfinished.exists() and any(before.get(name) != key for name, key in keys.items()):
        click.echo(f"The API keys in {home.environment} were missing or not valid any more: new ones were made.")
    home.unfinished.unlink(missing_ok=True)
    return {TENANT: tenant, **keys}


def _refuse_what_does_not_serve(house: Components) -> None:
    try:
        house.keyring.tenant_key(house.keyring.deployment, "signing")
    except (RootKeyAway, Unreadable, KeyMissing):
        raise Refused(
            f"{house.settings.keyfile} is not the keyfile that this keystore was made with. Bring that one back."
        ) from None
    verdict = house.guard.check()
    if not verdict.is_good:
        raise Refused(verdict.message)


def _tenant(house: Components) -> str:
    with reading(house.records) as connection:
        found = connection.scalar(select(tenants.c.tenant_id).where(tenants.c.name == NAME).limit(1))
    cell, now = house.settings.cell, house.clock()
    return found or clients.create_tenant(house.records, house.keyring, cell=cell, name=NAME, at=now)


def _see_to_account(house: Components, tenant: str) -> None:
    caller = caller_of(house, tenant)
    if not any(account.kind == KIND for account in accounts.list_accounts(house.desk(caller))):
        credentials = {"api_key": f"sk_test_{secrets.token_hex(16)}"}
        add(house, caller, kind=KIND, label=KIND, default=True, credentials=credentials)


def _keys(house: Components, tenant: str, before: Mapping[str, str]) -> dict[str, str]:
    return {
        name: _valid(house, tenant, before.get(name, "")) or _new(house, tenant, role)
        for role, name in KEY_NAMES.items()
    }


def _valid(house: Components, tenant: str, key: str) -> str | None:
    presented = client_keys.parse_key(key)
    if presented is None or presented.tenant != tenant:
        return None
    return key if clients.authenticate(house.records, house.ledger, presented, house.clock()) else None


def _new(house: Components, tenant: str, role: str) -> str:
    _, key = clients.create_client(
        house.records, house.keyring, tenant=tenant, name=role, live=False, scopes=ROLES[role], at=house.clock()
    )
    return key.value
