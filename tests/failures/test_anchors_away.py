"""The bucket of the audit log's anchors is away, under load: after five minutes what must be provable waits."""

from datetime import timedelta

import pytest
from commands import panless
from failure_scene import WELL, ask, assert_paid_as_told, outcomes, row, under_load, until
from house import House, Tenant, link_to, open_house, package_of, serve
from http_front import Front
from noticing import figure
from object_store import CREDENTIALS, ObjectStore
from ports import free_port
from running_worker import worker
from sqlalchemy import select, text

from rows.engine import reading, transaction
from vault.tables import audit_logs

STALE, WAITS = timedelta(minutes=5), (503, "audit_anchor_stale")


def provable(url: str, key: str, customer: str, request: str) -> set[tuple[int, str | None]]:
    """What exports and certificates are answered with."""
    paths = (f"customers/{customer}/export", f"rights-requests/{request}/certificate")
    return {ask(f"{url}/v1/{path}", key).outcome for path in paths}


def taken(url: str, link: str) -> tuple[int, str]:
    """The status and the kind of what a package's link gives."""
    answer = ask(f"{url}/v1/packages/{link}", "")
    return answer.status, str(answer.body.get("code", ""))


def rotated(house: House, tenant: Tenant) -> tuple[int, str]:
    """`panless keys rotate` for the tenant."""
    done = panless("keys", "rotate", "--tenant", tenant.id, env=house.environment)
    return done.returncode, done.stderr


def waits_for_an_anchor(tenant: Tenant) -> bool:
    with reading(tenant.house.components.records) as connection:
        mine = select(audit_logs.c.waiting_since).where(audit_logs.c.tenant_id == tenant.id)
        return connection.scalar(mine) is not None


def let_pass(house: House, time: timedelta) -> None:
    """As if what waits for an anchor had waited for so much longer."""
    with transaction(house.components.records) as tx:
        earlier = text("UPDATE audit_logs SET waiting_since = waiting_since - make_interval(secs => :seconds)")
        tx.execute(earlier, {"seconds": time.total_seconds()})


@row("the bucket of the audit log's anchors")
@pytest.mark.parametrize("own_house", ["postgresql"], indirect=True)
def test_anchors_are_away(own_house: House, objects: ObjectStore, bucket_front: Front) -> None:
    """Charges, looks and erasures go on; the rest does for five minutes, then it waits; `panless check` tells."""
    bind, unanchored = f"127.0.0.1:{free_port()}", 'panless_audit_log_seconds{which="unanchored"}'
    where = {"PANLESS_AUDIT_ANCHOR": f"s3://{objects.bucket()}/log", "PANLESS_AUDIT_ANCHOR_ENDPOINT": bucket_front.url}
    house = open_house(own_house.home, own_house.environment | where | CREDENTIALS, own_house.sandbox)
    tenant = house.tenant()
    key, token, others = tenant.keys["all"], tenant.token(), [tenant.token()["customer"] for _ in range(2)]
    request = tenant.call("DELETE", f"/v1/customers/{others[0]}").get_json()["id"]
    assert house.work()[1] == []
    link = link_to(tenant, package_of(tenant, token["customer"]))
    with (
        serve(house, free_port(), PANLESS_METRICS_BIND=bind, PANLESS_WORKERS="1") as (_, url),
        worker(house) as log,
        under_load(url, key, token) as load,
    ):
        assert provable(url, key, token["customer"], request) == {(200, None)}
        with bucket_front.gone():
            until(lambda: "LedgerAway" in log.read_text() and waits_for_an_anchor(tenant))
            let_pass(house, STALE - timedelta(minutes=2))
            assert provable(url, key, token["customer"], request) == {(200, None)}
            let_pass(house, timedelta(minutes=2))
            assert provable(url, key, token["customer"], request) == {WAITS}
            assert taken(url, link) == WAITS
            assert rotated(house, tenant)[0] == 1
            assert "was not anchored for over five minutes" in rotated(house, tenant)[1]
            assert outcomes(load.next()) == WELL
            assert ask(f"{url}/v1/customers/{others[1]}", key, "DELETE").status == 202
            until(lambda: ask(f"{url}/v1/customers/{others[1]}", key, "DELETE").body["status"] == "completed")
            until(lambda: figure(bind, unanchored) > STALE.total_seconds())
            assert "The audit log was not anchored for" in panless("check", env=house.environment).stdout
        until(lambda: provable(url, key, token["customer"], request) == {(200, None)}, 90)
        assert taken(url, link)[0] == 200
        until(lambda: rotated(house, tenant)[0] == 0)
    assert outcomes(load.told) == WELL
    assert_paid_as_told(tenant, load.told)
