"""Every list at 10,000 and at 1,000,000 rows: what a page costs PostgreSQL, as the server's own role."""

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from unittest import mock

from sqlalchemy import Engine, create_engine, make_url, text

from api.parts import NAME
from bench import databases, stub
from bench.door import hand_over
from bench.figures import Figure
from bench.grown import CUSTOMER, OUTCOME, TOKEN, Sent, explained, growing, sent_to
from bench.house import House, build_house, make_app
from keys.database import transaction
from migrations.roles import Roles
from panless.settings import read_settings
from panless.wiring import build, migrate
from vault import tables

SIZES = (10_000, 1_000_000)
TIMES = 9
MUST, REACH = 1.0, 0.3
"""Milliseconds that PostgreSQL takes for all statements of one page."""

ROLES = Roles(app="panless_app", worker="panless_worker", keys="panless_keys")
ENDED = {"completed_at": "now()", "state": OUTCOME, "type": "'erasure'"}
GROWN = (
    (tables.customers, {"state": "'active'"}),
    (tables.tokens, {"state": "'active'"}),
    (tables.charges, {"state": OUTCOME, "customer_id": CUSTOMER, "token_id": TOKEN}),
    (tables.disputes, {"state": "'won'"}),
    (tables.events, {"state": "'out'", "type": f"'charge.' || {OUTCOME}"}),
    (tables.event_deliveries, {"state": "'delivered'", "endpoint_id": "'whe_' || n % 20"}),
    (tables.rights_requests, ENDED),
    (tables.audit_entries, {"position": "n + 1000000", "counter": "n", "customer_id": CUSTOMER}),
)
LISTS = (
    "/v1/charges",
    "/v1/charges?status=declined",
    "/v1/disputes",
    "/v1/events",
    "/v1/events?type=dispute.created",
    "/v1/events?resource=chg_00aaaaaaaaaaaaaaaaaaaaaaaaaa",
    "/v1/rights-requests",
    "/v1/rights-requests?status=denied",
    "/v1/rights-requests?overdue=true",
    "/v1/audit/entries",
)


def figures(say: Callable[[str], None], sizes: Sequence[int] = SIZES) -> list[Figure]:
    """A house for each size, and each list in it."""
    found = []
    for size in sizes:
        with (
            stub.running() as processor,
            tempfile.TemporaryDirectory(prefix="panless-bench-", ignore_cleanup_errors=True) as directory,
            databases.opened("postgresql", Path(directory)) as pairs,
        ):
            house = _apart(build_house(Path(directory) / "house", *pairs[0], processor.url), size, say)
            found += [_figure(house, path, size, say) for path in LISTS]
            house.components.close()
    return found


def _apart(house: House, size: int, say: Callable[[str], None]) -> House:
    """A house with so many rows, whose door comes as a role that sees one tenant at a time."""
    admin = create_engine(make_url(house.environment["PANLESS_RECORDS_URL"]).set(drivername="postgresql+psycopg"))
    with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for role in (ROLES.app, ROLES.worker, ROLES.keys):
            connection.execute(text(f"CREATE ROLE {role} LOGIN"))
        for statement in growing(GROWN, [house.tenant], size):
            say(f"lists: {size:,} rows, {statement[:40]}")
            connection.execute(text(statement))
        connection.execute(text("VACUUM"))  # as autovacuum does: what is in an index alone is read there alone
    admin.dispose()
    with mock.patch.dict(os.environ, house.environment):  # settings come from the environment, as they do for users
        migrate(read_settings(), roles=ROLES)
    url = make_url(house.environment["PANLESS_RECORDS_URL"]).set(username=ROLES.app)
    served = {**house.environment, "PANLESS_RECORDS_URL": url.render_as_string(hide_password=False)}
    with mock.patch.dict(os.environ, served):
        components = build(read_settings())
    assert components.guard.check().is_good
    house.components.close()
    return replace(house, environment=served, components=components, app=make_app(components, components.processors))


def _figure(house: House, path: str, size: int, say: Callable[[str], None]) -> Figure:
    say(f"{path} at {size:,} rows")
    records = house.app.extensions[NAME].records
    with sent_to(records) as sent:
        status, _ = hand_over(house.app.wsgi_app, house.prepare("GET", path))
    assert status in {200, 500}, (path, status)  # 500: what it found was made up, and does not open
    assert sent
    times = [sum(_milliseconds(records, each) for each in sent) for _ in range(TIMES)]
    return Figure(
        name=f"GET {path}, {size:,} rows",
        on="postgresql",
        must=MUST,
        reach=REACH,
        measured=median(times),
        unit="ms",
        spread=(min(times), max(times)),
        note="PostgreSQL's own time, all statements of a page, the slower of two ways to plan each",
    )


def _milliseconds(records: Engine, sent: Sent) -> float:
    with transaction(records) as tx:
        dbapi = tx.connection.dbapi_connection
        found = [float(explained(dbapi, *sent, generic=generic)["Execution Time"]) for generic in (False, True)]
        tx.rollback()
    return max(found)
