"""One call, one request, one outcome: what the wire can do to us."""

import gc
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import FunctionType, ModuleType

import pytest
import stub_stripe
from marked import marks
from stub_stripe import Stub, answer

from vault.personal import Secret
from vault.processing.answers import CustomerOpened, Failure, NotReached, Refused, Unknown
from vault.processors.stripe.adapter import StripeProcessor
from vault.processors.stripe.transport import IDLE_LIMIT

CREDENTIALS = Secret("sk_test_transport")
OPENED = CustomerOpened(customer_reference="cus_1")
HTML = b"<html>502 Bad Gateway</html>"


def open_one(processor: StripeProcessor, credentials: Secret = CREDENTIALS) -> CustomerOpened | Failure:
    return processor.open_customer(credentials, marks=marks("t"), key="k")


MISHAPS: list[tuple[Callable[[socket.socket], None], Failure]] = [
    (stub_stripe.reset, Unknown(reason="connection_lost")),
    (stub_stripe.hang_up, Unknown(reason="connection_lost")),
    (stub_stripe.say_half, Unknown(reason="connection_lost")),
    (stub_stripe.stay_silent, Unknown(reason="timeout")),
    (answer(HTML), Unknown(reason="unexpected_object")),
    (answer(b"\xff\xfe"), Unknown(reason="unexpected_object")),
    (answer(b"[" * 100_000), Unknown(reason="unexpected_object")),
    (answer(HTML, status=502), Unknown(reason="http_502_unreadable")),
    (answer(HTML, status=403), Unknown(reason="http_403_unreadable")),
    (answer(b"", status=302, Location="http://127.0.0.1:9/"), Unknown(reason="http_302_unreadable")),
    (answer({"error": {"code": "rate_limit"}}, 429, Retry_After="3"), NotReached(reason="rate_limit", retry_after=3.0)),
    (answer({"error": {"code": "rate_limit"}}, 429, Retry_After="Fri, 01 Jan"), NotReached(reason="rate_limit")),
    (answer({"error": {"type": "api_error"}}, 500, Stripe_Should_Retry="true"), Unknown(reason="http_500")),
    (answer({"error": {"type": "api_error"}}, 409, Stripe_Should_Retry="true"), Unknown(reason="http_409")),
]


@pytest.mark.parametrize(("mishap", "outcome"), MISHAPS)
@pytest.mark.parametrize("reused", [False, True], ids=["new", "kept alive"])
def test_a_mishap_has_one_outcome_and_is_never_sent_again(
    stub: Stub, connected: StripeProcessor, mishap: Callable[[socket.socket], None], outcome: Failure, *, reused: bool
) -> None:
    """Lost, cut, silent or nonsense is Unknown, on a kept-alive connection too; nothing below us sends it twice."""
    if reused:
        assert open_one(connected) == OPENED
    stub.plan.append(mishap)
    assert open_one(connected) == outcome
    assert len(stub.requests) == 1 + reused
    assert open_one(connected) == OPENED


def test_a_refused_connection_did_nothing() -> None:
    """Nobody listens: NotReached."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert open_one(StripeProcessor(base_url=f"http://127.0.0.1:{port}")) == NotReached(reason="never_connected")


def test_an_unknown_host_did_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS fails: NotReached."""

    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert open_one(StripeProcessor(base_url="http://stripe.invalid")) == NotReached(reason="never_connected")


def test_a_connection_that_is_never_accepted_did_nothing() -> None:
    """The connect timeout: NotReached."""
    with socket.socket() as server, socket.socket() as first, socket.socket() as second:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for filling in (first, second):
            filling.setblocking(False)  # noqa: FBT003 - the socket module's own signature
            filling.connect_ex(server.getsockname())
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        assert open_one(StripeProcessor(base_url=url, connect_timeout=0.2)) == NotReached(reason="never_connected")


@pytest.mark.parametrize("mishap", [stub_stripe.reset, stub_stripe.stay_silent, answer(HTML)])
def test_a_failed_tls_handshake_did_nothing(stub: Stub, mishap: Callable[[socket.socket], None]) -> None:
    """Cut, silent or not TLS at all: the request was not sent, so NotReached."""
    stub.plan.append(mishap)
    processor = StripeProcessor(base_url=stub.url.replace("http:", "https:"), connect_timeout=0.3)
    assert open_one(processor) == NotReached(reason="never_connected")
    assert "/v1/customers" not in str(stub.requests)


def test_calls_keep_to_the_pool(stub: Stub) -> None:
    """Sixty calls from eight threads open at most four connections, and one thread needs one."""
    processor = StripeProcessor(base_url=stub.url, pool_size=4)
    with ThreadPoolExecutor(8) as threads:
        outcomes = set(threads.map(lambda _: open_one(processor), range(60)))
    assert outcomes == {OPENED}
    assert 1 <= stub.connections <= 4
    alone = StripeProcessor(base_url=stub.url)
    before = stub.connections
    assert {open_one(alone, Secret(f"sk_test_{account}")) for account in range(5)} == {OPENED}
    assert stub.connections == before + 1


def test_a_call_that_finds_no_free_connection_did_nothing(stub: Stub) -> None:
    """It waits as long as for connecting, and is then NotReached."""
    processor = StripeProcessor(base_url=stub.url, pool_size=1, connect_timeout=0.1, read_timeout=1.0)
    taken, free = threading.Event(), threading.Event()

    def keep(wire: socket.socket) -> None:
        taken.set()
        free.wait(5)
        answer({"id": "cus_1", "object": "customer"})(wire)

    stub.plan.append(keep)
    with ThreadPoolExecutor(1) as thread:
        first = thread.submit(open_one, processor)
        assert taken.wait(5)
        assert open_one(processor) == NotReached(reason="no_connection_free")
        free.set()
        assert first.result() == OPENED


def test_a_connection_that_the_server_closed_is_opened_anew(stub: Stub, connected: StripeProcessor) -> None:
    """Seen before sending, a closed connection costs nothing."""
    stub.plan.append(stub_stripe.answer_and_close)
    assert open_one(connected) == OPENED
    time.sleep(0.1)
    assert open_one(connected) == OPENED
    assert stub.connections == 2


def test_a_connection_that_idled_too_long_is_opened_anew(stub: Stub, connected: StripeProcessor) -> None:
    """Its server may be closing it at this very moment."""
    open_one(connected)
    open_one(connected)
    assert stub.connections == 1
    time.sleep(IDLE_LIMIT)
    assert open_one(connected) == OPENED
    assert stub.connections == 2


@pytest.mark.parametrize("credentials", ["sk_test_1\n", "sk_test_1\r\nX-Injected: 1", "sk_test_\u00e9", "sk\x00"])
def test_credentials_that_no_header_can_carry_are_refused(
    stub: Stub, connected: StripeProcessor, credentials: str
) -> None:
    """They never leave, and say that the processor account is set up wrong."""
    outcome = open_one(connected, Secret(credentials))
    assert outcome == Refused(code="processor_credentials_refused", credentials=True)
    assert stub.requests == []


def test_credentials_are_not_kept(connected: StripeProcessor) -> None:
    """After a call nothing that the processor holds refers to them."""
    credentials = Secret("sk_test_" + "x" * 24)
    assert open_one(connected, credentials) == OPENED
    assert not [held for held in reachable(connected) if isinstance(held, str) and credentials.value in held]


def reachable(start: object) -> list[object]:
    """All that an object holds, directly or not, without what modules, functions and classes hold."""
    seen, ahead = {id(start): start}, [start]
    while ahead:
        for held in gc.get_referents(ahead.pop()):
            if id(held) not in seen and not isinstance(held, ModuleType | FunctionType | type):
                seen[id(held)] = held
                ahead.append(held)
    return list(seen.values())
