"""Where the server listens, and what it speaks there."""

from collections.abc import Iterator
from datetime import UTC, datetime

from cryptography.x509 import load_pem_x509_certificate

from panless.checks.finding import SOON, Finding
from panless.process.privilege import in_container
from panless.serving import tls
from panless.serving.ports import split
from panless.settings.environment import Settings
from panless.settings.root_keys import LOOPBACK

NARROWEST = {4: 8, 6: 16}
"""Bits of a network, by version of IP, that somebody could have to themselves."""


def plain_http(settings: Settings, *, contained: bool | None = None) -> Iterator[Finding]:
    """API keys and cards go over it. From inside a container nobody can tell who reaches its ports."""
    if split(settings.bind)[0] not in LOOPBACK and settings.tls_key_file is None:
        yield Finding(
            what=f"The server listens beyond this machine ({settings.bind}) and speaks plain HTTP.",
            mend="Listen on 127.0.0.1 (PANLESS_BIND) behind a proxy that speaks TLS, or let only that proxy reach it, "
            "or set PANLESS_TLS_CERTIFICATE_FILE and PANLESS_TLS_KEY_FILE.",
            is_unsafe=not (in_container() if contained is None else contained),
        )


def proxies(settings: Settings) -> Iterator[Finding]:
    """Who is trusted to say where a request comes from, and with which certificate, says what it likes."""
    for network in settings.trusted_proxies or ():
        if network.prefixlen < NARROWEST[network.version]:
            yield Finding(
                what=f"All of {network} may say where requests come from: networks and certificates mean nothing.",
                mend="Name your proxies' own addresses (PANLESS_TRUSTED_PROXIES).",
            )


def certificate(settings: Settings) -> Iterator[Finding]:
    """Clients hang up on a server whose certificate is over."""
    if settings.tls_certificate_file is None:
        return
    tls.refuse_unfit(settings.tls_certificate_file, settings.tls_key_file)
    pem = settings.tls_certificate_file.read_bytes()
    days = (load_pem_x509_certificate(pem).not_valid_after_utc - datetime.now(UTC)).days
    if days < SOON:
        yield Finding(
            what=f"The server's certificate is good for {max(days, 0)} days more.",
            mend="Renew it (PANLESS_TLS_CERTIFICATE_FILE), and restart the server.",
            is_unsafe=days < 0,
        )


def figures(settings: Settings) -> Iterator[Finding]:
    """They name no person, but how much business there is."""
    binds = {"METRICS_BIND": settings.metrics_bind, "WORKER_METRICS_BIND": settings.worker_metrics_bind}
    for name, bind in binds.items():
        if bind is not None and split(bind)[0] not in LOOPBACK:
            yield Finding(
                what=f"Anybody who reaches {bind} can read the figures.",
                mend=f"Let only Prometheus reach it (PANLESS_{name}).",
                is_unsafe=False,
            )
