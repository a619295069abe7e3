"""The calls that are measured, and REF, which they are measured against."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import cycle
from typing import Any

from flask import Flask, request
from sqlalchemy import Column, DateTime, Engine, Integer, LargeBinary, MetaData, String, Table, insert

from bench.door import Application, Call, prepare
from bench.house import House, word

PURPOSE = 'support; ref="T-1"'
CUSTOMERS = 20


@dataclass(frozen=True)
class Path:
    """One kind of call; `make` gives that many calls, ready to be measured, each with an effect of its own."""

    name: str
    application: Application
    make: Callable[[int], list[Call]]
    status: int
    block: int
    must: float = 0
    reach: float = 0


def paths_of(house: House) -> list[Path]:
    """The paths whose cost is bound, over customers that are there already."""
    tokens = [house.ask(house.tokenize()) for _ in range(CUSTOMERS)]
    ids, customers = cycle([token["id"] for token in tokens]), cycle([token["customer"] for token in tokens])

    def tokenize(count: int) -> list[Call]:
        return [house.tokenize(next(customers)) for _ in range(count)]

    def charge(count: int) -> list[Call]:
        return [charge_of(house, next(ids)) for _ in range(count)]

    def metadata(count: int) -> list[Call]:
        return [house.prepare("GET", f"/v1/tokens/{next(ids)}") for _ in range(count)]

    def contact(count: int) -> list[Call]:
        paths = (f"/v1/customers/{next(customers)}/billing-contact" for _ in range(count))
        return [house.prepare("GET", path, Access_Purpose=PURPOSE) for path in paths]

    def erase(count: int) -> list[Call]:
        fresh = (house.ask(house.tokenize())["customer"] for _ in range(count))
        return [house.prepare("DELETE", f"/v1/customers/{customer}") for customer in fresh]

    door = house.app.wsgi_app
    return [
        Path("tokenize", door, tokenize, 201, 15, must=8, reach=4),
        Path("charge", door, charge, 201, 15, must=7, reach=3.5),
        Path("metadata", door, metadata, 200, 60, must=2.5, reach=1.25),
        Path("contact", door, contact, 200, 40, must=3.5, reach=1.75),
        Path("erase", door, erase, 202, 10, must=8, reach=4),
    ]


def charge_of(house: House, token: str) -> Call:
    """A charge that the merchant initiates, for an obligation of its own."""
    body = {"token": token, "amount": 1234, "currency": "eur", "initiator": "merchant", "reason": "recurring"}
    body |= {"obligation": word()}
    return house.prepare("POST", "/v1/charges", body, Idempotency_Key=word())


def reference(records: Engine) -> Path:
    """REF: Flask, one row inserted with SQLAlchemy Core, commit; in the same database, on an engine like ours."""
    table = Table(
        "bench_ref",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("name", String(40)),
        Column("value", LargeBinary),
        Column("at", DateTime(timezone=True)),
    )
    table.create(records, checkfirst=True)
    app = Flask("bench_ref")

    @app.post("/rows")
    def add() -> Any:  # noqa: ANN401  # JSON is any of its types
        row = {"name": request.get_json()["name"], "value": bytes(200), "at": datetime.now(UTC)}
        with records.begin() as connection:
            connection.execute(insert(table), row)
        return {"name": row["name"]}, 201

    def make(count: int) -> list[Call]:
        return [prepare("POST", "/rows", {"name": "tok_00abcdefghijklmnopqrstuvwx"}) for _ in range(count)]

    return Path("REF", app.wsgi_app, make, 201, 80)
