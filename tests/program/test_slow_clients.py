"""Many clients that are slow in every way there is, and one that is not."""

import http.client
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from certificates import write_pair
from commands import panless
from program_scene import answers, ask
from serving_scene import Server

Serve = Callable[..., Server]
SLOW = 200
SECONDS = 6


def _connected(server: Server, sent: bytes, *, reads: bool = True) -> socket.socket:
    host, port = server.address
    one = socket.socket()
    if not reads:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    one.connect((host, port))
    one.settimeout(0)
    one.send(sent)
    return one


HEAD = b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: "
BODY = b"POST /v1/customers HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n{"
HUGE = b"POST /v1/customers HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9000000\r\n\r\n{"
CHUNKS = b"POST /v1/customers HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n0\r\n\r\n"
UNREAD = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 100
CLIENT_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
"""The beginning of a TLS record of 512 bytes."""

KINDS = {"silent": b"", "head": HEAD, "body": BODY, "huge": HUGE, "chunks": CHUNKS, "unread": UNREAD}


@contextmanager
def slow_ones(server: Server) -> Iterator[list[socket.socket]]:
    """Two hundred open connections, some of each kind."""
    kinds = list(KINDS.items())
    opened = []
    try:
        for number in range(SLOW):
            name, sent = kinds[number % len(kinds)]
            opened.append(_connected(server, sent, reads=name != "unread"))
        yield opened
    finally:
        for one in opened:
            one.close()


def dribble(opened: list[socket.socket]) -> int:
    """Send each a byte more; of how many the server still takes it. What it answers them is left unread."""
    alive = 0
    for number, one in enumerate(opened):
        if list(KINDS)[number % len(KINDS)] in {"silent", "unread"}:
            continue
        try:
            one.send(b"a")
            readable, _, _ = select.select([one], [], [], 0)
            alive += not readable
        except OSError:
            pass
    return alive


def _asked(server: Server, key: str) -> float:
    """Seconds until the server has answered."""
    start = time.monotonic()
    assert ask(f"{server.url}/v1/processor-accounts", key).status == 200
    return time.monotonic() - start


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_others_are_answered_within_a_second(serve: Serve, request: pytest.FixtureRequest, backend: str) -> None:
    """While 200 connections dribble heads and bodies, say nothing or read nothing; and those end in their time."""
    env: Mapping[str, str] = request.getfixturevalue("deployment" if backend == "sqlite" else "on_postgresql")
    if backend == "postgresql":
        env = dict(env) | {"PANLESS_TENANT": panless("tenants", "create", "--name", "x", env=env).stdout.strip()}
    made = panless("clients", "create", "--name", "x", "--role", "admin", env=env)
    server = serve(dict(env) | {"PANLESS_THREADS": "4", "PANLESS_WORKERS": "1", "PANLESS_CLIENT_TIMEOUT": str(SECONDS)})
    with slow_ones(server) as opened:
        began = time.monotonic()
        assert dribble(opened) > SLOW / 2
        for _ in range(10):
            # The faster of two: a machine that other tests keep busy may hold one up, slow clients would hold up both.
            assert min(_asked(server, made.stdout.split()[1]) for _ in range(2)) < 1
            dribble(opened)
        while time.monotonic() - began < 2 * SECONDS and dribble(opened):
            time.sleep(0.5)
        assert dribble(opened) == 0
        assert time.monotonic() - began >= SECONDS - 2
    assert answers(f"{server.url}/livez")
    assert "Traceback" not in server.log


@pytest.mark.parametrize("backend", ["deployment", "on_postgresql"])
def test_handshakes_that_do_not_end_are_ended(
    serve: Serve, request: pytest.FixtureRequest, tmp_path: Path, backend: str
) -> None:
    """Clients that begin TLS and say a byte now and then hold all connections there are, and only for that time."""
    certificate, key = write_pair(tmp_path)
    settings = {"PANLESS_TLS_CERTIFICATE_FILE": str(certificate), "PANLESS_TLS_KEY_FILE": str(key)}
    bounds = {"PANLESS_CLIENT_CONNECTIONS": "10", "PANLESS_CLIENT_TIMEOUT": "3", "PANLESS_WORKERS": "1"}
    server = serve(request.getfixturevalue(backend) | settings | bounds)
    opened = [_connected(server, CLIENT_HELLO) for _ in range(10)]
    began, alive = time.monotonic(), 10
    while alive and time.monotonic() - began < 10:
        time.sleep(0.5)
        alive = sum(_still_takes(one) for one in opened)
        assert alive or time.monotonic() - began > 2
    context = ssl.create_default_context(cafile=certificate)
    with closing(http.client.HTTPSConnection(*server.address, timeout=5, context=context)) as connection:
        connection.request("GET", "/livez")
        assert connection.getresponse().status == 200
    for one in opened:
        one.close()
    assert alive == 0
    assert "Traceback" not in server.log


def _still_takes(one: socket.socket) -> bool:
    try:
        one.send(b"a")
        return not select.select([one], [], [], 0)[0]
    except OSError:
        return False


def test_a_slow_one_that_makes_it_is_served(serve: Serve, deployment: dict[str, str]) -> None:
    """A request that comes in pieces, but in time, is answered as any other."""
    server = serve(deployment)
    with socket.create_connection(server.address, 10) as one:
        for piece in (b"GET /li", b"vez HTTP/1.1\r\nHo", b"st: x\r\nConnection: close\r\n", b"\r\n"):
            one.sendall(piece)
            time.sleep(0.3)
        assert one.recv(100).startswith(b"HTTP/1.1 200")
