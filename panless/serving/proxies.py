"""Proxies in front of the server: whom to believe what a request's headers say about where it came from.

Nobody is believed unless settings name the proxies' networks. What they are believed is how many hops of
`X-Forwarded-For` and `X-Forwarded-Proto` they wrote, and which client certificate they saw. From anybody else these
headers are nothing: the request is served as if it had none of them.

`X-Forwarded-For` is read from its end, where the nearest proxy wrote, and as plainly as proxies write it. What stands
between the peer and the client must be named proxies, too. Whenever it is not so, nobody knows whose request it is: it
gets no address, which meets no terms, and never that of a proxy.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

from api.authentication import CERTIFICATE
from panless.serving.client_certificates import fingerprint
from vault.tenancy.client_keys import Network

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def behind(
    application: Application, networks: Iterable[Network], hops: int, certificate_header: str | None
) -> Application:
    """The application behind `hops` proxies in `networks`, which may show clients' certificates in a header."""
    is_proxy = _within(networks)
    name = f"HTTP_{certificate_header.upper().replace('-', '_')}" if certificate_header else ""

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if is_proxy(environ.get("REMOTE_ADDR", "")):
            if name in environ:
                environ[CERTIFICATE] = fingerprint(environ[name])
            if hops:
                environ["REMOTE_ADDR"] = _client(environ.get("HTTP_X_FORWARDED_FOR", ""), hops, is_proxy)
                environ["wsgi.url_scheme"] = _scheme(environ, hops)
        return application(environ, start_response)

    return serve


def _within(networks: Iterable[Network]) -> Callable[[str], bool]:
    """Whether an address is in one of these."""
    trusted = tuple(networks)

    @lru_cache(maxsize=1024)
    def is_within(address: str) -> bool:
        try:
            found = ip_address(address)
        except ValueError:
            return False
        plain = getattr(found, "ipv4_mapped", None) or found
        return any(plain in network for network in trusted)

    return is_within


def _client(forwarded: str, hops: int, is_proxy: Callable[[str], bool]) -> str:
    """The address that the outermost of `hops` proxies saw; empty if it is not known."""
    seen = [each.strip() for each in forwarded.rsplit(",", hops)[-hops:]]
    if len(seen) < hops or not all(map(is_proxy, seen[1:])):
        return ""
    try:
        return str(ip_address(seen[0]))
    except ValueError:
        return ""


def _scheme(environ: dict[str, Any], hops: int) -> str:
    """What the outermost proxy was spoken to in: the first of its hops' words; some write over the one before."""
    said = environ.get("HTTP_X_FORWARDED_PROTO", "").rsplit(",", hops)[-hops:][0].strip().lower()
    return said if said in {"http", "https"} else str(environ["wsgi.url_scheme"])
