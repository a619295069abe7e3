"""`panless migrate --roles`: what it refuses, and that it can be run while traffic goes on."""

import pytest
from commands import panless
from program_scene import refusal
from roles import URLS, as_user, databases_of, new_roles, run_as_admin
from sqlalchemy import make_url, text

from migrations.roles import Roles
from rows.engine import open_database, reading, transaction

Environment = dict[str, str]


@pytest.fixture
def made(postgresql: str, deployment: Environment) -> tuple[Environment, str, Roles]:
    """Two empty databases on PostgreSQL, their owner, and three roles."""
    owner, roles = new_roles(postgresql)
    return {**deployment, **databases_of(postgresql, owner)}, owner, roles


def migrate(environment: Environment, *roles: str) -> str:
    """The one sentence with which it refuses these roles."""
    return refusal(panless("migrate", "--roles", *roles, env=environment))


def test_roles_that_nothing_would_hold(postgresql: str, made: tuple[Environment, str, Roles]) -> None:
    """A role that is not there, a superuser, one with BYPASSRLS, the owner and a member of it, one role for all."""
    environment, owner, roles = made
    super_one, bypassing, member = (f"{name}_{owner}" for name in ("super", "bypassing", "member"))
    creating, copying, writing = (f"{name}_{owner}" for name in ("creating", "copying", "writing"))
    run_as_admin(
        postgresql,
        f'CREATE ROLE "{super_one}" SUPERUSER',
        f'CREATE ROLE "{bypassing}" BYPASSRLS',
        f'CREATE ROLE "{member}" IN ROLE "{owner}"',
        f'CREATE ROLE "{creating}" CREATEROLE',
        f'CREATE ROLE "{copying}" REPLICATION',
        f'CREATE ROLE "{writing}" IN ROLE pg_write_all_data',
    )
    assert f"CREATE ROLE {owner}_x LOGIN" in migrate(environment, f"{owner}_x", roles.worker, roles.keys)
    for name in (super_one, bypassing):
        assert "nothing holds it" in migrate(environment, name, roles.worker, roles.keys)
        assert "nothing holds it" in migrate(environment, roles.app, roles.worker, name)
    for name in (owner, member):
        assert "owns these tables" in migrate(environment, roles.app, name, roles.keys)
    for name in (creating, copying):
        assert "lead past every right" in migrate(environment, name, roles.worker, roles.keys)
    assert "is in pg_write_all_data" in migrate(environment, roles.app, writing, roles.keys)
    assert "three roles" in migrate(environment, roles.app, roles.app, roles.keys)


def test_a_worker_that_is_in_the_servers_role(postgresql: str, made: tuple[Environment, str, Roles]) -> None:
    """A role of the server that may act as the worker's would see all tenants: it is refused."""
    environment, _, roles = made
    run_as_admin(postgresql, f'GRANT "{roles.worker}" TO "{roles.app}"')
    assert "may act as" in migrate(environment, roles.app, roles.worker, roles.keys)


def test_an_owner_is_refused_whoever_migrates(postgresql: str, made: tuple[Environment, str, Roles]) -> None:
    """Tables keep their owner when somebody else migrates: that owner is held by nothing either."""
    environment, owner, roles = made
    assert panless("migrate", env=environment).returncode == 0
    admin = make_url(postgresql).username
    as_admin = environment | {name: as_user(environment[name], str(admin)) for name in URLS}
    assert "owns these tables" in migrate(as_admin, owner, roles.worker, roles.keys)


def test_sqlite_has_no_roles(deployment: Environment) -> None:
    """It is said, and nothing else happens."""
    assert "SQLite has no roles" in migrate(deployment, "a", "b", "c")


def test_again_while_others_work(made: tuple[Environment, str, Roles]) -> None:
    """A second run waits for nobody who reads or writes, and leaves everything as it is."""
    environment, _, roles = made
    command = ("migrate", "--roles", roles.app, roles.worker, roles.keys)
    assert panless(*command, env=environment).returncode == 0
    records = open_database(environment["PANLESS_RECORDS_URL"])
    before = _rights(environment)
    with transaction(records) as tx:
        tx.execute(text("SELECT * FROM charges"))
        tx.execute(text("UPDATE customers SET restricted = true"))
        assert panless(*command, env=environment | {"PGOPTIONS": "-c lock_timeout=3s"}).returncode == 0
    assert _rights(environment) == before
    records.dispose()


def test_a_role_that_had_more(made: tuple[Environment, str, Roles]) -> None:
    """What a role was given beyond the list is taken from it at the next run."""
    environment, _, roles = made
    command = ("migrate", "--roles", roles.app, roles.worker, roles.keys)
    assert panless(*command, env=environment).returncode == 0
    before = _rights(environment)
    records = open_database(environment["PANLESS_RECORDS_URL"])
    with transaction(records) as tx:
        tx.execute(text(f'GRANT ALL ON audit_entries TO "{roles.app}"'))
        tx.execute(text(f'GRANT CREATE ON SCHEMA public TO "{roles.worker}"'))
    records.dispose()
    assert _rights(environment) != before
    assert panless(*command, env=environment).returncode == 0
    assert _rights(environment) == before


def test_a_policy_of_an_older_release(made: tuple[Environment, str, Roles]) -> None:
    """What a policy said before is replaced at the next run, on every table; a run after that leaves it."""
    environment, _, roles = made
    command = ("migrate", "--roles", roles.app, roles.worker, roles.keys)
    assert panless(*command, env=environment).returncode == 0
    there = _rights(environment)
    records = open_database(environment["PANLESS_RECORDS_URL"])
    older = "tenant_id IS NOT DISTINCT FROM current_setting('panless.tenant', true)"
    with transaction(records) as tx:
        tx.execute(text("DROP POLICY panless_tenant ON charges"))
        tx.execute(text(f'CREATE POLICY panless_tenant ON charges TO "{roles.app}" USING ({older})'))
    for _ in range(2):
        assert panless(*command, env=environment).returncode == 0
    with reading(records) as connection:
        said = text("SELECT count(*) FROM pg_policies WHERE policyname = 'panless_tenant' AND qual LIKE 'COALESCE%'")
        assert connection.scalar(said) == connection.scalar(text("SELECT count(*) FROM pg_class WHERE relrowsecurity"))
    records.dispose()
    assert len(_rights(environment)) == len(there)


def _rights(environment: Environment) -> list[tuple[object, ...]]:
    """Who may do what in both databases, and every policy with the row that it was written as."""
    asked = (
        "SELECT relname, relrowsecurity::text, array(SELECT unnest(relacl)::text ORDER BY 1)::text FROM pg_class",
        "SELECT nspname, nspacl::text FROM pg_namespace WHERE nspname = 'public'",
        "SELECT polname, polrelid::text, xmin::text FROM pg_policy",
    )
    found: list[tuple[object, ...]] = []
    for name in URLS:
        engine = open_database(environment[name])
        with reading(engine) as connection:
            found += sorted(tuple(row) for query in asked for row in connection.execute(text(query)))
        engine.dispose()
    return found
