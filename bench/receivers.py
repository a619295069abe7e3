"""A tenant's own systems, which are told of events: a program that speaks TLS, and answers by the path it is called at.

`/well-1` and `/well-2` answer at once, `/half` refuses every other call, `/dead` each one, `/hanging` says nothing.
What the first two are told is timed, from the moment in the event to its arrival. On another port it tells of that, in
clear: `GET /` what came, `GET /1795414721.5` too, and what happened since that moment is counted anew.
"""

import asyncio
import json
import ssl
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import quantiles
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

HOST = "shop.example"
WELL = ("/well-1", "/well-2")
PATHS = (*WELL, "/half", "/dead", "/hanging")


@dataclass
class Told:
    """What came: calls by path, and of the paths that are well the events and how many seconds each took."""

    since: float = 0.0
    calls: Counter[str] = field(default_factory=Counter)
    events: dict[str, set[str]] = field(default_factory=lambda: {path: set() for path in WELL})
    seconds: list[float] = field(default_factory=list)

    def note(self, path: str, body: bytes) -> None:
        event, now = json.loads(body), time.time()
        happened = datetime.fromisoformat(event["created_at"]).timestamp()
        if happened >= self.since and event["id"] not in self.events[path]:
            self.events[path].add(event["id"])
            self.seconds.append(now - happened)

    def summed(self) -> "Arrivals":
        cuts = quantiles(self.seconds, n=100, method="inclusive") if len(self.seconds) > 1 else [0.0] * 99
        events = {path: len(found) for path, found in self.events.items()}
        return Arrivals(dict(self.calls), events, cuts[49], cuts[98], max(self.seconds, default=0.0))


@dataclass(frozen=True)
class Arrivals:
    """Calls by path; of the paths that are well how many events, and the seconds until they arrived."""

    calls: dict[str, int]
    events: dict[str, int]
    p50: float
    p99: float
    longest: float


class Receivers:
    """The program, running."""

    def __init__(self, port: int, control: int, certificate: Path) -> None:
        self.port, self.certificate, self._control = port, certificate, f"http://127.0.0.1:{control}"

    def url(self, path: str) -> str:
        return f"https://{HOST}:{self.port}{path}"

    def look(self, path: str = "/") -> Arrivals:
        with urllib.request.urlopen(f"{self._control}{path}", timeout=10) as answer:  # noqa: S310  # our own program
            return Arrivals(**json.loads(answer.read()))


@contextmanager
def running(home: Path) -> Iterator[Receivers]:
    """The receivers as a program of its own, which Ctrl-C at the terminal does not reach."""
    certificate = _write_certificate(home)
    command = [sys.executable, "-m", "bench.receivers", str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, process_group=0) as program:
        try:
            assert program.stdout
            port, control = program.stdout.readline().split()
            yield Receivers(int(port), int(control), certificate)
        finally:
            program.terminate()


def _write_certificate(home: Path) -> Path:
    """A certificate that its own key signed, and the key: their files in `home`."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    (home / "shop.pem").write_bytes(made.sign(key, SHA256()).public_bytes(Encoding.PEM))
    (home / "shop.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return home / "shop.pem"


async def _listen(home: Path) -> None:
    told, tls = Told(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(home / "shop.pem", home / "shop.key")

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            path, body = await _request(reader)
            told.calls[path] += 1
            if path in WELL:
                told.note(path, body)
            if path == "/hanging":
                await reader.read()  # until who called has enough of it
            else:
                refused = path == "/dead" or (path == "/half" and told.calls[path] % 2)
                await _answer(writer, b"500 No" if refused else b"204 Heard")
        writer.close()

    async def tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path, _ = await _request(reader)
        if path != "/":
            vars(told).update(vars(Told(since=float(path[1:]))))
        await _answer(writer, b"200 OK", json.dumps(asdict(told.summed())).encode())
        writer.close()

    servers = [
        await asyncio.start_server(hear, "127.0.0.1", 0, ssl=tls, backlog=1024),
        await asyncio.start_server(tell, "127.0.0.1", 0),
    ]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


async def _request(reader: asyncio.StreamReader) -> tuple[str, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
    return head.split(b" ", 2)[1].decode(), await reader.readexactly(int(length or 0))


async def _answer(writer: Any, status: bytes, body: bytes = b"") -> None:  # noqa: ANN401  # typeshed's stub lacks a part
    length = b"" if status.startswith(b"204") else b"Content-Length: %d\r\n" % len(body)
    writer.write(b"HTTP/1.1 %b\r\n%bConnection: close\r\n\r\n%b" % (status, length, body))
    await writer.drain()


if __name__ == "__main__":
    asyncio.run(_listen(Path(sys.argv[1])))
