"""The driver's errors as SQLAlchemy's, where a statement goes past SQLAlchemy's own cursor."""

from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError


def as_sqlalchemy_says(connection: Connection, cursor: Any, sql: str, error: Any) -> Exception:  # noqa: ANN401  # the driver's
    """The error without parameters; a connection that is gone leaves the pool."""
    driver = connection.dialect.loaded_dbapi
    gone = connection.dialect.is_disconnect(error, connection.connection, cursor)
    if gone:
        connection.invalidate(error)
    told: Exception = DBAPIError.instance(
        sql,
        None,
        error,
        driver.Error,
        hide_parameters=True,
        connection_invalidated=gone,
        dialect=connection.dialect,
    )
    return told
