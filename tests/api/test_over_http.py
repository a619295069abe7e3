"""The door behind gunicorn: bytes on a socket, real threads and greenlets."""

import json
import re
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest
from api_scene import at_once, rows
from house import House, Tenant, serve
from ports import free_port


@dataclass(frozen=True)
class Served:
    """A tenant, and where its server listens."""

    tenant: Tenant
    port: int

    def ask(self, method: str, path: bytes | str, headers: dict[str, str] | None = None, body: bytes = b"") -> "Heard":
        """Send a request with a good key, byte for byte as it is given."""
        target = path if isinstance(path, bytes) else path.encode()
        sent = {"Host": "x", "Connection": "close", "Authorization": f"Bearer {self.tenant.keys['all']}"} | (
            headers or {}
        )
        lines = [
            method.encode() + b" " + target + b" HTTP/1.1",
            *(f"{n}: {v}".encode("latin-1") for n, v in sent.items()),
        ]
        return self.send(b"\r\n".join(lines) + b"\r\n\r\n" + body)

    def send(self, data: bytes) -> "Heard":
        """Send it, what is more than 64 KiB a moment later, and hear until the connection ends."""
        heard = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as wire, suppress(ConnectionError):
            wire.sendall(data[:70_000])
            if len(data) > 70_000:
                time.sleep(0.2)
                wire.sendall(data[70_000:])
            with suppress(OSError):  # the server may have hung up by now; what it said is still to be heard
                wire.shutdown(socket.SHUT_WR)
            while part := wire.recv(65536):
                heard += part
        return Heard(heard)  # what came before the connection was cut counts


@dataclass(frozen=True)
class Heard:
    """What came back."""

    raw: bytes

    @property
    def status(self) -> int:
        return int(self.raw.split(b" ", 2)[1])

    @property
    def head(self) -> str:
        return self.raw.partition(b"\r\n\r\n")[0].decode("latin-1")

    @property
    def body(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[2]

    def problem(self) -> dict[str, object]:
        """Its problem details, whose form is checked."""
        assert 400 <= self.status < 600, self.raw
        assert "content-type: application/problem+json" in self.head.lower(), self.raw
        assert re.search(r"request-id: req_[0-9a-f]{32}", self.head, re.IGNORECASE)
        found: dict[str, object] = json.loads(self.body)
        assert found.keys() >= {"type", "title", "status", "detail", "code", "doc"}
        return found


@pytest.fixture(scope="module")
def served(house: House) -> Iterator[Served]:
    port = free_port()
    with serve(house, port):
        yield Served(tenant=house.tenant(), port=port)


@pytest.fixture
def unchanged(served: Served) -> Iterator[None]:
    """The test writes nothing."""
    before = rows(served.tenant.house)
    yield
    assert rows(served.tenant.house) == before


JSON = {"Content-Type": "application/json"}
CHUNKED = {**JSON, "Transfer-Encoding": "chunked"}


def _chunks(body: bytes, size: int = 1000) -> bytes:
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def _sized(body: bytes) -> dict[str, str]:
    return {**JSON, "Content-Length": str(len(body))}


def test_body_in_chunks_is_read(served: Served) -> None:
    """A good body without a length is a good body."""
    answer = served.ask("POST", "/v1/customers", CHUNKED, _chunks(b'{"reference": "over-http"}', 5))
    assert answer.status == 201, answer.raw


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "malformed_json"),
        (b'{"reference": "' + b"x" * 65 * 1024 + b'"}', "too_large"),
        (b'{"reference": "x"}' + b" " * 65 * 1024 + b"garbage", "too_large"),
        (b"[" * 60_000, "json_too_deep"),
        (b'{"a":' * 3000 + b"1" + b"}" * 3000, "json_too_deep"),
        (b'{"a": ' + b"9" * 5000 + b"}", "malformed_json"),
        (b'{"reference": "\xff"}', "malformed_json"),
        (b'{"reference": "\\u0000"}', "invalid_characters"),
        (b'{"unknown": 1}', "invalid_request"),
        (b'{"reference": "4242 4242 4242 4242"}', "card_number_misplaced"),
    ],
    ids=range(10),
)
def test_bad_bodies(served: Served, body: bytes, code: str) -> None:
    """With a length and in chunks: the same refusal, on the stack of a greenlet as well as of a thread."""
    for answer in (
        served.ask("POST", "/v1/customers", _sized(body), body),
        served.ask("POST", "/v1/customers", CHUNKED, _chunks(body)),
    ):
        assert answer.problem()["code"] == code


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("path", "code"),
    [
        (b"/v1/tokens/%00", "not_found"),
        (b"/v1/tokens/tok_00%00aaaaaaaaaaaaaaaaaaaaaaaaa", "not_found"),
        (b"/v1/tokens/%zz", "not_found"),
        (b"/v1/tokens/%", "not_found"),
        (b"/v1/tokens/%ff%fe", "not_found"),
        (b"/v1//tokens/4242424242424242", "not_found"),
        (b"/v1/tokens/" + b"a" * 3000, "not_found"),
        (b"/v1/charges?obligation=%zz", "malformed_query"),
        (b"/v1/charges?obligation=%ff", "malformed_query"),
        (b"/v1/charges?obligation=%00", "invalid_characters"),
        (b"/v1/charges?obligation=4242%204242%204242%204242", "card_number_misplaced"),
        (b"/v1/charges?unknown=1", "invalid_request"),
        (b"/nothing", "not_found"),
    ],
)
def test_bad_targets(served: Served, path: bytes, code: str) -> None:
    """Broken escapes, raw bytes, NULs, doubled slashes on the request line."""
    answer = served.ask("GET", path)
    assert answer.problem()["code"] == code
    assert b"4242" not in answer.body
    assert "\r\nlocation:" not in answer.head.lower()


@pytest.mark.usefixtures("unchanged")
def test_framework_answers(served: Served) -> None:
    """405 with Allow, 413, 415 are problem details here too; HEAD has no body."""
    wrong = served.ask("PUT", "/v1/charges", _sized(b"{}"), b"{}")
    assert (wrong.status, wrong.problem()["code"]) == (405, "method_not_allowed")
    assert "allow: " in wrong.head.lower()
    large = b" " * 100_000
    assert served.ask("POST", "/v1/customers", _sized(large), large).status == 413
    for headers in ({"Content-Length": "2"}, {"Content-Length": "2", "Content-Type": "text/plain"}):
        assert served.ask("POST", "/v1/customers", headers, b"{}").problem()["code"] == "unsupported_media_type"
    head = served.ask("HEAD", "/v1/charges")
    assert (head.status, head.body) == (200, b"")


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("path", "headers", "code"),
    [
        ("/v1/customers", {}, "too_large"),
        ("/v1/customers", {"Authorization": "Bearer nobody"}, "unauthenticated"),
        ("/v1/customers", {"Content-Type": "text/plain"}, "unsupported_media_type"),
        ("/nothing", {}, "not_found"),
    ],
)
def test_answer_to_a_body_that_nobody_wants(served: Served, path: str, headers: dict[str, str], code: str) -> None:
    """Ten times the limit, refused before it was read: the client gets the answer, not a reset connection."""
    body = b"[" * 640 * 1024
    for more, sent in (
        ({"Content-Length": str(len(body))}, body),
        ({"Transfer-Encoding": "chunked"}, _chunks(body, 60_000)),
    ):
        answer = served.ask("POST", path, {**JSON, **headers, **more}, sent)
        assert answer.problem()["code"] == code


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    "data",
    [
        b"garbage\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /livez\r\n\r\n",
        b"GET /livez HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /livez HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"GET /livez HTTP/1.1\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nX: a\x00b\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nX : y\r\n\r\n",
        b"POST /v1/customers HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n{}",
        b"POST /v1/customers HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"POST /v1/customers HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/customers HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /v1/customers HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"POST /v1/customers HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
    ],
    ids=range(15),
)
def test_what_is_hardly_http(served: Served, data: bytes) -> None:
    """Refused or cut off, never a 500, and the server goes on serving."""
    answer = served.send(data)
    assert answer.raw == b"" or answer.status in {400, 401, 405, 408, 414, 431, 501, 505}, answer.raw
    assert served.ask("GET", "/livez").status == 200


@pytest.mark.parametrize("line", [b"GET /?4242424242424242\xff HTTP/1.1", b"GET /?4242424242424242 HTTP/1.1 x"])
def test_what_is_hardly_http_is_not_repeated(served: Served, line: bytes) -> None:
    """The answer to a request line that can't be read is problem details that do not quote it."""
    answer = served.send(line + b"\r\nHost: x\r\n\r\n")
    assert answer.status == 400
    assert b"424242" not in answer.raw
    assert "application/problem+json" in answer.head


@pytest.mark.usefixtures("unchanged")
def test_body_that_ends_early(served: Served) -> None:
    """A client that goes away in the middle of its body has ordered nothing."""
    for headers, part in (({**JSON, "Content-Length": "100"}, b'{"reference"'), (CHUNKED, b'5\r\n{"ref')):
        answer = served.ask("POST", "/v1/customers", headers, part)
        assert answer.raw == b"" or answer.status == 400, answer.raw
    assert served.ask("GET", "/livez").status == 200


def test_one_key_from_twenty_callers_over_http(served: Served) -> None:
    """Over real connections: one charge, each caller hears of it, that it is in progress, or to come again."""
    tenant = served.tenant
    token = tenant.token()["id"]
    tenant.house.sandbox.fault(path="/v1/payment_intents", do="delay", seconds=0.3)
    order = json.dumps({"token": token, "amount": 700, "currency": "eur", "obligation": "over-http"}).encode()
    headers = {**_sized(order), "Idempotency-Key": "over-http"}
    answers = at_once(20, lambda _: served.ask("POST", "/v1/charges", headers, order))
    assert any(answer.status == 201 for answer in answers)
    for answer in answers:
        if answer.status != 201:
            assert (answer.status, answer.problem()["code"]) in {(409, "in_progress"), (503, "overloaded")}
            assert "retry-after: " in answer.head.lower()
    last = served.ask("POST", "/v1/charges", headers, order)
    assert (last.status, "idempotent-replayed: true" in last.head.lower()) == (201, True)
    assert len(tenant.charges_at_processor()) == 1


def test_log_repeats_nothing_that_was_sent(served: Served) -> None:
    """Neither path, query nor body of a refused request is in the server's log."""
    served.ask("GET", "/v1/charges?obligation=tell-tale-query")
    served.ask("GET", "/tell-tale-path/4242424242424242")
    served.send(b"GET /tell-tale-garbage\r\n\r\n")
    served.ask("POST", "/v1/customers", _sized(b'{"tell-tale-body": 1}'), b'{"tell-tale-body": 1}')
    log = (served.tenant.house.home / "server.log").read_text()
    assert "request" in log
    for word in ("tell-tale", "4242424242424242", served.tenant.keys["all"][-59:-7]):
        assert word not in log
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"http://127.0.0.1:{served.port}/v1/charges", timeout=10)
