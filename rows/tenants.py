"""Row-level security on PostgreSQL: each statement tells the server for which tenant it is, and sees no other's rows.

The tenant is a setting of the transaction (`panless.tenant`), never of the session, so that nothing is left on a
connection that a pooler gives to somebody else next. It costs no trip to the server: a transaction sets it along with
its BEGIN, and a SELECT in AUTOCOMMIT, which is a transaction of its own, in its first condition, which PostgreSQL
evaluates once and before it reads anything (a one-time filter). Were it ever evaluated too late, what comes before it
would see no row at all (docs/decisions/0021).
"""

import re
from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    String,
    any_,
    bindparam,
    column,
    event,
    exists,
    func,
    or_,
    select,
    table,
    true,
)
from sqlalchemy.sql import visitors
from sqlalchemy.sql.expression import CompoundSelect, Select, SelectBase

from rows.driver_errors import as_sqlalchemy_says
from rows.engine import READER, is_sqlite, reader_of

SETTING = "panless.tenant"
POLICY = "panless_tenant"
"""What the policy is called, on each table, that holds a role to the rows of one tenant."""

LOOKED_OVER = "panless_looked_over"
"""The setting that lets a connection look over a few tables, which the house itself reads."""

EVERY = "*"
"""In a tenant's place: a look at the few tables that the house itself reads without knowing for whom."""

BIND = "panless_tenant"
"""The parameter that carries the tenant in a SELECT."""

_KEPT_APART = "panless_kept_apart"
_BEGINS_FOR = "panless_begins_for"
_SAYS = "panless_says"
_POLICIES = table("pg_policies", column("tablename"), column("policyname"), column("roles"))
_TENANT = re.compile(r"[A-Za-z0-9_]{1,64}|\*")


def keep_apart(engine: Engine) -> Engine:
    """The engine for a database role that sees the rows of one tenant at a time: `for_tenant` says which."""
    event.listen(engine, "begin", _begin)
    event.listen(reader_of(engine), "before_execute", _say, retval=True)
    return engine.execution_options(**{_KEPT_APART: True})


def for_tenant(engine: Engine, tenant: str) -> Engine:
    """The engine bound to the rows of `tenant`: the very same where it is already, or nothing keeps tenants apart."""
    options = engine.get_execution_options()
    if _KEPT_APART not in options or options.get(_BEGINS_FOR) == tenant:
        return engine
    if not _TENANT.fullmatch(tenant):
        raise ValueError("this is no tenant's id")
    reader = reader_of(engine).execution_options(**{_SAYS: tenant})
    return engine.execution_options(**{_BEGINS_FOR: tenant, READER: reader})


def is_kept_apart(connection: Connection) -> bool:
    """Whether this database's user is one whom `panless migrate --roles` lets see one tenant at a time."""
    if is_sqlite(connection):
        return False
    mine = _POLICIES.c.policyname == POLICY, func.current_user() == any_(_POLICIES.c.roles)
    return bool(connection.scalar(select(exists().where(*mine))))


def open_tables(connection: Connection, names: Iterable[str]) -> list[str]:
    """Of these tables, those where this user, who is to see one tenant at a time, is held by no policy or by more."""
    mine = or_(func.current_user() == any_(_POLICIES.c.roles), any_(_POLICIES.c.roles) == "public")
    ours = (_POLICIES.c.policyname == POLICY, _POLICIES.c.policyname == LOOKED_OVER)
    others = {*connection.scalars(select(_POLICIES.c.tablename).where(mine, ~or_(*ours)))}
    return [name for name in names if name in others or not connection.scalar(select(func.row_security_active(name)))]


def said(connection: Connection) -> str | None:
    """The tenant that a SELECT over this connection has to name itself; None where there is none, or BEGIN did."""
    tenant: str | None = connection.get_execution_options().get(_SAYS)
    return tenant


def saying(statement: Any, tenant: str | None = None) -> Any:  # noqa: ANN401  # a Core statement
    """The SELECT with the condition that sets the tenant: this one, or the one that comes as the parameter `BIND`.

    It goes in front: among conditions that need no row PostgreSQL takes the first one first. Raises TypeError for what
    is no SELECT, and for one that asks another SELECT how many rows it wants, which comes before any condition.
    """
    if isinstance(statement, CompoundSelect):
        statement = select(statement.subquery())
    if not isinstance(statement, Select):
        raise TypeError("outside a transaction only a SELECT can say for which tenant it is")
    if any(map(_asks, (statement._limit_clause, statement._offset_clause, statement._fetch_clause))):  # noqa: SLF001
        raise TypeError("outside a transaction no SELECT may be in a LIMIT or an OFFSET")
    named = bindparam(BIND, type_=String) if tenant is None else bindparam(BIND, tenant, type_=String)
    says = select(func.set_config(SETTING, named, true())).scalar_subquery().is_not(None)
    made = statement.where(says)
    made._where_criteria = (says, *statement._where_criteria)  # noqa: SLF001  # `where` only puts it behind the others
    return made


def _asks(part: Any) -> bool:  # noqa: ANN401  # a clause, if there is one
    return part is not None and any(isinstance(each, SelectBase) for each in visitors.iterate(part))


def _say(
    connection: Connection,
    statement: Any,  # noqa: ANN401  # SQLAlchemy's signature
    several: Any,  # noqa: ANN401
    values: Any,  # noqa: ANN401
    _options: Any,  # noqa: ANN401
) -> tuple[Any, Any, Any]:
    tenant = said(connection)
    return (statement if tenant is None else saying(statement, tenant)), several, values


def _begin(connection: Connection) -> None:
    """BEGIN, with the tenant: the driver's own would be a trip to the server more."""
    tenant = connection.get_execution_options().get(_BEGINS_FOR)
    dbapi: Any = connection.connection.dbapi_connection
    if not dbapi.autocommit:
        dbapi.autocommit = True
    begin = "BEGIN" if tenant is None else f"BEGIN; SELECT set_config('{SETTING}', '{tenant}', true)"
    try:
        dbapi.execute(begin, prepare=False)
    except connection.dialect.loaded_dbapi.Error as error:
        told = as_sqlalchemy_says(connection, None, begin, error)
        connection.invalidate(error)  # BEGIN may be through, and there is no transaction yet that would be rolled back
        raise told from None
