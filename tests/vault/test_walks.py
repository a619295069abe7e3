"""Walks through accounts: credentials that are refused end nothing, and no tenant waits for another's account."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from accounts_scene import changed, key_of
from backups import backup, restore
from house import House, Tenant, make_app, word
from records_scene import LONG_AGO, Interposed, interpose, row, rows
from sqlalchemy import insert, select, update

from rows.engine import reading, transaction
from rows.instances import instance
from vault.caller import Caller
from vault.lanes import money
from vault.personal import Secret
from vault.processing import accounts as processor_accounts
from vault.processing import beats, intents
from vault.processing.answers import Identified, MadePage, PaymentPage, Refused, Unknown
from vault.tables import beats as beat_table
from vault.tables import charges
from vault.tables import processor_accounts as accounts
from vault.tenancy import clients

TENANTS, SECONDS, CALL = 1000, 2.0, 0.15
REFUSALS = [
    Refused(code="processor_credentials_refused", credentials=True),  # 401 and 403
    Refused(code="parameter_unknown"),  # 400
    Unknown(reason="http_500"),
]


def doubted(house: House, ago: timedelta) -> None:
    """As if these records lay in another database since `ago`, and no call from before were under way any more."""
    before, records = f"before-{word()}", house.components.records
    with transaction(records) as tx:
        tx.execute(insert(beat_table), {"instance": before, "since": LONG_AGO, "at": datetime.now(UTC) - ago})
        tx.execute(update(accounts).values(known_on=before, walk_at=None, wanted_at=None))
    beats.begin(records)
    beats.beat(records)
    with transaction(records) as tx:
        tx.execute(update(beat_table).values(since=LONG_AGO))


def is_known(tenant: Tenant) -> bool:
    with reading(tenant.house.components.records) as connection:
        here = connection.scalar(select(instance()))
    return bool(row(tenant.house, accounts, account_id=tenant.account).known_on == here)


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize("call", ["list_payments", "list_made", "refunds_of", "read_charge"])
def test_a_look_that_is_refused_ends_nothing(own_house: House, call: str, refusal: object) -> None:
    """Whichever of a walk's looks is refused: the account stays in doubt, others go on, and it is walked again."""
    tenant, other = own_house.tenant(), own_house.tenant()
    token = tenant.token()["id"]
    charge = tenant.charge(token).get_json()["id"]
    assert (
        tenant.call("POST", f"/v1/charges/{charge}/refunds", {"amount": 5}, Idempotency_Key=word()).status_code == 201
    )
    assert tenant.charge(token, capture_method="manual").status_code == 201
    doubted(own_house, timedelta(minutes=1))
    refused = interpose(tenant, **{call: lambda call: refusal if _is_of(tenant, call) else call()})
    reported = refused.house.work()[1]
    assert {what for what, _ in reported if what == "walk"} == {"walk"}
    assert (is_known(tenant), is_known(other)) == (False, True)
    with transaction(own_house.components.records) as tx:
        tx.execute(update(accounts).values(walk_at=None))
    tenant.house.work()
    assert is_known(tenant)


@pytest.mark.parametrize(("seconds", "is_walked"), [(64, False), (67, True)])
def test_a_walk_waits_until_lists_have_what_the_old_primary_did(
    own_house: House, seconds: int, *, is_walked: bool
) -> None:
    """A request's budget, a call and the lists' lag after the new one began; SQLite's calls ended with the program."""
    tenant = own_house.tenant()
    doubted(own_house, timedelta(minutes=1))
    with transaction(own_house.components.records) as tx:
        tx.execute(update(beat_table).values(since=datetime.now(UTC) - timedelta(seconds=seconds)))
    own_house.work()
    assert is_known(tenant) is (is_walked or own_house.components.records.dialect.name == "sqlite")


def _is_of(tenant: Tenant, call: Any) -> bool:
    return bool(call.args[0].value == key_of(tenant))


@pytest.mark.parametrize("refused", [401, 403])
def test_changed_credentials_are_tried_at_once(own_house: House, tmp_path: Path, refused: int) -> None:
    """After a restore the key is refused: a paid obligation is not free. A new key of the account finds who paid it."""
    tenant = own_house.tenant()
    token, invoice = tenant.token()["id"], word()
    saved = backup(own_house.components.records, tmp_path / "records")
    assert tenant.charge(token, obligation=invoice).status_code == 201
    restore(own_house.components.records, saved)
    key = key_of(tenant)
    own_house.sandbox.hook("POST", "/_keys", {"key": key, "refused": refused})
    beats.begin(own_house.components.records)
    beats.beat(own_house.components.records)
    with transaction(own_house.components.records) as tx:
        tx.execute(update(beat_table).values(since=LONG_AGO))
    own_house.work()
    own_house.work()
    assert not is_known(tenant)
    assert rows(own_house, charges, tenant_id=tenant.id) == []
    changed(tenant, f"{key}_new")
    own_house.work()
    assert is_known(tenant)
    assert len(rows(own_house, charges, tenant_id=tenant.id)) == 1
    tenant.charge(token, obligation=invoice)
    assert len(tenant.charges_at_processor()) == 1


class Slow:
    """A processor with nothing in it that takes its time for each look."""

    abilities = frozenset[str]()
    key_lifetime, list_lag, call_timeout = timedelta(hours=24), timedelta(seconds=10), 26.0

    def __init__(self, answer: Callable[[], object] = lambda: None) -> None:
        self.seconds = 0.0
        self._answer = answer

    def _after(self, found: object) -> Any:
        time.sleep(self.seconds)
        return self._answer() or found

    def mode_of(self, _: Secret) -> None:
        return None

    def identify(self, credentials: Secret) -> Identified:
        return Identified(own_id=credentials.value)

    def list_payments(self, *_: Any, **__: Any) -> Any:
        return self._after(PaymentPage(payments=[], after=None))

    def list_made(self, *_: Any, **__: Any) -> Any:
        return self._after(MadePage(made=[], after=None))


class Delayed(Interposed):
    """The sandbox, each call to which takes as long as one to a processor far away."""

    def __getattr__(self, name: str) -> Any:
        method = super().__getattr__(name)

        def later(*args: Any, **kwargs: Any) -> Any:
            time.sleep(CALL)
            return method(*args, **kwargs)

        return later if callable(method) and name not in {"misfit", "mode_of", "parse_webhook"} else method


@dataclass
class Crowd:
    """Many tenants with one account each; some of them order with a token that they have."""

    house: House
    orders: list[tuple[Tenant, str]]


def joined(house: House, slow: Slow, kind: str, tenants: int, of_each: int = 1) -> House:
    """So many tenants more at a processor of that kind."""
    parts = replace(house.components, processors={**house.components.processors, kind: slow})
    for _ in range(tenants):
        tenant = clients.create_tenant(parts.records, parts.keyring, cell="00", name="Crowd", at=parts.clock())
        caller = Caller(tenant=tenant, client="", live=False, at=parts.clock(), request_id="req_test")
        for _ in range(of_each):
            processor_accounts.add(
                parts.desk(caller),
                parts.processors,
                kind=kind,
                label="",
                credentials={"api_key": f"sk_test_{word()}"},
                default=False,
                attempt=intents.Attempt(operation="processor_account.add", key=None, fingerprint=b""),
            )
    return replace(house, components=parts, app=make_app(parts))


def delayed(house: House) -> House:
    processors = {**house.components.processors, "sandbox": Delayed(house.components.processors["sandbox"])}
    components = replace(house.components, processors=processors)
    return replace(house, components=components, app=make_app(components))


@contextmanager
def walking(house: House) -> Iterator[None]:
    """The worker's lane of walks runs meanwhile."""
    stop = Event()

    def run() -> None:
        while not stop.wait(0.2):
            money.walk_once(house.components.workshop, lambda _what, _error: None)

    thread = Thread(target=run, daemon=True)
    thread.start()
    yield
    with transaction(house.components.records) as tx:  # nothing is left to be walked
        tx.execute(update(accounts).values(walk_at=house.components.clock() + timedelta(days=1)))
    stop.set()
    thread.join(30)


def answered(tenant: Tenant, token: str) -> float:
    """Seconds until a new order is charged, asked again while it is told to wait."""
    begun, invoice = time.monotonic(), word()
    while (answer := tenant.charge(token, obligation=invoice)).status_code != 201:
        assert answer.get_json()["code"] == "in_doubt", answer.get_data(as_text=True)
        assert time.monotonic() - begun < 30
        time.sleep(0.05)
    return time.monotonic() - begun


@pytest.fixture
def crowd(own_house: House) -> Crowd:
    slow, buyers = Slow(), [own_house.tenant() for _ in range(5)]
    house = delayed(joined(own_house, slow, "slow", TENANTS - len(buyers)))
    slow.seconds = CALL
    return Crowd(house, [(replace(buyer, house=house), buyer.token()["id"]) for buyer in buyers])


def unknown_yet(house: House) -> int:
    with reading(house.components.records) as connection:
        here = connection.scalar(select(instance()))
    return sum(account.known_on != here for account in rows(house, accounts))


def test_a_thousand_tenants_in_doubt(crowd: Crowd) -> None:
    """Since a minute: a charge of any is answered at once, from the first second on; keys guard it.

    For longer than keys are kept: who waits is walked through first, the many who do not, later.
    """
    doubted(crowd.house, timedelta(minutes=1))
    with walking(crowd.house):
        took = [answered(*each) for _ in range(2) for each in crowd.orders]
        assert unknown_yet(crowd.house) > 0
    assert max(took) < SECONDS
    doubted(crowd.house, timedelta(hours=30))
    with walking(crowd.house):
        took = [answered(*each) for each in crowd.orders]
        assert unknown_yet(crowd.house) > TENANTS / 4
    assert max(took) < 2 * SECONDS


@pytest.mark.parametrize("answer", [Unknown(reason="timeout"), REFUSALS[0]])
def test_no_tenant_waits_for_anothers_accounts(own_house: House, answer: object) -> None:
    """Three tenants with accounts that hang or refuse, all of them wanted: another one is answered all the same."""
    buyer = own_house.tenant()
    token, hanging = buyer.token()["id"], Slow()
    house = joined(own_house, hanging, "hanging", tenants=3, of_each=10)
    hanging.seconds, hanging._answer = (5.0 if isinstance(answer, Unknown) else 0.0), lambda: answer  # noqa: SLF001  # ours
    doubted(house, timedelta(hours=30))
    with transaction(house.components.records) as tx:
        tx.execute(update(accounts).where(accounts.c.kind == "hanging").values(wanted_at=LONG_AGO))
    with walking(house):
        time.sleep(1)
        assert answered(replace(buyer, house=house), token) < SECONDS
