"""The settings of the door: TLS, proxies in front, clients that are slow. `settings.py` reads them with its own."""

import re
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlsplit

from environs import FileAwareEnv
from limits import parse

from panless.errors import SettingsError
from panless.settings.root_keys import LOOPBACK
from vault.personal import Secret
from vault.tenancy.client_keys import Network


def read(env: FileAwareEnv) -> dict[str, Any]:
    """The values by the names of their fields. Raises SettingsError, EnvError."""
    return {**_tls(env), **_proxies(env), **_oauth(env), **_limits(env), **_slow_clients(env)}


def _tls(env: FileAwareEnv) -> dict[str, Any]:
    """A certificate and its key, or none of both."""
    names = ("TLS_CERTIFICATE_FILE", "TLS_KEY_FILE")
    missing = [name for name in names if not env.str(name, "")]
    if len(missing) == 1:
        raise SettingsError(f"PANLESS_{missing[0]} is not set. TLS needs a certificate and its key.")
    return {name.lower(): None if missing else env.path(name) for name in names}


def _proxies(env: FileAwareEnv) -> dict[str, Any]:
    hops: int = env.int("PROXY_HOPS", 0)
    header: str = env.str("CLIENT_CERTIFICATE_HEADER", "")
    trusted = _networks(env, "TRUSTED_PROXIES")
    if hops < 0:
        raise SettingsError("PANLESS_PROXY_HOPS must be 0 or more.")
    if header and not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{0,99}", header):
        raise SettingsError("PANLESS_CLIENT_CERTIFICATE_HEADER must be a header's name: letters, digits and -.")
    if (hops or header) and not trusted:
        raise SettingsError("PANLESS_TRUSTED_PROXIES is not set. Say whose headers to believe: 10.0.0.0/24.")
    return {"trusted_proxies": trusted, "proxy_hops": hops, "client_certificate_header": header or None}


def _networks(env: FileAwareEnv, name: str) -> tuple[Network, ...] | None:
    try:
        written: list[str] = env.list(name, [])
        return tuple(map(ip_network, written)) or None
    except ValueError as error:
        raise SettingsError(f"PANLESS_{name} must be networks with commas between them: {error}.") from None


def _oauth(env: FileAwareEnv) -> dict[str, Any]:
    """Whose tokens count; it takes all four, or none is set."""
    needed = {
        f"oauth_{name}": env.str(f"OAUTH_{name.upper()}", "") for name in ("issuer", "audience", "jwks", "tenant")
    }
    missing = [name for name, value in needed.items() if not value]
    if missing and len(missing) < len(needed):
        raise SettingsError(
            f"PANLESS_{missing[0].upper()} is not set. Tokens need an issuer, an audience, its keys and a tenant."
        )
    if (jwks := needed["oauth_jwks"]).startswith(("http://", "https://")):
        check_url(jwks, "OAUTH_JWKS")
    claims = {"oauth_client_claim": env.str("OAUTH_CLIENT_CLAIM", "client_id")}
    claims["oauth_scopes_claim"] = env.str("OAUTH_SCOPES_CLAIM", "scope")
    return {**(dict.fromkeys(needed) if missing else needed), **claims}


def check_url(url: str, name: str) -> str:
    """A URL without a slash at its end; plain http on this machine only. Raises SettingsError."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise SettingsError(f"PANLESS_{name} must be an http or https URL.")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise SettingsError(f"PANLESS_{name} must be https: what goes over it is not for others.")
    return url.rstrip("/")


def _limits(env: FileAwareEnv) -> dict[str, Any]:
    """How often clients may call, as `limits` writes it: 6000/minute."""
    values: dict[str, Any] = {
        "rate_limit": env.str("RATE_LIMIT", "") or None,
        "rate_limit_failures": env.str("RATE_LIMIT_FAILURES", "600/minute"),
    }
    for name, value in values.items():
        try:
            parse(value) if value not in {None, "off"} else None
        except ValueError:
            raise SettingsError(f"PANLESS_{name.upper()} must be like 6000/minute or 100/second.") from None
    store: str = env.str("RATE_LIMIT_STORE", "")
    if store and urlsplit(store).scheme not in {"redis", "rediss"}:
        raise SettingsError("PANLESS_RATE_LIMIT_STORE must be a redis or rediss URL.")
    if urlsplit(store).scheme == "redis" and urlsplit(store).hostname not in LOOPBACK:
        raise SettingsError("PANLESS_RATE_LIMIT_STORE must be rediss: what goes over it is not for others.")
    return {**values, "rate_limit_store": Secret(store) if store else None}


def _slow_clients(env: FileAwareEnv) -> dict[str, Any]:
    connections: int = env.int("CLIENT_CONNECTIONS", 1000)
    seconds: float = env.float("CLIENT_TIMEOUT", 10.0)
    if connections < 2:  # noqa: PLR2004  # gunicorn keeps one for connections that are kept alive
        raise SettingsError("PANLESS_CLIENT_CONNECTIONS must be 2 or more.")
    if not seconds > 0:
        raise SettingsError("PANLESS_CLIENT_TIMEOUT must be more than 0.")
    return {"client_connections": connections, "client_timeout": seconds}
