"""Row-level security on PostgreSQL: what a query that forgot its tenant gets to see, and what each role may do."""

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from api_scene import stock_of
from house import PURPOSE, House, Tenant, link_to, make_app, package_of, word
from http_job import main_job
from roles import run_as_admin
from sqlalchemy import (
    Connection,
    Engine,
    Table,
    delete,
    event,
    exists,
    func,
    insert,
    inspect,
    make_url,
    select,
    text,
    union_all,
    update,
)
from sqlalchemy.exc import ProgrammingError
from stripe import WebhookSignature

from api.parts import NAME
from keys import keystore
from migrations.roles import LOOKED_OVER
from rows.engine import reader_of, reading, transaction
from rows.prepared import Prepared
from rows.tenants import EVERY, for_tenant
from vault import audit
from vault.desk import desk_for
from vault.ledger.deciding import decide
from vault.ledger.settling import append
from vault.ledger.watermarks import watermark
from vault.recovering import open_intents, webhooks_left
from vault.requests import watch
from vault.tables import (
    audit_entries,
    charges,
    client_keys,
    clients,
    customers,
    deployment,
    erasure_recipients,
    erasures,
    guard,
    holds,
    ledger_outbox,
    metadata,
    processor_accounts,
    tenants,
    webhook_inbox,
)
from vault.tenancy.clients import list_clients

OF_TENANTS = [each for each in metadata.sorted_tables if "tenant_id" in each.c]
Looks = Callable[[Engine], Any]
"""A way to open a connection."""


@pytest.fixture(scope="module")
def two(apart: House) -> tuple[Tenant, Tenant]:
    """Two tenants who each have one of everything."""
    one, other = stock_of(apart.tenant()).tenant, stock_of(apart.tenant()).tenant
    apart.work()
    for tenant in (one, other):
        leave_an_event(apart, tenant)
    return one, other


def leave_an_event(house: House, tenant: Tenant) -> None:
    """An event of the tenant's processor that came to nothing, for a human to look at."""
    now = house.components.clock()
    row = {
        "tenant_id": tenant.id,
        "account_id": tenant.account,
        "event_digest": b"of nothing here",
        "type": "charge.refunded",
        "state": "unmatched",
        "next_attempt_at": now,
        "received_at": now,
    }
    with transaction(house.components.records) as tx:
        tx.execute(insert(webhook_inbox), row)


def served(house: House) -> Engine:
    """The records as the door has them, before it knows for whom."""
    found: Engine = house.app.extensions[NAME].records
    return found


def tenants_in(connection: Connection, table: Table) -> set[str]:
    """Whose rows a query gets that forgot its WHERE: through the driver, through SQLAlchemy, written by hand."""
    forgetful = select(table.c.tenant_id)
    ways = [
        [row.tenant_id for row in Prepared(forgetful).all(connection, {})],
        list(connection.scalars(forgetful)),
        list(connection.scalars(select(text(f"tenant_id FROM {table.name}")))),
    ]
    assert len({frozenset(way) for way in ways}) == 1, table.name
    return set(ways[0])


@pytest.mark.parametrize("open_one", [reading, transaction])
@pytest.mark.parametrize("table", OF_TENANTS, ids=lambda table: table.name)
def test_a_query_that_forgot_its_tenant(
    apart: House, two: tuple[Tenant, Tenant], open_one: Looks, table: Table
) -> None:
    """It gets rows of the request's tenant and of nobody else; before the tenant is known it gets none."""
    with reading(apart.components.records) as worker:
        there = tenants_in(worker, table)
    for tenant in two:
        with open_one(for_tenant(served(apart), tenant.id)) as connection:
            assert tenants_in(connection, table) == there & {tenant.id}
    with open_one(served(apart)) as connection:  # the same one, back from its pool
        assert tenants_in(connection, table) == set()


def test_a_desk_is_of_its_callers_tenant(apart: House, two: tuple[Tenant, Tenant]) -> None:
    """Made of records that are bound to somebody else, it sees its caller's rows alone, read and in a transaction."""
    one, other = two
    bound = for_tenant(served(apart), other.id)
    desk = desk_for(bound, apart.components.keyring, one.caller)
    for open_one in (reading, transaction):
        with open_one(desk.records) as connection:
            assert tenants_in(connection, charges) == {one.id}
    assert desk_for(desk.records, desk.keyring, one.caller).records is desk.records  # bound once is enough


def test_both_tenants_have_rows_to_hide(apart: House, two: tuple[Tenant, Tenant]) -> None:
    """What that rests on: nearly every table has rows of both."""
    with reading(apart.components.records) as worker:
        bare = {table.name for table in OF_TENANTS if not {each.id for each in two} <= tenants_in(worker, table)}
    assert bare <= {"callbacks", "event_deliveries", "rights_approvals"}


def test_every_table_of_tenants_is_kept_apart(apart: House) -> None:
    """Each table with a `tenant_id`, by the database's own word, has row-level security and a policy for each role."""
    named = {table.name for table in OF_TENANTS}
    with reading(apart.components.records) as worker:
        found = {
            name
            for name in inspect(worker).get_table_names()
            if "tenant_id" in {column["name"] for column in inspect(worker).get_columns(name)}
        }
        secured = set(worker.scalars(text("SELECT relname FROM pg_class WHERE relrowsecurity")))
        policies = worker.execute(text("SELECT tablename, policyname FROM pg_policies")).all()
    assert found == secured == named
    assert {tuple(each) for each in policies} == {
        *((name, policy) for name in named for policy in ("panless_tenant", "panless_every")),
        *((name, "panless_looked_over") for name in LOOKED_OVER),
    }


def refused(records: Engine, statement: Any, *values: Any) -> str:
    """What PostgreSQL says to a statement in a transaction."""
    with pytest.raises(ProgrammingError) as caught, transaction(records) as tx:
        tx.execute(statement, *values)
    assert caught.value.orig is not None
    assert getattr(caught.value.orig, "sqlstate", "") == "42501", caught.value
    return str(caught.value.orig)


def test_nothing_is_written_for_another_tenant(apart: House, two: tuple[Tenant, Tenant]) -> None:
    """A row for another tenant is refused, so is giving one away; another's rows are there for no UPDATE or DELETE."""
    one, other = two
    records = for_tenant(served(apart), one.id)
    with reading(apart.components.records) as worker:
        theirs = worker.execute(select(customers).where(customers.c.tenant_id == other.id).limit(1)).mappings().one()
    row = {**theirs, "customer_id": f"cus_00{'a' * 26}"}
    assert "row-level security" in refused(records, insert(customers), row)
    assert "row-level security" in refused(records, update(charges).values(tenant_id=other.id))
    with transaction(records) as tx:
        changed = tx.execute(update(customers).where(customers.c.tenant_id == other.id).values(restricted=True))
        gone = tx.execute(delete(charges).where(charges.c.tenant_id == other.id))
    assert changed.rowcount == gone.rowcount == 0


KEY_IDS = select(client_keys.c.key_id)
KEYS = select(func.count()).select_from(client_keys).scalar_subquery()
ACCOUNTS = select(processor_accounts.c.account_id)
UNCORRELATED = {
    "exists": ACCOUNTS.where(exists(KEY_IDS)),
    "not exists": ACCOUNTS.where(~exists(KEY_IDS)),
    "count": ACCOUNTS.where(KEYS == 0),
    "having": ACCOUNTS.group_by(processor_accounts.c.account_id).having(~exists(KEY_IDS)),
    "aggregate": select(func.count().label("n"))
    .select_from(processor_accounts)
    .where(~exists(KEY_IDS))
    .having(KEYS > 0),
    "column": select(processor_accounts.c.account_id, KEYS.label("keys")),
    "order": KEY_IDS.order_by(KEYS),
    "union": union_all(ACCOUNTS.where(~exists(KEY_IDS)), ACCOUNTS.where(KEYS == 0)),
    "from": select(ACCOUNTS.where(~exists(KEY_IDS)).limit(KEYS).subquery()),
}


@pytest.mark.parametrize("statement", UNCORRELATED.values(), ids=UNCORRELATED)
def test_a_condition_on_its_own_comes_after_the_tenant(
    apart: House, two: tuple[Tenant, Tenant], statement: Any
) -> None:
    """What PostgreSQL evaluates before any row is the tenant's to see, too: outside a transaction as in one."""
    records = for_tenant(served(apart), two[0].id)
    with transaction(records) as tx, reading(records) as connection:
        seen = sorted(tx.execute(statement).all())
        assert sorted(connection.execute(statement).all()) == seen
        assert sorted(Prepared(statement).all(connection, {})) == seen


BEFORE_ALL = {
    "limit": KEY_IDS.limit(KEYS),
    "offset": KEY_IDS.offset(KEYS),
    "fetch": KEY_IDS.fetch(KEYS + 1),
}


@pytest.mark.parametrize("statement", BEFORE_ALL.values(), ids=BEFORE_ALL)
def test_nothing_is_asked_before_the_tenant_is_told(apart: House, statement: Any) -> None:
    """PostgreSQL evaluates LIMIT before any condition: a SELECT in it is refused, outside a transaction."""
    records = for_tenant(served(apart), apart.tenant().id)
    with reading(records) as connection, pytest.raises(TypeError, match="LIMIT"):
        connection.execute(statement)
    with transaction(records) as tx:
        tx.execute(statement)


def test_a_beginning_that_fails_leaves_no_connection_behind(apart: House, postgresql: str) -> None:
    """What fails between BEGIN and the tenant (a cancelled statement, say) fails that one call, and none after it."""
    tenant, records = apart.tenant(), served(apart)
    mine = for_tenant(records, tenant.id)
    there = make_url(postgresql).set(database=records.url.database).render_as_string(hide_password=False)
    setting = "EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean)"
    run_as_admin(there, f"REVOKE {setting} FROM PUBLIC")
    try:
        with pytest.raises(ProgrammingError), transaction(mine):
            pass
    finally:
        run_as_admin(there, f"GRANT {setting} TO PUBLIC")
    for _ in range(records.pool.size()):  # type: ignore[attr-defined]  # of the pool that it has
        with transaction(mine) as tx:
            assert tenants_in(tx, client_keys) == {tenant.id}


def test_injected_sql_sees_one_tenant(apart: House, two: tuple[Tenant, Tenant]) -> None:
    """A SELECT that somebody smuggled into a request's statement finds the request's own tenant in it."""
    one, _ = two
    smuggled = text("1 UNION ALL SELECT count(DISTINCT tenant_id) FROM client_keys")
    with reading(for_tenant(served(apart), one.id)) as connection:
        assert list(connection.scalars(select(smuggled))) == [1, 1]


def test_the_house_looks_over_six_tables(apart: House, two: tuple[Tenant, Tenant]) -> None:
    """Its figures and its webhooks, which come before a tenant is known, read six tables and write none."""
    records = for_tenant(served(apart), EVERY)
    with reading(records) as connection:
        seen = {table.name for table in OF_TENANTS if {each.id for each in two} <= tenants_in(connection, table)}
    assert seen == set(LOOKED_OVER)
    with transaction(records) as tx:
        assert tx.execute(update(processor_accounts).values(label="x")).rowcount == 0
    now, policy = apart.components.clock(), apart.components.policy
    assert open_intents.watch(served(apart), now) == open_intents.watch(apart.components.records, now)
    assert watch.watch(served(apart), policy, now) == watch.watch(apart.components.records, policy, now)
    assert webhooks_left.watch(served(apart)) == webhooks_left.watch(apart.components.records)
    assert webhooks_left.watch(served(apart)).unmatched >= len(two)


@pytest.mark.usefixtures("two")
def test_figures_read_what_is_open_alone(apart: House) -> None:
    """The server's figures of money scan no table, as its own role: each is counted along an index of what is open."""
    sent: list[tuple[str, dict[str, str]]] = []
    reader = reader_of(served(apart))
    event.listen(reader, "before_cursor_execute", lambda *call: sent.append((call[2], call[3])), named=False)
    open_intents.watch(served(apart), apart.components.clock())
    with transaction(served(apart)) as tx:
        tx.exec_driver_sql("SET LOCAL enable_seqscan = off")  # with a few rows it is the cheapest
        tx.exec_driver_sql("SET LOCAL plan_cache_mode = force_generic_plan")  # as for a statement that is kept prepared
        [of_intents, doubted, differing] = [plan(tx, *each) for each in sent]
    assert "ix_intents_due" in of_intents, of_intents
    assert "Index Cond: (known_on < " in doubted, doubted
    assert "ix_processor_accounts_differing" in differing, differing


def plan(connection: Connection, statement: str, values: dict[str, str]) -> str:
    """How PostgreSQL goes about a statement whose values it does not know when it plans."""
    names = {name: f"${number}" for number, name in enumerate(values, 1)}
    numbered = re.sub(r"%\((\w+)\)s", lambda named: names[named[1]], statement)
    connection.exec_driver_sql(f"PREPARE looked_at AS {numbered}")
    given = ", ".join(f"'{value}'" for value in values.values())
    lines = connection.exec_driver_sql(f"EXPLAIN EXECUTE looked_at{f'({given})' if given else ''}").scalars()
    found = "\n".join(lines)
    connection.exec_driver_sql("DEALLOCATE looked_at")
    return found


def test_a_webhook_finds_its_tenant(apart: House) -> None:
    """A genuine event for an account is kept among the rows of the tenant whose account it is."""
    shop, secret = apart.tenant(), "whsec_of_the_test_account"
    assert shop.call("PATCH", f"/v1/processor-accounts/{shop.account}", {"webhook_secret": secret}).status_code == 200
    body = json.dumps(
        {
            "id": f"evt_{word()}",
            "object": "event",
            "type": "payment_intent.succeeded",
            "data": {"object": {"id": "pi_x"}},
        }
    )
    header = WebhookSignature.generate_signature_header(body, secret, int(time.time()))
    client = apart.app.test_client()
    sent = {"Stripe-Signature": header, "Content-Type": "application/json"}
    assert client.post(f"/webhooks/{shop.account}", data=body, headers=sent).status_code == 204
    with reading(for_tenant(served(apart), shop.id)) as connection:
        assert connection.scalar(select(func.count()).select_from(webhook_inbox)) == 1
    assert apart.work()[1] == []


def test_a_link_opens_its_package(apart: House) -> None:
    """Who follows a link shows no key: the link says for which tenant, and the package comes whole."""
    tenant = apart.tenant()
    link = link_to(tenant, package_of(tenant, tenant.token()["customer"]))
    answer = apart.app.test_client().get(f"/v1/packages/{link}")
    assert (answer.status_code, answer.get_data()[:2]) == (200, b"PK")


def test_looks_of_several_tenants_are_written_down(apart: House) -> None:
    """What a process counted for two tenants becomes an audit entry for each of them."""
    parts, both = apart.app.extensions[NAME], [apart.tenant(), apart.tenant()]
    for tenant in both:
        tenant.call("GET", f"/v1/tokens/{tenant.token()['id']}")
    assert parts.tallies.write_down(parts.records, parts.keyring, parts.clock(), all_of_it=True) >= len(both)
    mine = audit_entries.c.tenant_id.in_([tenant.id for tenant in both])
    with reading(apart.components.records) as worker:
        seen = worker.scalars(select(audit_entries.c.tenant_id).where(mine, audit_entries.c.action == "token.read"))
        assert sorted(seen) == sorted(tenant.id for tenant in both)


def test_uses_of_keys_are_written_down(apart: House) -> None:
    """When the keys of two tenants were used last, which the door notes, is written to the rows of each."""
    parts, both = apart.app.extensions[NAME], [apart.tenant(), apart.tenant()]
    for tenant in both:
        tenant.call("GET", "/v1/charges")
    assert parts.uses.write_down(parts.records) >= len(both)
    with reading(apart.components.records) as worker:
        used = select(client_keys.c.tenant_id).where(client_keys.c.last_used_at.is_not(None))
        assert {tenant.id for tenant in both} <= set(worker.scalars(used))


def put_into_the_ledger(apart: House, tenant: Tenant, kind: str, subject: str) -> None:
    """An entry that was decided and appended by a process which died before it followed it."""
    worker = apart.components
    with audit.transaction(worker.records) as tx:
        mark = watermark(tx)
        entry = decide(tx, worker.ledger, tenant.caller, kind, subject, version=1)
        body = tx.scalar(select(ledger_outbox.c.body).where(ledger_outbox.c.entry_id == entry))
    append(worker.ledger, worker.records, mark, json.loads(body or ""))


def test_the_ledger_is_followed_past_other_tenants(apart: House) -> None:
    """Entries of one tenant that lie there unfollowed worry no guard; another tenant's call follows them."""
    one, other = apart.tenant(), apart.tenant()
    guard_of_door, token, gone = apart.app.extensions[NAME].guard, one.token()["id"], other.token()["id"]
    client = next(each for each in list_clients(apart.components.records, one.id) if each.name == "billing")
    put_into_the_ledger(apart, one, "token.delete", token)
    put_into_the_ledger(apart, one, "client.revoke", client.client_id)
    assert guard_of_door.check().is_good
    assert other.call("DELETE", f"/v1/tokens/{gone}").status_code == 200
    assert one.call("GET", f"/v1/tokens/{token}").get_json()["status"] == "detached"
    assert one.call("GET", f"/v1/tokens/{token}", role="billing").status_code == 401
    assert guard_of_door.check().is_good


DEFINING = (
    "CREATE TABLE mine (a int)",
    "CREATE TEMPORARY TABLE mine (a int)",
    "CREATE SCHEMA mine",
    "ALTER TABLE charges ADD COLUMN mine int",
    "ALTER TABLE charges DISABLE ROW LEVEL SECURITY",
    "DROP POLICY panless_tenant ON charges",
    "DROP TABLE charges",
    "TRUNCATE charges",
    "CREATE INDEX mine ON charges (amount)",
)
CHANGING = (
    update(audit_entries).values(leaf="{}"),
    delete(audit_entries),
    delete(ledger_outbox),
    delete(erasures),
    delete(erasure_recipients),
    delete(holds),
    delete(guard),
    update(deployment).values(deployment_id="x"),
    text("UPDATE alembic_version SET version_num = 'x'"),
)


def test_the_roles_define_nothing_and_leave_the_log_alone(apart: House, two: tuple[Tenant, Tenant]) -> None:
    """Neither role has DDL, nor UPDATE or DELETE on audit entries, nor DELETE on what proves an erasure."""
    for records in (for_tenant(served(apart), two[0].id), apart.components.records):
        for statement in (*map(text, DEFINING), *CHANGING):
            refused(records, statement)


def test_the_door_makes_no_client(apart: House, two: tuple[Tenant, Tenant]) -> None:
    """Who has taken over the server can't make tenants, clients or keys for itself there, nor change a key."""
    records, at = for_tenant(served(apart), two[0].id), apart.components.clock()
    mine = {"tenant_id": two[0].id, "client_id": "x", "created_at": at}
    refused(records, insert(tenants), {"tenant_id": "ten_x", "name": "x", "created_at": at})
    refused(records, insert(clients), {**mine, "name": "x", "scopes": "", "live": False})
    refused(records, insert(client_keys), {**mine, "key_id": "x", "digest": b""})
    for change in ({"expires_at": None}, {"networks": None}, {"certificate": None}, {"client_id": "x"}):
        refused(records, update(client_keys).values(change))


def test_the_role_of_the_keystore(apart: House) -> None:
    """It has no DDL, and a destroyed key's tombstone stays: only the wraps of emptied keys may go."""
    keys = apart.components.keystore
    refused(keys, text("DROP TABLE deks"))
    refused(keys, text("CREATE TABLE mine (a int)"))
    refused(keys, delete(keystore.DEKS))
    refused(keys, delete(keystore.KEKS))
    refused(keys, delete(keystore.GUARD))


@contextmanager
def counted(records: Engine) -> Iterator[list[str]]:
    """The statements that go over either kind of connection."""
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    engines = (records, reader_of(records))
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    yield seen
    for engine in engines:
        event.remove(engine, "before_cursor_execute", note)


def test_it_costs_no_statement(apart: House) -> None:
    """A request sends as many statements to the server as where nothing keeps tenants apart."""
    free = replace(apart, app=make_app(apart.components))  # the worker's role sees all tenants, and names none
    assert [statements_of(free, path) for path in PATHS] == [statements_of(apart, path) for path in PATHS]


PATHS = ("/v1/tokens/{id}", "/v1/customers/{customer}/billing-contact", "/v1/customers/{customer}", "/v1/charges")


def statements_of(house: House, path: str) -> int:
    """How many statements one warm call takes; a path that takes a body is a charge."""
    tenant = house.tenant()
    token = tenant.token(customer={"billing_contact": {"name": "Ada", "email": "a@example.com"}})

    def call() -> int:
        if path == "/v1/charges":
            return tenant.charge(token["id"]).status_code
        return tenant.call("GET", path.format(**token), **PURPOSE).status_code

    assert call() < 300
    with counted(served(house)) as seen:
        assert call() < 300
    assert seen
    return len(seen)


def test_the_main_job(apart: House, free_port: int) -> None:
    """`panless serve` as APP and the worker as WORKER do all of it: tokenize, charge, read, erase."""
    main_job(apart, free_port)
