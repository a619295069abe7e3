"""The real server at its most talkative, every step made to fail once: no card number, no CVC, in any file."""

import json
import re
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from canaries import in_columns, in_files, pattern
from house import House, Tenant, serve
from sqlalchemy import text

from rows.engine import reading, transaction
from sandbox.cards import CARDS

NUMBERS = [card.number for card in CARDS]
AMEX = "371449635398431"
CVCS = ("7391", "8264", "9158")
"""Of four digits: rare enough to be looked for as they are."""

CALLS = ("/v1/customers", "/v1/payment_methods", "/v1/setup_intents")
FAULTS: tuple[dict[str, Any], ...] = (
    {"do": "reset"},
    {"do": "status", "status": 500, "act": False},
    {"do": "status", "status": 500, "act": True},
    {"do": "status", "status": 429},
    {"do": "status", "status": 401},
    {"do": "garbage"},
    {"do": "lose_answer"},
    {"do": "in_flight"},
)
AWAY = (("records", "tokens"), ("records", "audit_entries"), ("records", "intents"), ("keystore", "deks"))


class Door:
    """The server over HTTP."""

    def __init__(self, tenant: Tenant, url: str) -> None:
        self.url = url
        self._headers = {"Authorization": f"Bearer {tenant.keys['all']}", "Content-Type": "application/json"}

    def send(self, path: str, body: object, **headers: str) -> int:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, self._headers | headers)
        try:
            with urllib.request.urlopen(request, timeout=90) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code

    def tokenize(self, number: str, cvc: str, **order: object) -> int:
        card = {"number": number, "exp_month": 12, "exp_year": 2034, "cvc": cvc}
        return self.send("/v1/tokens", {"type": "card", "card": card, **order})


def cvc_of(number: str, turn: int) -> str:
    plain = number.replace(" ", "").replace("-", "")
    return CVCS[turn % len(CVCS)] if plain.startswith(("34", "37")) else f"{137 + turn % 800}"


def written(number: str, turn: int) -> str:
    """A card number as people type it."""
    groups = [number[start : start + 4] for start in range(0, len(number), 4)]
    return (number, " ".join(groups), "-".join(groups))[turn % 3]


def wanted() -> Any:
    """Every card number as typed, in hex and base64; a CVC under its name.

    The name alone as it is only: its four letters in base64 stand somewhere in a gigabyte of noise.
    """
    spellings = [written(number, turn) for number in NUMBERS for turn in range(3)]
    named = [f'"cvc":"{cvc}"' for cvc in CVCS] + ["card[cvc]", "card%5Bcvc%5D", "card[number]"]
    return pattern([*spellings, *named], b"[\"']cvc[\"']")


def alone() -> Any:
    """The four-digit CVCs as words of their own."""
    return re.compile(b"|".join(rb"(?<![0-9A-Za-z.:_-])%b(?![0-9A-Za-z.:_-])" % cvc.encode() for cvc in CVCS))


@contextmanager
def table_away(house: House, database: str, table: str) -> Iterator[None]:
    engine = getattr(house.components, database)
    _rename(engine, table, f"{table}_away")
    yield
    _rename(engine, f"{table}_away", table)


@contextmanager
def credentials_broken(house: House) -> Iterator[None]:
    """What is sealed for the processor account does not open: an error that nothing expects."""
    records = house.components.records
    with reading(records) as connection:
        kept = connection.execute(text("SELECT credentials FROM processor_accounts")).scalar_one()
    for value in (b"broken", kept):
        with transaction(records) as tx:
            tx.execute(text("UPDATE processor_accounts SET credentials = :value"), {"value": value})
        if value != kept:
            yield


def _rename(engine: Any, old: str, new: str) -> None:
    with transaction(engine) as tx:
        tx.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))


def during(house: House, call: Callable[[], int], path: str, disturb: Callable[[], Any]) -> int:
    """`disturb` while `call` waits for the processor's answer at `path`."""
    house.sandbox.fault(path=path, do="delay", seconds=0.6, when="after")
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(call)
        time.sleep(0.3)
        with disturb():
            return answer.result()


def files_of(house: House, sandbox_home: Path) -> list[Path]:
    records = house.components.records
    if records.dialect.name == "sqlite":
        return [house.home, sandbox_home]
    with reading(records) as connection:
        connection.execute(text("CHECKPOINT"))
        return [house.home, sandbox_home, Path(connection.execute(text("SHOW data_directory")).scalar_one())]


def half_a_request(door: Door) -> None:
    """A client that goes away in the middle of a card."""
    host, port = door.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(b"POST /v1/tokens HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n")
        client.sendall(b'{"type":"card","card":{"number":"%b","cvc":"7391"' % AMEX.encode())


def nonsense(door: Door) -> None:
    """Cards where none may be, in bodies, headers and paths that are no requests of ours."""
    bodies: list[object] = [
        b'{"type":"card","card":{"number":"%b","cvc":"7391"' % AMEX.encode(),
        b"card[number]=%b&card[cvc]=7391" % AMEX.encode(),
        {"type": "card", "card": {"number": AMEX, "exp_month": 99, "exp_year": 2034, "cvc": "7391"}},
        {"type": "card", "card": {"number": AMEX, "exp_month": 12, "exp_year": 2034, "cvc": "7391", "x": 1}},
        {"type": "card", "card": AMEX},
        {"type": "card", "metadata": {"note": written(AMEX, 1)}},
        {AMEX: "7391"},
        {"type": "card", "card": {"number": {"a": AMEX}, "cvc": ["7391"]}},
        [AMEX, "7391"],
    ]
    for body in bodies:
        assert 400 <= door.send("/v1/tokens", body) < 500
    assert door.send("/v1/tokens", {"type": "card"}, **{"Idempotency-Key": AMEX}) >= 400
    assert door.send(f"/v1/tokens/{AMEX}/confirm?number={AMEX}&cvc=7391", {}) >= 400
    assert door.send("/v1/tokens", {}, Referer=f"https://shop.example/?pan={AMEX}") >= 400
    with suppress(OSError):
        half_a_request(door)


def test_no_card_number_and_no_cvc_in_any_file(own_house: House, free_port: int, tmp_path_factory: Any) -> None:
    """Two hundred cards at DEBUG; each processor call failing in each way; databases, keystore, ledger away."""
    tenant, faults = own_house.tenant(), own_house.sandbox
    answers: list[int] = []
    with serve(own_house, free_port, PANLESS_LOG_LEVEL="DEBUG") as (_, url), ThreadPoolExecutor(4) as pool:
        door = Door(tenant, url)
        faults.fault(path="/v1/setup_intents", do="delay", seconds=25)  # longer than we wait
        slow = ThreadPoolExecutor(1)
        waiting = slow.submit(door.tokenize, AMEX, CVCS[0])
        time.sleep(0.5)

        def store(turn: int) -> int:
            number = NUMBERS[turn % len(NUMBERS)]
            customer = {"reference": f"c-{turn % 9}", "billing_contact": {"name": "A B"}}
            return door.tokenize(written(number, turn), cvc_of(number, turn), customer=customer)

        answers += pool.map(store, range(200))
        for path in CALLS:
            for fault in FAULTS:
                faults.fault(path=path, **fault)
                answers.append(door.tokenize(AMEX, CVCS[1]))
                faults.clear()
        for path in CALLS:
            for database, table in AWAY:
                away = lambda d=database, t=table: table_away(own_house, d, t)  # noqa: E731
                answers.append(during(own_house, lambda: door.tokenize(AMEX, CVCS[2]), path, away))
        for database, table in AWAY:
            with table_away(own_house, database, table):
                answers.append(door.tokenize(AMEX, CVCS[2]))
        with credentials_broken(own_house):
            assert door.tokenize(AMEX, CVCS[2]) == 500
        nonsense(door)
        answers.append(waiting.result())
        slow.shutdown()
        assert own_house.work()
        log = (own_house.home / "server.log").read_text()
        assert log.count("\n") > 200
        assert '"level": "error"' in log
        base = Path(tmp_path_factory.getbasetemp())  # beside them lie other tests' folders, with cards as their input
        files = [*files_of(own_house, own_house.home.parent), *base.glob("sandbox*")]
    assert {201, 402} <= set(answers), sorted(set(answers))
    assert {500, 503} & set(answers), sorted(set(answers))
    assert answers.count(201) > 50
    for needle in (wanted(), alone()):
        for engine in (own_house.components.records, own_house.components.keystore):
            assert in_columns(needle, engine) == []
    assert in_files(wanted(), *files) == []
    assert in_files(alone(), own_house.home) == []
