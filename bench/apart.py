"""A house whose databases are used by the roles of docs/postgresql.md: the server's sees one tenant at a time."""

import os
from collections.abc import Iterable, Mapping
from unittest import mock

from sqlalchemy import create_engine, make_url, text

from bench.house import House
from migrations.roles import Roles
from panless.settings.environment import read_settings
from panless.wiring import migrate

ROLES = Roles(app="panless_app", worker="panless_worker", keys="panless_keys")


def run_as_admin(house: House, statements: Iterable[str]) -> None:
    """Statements of the server's own superuser on the records, one after another."""
    admin = create_engine(make_url(house.environment["PANLESS_RECORDS_URL"]).set(drivername="postgresql+psycopg"))
    with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in statements:
            connection.execute(text(statement))
    admin.dispose()


def take_roles(house: House) -> None:
    """Make the roles, and say what they may do in both databases."""
    run_as_admin(house, (f"CREATE ROLE {role} LOGIN" for role in (ROLES.app, ROLES.worker, ROLES.keys)))
    with mock.patch.dict(os.environ, house.environment):  # settings come from the environment, as they do for users
        migrate(read_settings(), roles=ROLES)


def used_by(house: House, role: str) -> Mapping[str, str]:
    """A deployment's environment for a program that comes to its records as this role."""
    users = {"PANLESS_RECORDS_URL": role, "PANLESS_KEYSTORE_URL": ROLES.keys}
    urls = {name: make_url(house.environment[name]).set(username=user) for name, user in users.items()}
    named = {name: url.render_as_string(hide_password=False) for name, url in urls.items()}
    return {**house.environment, **named}
