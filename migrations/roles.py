"""Who may do what in PostgreSQL: row-level security by tenant, and roles that can't change a table or the audit log.

The role that migrates owns the tables. Three others, which the operator makes, log in for the rest: APP serves and
sees the rows of the one tenant that its transaction names; WORKER is for the worker and the command line, and sees all
tenants; KEYS is both of them on the keystore. None of them may define anything.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, Table, column, func, select, table

from migrations.run import LOCK, VERSIONS, models
from rows.engine import transaction
from rows.tenants import EVERY, POLICY, SETTING
from rows.tenants import LOOKED_OVER as LOOKED_OVER_POLICY

EVERYTHING = "SELECT, INSERT, UPDATE, DELETE"
KEPT = "SELECT, INSERT, UPDATE"
"""Of rows that stay for good."""

DEPLOYMENT = "SELECT, UPDATE (configurations, vouched)"

LOCK_A_ROW = "UPDATE (created_at)"
"""SELECT FOR UPDATE asks for the right to change some column: the one that matters least."""


@dataclass(frozen=True, slots=True)
class Roles:
    """Three login roles by name."""

    app: str
    worker: str
    keys: str


class RoleRefused(Exception):
    """A role that does not fit, and what to do about it."""


RECORDS: Mapping[str, tuple[str, str]] = {
    "alembic_version": ("SELECT", "SELECT"),
    "audit_entries": ("SELECT, INSERT", "SELECT, INSERT, UPDATE (position)"),
    "audit_logs": ("SELECT", KEPT),
    "audit_tiles": ("SELECT", KEPT),
    "beats": ("SELECT", EVERYTHING),
    "client_keys": ("SELECT, UPDATE (digest, last_used_at, mac)", KEPT),
    "clients": ("SELECT, UPDATE (revoked_at)", KEPT),
    "customers": (KEPT, KEPT),
    "deployment": (DEPLOYMENT, DEPLOYMENT),
    "erasure_recipients": (KEPT, KEPT),
    "erasures": (KEPT, KEPT),
    "guard": ("SELECT, UPDATE", "SELECT, UPDATE"),
    "holds": (KEPT, KEPT),
    "ledger_outbox": (KEPT, KEPT),
    "processor_accounts": (KEPT, KEPT),
    "rights_approvals": (KEPT, KEPT),
    "rights_requests": (KEPT, KEPT),
    "tenants": (f"SELECT, {LOCK_A_ROW}", "SELECT, INSERT, UPDATE (created_at, phone_region)"),
}
"""What APP and WORKER may do on each table of the records; on one that is not named here, `EVERYTHING`."""

KEYSTORE: Mapping[str, str] = {
    "alembic_version": "SELECT",
    "deployment": "SELECT, UPDATE (vouched)",
    "guard": "SELECT, UPDATE",
}
"""What KEYS may do on each table of the keystore; else `KEPT`, and `EVERYTHING` on `kek_wraps`."""

WIDE = ("pg_read_all_data", "pg_write_all_data")
"""PostgreSQL's own roles whose members read or write every table."""

LOOKED_OVER = ("audit_entries", "audit_logs", "intents", "processor_accounts", "rights_requests", "webhook_inbox")
"""What the server reads without knowing for whom: its figures, and whose account a webhook names."""

OF_ONE_TENANT = f"coalesce(tenant_id = current_setting('{SETTING}', true), false)"
"""No plain `=`: the planner would take that apart and might evaluate it before the SELECT has said its tenant.

Nor IS NOT DISTINCT FROM: of that it believes that next to no row is left, so it sorts a table rather than to follow an
index. Of coalesce it knows nothing and believes half.
"""


def grant(keystore: Engine, records: Engine, roles: Roles) -> None:
    """Give the roles what they need in both databases and take from them all else; what is there already stays.

    Raises RoleRefused.
    """
    for engine in (keystore, records):
        if engine.dialect.name != "postgresql":
            raise RoleRefused("SQLite has no roles. Leave --roles out, or use PostgreSQL.")
    if len({roles.app, roles.worker, roles.keys}) < len(("app", "worker", "keys")):
        raise RoleRefused("APP, WORKER and KEYS must be three roles: what one may do the others must not.")
    with transaction(keystore) as tx:
        _grant_keystore(tx, roles)
    with transaction(records) as tx:
        _grant_records(tx, roles)


def _grant_keystore(tx: Connection, roles: Roles) -> None:
    tx.execute(select(func.pg_advisory_xact_lock(LOCK)))
    _refuse_unfit(tx, roles.keys)
    _run(tx, _closed(tx, roles.keys))
    for name in _tables("keystore"):
        privileges = KEYSTORE.get(name, EVERYTHING if name == "kek_wraps" else KEPT)
        _run(tx, [f"GRANT {privileges} ON {_quoted(tx, name)} TO {_quoted(tx, roles.keys)}"])


def _grant_records(tx: Connection, roles: Roles) -> None:
    tx.execute(select(func.pg_advisory_xact_lock(LOCK)))
    for role in (roles.app, roles.worker):
        _refuse_unfit(tx, role)
    if tx.scalar(select(func.pg_has_role(roles.app, roles.worker, "MEMBER"))):
        raise RoleRefused(f"{roles.app} may act as {roles.worker}, and would see every tenant. Revoke that membership.")
    for place, role in enumerate((roles.app, roles.worker)):
        _run(tx, _closed(tx, role))
        for name in _tables("records"):
            privileges = RECORDS.get(name, (EVERYTHING, EVERYTHING))[place]
            _run(tx, [f"GRANT {privileges} ON {_quoted(tx, name)} TO {_quoted(tx, role)}"])
    for each in models("records").sorted_tables:
        if "tenant_id" in each.c:
            _keep_apart(tx, each, roles)


def _keep_apart(tx: Connection, each: Table, roles: Roles) -> None:
    """Row-level security on one table. What is there already is left alone: changing it locks everybody out."""
    name = _quoted(tx, each.name)
    if not tx.scalar(select(_CLASS.c.relrowsecurity).where(_CLASS.c.oid == func.to_regclass(name))):
        _run(tx, [f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY"])
    held = {
        row.policyname: row.roles for row in tx.execute(select(_POLICIES).where(_POLICIES.c.tablename == each.name))
    }
    made = {row.polname: row.made for row in tx.execute(_MADE.where(_POLICY.c.polrelid == func.to_regclass(name)))}
    for policy, role, what in _policies(each.name, roles):
        if (held.get(policy), made.get(policy)) != ([role], what):
            _run(tx, [f"DROP POLICY IF EXISTS {policy} ON {name}"])
            _run(tx, [f"CREATE POLICY {policy} ON {name} {what.format(role=_quoted(tx, role))}"])
            _run(tx, [f"COMMENT ON POLICY {policy} ON {name} IS {_literal(what)}"])


def _policies(name: str, roles: Roles) -> Iterator[tuple[str, str, str]]:
    """The policies of a table: what they are called, for whom they are, and what they say."""
    yield POLICY, roles.app, f"TO {{role}} USING ({OF_ONE_TENANT})"
    yield "panless_every", roles.worker, "TO {role} USING (true)"
    if name in LOOKED_OVER:
        looking = f"current_setting('{SETTING}', true) = '{EVERY}'"
        yield LOOKED_OVER_POLICY, roles.app, f"FOR SELECT TO {{role}} USING ({looking})"


def _closed(tx: Connection, role: str) -> Iterator[str]:
    """Nothing is left of what the role could do, and nobody defines anything here but the owner."""
    name, database = _quoted(tx, role), _quoted(tx, tx.engine.url.database or "")
    yield f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {name}"
    yield f"REVOKE CREATE, TEMPORARY ON DATABASE {database} FROM PUBLIC, {name}"
    yield f"REVOKE CREATE ON SCHEMA public FROM PUBLIC, {name}"
    yield f"GRANT USAGE ON SCHEMA public TO {name}"


def _refuse_unfit(tx: Connection, role: str) -> None:
    found = tx.execute(select(_ROLES).where(_ROLES.c.rolname == role)).one_or_none()
    if found is None:
        raise RoleRefused(f"There is no role {role}. Make it with: CREATE ROLE {role} LOGIN, and a password.")
    if found.rolsuper or found.rolbypassrls:
        raise RoleRefused(f"{role} is a superuser or has BYPASSRLS: nothing holds it. Make another role.")
    if found.rolcreaterole or found.rolreplication:
        raise RoleRefused(f"{role} has CREATEROLE or REPLICATION, which lead past every right. Make another role.")
    owners = select(_CLASS.c.relowner).where(_CLASS.c.relnamespace == _PUBLIC)
    for owner in (func.current_user(), *tx.scalars(owners.distinct())):
        if tx.scalar(select(func.pg_has_role(role, owner, "MEMBER"))):
            raise RoleRefused(f"{role} owns these tables, or may act as their owner. Migrate as another role than it.")
    for wide in WIDE:
        if tx.scalar(select(func.pg_has_role(role, wide, "MEMBER"))):
            raise RoleRefused(f"{role} is in {wide}, and no table's rights would hold it. Revoke that membership.")


def _tables(tree: str) -> list[str]:
    return [VERSIONS.name, *(each.name for each in models(tree).sorted_tables)]


def _quoted(tx: Connection, name: str) -> str:
    return tx.dialect.identifier_preparer.quote_identifier(name)


def _literal(said: str) -> str:
    return "'" + said.replace("'", "''") + "'"


def _run(tx: Connection, statements: Iterator[str] | list[str]) -> None:
    for statement in statements:
        tx.exec_driver_sql(statement.replace("%", "%%"))


_CLASS = table("pg_class", column("oid"), column("relrowsecurity"), column("relowner"), column("relnamespace"))
_PUBLIC = func.to_regnamespace("public")
_POLICIES = table("pg_policies", column("tablename"), column("policyname"), column("roles"))
_POLICY = table("pg_policy", column("oid"), column("polname"), column("polrelid"))
# PostgreSQL tells what a policy says in words of its own; the comment on it has ours.
_MADE = select(_POLICY.c.polname, func.obj_description(_POLICY.c.oid, "pg_policy").label("made"))
_ROLES = table("pg_roles", *map(column, ("rolname", "rolsuper", "rolbypassrls", "rolcreaterole", "rolreplication")))
