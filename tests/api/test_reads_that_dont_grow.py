"""What is read again and again stays as quick as it was: no statement reads through a table that grows.

As the roles of docs/postgresql.md, which see fewer rows than the owner, and plan otherwise.
"""

from collections.abc import Iterator

import pytest
from api_scene import Stock, another_client, stock_of
from grown import EACH, MOST, reads
from house import House, Sandbox
from roles import house_apart, run_as_admin
from sqlalchemy import Engine, make_url

from api.parts import NAME
from bench.grown import BUSY, CUSTOMER, HALF, OUTCOME, TOKEN, Sent, growing, id_made, made_id, sent_to
from keys.keystore import DEKS
from vault import tables
from vault.events import delivery
from vault.lanes.rounds import LANES
from vault.recovering import open_intents, webhooks_left
from vault.recovering.replay import replay
from vault.requests import watch
from vault.tlog.lateness import lateness

ENDED = {"state": "'done'"}
OF_ONE = made_id("cus", f"CASE WHEN {HALF} THEN {BUSY} ELSE n END")
"""Every other row is about one customer."""

GROWN = (
    (tables.customers, {"state": "'active'", "live": HALF}),
    (tables.blind_index, {"normalization": "2", "region": "NULL", "form": "'sha256'"}),
    (tables.processor_references, {"reference_digest": "decode(md5(tenant || n), 'hex')"}),
    (tables.tokens, {"state": "'active'", "live": HALF}),
    (
        tables.charges,
        {
            "state": OUTCOME,
            "live": HALF,
            "customer_id": CUSTOMER,
            "token_id": TOKEN,
            "obligation_digest": "decode(md5(tenant || n), 'hex')",
            "reference_digest": "decode(md5(tenant || n), 'hex')",
        },
    ),
    (tables.refunds, {"state": "'succeeded'"}),
    (tables.disputes, {"state": "'won'"}),
    (tables.intents, {**ENDED, "customer_id": CUSTOMER, "finished_at": "now()"}),
    (tables.events, {"state": "'out'", "type": "'charge.succeeded'", "live": HALF}),
    (tables.event_deliveries, {"state": "'delivered'", "endpoint_id": "'whe_' || n % 20", "delivered_at": "now()"}),
    (tables.webhook_inbox, {"state": "'applied'"}),
    (tables.rights_requests, {"state": OUTCOME, "type": "'erasure'", "live": HALF, "completed_at": "now()"}),
    (tables.rights_targets, ENDED),
    (tables.holds, {}),
    (tables.erasures, {"state": "'completed'", "completed_at": "now()"}),
    (tables.erasure_recipients, {"result": "'erased'", "recipient_id": "'x'"}),
    (tables.ledger_outbox, {"seq": "n"}),
    (tables.packages, {"state": "'taken'"}),
    (
        tables.audit_entries,
        {"position": "n + 1000000", "counter": "n", "lane": "'made up'", "customer_id": OF_ONE},
    ),
)
READING = ("SELECT", "UPDATE", "DELETE", "WITH")
NAMES = {table.name for table, _ in GROWN} | {DEKS.name}

BY_NATURE = ("reconcile",)
"""Lanes that look at all of a day, once a day."""

LISTS = (
    "/v1/charges",
    "/v1/charges?customer={customer_id}",
    "/v1/charges?token={token_id}",
    "/v1/charges?status=declined",
    "/v1/charges?obligation=none",
    "/v1/charges/{charge_id}/refunds",
    "/v1/disputes",
    "/v1/disputes?charge={charge_id}",
    "/v1/tokens?customer={customer_id}",
    "/v1/customers/{customer_id}/holds",
    "/v1/events",
    "/v1/events?type=dispute.created",
    "/v1/events?resource={charge_id}",
    "/v1/events?since=2026-01-01T00:00:00Z",
    "/v1/webhook-endpoints",
    "/v1/webhook-endpoints/{endpoint_id}/deliveries",
    "/v1/rights-requests",
    "/v1/rights-requests?status=denied",
    "/v1/rights-requests?type=access",
    "/v1/rights-requests?customer={customer_id}",
    "/v1/rights-requests?overdue=true",
    "/v1/audit/entries",
    "/v1/audit/entries?customer={customer_id}",
    "/v1/audit/entries?customer={busy}",
    "/v1/audit/entries?customer={busy}&cursor=1003000",
)


@pytest.fixture(scope="module")
def grown(postgresql: str, tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox) -> Iterator[tuple[House, Stock]]:
    """A deployment of three tenants whose tables have grown, and what one of them has of its own."""
    with house_apart(tmp_path_factory.mktemp("grown"), postgresql, sandbox) as house:
        stock = stock_of(house.tenant())
        tenants = [stock.tenant.id, house.tenant().id, house.tenant().id]
        for _ in range(2):
            house.work()
        parts = house.components
        run_as_admin(_as_admin(postgresql, parts.records), *growing(GROWN, tenants, EACH))
        of_tenant = "(SELECT min(encode(kek_id, 'hex')) FROM keks WHERE keks.tenant_id = tenant)"
        made = {"kek_id": f"decode({of_tenant}, 'hex')", "wrapped": "'x'", "subject_id": CUSTOMER}
        run_as_admin(_as_admin(postgresql, parts.keystore), *growing(((DEKS, made),), tenants, EACH))
        yield house, stock


def _as_admin(server: str, engine: Engine) -> str:
    return make_url(server).set(database=engine.url.database).render_as_string(hide_password=False)


def looked_at_too_much(engine: Engine, sent: list[Sent]) -> str:
    """Where a statement looks at more than MOST rows of a table, or reads through it, planned either way."""
    found = []
    for statement, values in {repr(each): each for each in sent}.values():
        if statement.lstrip().startswith(READING):
            found += [
                f"{'any' if generic else 'these'} values: {read}: {' '.join(statement.split())}"
                for generic in (False, True)
                for read in reads(engine, (statement, values), NAMES, generic=generic)
                if read.rows > MOST or read.node == "Seq Scan"
            ]
    return "\n".join(found)


@pytest.mark.parametrize("path", LISTS)
def test_a_list(grown: tuple[House, Stock], path: str) -> None:
    """A page of each list, the first and a later one, in the mode that has much and in the one that has little."""
    house, stock = grown
    served = house.app.extensions[NAME].records
    tenants = (stock.tenant, another_client(stock.tenant, live=True))
    named = stock.url(path.replace("{busy}", id_made("cus", stock.tenant.id, BUSY)))
    with sent_to(served) as sent:
        for tenant in tenants:
            answer = tenant.call("GET", f"{named}{'&' if '?' in named else '?'}limit=20")
            assert answer.status_code in {200, 404, 500}  # 500: what was found was made up, and does not open
            if (answer.get_json() or {}).get("next_cursor"):
                further = f"limit=20&cursor={answer.get_json()['next_cursor']}"
                tenant.call("GET", f"{named}{'&' if '?' in named else '?'}{further}")
    assert sent
    assert looked_at_too_much(served, sent) == ""


def test_the_servers_figures(grown: tuple[House, Stock]) -> None:
    """What is counted every few seconds for /metrics."""
    house, _ = grown
    parts, now = house.app.extensions[NAME], house.components.clock()
    with sent_to(parts.records) as sent:
        watch.watch(parts.records, house.components.policy, now)
        open_intents.watch(parts.records, now)
        webhooks_left.watch(parts.records)
        lateness(house.components.logs, parts.records, now)
    assert len(sent) >= 4
    assert looked_at_too_much(parts.records, sent) == ""


def test_a_replay(grown: tuple[House, Stock]) -> None:
    """After a restore each customer's key is looked for: some customers at a time, whatever their number."""
    house, _ = grown
    parts = house.components
    with sent_to(parts.records) as of_records, sent_to(parts.keystore) as of_keys:
        assert replay(parts.ledger, parts.records, lambda _done, _all: None).keyless == []
    assert looked_at_too_much(parts.records, of_records) == ""
    assert looked_at_too_much(parts.keystore, of_keys) == ""


def test_what_events_are_old(grown: tuple[House, Stock]) -> None:
    """They are deleted some at a time, over and over: finding some must not take a look at all."""
    house, _ = grown
    with sent_to(house.components.records) as sent:
        assert delivery.purge(house.components.workshop) == 0
    assert looked_at_too_much(house.components.records, sent) == ""


@pytest.mark.parametrize("lane", [name for name in LANES if name not in BY_NATURE])
def test_a_turn_of_the_worker(grown: tuple[House, Stock], lane: str) -> None:
    """What each lane looks for, round after round."""
    house, _ = grown
    parts, reported = house.components, []
    with sent_to(parts.records) as of_records, sent_to(parts.keystore) as of_keys:
        LANES[lane](parts.workshop, lambda what, error: reported.append((what, error)))
    assert reported == []
    assert looked_at_too_much(parts.records, of_records) == ""
    assert looked_at_too_much(parts.keystore, of_keys) == ""
