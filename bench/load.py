"""Load over HTTP: as many clients as are wanted, each on a connection of its own; everything is made before it is sent.

Closed loop: each client sends its next request when it has its answer. Open loop: requests are due at fixed times, and
waiting counts from when one was due, so that a server that stalls can't slow down who measures it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle
from urllib.parse import urlsplit

from bench.door import Call

LONGEST = 10.0
"""Seconds until a request counts as failed."""

GOOD = range(200, 300)


@dataclass
class Load:
    """What came back: seconds that each request took, how many failed, how long it all lasted."""

    times: list[float] = field(default_factory=list)
    failed: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        return len(self.times) / self.seconds


class Client:
    """One kept-alive connection; opened anew when it breaks."""

    def __init__(self, url: str) -> None:
        self._host, self._port = urlsplit(url).hostname or "", urlsplit(url).port or 0
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, raw: bytes) -> bool:
        """Whether a 2xx came back."""
        return await self.ask(raw) in GOOD

    async def ask(self, raw: bytes) -> int:
        """The status that came back, 0 where none did in time."""
        return (await self.answer(raw))[0]

    async def answer(self, raw: bytes) -> tuple[int, bytes]:
        """The status and the body that came back; 0 where none did in time."""
        try:
            async with asyncio.timeout(LONGEST):
                return await self._exchange(raw)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            self.close()
            return 0, b""

    async def _exchange(self, raw: bytes) -> tuple[int, bytes]:
        if self._streams is not None and self._streams[0].at_eof():  # idle for longer than the server keeps one
            self.close()
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        writer.write(raw)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        body = await _body(reader, head)
        if b"connection: close" in head:
            self.close()
        return int(head[9:12]), body

    def close(self) -> None:
        if self._streams is not None:
            with suppress(OSError):
                self._streams[1].close()
        self._streams = None


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    """What comes after the head: at its length, or in pieces until an empty one."""
    if length := head.partition(b"content-length:")[2].partition(b"\r\n")[0]:
        return await reader.readexactly(int(length))
    body = b""
    while piece := int(await reader.readuntil(b"\r\n"), 16):
        body += await reader.readexactly(piece)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return body


def to_wire(call: Call) -> bytes:
    """A call as it goes over the network."""
    environ = call.environ
    names = {name: name[5:].replace("_", "-").title() for name in environ if name.startswith("HTTP_")}
    target = environ["PATH_INFO"] + (f"?{environ['QUERY_STRING']}" if environ["QUERY_STRING"] else "")
    lines = [f"{environ['REQUEST_METHOD']} {target} HTTP/1.1"]
    lines += [f"{shown}: {environ[name]}" for name, shown in names.items()]
    lines += [f"Content-Type: application/json\r\nContent-Length: {len(call.body)}"] if call.body else []
    return "\r\n".join([*lines, "", ""]).encode() + call.body


def closed(url: str, raws: Sequence[bytes], *, clients: int, seconds: float) -> Load:
    """So many clients at once, for so long."""
    load, requests = Load(), cycle(raws)

    async def go_on(client: Client, until: float) -> None:
        while (began := time.perf_counter()) < until:
            _note(load, began, good=await client.send(next(requests)))
        client.close()

    async def run() -> None:
        until = time.perf_counter() + seconds
        await asyncio.gather(*(go_on(Client(url), until) for _ in range(clients)))

    return _timed(load, run)


def opened(url: str, steps: Sequence[Sequence[bytes]], *, rate: float, seconds: float) -> Load:
    """So many a second, whatever becomes of them; each is a row of requests, sent one after another."""
    load, orders, idle = Load(), cycle(steps), list[Client]()

    async def one(due: float) -> None:
        await asyncio.sleep(due - time.perf_counter())
        client = idle.pop() if idle else Client(url)
        good = all([await client.send(raw) for raw in next(orders)])
        _note(load, due, good=good)
        idle.append(client)

    async def run() -> None:
        start = time.perf_counter() + 0.1
        await asyncio.gather(*(one(start + number / rate) for number in range(int(rate * seconds))))
        for client in idle:
            client.close()

    return _timed(load, run)


def _note(load: Load, began: float, *, good: bool) -> None:
    if good:
        load.times.append(time.perf_counter() - began)
    else:
        load.failed += 1


def _timed(load: Load, run: Callable[[], Awaitable[None]]) -> Load:
    began = time.perf_counter()
    asyncio.run(run())  # type: ignore[arg-type]  # a coroutine, as mypy would see if it were written here
    load.seconds = time.perf_counter() - began
    return load
