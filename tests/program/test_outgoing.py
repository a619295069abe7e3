"""Calls to servers that others named, against real TLS servers on this machine: what is dialled, and what is not."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from panless import outgoing
from panless.outgoing import is_global
from panless.settings import opendsr_files
from vault.outgoing import NotPosted, Posted

HOST = "controller.example.com"


def on_loopback(address: outgoing.IpAddress) -> bool:
    """What these tests allow, and hand in with each call: nothing in the program can."""
    return address.is_loopback


@dataclass
class Server:
    """A server on loopback; what it heard, and how it answers."""

    port: int = 0
    heard: list[tuple[str, bytes, dict[str, str]]] = field(default_factory=list)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    answer: Callable[[BaseHTTPRequestHandler], None] | None = None

    def url(self, path: str = "/dsr?x=1") -> str:
        return f"https://{HOST}:{self.port}{path}"


@pytest.fixture(scope="session")
def identity(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A key and a certificate for HOST that it signs itself."""
    files = [tmp_path_factory.mktemp("tls") / name for name in ("key.pem", "certificate.pem")]
    opendsr_files.create(HOST, files[0], files[1], datetime.now(UTC))
    return files[0], files[1]


@pytest.fixture
def trust(identity: tuple[Path, Path]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(identity[1]))


@pytest.fixture
def serve(identity: tuple[Path, Path]) -> Iterator[Callable[..., Server]]:
    """Starts TLS servers, each at an address of its own."""
    running = []

    def start(address: str = "127.0.0.1", port: int = 0, **settings: Any) -> Server:
        served = Server(**settings)

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                served.heard.append((self.path, body, dict(self.headers)))
                if served.answer is not None:
                    served.answer(self)
                    return
                self.send_response(served.status)
                for name, value in served.headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        server = HTTPServer((address, port), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(identity[1], identity[0])
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None  # a client that leaves is what some tests are about
        served.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        running.append((server, thread))
        return served

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def post(trust: ssl.SSLContext) -> Callable[..., Posted | NotPosted]:
    """Our `post` with a name server that knows HOST as 127.0.0.1, and a trust in the test's own certificate."""
    return partial(outgoing.post, fit=on_loopback, resolve=lambda *_: ["127.0.0.1"], trust=trust)


def test_what_arrives(serve: Callable[..., Server], post: Callable[..., Any]) -> None:
    """The body's very bytes, the path with its query, the headers, the name as host."""
    server = serve()
    assert post(server.url(), b'{"a": 1}', {"Content-Type": "application/json", "X-Mine": "y"}) == Posted(200)
    [(path, body, headers)] = server.heard
    assert (path, body) == ("/dsr?x=1", b'{"a": 1}')
    assert headers["Host"] == f"{HOST}:{server.port}"
    assert (headers["Content-Type"], headers["X-Mine"], headers["Content-Length"]) == ("application/json", "y", "8")


def test_the_systems_authorities_are_read_once_for_many_calls(
    serve: Callable[..., Server], identity: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are more than a hundred of them: a worker that read them for each delivery would do little else."""
    server, known, moment = serve(), tmp_path / "authorities.pem", 1e6 * outgoing.TRUSTED_FOR
    known.write_bytes(identity[1].read_bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(known))
    found = outgoing.authorities(moment)
    known.unlink()
    call = partial(outgoing.post, server.url(), b"{}", {}, fit=on_loopback, resolve=lambda *_: ["127.0.0.1"])
    assert call(trust=found) == Posted(200)
    assert outgoing.authorities(moment + outgoing.TRUSTED_FOR / 2) is found
    assert call(trust=outgoing.authorities(moment + outgoing.TRUSTED_FOR)) == NotPosted("certificate_refused")


@pytest.mark.parametrize("status", [204, 404, 500])
def test_the_status_is_what_comes_back(serve: Callable[..., Server], post: Callable[..., Any], status: int) -> None:
    """Whatever it is: what to make of it is the caller's business."""
    assert post(serve(status=status).url(), b"{}", {}) == Posted(status)


def test_no_redirect_is_followed(serve: Callable[..., Server], post: Callable[..., Any]) -> None:
    """302 to another server of this machine is the answer 302; the other one hears nothing."""
    other = serve()
    server = serve(status=302, headers={"Location": other.url()})
    assert post(server.url(), b"{}", {}) == Posted(302)
    assert (len(server.heard), other.heard) == (1, [])


PRIVATE = [
    "127.0.0.1",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",  # noqa: S104  # an address to refuse
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%lo",
    "fc00::1",
    "ff02::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::127.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::1",
    "2002:a00:1::1",
    "2001:0:a00:1::1",
    "fec0::1",
    "::ffff:0:10.0.0.1",
    "64:ff9b:1::a00:1",
    "192.0.0.8",
    "192.0.0.9",
    "192.88.99.1",
    "5f00::1",
    "::ffff:169.254.169.254",
    "2001:20::1",
    "3fff::1",
    "not an address",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_refused(serve: Callable[..., Server], trust: ssl.SSLContext, address: str) -> None:
    """As the only address of a name or as one of several: nothing is dialled, not even the one that would be fit."""
    server = serve()
    for found in ([address], ["93.184.215.14", address], [address, "93.184.215.14"]):
        refused = outgoing.post(server.url(), b"{}", {}, resolve=lambda *_, found=found: found, trust=trust)
        assert refused == NotPosted("address_refused")
    assert server.heard == []


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "::ffff:1.1.1.1"])
def test_public_addresses_are_fit(address: str) -> None:
    """What anybody on the internet can reach may be called."""
    assert is_global(ip_address(address))


def test_the_real_name_server_is_asked(serve: Callable[..., Server], trust: ssl.SSLContext) -> None:
    """`localhost` and addresses in a URL are looked up like any name, and refused like any private address."""
    port = serve().port
    for host in ("localhost", "127.0.0.1", "[::1]", "2130706433", "0x7f.1", "127.1"):
        assert outgoing.post(f"https://{host}:{port}/", b"{}", {}, trust=trust) == NotPosted("address_refused")


def test_a_second_answer_of_the_name_server_does_not_count(serve: Callable[..., Server], trust: ssl.SSLContext) -> None:
    """A name that is fit when it is checked and another server when it is dialled: the checked one is dialled."""
    good = serve("127.0.0.1")
    evil = serve("127.0.0.2", good.port)
    asked = []

    def resolve(*_: object) -> list[str]:
        asked.append(1)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

    fit = lambda address: str(address) == "127.0.0.1"  # noqa: E731  # one line is clearer here
    assert outgoing.post(good.url(), b"{}", {}, fit=fit, resolve=resolve, trust=trust) == Posted(200)
    assert (len(asked), len(good.heard), evil.heard) == (1, 1, [])
    refused = outgoing.post(good.url(), b"{}", {}, fit=fit, resolve=resolve, trust=trust)
    assert (refused, evil.heard) == (NotPosted("address_refused"), [])


def test_the_certificate_must_be_the_names(serve: Callable[..., Server], post: Callable[..., Any]) -> None:
    """A server that is somebody else, or that nobody vouches for, hears nothing."""
    server = serve()
    wrong = f"https://other.example.com:{server.port}/"
    assert post(wrong, b"{}", {}) == NotPosted("certificate_refused")
    untrusted = partial(outgoing.post, fit=on_loopback, resolve=lambda *_: ["127.0.0.1"])
    assert untrusted(server.url(), b"{}", {}) == NotPosted("certificate_refused")
    assert server.heard == []


def test_the_first_address_that_answers(serve: Callable[..., Server], trust: ssl.SSLContext) -> None:
    """Of several addresses one that takes no connection is passed over."""
    server = serve("127.0.0.2")
    found = ["127.0.0.1", "127.0.0.2"]
    assert outgoing.post(server.url(), b"{}", {}, fit=on_loopback, resolve=lambda *_: found, trust=trust) == Posted(200)


def _drip(handler: BaseHTTPRequestHandler) -> None:
    """A first line that never ends."""
    with suppress(OSError):
        for _ in range(200):
            handler.wfile.write(b"x")
            handler.wfile.flush()
            time.sleep(0.05)


def test_a_call_ends_when_its_time_is_over(serve: Callable[..., Server], post: Callable[..., Any]) -> None:
    """However slowly the other side goes, each byte of it in time."""
    server, before = serve(answer=_drip), time.monotonic()
    assert post(server.url(), b"{}", {}, seconds=0.5) == NotPosted("no_answer")
    assert time.monotonic() - before < 3


def test_a_handshake_that_never_ends(post: Callable[..., Any]) -> None:
    """A server that takes the connection and says nothing is left when the time is over."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        before = time.monotonic()
        url = f"https://{HOST}:{mute.getsockname()[1]}/"
        assert post(url, b"{}", {}, seconds=0.5) == NotPosted("no_answer")
        assert time.monotonic() - before < 3


@pytest.mark.parametrize("seconds", [5.0, 0.3])
def test_addresses_that_take_no_connection(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """However many a name has, three are dialled, and all of them in the time of the one call."""
    dialled = []

    def never(address: tuple[str, int], timeout: float) -> socket.socket:
        dialled.append(address[0])
        time.sleep(min(timeout, 0.2))
        raise TimeoutError

    monkeypatch.setattr("panless.outgoing.socket.create_connection", never)
    many = [f"93.184.216.{number}" for number in range(30)]
    before = time.monotonic()
    answer = outgoing.post(f"https://{HOST}/", b"{}", {}, resolve=lambda *_: many, seconds=seconds)
    assert (answer, dialled) == (NotPosted("no_answer"), many[:3])
    assert time.monotonic() - before < min(seconds, 0.6) + 0.5


def test_a_name_server_that_says_nothing(serve: Callable[..., Server], trust: ssl.SSLContext) -> None:
    """Resolving is in the time of the call, and what is left of it is for the rest."""
    server, over = serve(answer=_drip), threading.Event()

    def resolve(*_: object) -> list[str]:
        over.wait(0.4 if patient else 5)
        return ["127.0.0.1"]

    ask = partial(outgoing.post, fit=on_loopback, resolve=resolve, trust=trust, seconds=0.6)
    for patient, reason in ((False, "name_not_resolved"), (True, "no_answer")):  # noqa: B007  # `resolve` reads it
        before = time.monotonic()
        assert ask(server.url(), b"{}", {}) == NotPosted(reason)
        assert time.monotonic() - before < 0.9
    over.set()


def _flood(handler: BaseHTTPRequestHandler) -> None:
    with suppress(OSError):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (64 << 20))


def test_the_body_of_an_answer_is_not_read(serve: Callable[..., Server], post: Callable[..., Any]) -> None:
    """64 MiB of answer cost no more than its status."""
    before = time.monotonic()
    assert post(serve(answer=_flood).url(), b"{}", {}) == Posted(200)
    assert time.monotonic() - before < 3


def test_answers_that_are_no_http(serve: Callable[..., Server], post: Callable[..., Any]) -> None:
    """Nonsense, and endless header lines, are no answer."""
    nonsense = serve(answer=lambda handler: handler.wfile.write(b"hello\r\n"))
    endless = serve(answer=lambda handler: handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000))
    for server in (nonsense, endless):
        assert post(server.url(), b"{}", {}) == NotPosted("no_answer")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (f"https://{HOST}:99999/", "name_not_resolved"),
        (f"https://{'a' * 64}.example.com/", "name_not_resolved"),
        ("https://[::1/", "name_not_resolved"),
        ("https:///", "name_not_resolved"),
    ],
)
def test_what_is_no_url(url: str, reason: str) -> None:
    """No exception: it was not sent."""
    assert outgoing.post(url, b"{}", {}) == NotPosted(reason)


def test_what_cannot_be_sent(serve: Callable[..., Server], post: Callable[..., Any]) -> None:
    """A header that is none, a path with a line break, a body of more than 256 KiB: not sent, no exception."""
    server = serve()
    assert post(server.url(), b"{}", {"X-A": "b\r\nX-C: d"}) == NotPosted("no_answer")
    assert post(server.url("/a b"), b"{}", {}) == NotPosted("no_answer")
    assert post(server.url(), b"x" * (256 * 1024 + 1), {}) == NotPosted("too_large")
    assert server.heard == []


def test_no_proxy_is_asked(
    serve: Callable[..., Server], post: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy in the environment would dial what it likes: it is not asked."""
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert post(serve().url(), b"{}", {}) == Posted(200)


def test_plain_http_for_what_the_operator_named() -> None:
    """A server of the operator's on this machine may speak http; the settings allow that for loopback alone."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/api/v1/privacy-request/x/resume"
        assert outgoing.post(url, b"{}", {}, fit=outgoing.anywhere) == Posted(200)
        thread.join()
