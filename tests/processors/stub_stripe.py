"""A server that records what it is asked and answers, or misbehaves, as it is told: for what no sandbox would do."""

import json
import re
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, BinaryIO
from urllib.parse import parse_qsl, urlsplit

METHOD = {
    "id": "pm_1",
    "object": "payment_method",
    "customer": None,
    "card": {"brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2035, "fingerprint": "f1"},
}
CANNED = {
    "/v1/customers": {"id": "cus_1", "object": "customer", "deleted": True},
    "/v1/payment_methods": METHOD,
    "/v1/setup_intents": {"id": "seti_1", "object": "setup_intent", "status": "succeeded", "payment_method": METHOD},
    "/v1/payment_intents": {"id": "pi_1", "object": "payment_intent", "status": "succeeded", "amount_received": 100},
    "/v1/privacy": {"id": "prj_1", "object": "privacy.redaction_job", "status": "ready"},
    "/v1/refunds": {"id": "re_1", "object": "refund", "status": "succeeded", "amount": 100},
}


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    params: dict[str, Any]


@dataclass
class Stub:
    """`plan` says what becomes of the next requests; after that each gets a canned answer."""

    url: str
    requests: list[Request] = field(default_factory=list)
    plan: deque[Callable[[socket.socket], None]] = field(default_factory=deque)
    connections: int = 0

    def paths(self) -> list[str]:
        return [f"{request.method} {request.path}" for request in self.requests]


def answer(body: object, status: int = 200, **headers: str) -> Callable[[socket.socket], None]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Status", f"Content-Length: {len(raw)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return lambda wire: wire.sendall("\r\n".join([*lines, "", ""]).encode() + raw)


def reset(wire: socket.socket) -> None:
    """RST instead of an answer."""
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise ConnectionAbortedError


def hang_up(_: socket.socket) -> None:
    raise ConnectionAbortedError


def say_half(wire: socket.socket) -> None:
    wire.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"id":')
    raise ConnectionAbortedError


def stay_silent(_: socket.socket) -> None:
    pass


def answer_and_close(wire: socket.socket) -> None:
    """The answer, then FIN, although the connection was to be kept alive."""
    answer({"id": "cus_1", "object": "customer"})(wire)
    raise ConnectionAbortedError


def listen() -> tuple[Stub, socket.socket]:
    server = socket.create_server(("127.0.0.1", 0))
    stub = Stub(url=f"http://127.0.0.1:{server.getsockname()[1]}")
    threading.Thread(target=_accept, args=(stub, server), daemon=True).start()
    return stub, server


def _accept(stub: Stub, server: socket.socket) -> None:
    while True:
        try:
            wire, _ = server.accept()
        except OSError:
            return
        stub.connections += 1
        threading.Thread(target=_converse, args=(stub, wire), daemon=True).start()


def _converse(stub: Stub, wire: socket.socket) -> None:
    """Answer until either side ends the connection; a deed ends it by raising."""
    with suppress(OSError), wire, wire.makefile("rb") as lines:
        while request := _read(lines):
            stub.requests.append(request)
            act = stub.plan.popleft() if stub.plan else answer(_canned(request))
            act(wire)


def _read(lines: BinaryIO) -> Request | None:
    first = lines.readline().decode("latin-1").split()
    if len(first) != 3:
        return None
    headers = {}
    while line := lines.readline().decode("latin-1").strip():
        name, _, value = line.partition(": ")
        headers[name.lower()] = value
    body = lines.read(int(headers.get("content-length", 0))).decode()
    url = urlsplit(first[1])
    return Request(first[0], url.path, headers, nested(body or url.query))


def nested(form: str) -> dict[str, Any]:
    """Form fields as mappings and lists: `a[b]=1`, `a[0]=1`."""
    tree: dict[str, Any] = {}
    for name, value in parse_qsl(form, keep_blank_values=True):
        *path, last = re.findall(r"[^\[\]]+", name)
        place = tree
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    return {name: _listed(value) for name, value in tree.items()}


def _listed(value: object) -> object:
    if not isinstance(value, dict):
        return value
    below = {name: _listed(part) for name, part in value.items()}
    return list(below.values()) if all(name.isdigit() for name in below) else below


def _canned(request: Request) -> dict[str, Any]:
    collection = "/".join(request.path.split("/")[:3])
    if request.method == "GET" and request.path == collection:
        return {"object": "list", "data": [], "has_more": False}
    return CANNED[collection]
