import json
import socket
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import stripe
from sandbox_process import Running


@pytest.mark.parametrize(("deed", "charges"), [("lose_answer", 1), ("reset", 0)])
def test_a_connection_that_breaks(sandbox: Running, client: stripe.StripeClient, deed: str, charges: int) -> None:
    """``lose_answer`` acts first, ``reset`` does not; the same key then gets the outcome either way, once."""
    sandbox.faults(do=deed)
    params: Any = {"amount": 900, "currency": "eur", "confirm": True, "payment_method": "pm_card_visa"}
    params |= {"allowed_payment_method_types": ["card"]}
    with pytest.raises(stripe.APIConnectionError):
        client.v1.payment_intents.create(params, {"idempotency_key": "same"})
    assert len(client.v1.charges.list().data) == charges
    done = client.v1.payment_intents.create(params, {"idempotency_key": "same"})
    assert done.status == "succeeded"
    assert len(client.v1.charges.list().data) == 1


def raw(url: str, key: str) -> bytes:
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as wire:
        head = f"GET /v1/customers HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n\r\n"
        wire.sendall(head.encode())
        return wire.recv(65536)


def test_a_reset_is_a_reset_and_a_lost_answer_an_end(sandbox: Running) -> None:
    """On the wire, ``reset`` is RST and ``lose_answer`` a connection closed without a byte."""
    sandbox.faults(do="reset", method="GET", path="/v1/customers")
    with pytest.raises(ConnectionResetError):
        raw(sandbox.url, "sk_test_raw")
    sandbox.faults(do="lose_answer", method="GET", path="/v1/customers")
    assert raw(sandbox.url, "sk_test_raw") == b""
    assert raw(sandbox.url, "sk_test_raw").startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_delay(sandbox: Running, pay: Callable[..., Any], when: str) -> None:
    """The answer comes, late."""
    sandbox.faults(do="delay", seconds=0.3, when=when)
    start = time.monotonic()
    assert pay("pm_card_visa").status == "succeeded"
    assert time.monotonic() - start >= 0.3


def test_a_client_that_gave_up_is_charged_all_the_same(
    sandbox: Running, client: stripe.StripeClient, pay: Callable[..., Any]
) -> None:
    """Whoever stops waiting during the delay does not stop the request."""
    sandbox.faults(do="delay", seconds=0.3)
    sandbox.http._timeout, usual = 0.1, sandbox.http._timeout  # noqa: SLF001 - the SDK's own timeout
    with pytest.raises(stripe.APIConnectionError):
        pay("pm_card_visa")
    sandbox.http._timeout = usual  # noqa: SLF001 - as above
    time.sleep(0.4)
    assert len(client.v1.charges.list().data) == 1


@pytest.mark.parametrize(
    ("status", "act", "charges"), [(500, False, 0), (503, False, 0), (429, False, 0), (502, True, 1)]
)
def test_a_status(
    sandbox: Running, client: stripe.StripeClient, pay: Callable[..., Any], *, status: int, act: bool, charges: int
) -> None:
    """Any failure can be answered, without acting or, from 500, after it."""
    sandbox.faults(do="status", status=status, act=act)
    with pytest.raises(stripe.StripeError) as failed:
        pay("pm_card_visa")
    assert failed.value.http_status == status
    assert len(client.v1.charges.list().data) == charges


def test_a_lock_timeout(sandbox: Running, pay: Callable[..., Any]) -> None:
    """The other 429 that Stripe has."""
    sandbox.faults(do="status", status=429, code="lock_timeout")
    with pytest.raises(stripe.RateLimitError) as failed:
        pay("pm_card_visa")
    assert failed.value.error
    assert failed.value.error.code == "lock_timeout"


@pytest.mark.parametrize(("act", "charges"), [(None, 1), (False, 0)])
def test_garbage(sandbox: Running, client: stripe.StripeClient, *, act: bool | None, charges: int) -> None:
    """A 200 that is not JSON, after acting unless told otherwise."""
    sandbox.faults(do="garbage", **({} if act is None else {"act": act}))
    body = b"amount=900&currency=eur&confirm=true&payment_method=pm_card_visa&payment_method_types[]=card"
    headers = {"Authorization": f"Bearer {client._requestor.api_key}"}  # noqa: SLF001 - the SDK has no other way
    request = urllib.request.Request(sandbox.url + "/v1/payment_intents", body, headers)
    with urllib.request.urlopen(request, timeout=5) as answer, pytest.raises(ValueError):  # noqa: PT011 - not JSON
        json.loads(answer.read())
    assert answer.status == 200
    assert len(client.v1.charges.list().data) == charges


def test_a_key_in_flight_on_demand(sandbox: Running, client: stripe.StripeClient, pay: Callable[..., Any]) -> None:
    """``in_flight`` answers the 409 without another request."""
    sandbox.faults(do="in_flight")
    with pytest.raises(stripe.APIError) as in_use:
        pay("pm_card_visa")
    assert in_use.value.http_status == 409
    assert client.v1.charges.list().data == []


def test_which_requests_meet_a_fault(sandbox: Running, client: stripe.StripeClient) -> None:
    """``after`` lets some pass, ``times`` says how many fail, ``path`` may be a pattern; what is armed can be read."""
    sandbox.faults(method="GET", path="/v1/cus*", after=1, times=2, do="status")
    outcomes = []
    for _ in range(4):
        try:
            client.v1.customers.list()
            outcomes.append(200)
        except stripe.APIError as error:
            outcomes.append(error.http_status or 0)
    assert outcomes == [200, 500, 500, 200]
    sandbox.faults(do="reset", times=3)
    assert [(one["do"], one["times"]) for one in sandbox.hook("GET", "/_faults")["faults"]] == [("reset", 3)]
    assert sandbox.hook("DELETE", "/_faults") == {"faults": [], "webhooks": None}


@pytest.mark.parametrize(
    ("script", "word"),
    [
        ([], "JSON object"),
        ({}, "faults"),
        ({"fault": []}, "faults"),
        ({"faults": {}}, "list"),
        ({"faults": [{"do": "explode"}]}, "lose_answer"),
        ({"faults": [{"do": "reset", "paht": "/"}]}, "only those names"),
        ({"faults": [{"do": "reset", "times": 0}]}, "times"),
        ({"faults": [{"do": "reset", "after": True}]}, "after"),
        ({"faults": [{"do": "delay", "seconds": -1}]}, "seconds"),
        ({"faults": [{"do": "status", "status": 200}]}, "status"),
        ({"faults": [{"do": "status", "status": 429, "act": True}]}, "act"),
        ({"webhooks": "sometimes"}, "webhooks"),
    ],
)
def test_a_wrong_script_is_refused(sandbox: Running, script: dict[str, Any], word: str) -> None:
    """A 400 with a sentence that says what to change, and nothing is armed."""
    refused = sandbox.hook("POST", "/_faults", script)
    assert refused["status"] == 400
    assert word in refused["error"]["message"]
    assert sandbox.hook("GET", "/_faults")["faults"] == []


@pytest.mark.parametrize("seconds", [-1, "1", True, None])
def test_a_clock_only_goes_forward(sandbox: Running, seconds: object) -> None:
    """Anything but a whole number from 0 is a 400."""
    assert sandbox.hook("POST", "/_clock", {"advance_seconds": seconds})["status"] == 400


def test_an_unknown_hook(sandbox: Running) -> None:
    """A 404 in JSON."""
    assert sandbox.hook("GET", "/_nothing")["status"] == 404


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"POST /v1/customers HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n", b"413"),
        (b"POST /v1/customers HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"400"),
        (b"POST /v1/customers HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"411"),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", b"431"),
        (b"GET /v1/customers HTTP/1.1\r\n\r\n", b"401"),
        (b"POST /v1/customers HTTP/1.1\r\nAuthorization: Bearer sk_test_a\r\nContent-Length: 5\r\n\r\na[b=1", b"400"),
        (b"POST /v1/customers HTTP/1.1\r\nAuthorization: Basic %%%\r\nContent-Length: 0\r\n\r\n", b"401"),
    ],
)
def test_requests_that_cannot_be_read(sandbox: Running, request_head: bytes, status: bytes) -> None:
    """Each gets its status in JSON, and the sandbox goes on."""
    host, port = sandbox.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as wire:
        wire.sendall(request_head)
        answer = wire.recv(65536)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["message"]


def test_64_connections_at_once(sandbox: Running) -> None:
    """Each keeps its connection through several calls, and nothing is lost."""
    key = "sk_test_crowd"

    def work(number: int) -> list[str]:
        own = Running(sandbox.program, sandbox.url)
        client = own.client(key)
        made = [client.v1.customers.create({"metadata": {"n": str(number)}}).id for _ in range(5)]
        own.http.close()
        return made

    with ThreadPoolExecutor(64) as pool:
        made = [one for batch in pool.map(work, range(64)) for one in batch]
    listed = [one.id for one in sandbox.client(key).v1.customers.list({"limit": 100}).auto_paging_iter()]
    assert sorted(listed) == sorted(made)
