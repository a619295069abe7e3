"""Calling servers that somebody else named: callbacks and webhooks, without being made to call our own network.

A name is resolved once. Unless every address that it has is fit, nothing is dialled; then one of those very addresses
is, so that no second answer of the name server counts. The certificate must be the name's. No redirect is followed, no
proxy asked, no answer's body read. There is one time at which the whole call is over: resolving, connecting and
answering, however slowly the other side goes.
"""

import http.client
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from threading import Thread, Timer
from time import monotonic
from urllib.parse import SplitResult, urlsplit

from vault.outgoing import NotPosted, Posted

IpAddress = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Sequence[str]]

SILENCE_SECONDS = 5.0
"""How long one address may take for a connection, and a server for its next byte."""

WHOLE_SECONDS = 10.0
MOST_ADDRESSES = 3
"""How many of a name's addresses are dialled, each checked: a name may have any number that take no connection."""

TRUSTED_FOR = 600.0
"""Seconds for which the system's authorities are trusted before they are read again."""

LARGEST = 256 * 1024
IPV6_UNICAST = IPv6Network("2000::/3")
"""All that IANA gives out; outside of it are addresses of sites, of SRv6, and those that carry an IPv4 one."""

_NOT_OUTSIDE = ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32", "2001::/23", "2002::/16", "3fff::/20")
SPECIAL = [ip_network(net) for net in _NOT_OUTSIDE]
"""What Python calls global in some version: protocol assignments, gateways that may lead anywhere, documentation; and
the one public address behind which a cloud (Azure) serves each machine its own name server and configuration."""


def is_global(address: IpAddress) -> bool:
    """Whether an address is on the public internet (IANA's special-purpose registries), and one host's."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_global(address.ipv4_mapped)
        if address not in IPV6_UNICAST:
            return False
    return address.is_global and not address.is_multicast and not any(address in network for network in SPECIAL)


def anywhere(_: IpAddress) -> bool:
    """For a server that the operator named, wherever it is."""
    return True


def resolve(host: str, port: int) -> Sequence[str]:
    """All addresses of a name, each once. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    fit: Callable[[IpAddress], bool] = is_global,
    resolve: Resolve = resolve,
    trust: ssl.SSLContext | None = None,
    seconds: float = WHOLE_SECONDS,
) -> Posted | NotPosted:
    """Send a body once. `fit` says which addresses may be dialled, `trust` who certifies names: the system's, if None.

    Plain http is for a server that the operator named on this machine; what clients may name is decided before.
    """
    if len(body) > LARGEST:
        return NotPosted("too_large")
    end = monotonic() + seconds
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        addresses = resolve_by(resolve, host, port, end)
    except (OSError, ValueError):  # ValueError: no URL, no port, a label that is empty or too long
        return NotPosted("name_not_resolved")
    if not addresses or not all(_fits(address, fit) for address in addresses):
        return NotPosted("address_refused")
    try:
        with dial(addresses, port, end) as dialled:
            return _sent(dialled, parts, host, port, body, headers, trust)
    except ssl.SSLCertVerificationError:
        return NotPosted("certificate_refused")
    except (OSError, http.client.HTTPException, ValueError):  # ValueError: a path or a header that is none
        return NotPosted("no_answer")


def _fits(address: str, fit: Callable[[IpAddress], bool]) -> bool:
    with suppress(ValueError):
        return fit(ip_address(address.partition("%")[0]))
    return False


def resolve_by(resolve: Resolve, host: str, port: int, end: float) -> Sequence[str]:
    """All addresses of a name. The system's own call can't be cut: it has a thread, which is left when time is over."""
    answer: Future[Sequence[str]] = Future()
    Thread(target=_resolve_for, args=(answer, resolve, host, port), daemon=True).start()
    return answer.result(_left(end))  # its TimeoutError is an OSError


def _resolve_for(answer: Future[Sequence[str]], resolve: Resolve, host: str, port: int) -> None:
    try:
        answer.set_result(resolve(host, port))
    except Exception as error:  # noqa: BLE001  # raised again where the answer is waited for
        answer.set_exception(error)


@contextmanager
def dial(addresses: Sequence[str], port: int, end: float) -> Iterator[socket.socket]:
    """A connection to the first address that takes one, cut when the time for all of it is over."""
    with _connected(addresses, port, end) as connection, connection.dup() as twin:  # TLS takes the first one's number
        cut = Timer(_left(end), _cut, (twin,))
        cut.daemon = True
        cut.start()
        try:
            yield connection
        finally:
            cut.cancel()
            cut.join()


def _connected(addresses: Sequence[str], port: int, end: float) -> socket.socket:
    for address in addresses[:MOST_ADDRESSES]:
        with suppress(OSError):
            return socket.create_connection((address, port), min(SILENCE_SECONDS, _left(end)))
    raise TimeoutError


def _left(end: float) -> float:
    """The seconds until then; a moment at least, since no seconds would mean no limit to some."""
    return max(end - monotonic(), 0.001)


def _cut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _sent(
    dialled: socket.socket,
    parts: SplitResult,
    host: str,
    port: int,
    body: bytes,
    headers: Mapping[str, str],
    trust: ssl.SSLContext | None,
) -> Posted:
    """Speak HTTP over what was dialled, up to the status of the answer."""
    with secure(dialled, parts, host, trust) as secured:
        wire = http.client.HTTPConnection(host, port)
        wire.sock = secured
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        wire.request("POST", target, body, {**headers, "Host": parts.netloc, "Connection": "close"})
        return Posted(wire.getresponse().status)


def secure(dialled: socket.socket, parts: SplitResult, host: str, trust: ssl.SSLContext | None) -> socket.socket:
    """TLS over it, where the URL asks for that; by the system's authorities, if `trust` is None. Raises OSError."""
    if parts.scheme != "https":
        return dialled
    return (trust or authorities(monotonic())).wrap_socket(dialled, server_hostname=host)


def authorities(moment: float) -> ssl.SSLContext:
    """The system's authorities: reading them takes some 30 ms of CPU, so they are read once for many calls."""
    return _read_authorities(int(moment // TRUSTED_FOR))


@lru_cache(maxsize=1)
def _read_authorities(_period: int) -> ssl.SSLContext:
    return ssl.create_default_context()
