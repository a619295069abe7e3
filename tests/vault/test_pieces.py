"""Answers that are written while they are sent: they come to their end under load, and a cut one is told of."""

import http.client
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import pytest
from house import PURPOSE, House, Tenant, link_to, make_app, package_of, serve
from records_scene import many_charges, rows
from sqlalchemy import delete, update

from api.admission import Admission
from rows.engine import transaction
from vault.exports.disclosure import PAGE
from vault.tables import charges, package_chunks


@pytest.fixture
def person(tenant: Tenant) -> str:
    """A customer with more charges than a page of an export has."""
    return with_many_charges(tenant)


def with_many_charges(tenant: Tenant) -> str:
    token = tenant.token()
    many_charges(tenant, tenant.charge(token["id"]).get_json()["id"], 2 * PAGE)
    return str(token["customer"])


def test_each_piece_waits_for_a_turn(tenant: Tenant, person: str) -> None:
    """Who has the only turn meanwhile is waited for, and the answer goes on before anybody new."""
    admission = Admission(1, lambda: 0.0)
    busy = make_app(tenant.house.components, admission=admission)
    headers = {"Authorization": f"Bearer {tenant.keys['all']}", **PURPOSE}
    answer = busy.test_client().get(f"/v1/customers/{person}/export", headers=headers)
    assert answer.status_code == 200
    pieces: Iterator[bytes] = answer.iter_encoded()  # type: ignore[assignment]
    first = next(pieces)
    other = admission.enter()
    with ThreadPoolExecutor(1) as pool:
        rest = pool.submit(lambda: b"".join(pieces))
        while not admission.waiting and not rest.done():
            pass
        assert admission.waiting == 1
        other.leave()
        assert len(json.loads(first + rest.result(20))["charges"]) == 2 * PAGE + 1
    assert admission.enter().waited == 0


def spoil(house: House, tenant: Tenant, number: int) -> None:
    """Have the charge that an export lists at this place, from the newest on, open with no key."""
    [*listed] = sorted(rows(house, charges, tenant_id=tenant.id), key=lambda each: each.created_at, reverse=True)
    with transaction(house.components.records) as tx:
        its = charges.c.charge_id == listed[number].charge_id
        tx.execute(update(charges).where(its).values(details=listed[number].details[:-1] + b"\0\0"))


def test_an_answer_that_breaks_off(own_house: House, free_port: int) -> None:
    """Over HTTP the client sees that it is not whole, and the log says so under its Request-Id."""
    tenant = own_house.tenant()
    person = with_many_charges(tenant)
    spoil(own_house, tenant, PAGE + 1)
    headers = {"Authorization": f"Bearer {tenant.keys['all']}", **PURPOSE}
    with ExitStack() as stack:
        stack.enter_context(serve(own_house, free_port))
        connection = stack.enter_context(closing(http.client.HTTPConnection("127.0.0.1", free_port, timeout=20)))
        connection.request("GET", f"/v1/customers/{person}/export", headers=headers)
        answer = connection.getresponse()
        assert answer.status == 200
        with pytest.raises(http.client.IncompleteRead):
            answer.read()
    told = [line for line in (own_house.home / "server.log").read_text().splitlines() if "answer_cut" in line]
    assert [json.loads(line)["request_id"] for line in told] == [answer.headers["Request-Id"]]


def test_what_fails_at_once_is_no_200(tenant: Tenant) -> None:
    """The first piece is made before the answer begins: of a package that is gone by then, 410."""
    package = package_of(tenant, str(tenant.token()["customer"]))
    link = link_to(tenant, package)
    with transaction(tenant.house.components.records) as tx:
        tx.execute(delete(package_chunks).where(package_chunks.c.package_id == package))
    assert tenant.house.app.test_client().get(f"/v1/packages/{link}").status_code == 410
