"""What is inside: listeners on every address of this machine, a name server that lies, and the addresses to try."""

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

from panless import outgoing

PUBLIC = "93.184.215.14"
NAMES: dict[str, Sequence[str]] = {
    "inside.example": ["127.0.0.1"],
    "inside6.example": ["::1"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "compatible.example": ["::127.0.0.1"],
    "translated.example": ["64:ff9b::7f00:1"],
    "sixtofour.example": ["2002:7f00:1::1"],
    "teredo.example": ["2001:0:7f00:1::1"],
    "zone.example": ["fe80::1%lo"],
    "first.example": [PUBLIC, "127.0.0.1"],
    "last.example": ["127.0.0.1", PUBLIC],
    "many.example": [*[f"93.184.216.{number}" for number in range(50)], "10.0.0.1"],
    "both.example": ["2606:2800:21f:cb07:6820:80da:af6b:8b2c", "::1"],
    "rubbish.example": ["not an address"],
    "127.0.0.1.nip.example": ["127.0.0.1"],
    "metadata.google.internal": ["169.254.169.254"],
    "none.example": [],
}
HOSTS = (
    *NAMES,
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "127.0.1",
    "127.255.255.254",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0x7f.1",
    "0177.0.0.1",
    "017700000001",
    "0",
    "0.0.0.0",  # noqa: S104  # an address to refuse
    "localhost",
    "LOCALHOST",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2001:0:7f00:1::]",
    "[fe80::1]",
    "[fe80::1%25lo]",
    "[fc00::1]",
    "[fec0::1]",
    "[ff02::1]",
    "[fd00:ec2::254]",
    "[5f00::1]",
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "168.63.129.16",
    "192.0.0.192",
    "100.100.100.200",
    "100.64.0.1",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "198.18.0.1",
    "192.88.99.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "127\u30020\u30020\u30021",
    "\uff11\uff12\uff17.0.0.1",
    "\u2460\u2461\u2466.0.0.1",
    "user@127.0.0.1",
    "shop.example:x@127.0.0.1",
    "shop.example%2f@127.0.0.1",
    "shop.example%40127.0.0.1",
)


def resolve(host: str, port: int) -> Sequence[str]:
    """The names above; what is an address in any way of writing one, as the system reads it; nothing else."""
    if host in NAMES:
        return NAMES[host]
    if host.endswith(".example"):
        raise OSError
    return outgoing.resolve(host, port)


@dataclass
class Inside:
    """Listeners on one port of every address of this machine, and who came."""

    port: int = 0
    came: list[str] = field(default_factory=list)


@contextmanager
def listening(*addresses: tuple[int, str], answer: bytes = b"") -> Iterator[Inside]:
    """Listen until the end: on all of IPv4 and IPv6 unless some addresses are named."""
    inside = Inside()
    with ExitStack() as open_until_then:
        for family, address in addresses or ((socket.AF_INET, ""), (socket.AF_INET6, "::")):
            listener = open_until_then.enter_context(
                socket.create_server((address, inside.port), family=family, dualstack_ipv6=False)
            )
            inside.port = listener.getsockname()[1]
            open_until_then.callback(_served(listener, inside, answer))
        yield inside


def _served(listener: socket.socket, inside: Inside, answer: bytes) -> Callable[[], None]:
    """Take connections in a thread; what ends that."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, (where, *_) = listener.accept()
                inside.came.append(where)
                with connection, suppress(OSError):
                    connection.recv(65536)
                    connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()

    def end() -> None:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)

    return end
