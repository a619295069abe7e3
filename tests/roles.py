"""A Panless whose database users are those of docs/postgresql.md: an owner migrates, others serve and work."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from unittest import mock

from house import ROOT, House, Sandbox, open_house
from sqlalchemy import make_url, text

from keys.providers import keyfile
from migrations.roles import Roles
from panless.settings.environment import read_settings
from panless.wiring import migrate
from rows.engine import open_database

URLS = ("PANLESS_RECORDS_URL", "PANLESS_KEYSTORE_URL")
_numbers = count(1)


def as_user(url: str, name: str) -> str:
    """The database, opened by another user."""
    return make_url(url).set(username=name).render_as_string(hide_password=False)


def run_as_admin(server: str, *statements: str) -> None:
    """Statements of the server's own superuser, each by itself."""
    admin = open_database(server)
    with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in statements:
            connection.execute(text(statement))
    admin.dispose()


def new_roles(*servers: str) -> tuple[str, Roles]:
    """An owner and three roles, which may log in and nothing else, on each of the servers."""
    number = f"{os.getpid()}_{next(_numbers)}"
    owner, *others = (f"{name}_{number}" for name in ("owner", "app", "worker", "keys"))
    for server in servers:
        run_as_admin(server, *(f'CREATE ROLE "{name}" LOGIN' for name in (owner, *others)))
    return owner, Roles(*others)


def databases_of(server: str, owner: str, keystore: str | None = None) -> dict[str, str]:
    """Two empty databases of this owner, the keystore on a server of its own if one is named: their settings."""
    urls = {}
    for name, on in (("records", server), ("keystore", keystore or server)):
        run_as_admin(on, f'CREATE DATABASE "{name}_{owner}" OWNER "{owner}"')
        url = make_url(on).set(database=f"{name}_{owner}").render_as_string(hide_password=False)
        urls[f"PANLESS_{name.upper()}_URL"] = as_user(url, owner)
    return urls


def used_by(environment: dict[str, str], records: str, keystore: str) -> dict[str, str]:
    """The deployment, opened by these users."""
    users = {"PANLESS_RECORDS_URL": records, "PANLESS_KEYSTORE_URL": keystore}
    return environment | {name: as_user(environment[name], user) for name, user in users.items()}


@contextmanager
def house_apart(
    home: Path,
    server: str,
    sandbox: Sandbox,
    through: Callable[[str, Roles], str] | None = None,
    keystore: str | None = None,
    **settings: str,
) -> Iterator[House]:
    """A deployment whose door is APP's; what else the house does, its worker's part too, is WORKER's.

    `through` says by which URL the roles reach a database, once it is migrated; `keystore` is that one's own server.
    """
    owner, roles = new_roles(*{server, keystore or server})
    environment = {**databases_of(server, owner, keystore), **_settings(home, sandbox), **settings}
    migrate_with(environment, roles)
    if through is not None:
        environment |= {name: through(environment[name], roles) for name in URLS}
    served = open_house(home, used_by(environment, roles.app, roles.keys), sandbox)
    worked = open_house(home, used_by(environment, roles.worker, roles.keys), sandbox)
    try:
        yield replace(worked, app=served.app, environment=served.environment)
    finally:
        served.components.close()
        worked.components.close()


def working(house: House) -> House:
    """The deployment as its worker's process is given it: it comes as WORKER."""
    name = house.components.records.url.username or ""
    records = as_user(house.environment["PANLESS_RECORDS_URL"], name)
    return replace(house, environment=house.environment | {"PANLESS_RECORDS_URL": records})


def migrate_with(environment: dict[str, str], roles: Roles) -> None:
    """`panless migrate --roles`."""
    with mock.patch.dict(os.environ, environment):  # settings come from the environment, as they do for users
        migrate(read_settings(), roles=roles)


def _settings(home: Path, sandbox: Sandbox) -> dict[str, str]:
    (home / "ledger").mkdir(parents=True, exist_ok=True)
    keyfile.create(home / "root.key")
    return {
        "PANLESS_KEYFILE": str(home / "root.key"),
        "PANLESS_LEDGER": str(home / "ledger"),
        "PANLESS_POLICY": str(ROOT / "panless" / "policy.toml"),
        "PANLESS_SANDBOX_URL": sandbox.url,
        "PANLESS_ACCEPT_RAW_CARDS": "true",
    }
