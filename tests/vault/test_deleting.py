"""What may have gathered for long is deleted some at a time: keys, events of processors, deliveries."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from house import House, Tenant, word
from records_scene import rows
from sqlalchemy import Table, event, insert

from rows.deleting import AT_ONCE
from rows.engine import transaction
from vault.processing import intents
from vault.recovering import forgetting_old, webhooks_in
from vault.tables import event_deliveries, events, webhook_inbox
from vault.tables import intents as intent_table


def intent(tenant: Tenant, state: str, ended_at: datetime) -> dict[str, Any]:
    [like, *_] = rows(tenant.house, intent_table, tenant_id=tenant.id)
    mine = {"intent_id": word(), "key_digest": word().encode(), "state": state, "finished_at": ended_at}
    return {**like._mapping, **mine}  # noqa: SLF001  # as SQLAlchemy has it


def inbound(tenant: Tenant, state: str, came_at: datetime) -> dict[str, Any]:
    its = {"tenant_id": tenant.id, "account_id": tenant.account, "event_digest": word().encode()}
    return {**its, "type": "charge.refunded", "state": state, "next_attempt_at": came_at, "received_at": came_at}


def key_of(table: Table, row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[column.name] for column in table.primary_key)


def keys_in(house: House, table: Table) -> set[tuple[Any, ...]]:
    return {key_of(table, row._mapping) for row in rows(house, table)}  # noqa: SLF001  # as SQLAlchemy has it


@pytest.mark.parametrize(
    ("table", "make", "ended", "stays", "days", "forget"),
    [
        (intent_table, intent, "done", "manual", intents.KEEP_DAYS, forgetting_old.forget_keys),
        (webhook_inbox, inbound, "applied", "given_up", webhooks_in.KEPT_DAYS, forgetting_old.forget_webhooks),
    ],
    ids=["keys", "events"],
)
def test_what_ended_long_ago_goes(  # what each kind is
    own_house: House, table: Table, make: Any, ended: str, stays: str, days: int, forget: Any
) -> None:
    """Some rows in one transaction, the oldest first, until none is left; what is young or open is kept."""
    tenant, now = own_house.tenant(), own_house.components.clock()
    tenant.token()
    old, young = now - timedelta(days=days + 1), now - timedelta(days=days - 1)
    made = [make(tenant, ended, old - timedelta(seconds=number)) for number in range(AT_ONCE + 1)]
    kept = [make(tenant, ended, young), make(tenant, stays, old)]
    with transaction(own_house.components.records) as tx:
        tx.execute(insert(table), [*made, *kept])
    before, workshop = keys_in(own_house, table), own_house.components.workshop
    assert forget(workshop)
    assert before - keys_in(own_house, table) == {key_of(table, row) for row in made[1:]}
    assert forget(workshop)
    assert before - keys_in(own_house, table) == {key_of(table, row) for row in made}
    assert not forget(workshop)


def test_an_endpoint_with_many_deliveries_is_removed(own_house: House) -> None:
    """Its deliveries go some in each transaction, so that none takes longer than a statement may."""
    tenant, records = own_house.tenant(), own_house.components.records
    order = {"url": "https://shop.example/"}
    endpoint = tenant.call("POST", "/v1/webhook-endpoints", order).get_json()["id"]
    now, its = own_house.components.clock(), {"tenant_id": tenant.id, "state": "out"}
    told = [
        {"event_id": word(), "type": "x", "resource_id": "x", "data": "{}", "live": False} for _ in range(AT_ONCE + 1)
    ]
    sent = [{"event_id": each["event_id"], "endpoint_id": endpoint, "next_attempt_at": now} for each in told]
    with transaction(records) as tx:
        tx.execute(insert(events), [{**its, **each, "created_at": now} for each in told])
        tx.execute(insert(event_deliveries), [{**its, **each, "created_at": now, "state": "failed"} for each in sent])
    left = [len(rows(own_house, event_deliveries))]
    event.listen(records, "commit", lambda _tx: left.append(len(rows(own_house, event_deliveries))))
    assert tenant.call("DELETE", f"/v1/webhook-endpoints/{endpoint}").status_code == 204
    assert rows(own_house, event_deliveries) == []
    assert max(before - after for before, after in pairwise(left)) == AT_ONCE
