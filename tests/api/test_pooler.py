"""Through PgBouncer in transaction mode, with two connections to the server for everybody."""

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest
from api_scene import at_once
from house import House, Sandbox, serve
from http_job import ask, main_job
from pooler import run_pooler
from roles import house_apart
from sqlalchemy import make_url, text

from migrations.roles import Roles
from rows.engine import reading, transaction

CALLERS = 12


@pytest.fixture
def pooled(postgresql: str, tmp_path: Path, sandbox: Sandbox, free_port: int) -> Iterator[House]:
    """A deployment whose processes all reach both databases through the pooler."""
    with ExitStack() as stack:
        runs: list[int] = []

        def through(url: str, roles: Roles) -> str:
            if not runs:
                stack.enter_context(run_pooler(postgresql, free_port, (roles.app, roles.worker, roles.keys)))
                runs.append(free_port)
            there = make_url(url).set(host="127.0.0.1", port=free_port, query={})
            return there.render_as_string(hide_password=False)

        yield stack.enter_context(
            house_apart(tmp_path / "house", postgresql, sandbox, through, PANLESS_PREPARED_STATEMENTS="false")
        )


def test_the_main_job(pooled: House, port_of_server: int) -> None:
    """`panless serve` tokenizes, charges, shows the contact and erases, and the worker ends it."""
    main_job(pooled, port_of_server)


def test_one_obligation_from_many_callers(pooled: House, port_of_server: int) -> None:
    """Twelve callers with keys of their own charge one invoice at once, over two connections: one of them is paid."""
    tenant = pooled.tenant()
    token = tenant.token()["id"]
    charge = {"token": token, "amount": 100, "currency": "eur", "obligation": "INV-2"}
    with serve(pooled, port_of_server) as (_, url):
        answers = at_once(
            CALLERS, lambda number: ask(url, tenant, "POST", "/v1/charges", charge, Idempotency_Key=f"k-{number}")
        )
    assert sorted(status for status, _ in answers) == [201] + [409] * (CALLERS - 1)
    assert len(tenant.charges_at_processor()) == 1


def test_nobody_gets_the_tenant_of_another(pooled: House) -> None:
    """Two tenants in turn over the same connections of the server: each call sees what is its own."""
    tenants = [pooled.tenant(), pooled.tenant()]
    tokens = [tenant.token()["id"] for tenant in tenants]
    turns = count()

    def look(_: int) -> None:
        for _ in range(20):
            mine = next(turns) % 2
            assert tenants[mine].call("GET", f"/v1/tokens/{tokens[mine]}").status_code == 200
            assert tenants[mine].call("GET", f"/v1/tokens/{tokens[1 - mine]}").status_code == 404

    at_once(6, look)


def test_a_server_connection_keeps_nothing_of_a_session(pooled: House) -> None:
    """The pooler gives transactions of one client to different connections of the server: the test's own ground."""
    records = pooled.components.records
    pid = text("SELECT pg_backend_pid()")
    with transaction(records) as first:
        held = first.scalar(pid)
        with transaction(records) as second:
            assert second.scalar(pid) != held
        with reading(records) as reader:
            assert reader.scalar(pid) != held
