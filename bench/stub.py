"""A processor that answers at once, or after a set delay, with what Stripe would say: a process of its own, and fast.

Not the sandbox: that one checks what it is asked and keeps books, and would be measured too. The answers are the
sandbox's, in `answers.json`, indented as Stripe's are, so that reading them costs what it costs in production; every
payment method gets an id and a fingerprint of its own, every payment is 1234. `GET /_stub` tells what came;
`POST /_stub?delay=50` sets the milliseconds that each answer waits.
"""

import asyncio
import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

HEAD = (
    b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: application/json\r\nCache-Control: no-cache, no-store\r\n"
    b"Request-Id: req_cJ5dwBGcJBHSWU\r\nStripe-Version: 2026-10-28.endive\r\nVary: Origin\r\nContent-Length: "
)
ROUTES = (
    (b"POST /v1/payment_methods", "payment_method"),
    (b"POST /v1/setup_intents", "setup_intent"),
    (b"POST /v1/payment_intents", "payment_intent"),
    (b"DELETE /v1/customers", "deleted"),
    (b"POST /v1/customers", "customer"),
    (b"GET /v1/account", "account"),
    (b"GET /v1/", "nothing"),  # whatever is listed: no subscriptions, nothing to compare
)
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
METHOD = re.compile(rb"payment_method=(pm_\w+)")
CUSTOMER = re.compile(rb"customer=(cus_\w+)")


@dataclass
class Stub:
    """What came so far, and how long each answer waits (seconds)."""

    connections: int = 0
    requests: int = 0
    delay: float = 0.0


class Conversation(asyncio.Protocol):
    """One kept-alive connection; requests on it come one after another."""

    def __init__(self, stub: Stub, answers: dict[str, bytes], numbers: Iterator[int]) -> None:
        self.stub, self.answers, self.numbers, self.received = stub, answers, numbers, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, end, body = self.received.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if not end or (length and len(body) < int(length[1])):
            return
        self.received = b""
        if b" /_stub" in head[:12]:
            self.send(self.control(head))
            return
        self.stub.requests += 1
        self.stub.connections += self.is_new()
        asyncio.get_running_loop().call_later(self.stub.delay, self.send, self.answer(head, body))

    def is_new(self) -> bool:
        """Whether this is the connection's first request; looks at the stub itself don't count as connections."""
        new, self.seen = not getattr(self, "seen", False), True
        return new

    def send(self, content: bytes) -> None:
        self.transport.write(HEAD + b"%d\r\n\r\n" % len(content) + content)  # type: ignore[attr-defined]

    def control(self, head: bytes) -> bytes:
        if delay := re.search(rb"delay=([\d.]+)", head):
            self.stub.delay = float(delay[1]) / 1000
        return json.dumps(vars(self.stub)).encode()

    def answer(self, head: bytes, body: bytes) -> bytes:
        number = b"%012d" % next(self.numbers)
        kind = next(kind for start, kind in ROUTES if head.startswith(start))
        method, customer = METHOD.search(body), CUSTOMER.search(body)
        content = self.answers[kind].replace(b"@METHOD@", method[1] if method else b"pm_" + number)
        content = content.replace(b"@CUSTOMER@", customer[1] if customer else b"cus_" + number)
        return content.replace(b"@ID@", b"obj_" + number)


async def listen() -> None:
    stub, numbers = Stub(), count(1)
    read = json.loads(Path(__file__).with_name("answers.json").read_text())
    answers = {kind: json.dumps(value, indent=2).encode() for kind, value in read.items()}
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Conversation(stub, answers, numbers), "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


@dataclass(frozen=True)
class Processor:
    """The stub, running."""

    url: str

    def look(self) -> Stub:
        return self._hook("")

    def answer_after(self, milliseconds: float) -> None:
        self._hook(f"?delay={milliseconds}")

    def _hook(self, query: str) -> Stub:
        method = "POST" if query else "GET"
        request = urllib.request.Request(f"{self.url}/_stub{query}", method=method)  # noqa: S310  # our own program
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310  # our own program
            return Stub(**json.loads(answer.read()))


@contextmanager
def running() -> Iterator[Processor]:
    """The stub as a program of its own."""
    with subprocess.Popen([sys.executable, "-m", "bench.stub"], stdout=subprocess.PIPE, text=True) as program:
        try:
            yield Processor(program.stdout.readline().strip() if program.stdout else "")
        finally:
            program.terminate()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):  # Ctrl-C reaches every program at the terminal; the bench says that it stopped
        asyncio.run(listen())
