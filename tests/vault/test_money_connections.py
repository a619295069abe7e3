"""No database connection is held while a processor is asked, and moving money takes two commits."""

from dataclasses import replace
from typing import Any

import pytest
from house import Tenant, make_app
from money_scene import OPERATIONS, made, prepared, settled
from records_scene import checked_out
from sqlalchemy import Engine, event

from rows.engine import reader_of


class Asking:
    """The processor; each call of it looks how many connections are out."""

    def __init__(self, real: Any, engines: list[Engine]) -> None:
        self._real = real
        self._engines = engines
        self.out: list[int] = []

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if not callable(found):
            return found

        def asked(*args: Any, **kwargs: Any) -> Any:
            self.out.append(sum(map(checked_out, self._engines)))
            return found(*args, **kwargs)

        return asked


@pytest.mark.parametrize("operation", OPERATIONS)
def test_none_is_held(tenant: Tenant, operation: str) -> None:
    """By the server, and by the worker that looks up what is unknown."""
    parts = tenant.house.components
    engines = [each for one in (parts.records, parts.keystore) for each in (one, reader_of(one))]
    asking = Asking(parts.processors["sandbox"], engines)
    components = replace(parts, processors={**parts.processors, "sandbox": asking})
    tenant = replace(tenant, house=replace(tenant.house, components=components, app=make_app(components)))
    made(tenant, prepared(tenant, operation))
    tenant.house.sandbox.fault(path="/v1/*", method="POST", do="lose_answer")
    made(tenant, prepared(tenant, operation))
    tenant.house.sandbox.clear()
    settled(tenant)
    assert len(asking.out) >= 3
    assert set(asking.out) == {0}


@pytest.mark.parametrize("operation", ["charge", "capture", "void", "refund"])
def test_two_commits(tenant: Tenant, operation: str) -> None:
    """The intent before the call, the outcome after it: on SQLite transactions, on PostgreSQL statements that write."""
    records = tenant.house.components.records
    made(tenant, prepared(tenant, operation))
    order, commits = prepared(tenant, operation), []
    committed = lambda _: commits.append("commit")  # noqa: E731
    event.listen(records, "commit", committed)

    def wrote(_connection: object, _cursor: object, sql: str, *_: object) -> None:
        if sql.split(None, 1)[0] in {"INSERT", "UPDATE", "DELETE", "WITH"}:
            commits.append("write")

    event.listen(reader_of(records), "after_cursor_execute", wrote)
    try:
        assert made(tenant, order)[0] in {200, 201}
        assert len(commits) == 2, commits
    finally:
        event.remove(records, "commit", committed)
        event.remove(reader_of(records), "after_cursor_execute", wrote)
