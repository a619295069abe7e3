"""PostgreSQL's log in normal work: what is refused by a rule of ours is no error of the database's."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from api_scene import at_once
from house import House, Tenant, word
from sqlalchemy import make_url

ONE_CARD = "4242424242424242"


@contextmanager
def logged(server: str) -> Iterator[list[str]]:
    """The errors that the server of this URL writes down meanwhile."""
    file = Path(str(make_url(server).query["host"])) / "log"
    begin, found = file.stat().st_size, list[str]()
    yield found
    with file.open(errors="replace") as log:
        log.seek(begin)
        found += [line.strip() for line in log if "ERROR" in line or "FATAL" in line]


def test_calls_that_are_made_again(apart: House, postgresql: str) -> None:
    """A key, an obligation, a card, a capture, each twice: nothing of it is in the log."""
    tenant = apart.tenant()
    with logged(postgresql) as errors:
        token = _the_same_card_twice(tenant)
        _charged_twice(tenant, token)
        _captured_twice(tenant, token)
    assert errors == []


def _the_same_card_twice(tenant: Tenant) -> str:
    first = tenant.token(ONE_CARD)
    second = tenant.token(ONE_CARD, customer=first["customer"])
    assert second["id"] == first["id"]
    return str(first["id"])


def _charged_twice(tenant: Tenant, token: str) -> None:
    key, obligation = word(), word()
    answers = [
        tenant.charge(token, key=key, obligation=obligation),
        tenant.charge(token, key=key, obligation=obligation),
        tenant.charge(token, key=word(), obligation=obligation),
    ]
    assert [answer.status_code for answer in answers] == [201, 201, 409]
    at_once(4, lambda _: tenant.charge(token, key=key, obligation=obligation))


def _captured_twice(tenant: Tenant, token: str) -> None:
    charge = tenant.charge(token, capture_method="manual").get_json()["id"]
    path, key = f"/v1/charges/{charge}/capture", word()
    answers = [tenant.call("POST", path, Idempotency_Key=each) for each in (key, key, word())]
    assert [answer.status_code for answer in answers] == [200, 200, 409]


def test_calls_at_once(apart: House, postgresql: str) -> None:
    """Four calls with one key, four charges for one obligation, customers erased at once: nothing of it is logged."""
    tenant = apart.tenant()
    tokens = [tenant.token() for _ in range(6)]
    keys = [word() for _ in range(4)]
    with logged(postgresql) as errors:
        for token, key in zip(tokens, keys, strict=False):
            at_once(4, lambda _, token=token, key=key: tenant.charge(token["id"], key=key, obligation=key))
            at_once(4, lambda _, token=token, key=key: tenant.charge(token["id"], obligation=f"of {key}"))
        gone = at_once(6, lambda number: tenant.call("DELETE", f"/v1/customers/{tokens[number]['customer']}"))
    assert {answer.status_code for answer in gone} <= {202, 503}
    assert errors == []
