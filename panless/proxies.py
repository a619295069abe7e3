"""Proxies in front of the server: whom to believe what a request's headers say about where it came from.

Nobody is believed unless settings name the proxies' networks. What they are believed is how many hops of
`X-Forwarded-For` and `X-Forwarded-Proto` they wrote, and which client certificate they saw. From anybody else these
headers are nothing: the request is served as if it had none of them.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

from werkzeug.middleware.proxy_fix import ProxyFix

from api.authentication import CERTIFICATE
from panless.client_certificates import fingerprint
from vault.client_keys import Network

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def behind(
    application: Application, networks: Iterable[Network], hops: int, certificate_header: str | None
) -> Application:
    """The application behind `hops` proxies in `networks`, which may show clients' certificates in a header."""
    proxied = ProxyFix(application, x_for=hops, x_proto=hops, x_host=0)
    trusted = tuple(networks)
    name = f"HTTP_{certificate_header.upper().replace('-', '_')}" if certificate_header else ""

    @lru_cache(maxsize=1024)
    def is_proxy(address: str) -> bool:
        try:
            found = ip_address(address)
        except ValueError:
            return False
        plain = getattr(found, "ipv4_mapped", None) or found
        return any(plain in network for network in trusted)

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if not is_proxy(environ.get("REMOTE_ADDR", "")):
            return application(environ, start_response)
        if name in environ:
            environ[CERTIFICATE] = fingerprint(environ[name])
        return proxied(environ, start_response)

    return serve
