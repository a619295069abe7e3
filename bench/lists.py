"""Every list at 10,000 and at 1,000,000 rows: what a page costs PostgreSQL, as the server's own role."""

import os
import tempfile
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from unittest import mock

from sqlalchemy import Engine

from api.parts import NAME
from bench import databases, stub
from bench.apart import ROLES, run_as_admin, take_roles, used_by
from bench.door import hand_over
from bench.figures import Figure
from bench.grown import BUSY, EVER_MORE, OUTCOME, Sent, explained, growing, id_made, made_id, sent_to
from bench.house import House, build_house, make_app
from panless.settings.environment import read_settings
from panless.wiring import build
from rows.engine import transaction
from vault import tables

SIZES = (10_000, 1_000_000)
TIMES = 9
MUST, REACH = 1.0, 0.3
"""Milliseconds that PostgreSQL takes for all statements of one page."""

QUIET = 50
"""The number of a customer of whom each table has one row."""

THIRTY = f"CASE WHEN n <= 30 THEN {BUSY} ELSE n END"
"""Who has thirty rows of what people ask for one at a time: it is found by them, and sorted."""

CUSTOMER, TOKEN = made_id("cus", EVER_MORE), made_id("tok", EVER_MORE)
ENDED = {"completed_at": "now()", "state": OUTCOME, "type": "'erasure'"}
FIRST_POSITION = 1_000_000
GROWN = (
    (tables.customers, {"state": "'active'"}),
    (tables.tokens, {"state": "'active'"}),
    (tables.charges, {"state": OUTCOME, "customer_id": CUSTOMER, "token_id": TOKEN}),
    (tables.refunds, {"state": "'succeeded'", "charge_id": made_id("chg", THIRTY)}),
    (tables.disputes, {"state": "'won'", "charge_id": made_id("chg", THIRTY)}),
    (tables.events, {"state": "'out'", "type": f"'charge.' || {OUTCOME}", "resource_id": made_id("chg", EVER_MORE)}),
    (tables.event_deliveries, {"state": "'delivered'", "endpoint_id": "'whe_' || n % 20"}),
    (tables.rights_requests, ENDED),
    (tables.rights_targets, {"state": "'done'", "customer_id": made_id("cus", THIRTY)}),
    (tables.audit_entries, {"position": f"n + {FIRST_POSITION}", "counter": "n", "customer_id": CUSTOMER}),
)
LISTS = (
    "/v1/charges",
    "/v1/charges?cursor={middle}",
    "/v1/charges?status=declined",
    "/v1/charges?customer={busy}",
    "/v1/charges?customer={quiet}",
    "/v1/charges/{charged}/refunds",
    "/v1/disputes",
    "/v1/disputes?cursor={middle}",
    "/v1/disputes?charge={charged}",
    "/v1/events",
    "/v1/events?cursor={middle}",
    "/v1/events?type=dispute.created",
    "/v1/events?resource={charged}",
    "/v1/events?resource=chg_00aaaaaaaaaaaaaaaaaaaaaaaaaa",
    "/v1/rights-requests",
    "/v1/rights-requests?cursor={middle}",
    "/v1/rights-requests?status=denied",
    "/v1/rights-requests?overdue=true",
    "/v1/rights-requests?customer={busy}",
    "/v1/rights-requests?customer={quiet}",
    "/v1/audit/entries",
    "/v1/audit/entries?cursor={position}",
    "/v1/audit/entries?customer={busy}",
    "/v1/audit/entries?customer={busy}&cursor={position}",
    "/v1/audit/entries?customer={quiet}",
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
    run_as_admin(house, _grown(house.tenant, size, say))
    take_roles(house)
    served = used_by(house, ROLES.app)
    with mock.patch.dict(os.environ, served):  # settings come from the environment, as they do for users
        components = build(read_settings())
    assert components.guard.check().is_good
    house.components.close()
    return replace(house, environment=served, components=components, app=make_app(components, components.processors))


def _grown(tenant: str, size: int, say: Callable[[str], None]) -> Iterator[str]:
    for statement in growing(GROWN, [tenant], size):
        say(f"lists: {size:,} rows, {statement[:40]}")
        yield statement
    yield "VACUUM"  # as autovacuum does: what is in an index alone is read there alone


def _figure(house: House, path: str, size: int, say: Callable[[str], None]) -> Figure:
    say(f"{path} at {size:,} rows")
    records = house.app.extensions[NAME].records
    with sent_to(records) as sent:
        status, _ = hand_over(house.app.wsgi_app, house.prepare("GET", path.format_map(_named(house.tenant, size))))
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


def _named(tenant: str, size: int) -> dict[str, str]:
    """What the paths name: of the tenant, and in the middle of its lists."""
    middle = datetime.now(UTC) - size // 2 * timedelta(minutes=5)
    cursor = f"{middle.isoformat()} {id_made('chg', tenant, size // 2)}"
    return {
        "busy": id_made("cus", tenant, BUSY),
        "quiet": id_made("cus", tenant, QUIET),
        "charged": id_made("chg", tenant, BUSY),
        "middle": urlsafe_b64encode(cursor.encode()).decode().rstrip("="),
        "position": str(FIRST_POSITION + size // 2),
    }


def _milliseconds(records: Engine, sent: Sent) -> float:
    with transaction(records) as tx:
        dbapi = tx.connection.dbapi_connection
        found = [float(explained(dbapi, *sent, generic=generic)["Execution Time"]) for generic in (False, True)]
        tx.rollback()
    return max(found)
