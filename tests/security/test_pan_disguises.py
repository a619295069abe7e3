"""2,000 ways to write a card number, in each field of the OpenAPI document but `card.number`: refused."""

import json
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from disguises import CARDS, disguises, in_ascii
from flask import Request
from fuzzing import body_fields
from house import PURPOSE, House, Tenant, word
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from api.bodies import read_json
from api.door import PREFIXES
from api.problems import Problem
from keys import keystore
from rows.engine import reading
from vault.ids import new_id
from vault.tables import metadata

DISGUISES = disguises()
Field = tuple[str, str, tuple[Any, ...]]
OF_OPENDSR = "/opendsr/"
KEPT = ("Idempotency-Key", "Panless-Actor", "Access-Purpose")


@pytest.fixture(scope="module")
def tenant(house: House) -> Tenant:
    return house.tenant()


def _document(house: House) -> dict[str, Any]:
    found: dict[str, Any] = house.app.test_client().get("/openapi.json").get_json()
    return found


def _fields(house: House) -> list[Field]:
    """(method, path, path into the body) of every string, number and key that may be sent, but card.number."""
    document = _document(house)
    found = [
        (method.upper(), path, where)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method != "parameters"
        for where in body_fields(document, operation)
        if where != ("card", "number")
    ]
    assert len(found) > 100
    return found


def _body(where: tuple[Any, ...], text: str) -> Any:
    """A JSON value with the text at a place: `0` is an item of a list, `key` a key of an object."""
    if not where:
        return text
    inner = _body(where[1:], text)
    if where[0] == 0:
        return [inner]
    return {text: "x"} if where[0] == "<key>" else {where[0]: inner}


def _rows(house: House) -> int:
    """How many rows both databases have."""
    counts = []
    for engine, tables in ((house.components.records, metadata), (house.components.keystore, keystore.metadata)):
        with reading(engine) as connection:
            counts += [connection.scalar(select(func.count()).select_from(each)) for each in tables.sorted_tables]
    return sum(counts)


def test_there_are_two_thousand() -> None:
    """No two alike, of every brand, and few that are just the digits."""
    assert len({text for _, text in DISGUISES}) == 2000
    assert {number for number, _ in DISGUISES} == set(CARDS)
    assert sum(number in text for number, text in DISGUISES) < 300


@pytest.mark.parametrize("house", ["sqlite"], indirect=True)  # it is the document that is asked, no database
def test_each_in_each_field(house: House) -> None:
    """Every disguise in every place where a body can have text, by the door's own look at bodies."""
    places = {where for _, _, where in _fields(house)}
    assert len(places) > 50
    for _, text in DISGUISES:
        for where in places:
            assert _is_refused(json.dumps(_body(where, text)).encode()), (where, text)


def _is_refused(body: bytes) -> bool:
    environ = {"wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body)), "CONTENT_TYPE": "application/json"}
    try:
        read_json(Request({"REQUEST_METHOD": "POST", **environ}))
    except Problem as problem:
        return (problem.status, problem.code) == (422, "card_number_misplaced")
    return False


def _calls(house: House) -> Iterator[tuple[str, str, Any]]:
    """2,000 calls and more: each disguise once, each field at least ten times."""
    fields = [each for each in _fields(house) if not each[1].startswith(OF_OPENDSR)]  # which is not set up here
    for turn, (_, text) in enumerate(DISGUISES):
        method, path, where = fields[turn % len(fields)]
        yield method, _url(path), _body(where, text)


def _url(path: str) -> str:
    ids = {name: new_id(prefix, "00") for name, (prefix, _) in PREFIXES.items()}
    return path.format(**ids, level="0", place="000")


def _refused(answers: list[TestResponse]) -> None:
    """Each is 422, and all are the same bytes and headers: nothing of what was sent can be in there."""
    assert {answer.status_code for answer in answers} == {422}
    assert len({answer.get_data() for answer in answers}) == 1
    assert json.loads(answers[0].get_data())["code"] == "card_number_misplaced"
    same = [{name: value for name, value in answer.headers.items() if name != "Request-Id"} for answer in answers]
    assert all(each == same[0] for each in same)


def test_in_bodies_over_the_door(tenant: Tenant) -> None:
    """All of them are 422, say the same whatever was sent, and leave not a row behind."""
    before = _rows(tenant.house)
    sent = {"Access_Purpose": PURPOSE["Access-Purpose"]}
    answers = [
        tenant.call(method, url, body, Idempotency_Key=word(), **sent) for method, url, body in _calls(tenant.house)
    ]
    assert len(answers) == 2000
    _refused(answers)
    assert _rows(tenant.house) == before


def test_in_every_query_field(tenant: Tenant) -> None:
    """Encoded as a browser does, and once more: in every field of every query, known or not."""
    before, paths = _rows(tenant.house), _document(tenant.house)["paths"]
    queries = [
        (path, method.upper(), one["name"])
        for path, methods in paths.items()
        for method, operation in methods.items()
        if method != "parameters" and path.startswith("/v1/") and operation.get("security")
        for one in [*operation.get("parameters", []), {"in": "query", "name": "unknown"}]
        if one["in"] == "query"
    ]
    assert len(queries) > 60
    client, answers = tenant.house.app.test_client(), []
    for turn, (_, text) in enumerate(DISGUISES):
        path, method, name = queries[turn % len(queries)]
        query = {name: text} if turn % 5 else {text: name}
        headers = {"Authorization": f"Bearer {tenant.keys['all']}"}
        answers.append(client.open(_url(path), method=method, query_string=query, headers=headers))
    _refused(answers)
    assert _rows(tenant.house) == before


@pytest.mark.parametrize("name", KEPT)
def test_in_every_header_that_is_kept(tenant: Tenant, name: str) -> None:
    """422 for what ASCII can write; what it can't is no such header: 400. No row, and not an answer that repeats it."""
    before = _rows(tenant.house)
    form = 'support; ref="{}"' if name == "Access-Purpose" else "{}"
    sent = {"Idempotency_Key": word(), "Access_Purpose": PURPOSE["Access-Purpose"]}

    def answers(texts: list[str]) -> list[TestResponse]:
        return [
            tenant.call("POST", path, body, **{**sent, name.replace("-", "_"): form.format(text)})
            for text in texts
            for path, body in (("/v1/customers/search", {"reference": "x"}), ("/v1/customers", {}))
        ]

    _refused(answers([text for number in CARDS for text in in_ascii(number)]))
    others = [text for _, text in DISGUISES if not text.isascii() and text.isprintable()][:200]
    latin = answers([text.encode().decode("latin-1") for text in others])  # as a server hands UTF-8 on
    assert {answer.status_code for answer in latin} <= {400, 422}
    assert len({answer.get_data() for answer in latin}) <= 2
    assert _rows(tenant.house) == before


def test_in_its_place_it_is_taken(tenant: Tenant) -> None:
    """A number in card.number is what the field is for: the refusals above are about the place."""
    order = {"type": "card", "card": {"number": CARDS[0], "exp_month": 12, "exp_year": 2034, "cvc": "123"}}
    assert tenant.call("POST", "/v1/tokens", order).status_code == 201
