"""Every setting, read from `PANLESS_*` variables and checked at start; `NAME_FILE` reads a mounted file instead."""

import os
import re
from dataclasses import dataclass, fields
from pathlib import Path
from urllib.parse import urlsplit

from environs import EnvError, FileAwareEnv
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from panless.errors import SettingsError
from panless.process.privilege import RUN_AS_ROOT
from panless.settings import door, root_keys, secret_files, stores, transit_signin
from panless.settings.door import check_url
from panless.settings.root_keys import LOOPBACK, KeyfilePlace, Place
from panless.settings.stores import Bucket
from vault.personal import Secret
from vault.tenancy.client_keys import Network

BACKENDS = ("sqlite", "postgresql")
LONGEST_LAG = 3600
"""Seconds: an hour, as the key of an order must outlast what its list lags behind."""
LONGEST_STATEMENT = 600
DOMAIN = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
CALLBACK_HOST = re.compile(rf"((ten|cli)_[a-z0-9]+=)?{DOMAIN.pattern}(:\d{{1,5}})?".replace(r"(?=.{1,253}\Z)", ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one process. Database URLs may carry passwords, so they are secrets."""

    records_url: Secret
    keystore_url: Secret
    keyfile: Path | None
    root_keys: tuple[Place, ...] | None
    pkcs11_pin: Secret | None
    transit_token: Secret | None
    transit_approle: str | None
    transit_secret_id: Secret | None
    transit_kubernetes_role: str | None
    transit_kubernetes_token_file: Path
    transit_auth_mount: str | None
    ledger: Path | Bucket
    ledger_endpoint: str | None
    ledger_lock_days: int | None
    audit_anchor: Path | Bucket | None
    audit_anchor_endpoint: str | None
    audit_anchor_lock_days: int | None
    policy: Path
    cell: str
    bind: str
    tls_certificate_file: Path | None
    tls_key_file: Path | None
    trusted_proxies: tuple[Network, ...] | None
    proxy_hops: int
    client_certificate_header: str | None
    oauth_issuer: str | None
    oauth_audience: str | None
    oauth_jwks: str | None
    oauth_tenant: str | None
    oauth_client_claim: str
    oauth_scopes_claim: str
    rate_limit: str | None
    rate_limit_failures: str
    rate_limit_store: Secret | None
    client_connections: int
    client_timeout: float
    metrics_bind: str | None
    worker_metrics_bind: str | None
    workers: int
    threads: int
    connections: int
    database_timeout: float
    prepared_statements: bool
    kek_ttl: float
    kek_epoch_days: int
    ledger_grace: float | None
    accept_raw_cards: bool
    list_lag: float
    stripe_url: str
    sandbox_url: str | None
    opendsr_domain: str | None
    opendsr_key_file: Path | None
    opendsr_certificate_file: Path | None
    callback_hosts: frozenset[str] | None
    fides_url: str | None
    run_as_root: str
    log_level: str

    @property
    def roots(self) -> tuple[Place, ...]:
        """Where the root keys are, in the order in which they are asked."""
        return self.root_keys or (KeyfilePlace(path=self.keyfile or Path()),)

    @property
    def is_sqlite(self) -> bool:
        """Whether a database is a SQLite file, which one process at a time can write."""
        urls = (self.records_url.value, self.keystore_url.value)
        return any(make_url(url).get_backend_name() == "sqlite" for url in urls)


SECRETS = tuple(f"PANLESS_{each.name.upper()}" for each in fields(Settings) if each.type in {Secret, Secret | None})


def read_settings() -> Settings:
    """The settings in this process's environment. Raises SettingsError."""
    secret_files.refuse_open_settings(SECRETS, os.environ)
    env = FileAwareEnv(prefix="PANLESS_", strip_whitespace=True)
    try:
        return Settings(
            records_url=_database(env, "RECORDS_URL"),
            keystore_url=_database(env, "KEYSTORE_URL"),
            keyfile=env.path("KEYFILE", None),
            root_keys=_root_keys(env),
            pkcs11_pin=_secret(env, "PKCS11_PIN"),
            **transit_signin.read(env),
            **stores.read(env),
            policy=env.path("POLICY"),
            cell=_cell(env),
            bind=_address(env, "BIND", "127.0.0.1:8080"),
            **door.read(env),
            metrics_bind=_address(env, "METRICS_BIND", "") or None,
            worker_metrics_bind=_address(env, "WORKER_METRICS_BIND", "") or None,
            workers=env.int("WORKERS", 2),
            threads=env.int("THREADS", 16),
            connections=env.int("CONNECTIONS", 10),
            database_timeout=_database_timeout(env),
            prepared_statements=env.bool("PREPARED_STATEMENTS", True),
            kek_ttl=env.float("KEK_TTL", 300.0),
            kek_epoch_days=_epoch_days(env),
            accept_raw_cards=env.bool("ACCEPT_RAW_CARDS", False),  # environs' signature
            list_lag=_list_lag(env),
            stripe_url=check_url(env.str("STRIPE_URL", "https://api.stripe.com"), "STRIPE_URL"),
            sandbox_url=_sandbox(env),
            opendsr_domain=_opendsr(env),
            opendsr_key_file=env.path("OPENDSR_KEY_FILE", None),
            opendsr_certificate_file=env.path("OPENDSR_CERTIFICATE_FILE", None),
            callback_hosts=_callback_hosts(env),
            fides_url=_optional_url(env, "FIDES_URL"),
            run_as_root=_run_as_root(env),
            log_level=_log_level(env),
        )
    except (EnvError, ValueError) as error:
        raise SettingsError(_sentence(error)) from None


def _sentence(error: Exception) -> str:
    text = str(error).removeprefix("Environment variable ").strip()
    return f"{text} See docs/settings.md." if "PANLESS_" in text else text


def _database(env: FileAwareEnv, name: str) -> Secret:
    try:
        backend = make_url(env.str(name)).get_backend_name()
    except ArgumentError:
        raise SettingsError(f"PANLESS_{name} is not a database URL. Use sqlite:///file or postgresql://...") from None
    if backend not in BACKENDS:
        raise SettingsError(f"PANLESS_{name} names a database that Panless does not keep. Use SQLite or PostgreSQL.")
    return Secret(env.str(name))


def _root_keys(env: FileAwareEnv) -> tuple[Place, ...] | None:
    """What PANLESS_ROOT_KEYS names; None where PANLESS_KEYFILE stands instead."""
    keyfile, named = env.str("KEYFILE", ""), env.str("ROOT_KEYS", "")
    if keyfile and named:
        raise SettingsError("PANLESS_KEYFILE and PANLESS_ROOT_KEYS are both set. Have it there, as keyfile:PATH.")
    if not keyfile and not named:
        raise SettingsError("PANLESS_KEYFILE is not set, nor PANLESS_ROOT_KEYS: set one. See docs/settings.md.")
    return root_keys.read_named(env, named) if named else None


def _secret(env: FileAwareEnv, name: str) -> Secret | None:
    value: str = env.str(name, "")
    return Secret(value) if value else None


def _epoch_days(env: FileAwareEnv) -> int:
    days: int = env.int("KEK_EPOCH_DAYS", 30)
    if days < 1:
        raise SettingsError("PANLESS_KEK_EPOCH_DAYS must be 1 or more.")
    return days


def _database_timeout(env: FileAwareEnv) -> float:
    seconds: float = env.float("DATABASE_TIMEOUT", 10.0)
    if not 1 <= seconds <= LONGEST_STATEMENT:
        raise SettingsError(f"PANLESS_DATABASE_TIMEOUT must be from 1 to {LONGEST_STATEMENT} seconds.")
    return seconds


def _list_lag(env: FileAwareEnv) -> float:
    seconds: float = env.float("LIST_LAG", 10.0)
    if not 0 <= seconds <= LONGEST_LAG:
        raise SettingsError(f"PANLESS_LIST_LAG must be from 0 to {LONGEST_LAG} seconds.")
    return seconds


def _cell(env: FileAwareEnv) -> str:
    cell: str = env.str("CELL", "00")
    if len(cell) != 2 or not cell.isascii() or not cell.isalnum() or cell != cell.lower():  # noqa: PLR2004  # a cell is two characters
        raise SettingsError("PANLESS_CELL must be two characters of a-z and 0-9.")
    return cell


def _address(env: FileAwareEnv, name: str, default: str) -> str:
    address: str = env.str(name, default)
    host, _, port = address.rpartition(":")
    if address and not (host and port.isdigit() and int(port) <= 65535):  # noqa: PLR2004  # the largest port
        raise SettingsError(f"PANLESS_{name} must be HOST:PORT, for example 127.0.0.1:8080.")
    return address


def _sandbox(env: FileAwareEnv) -> str | None:
    url: str = env.str("SANDBOX_URL", "")
    if url and urlsplit(url).hostname not in LOOPBACK:
        raise SettingsError("PANLESS_SANDBOX_URL must be on this machine: the sandbox listens on loopback only.")
    return check_url(url, "SANDBOX_URL") if url else None


def _opendsr(env: FileAwareEnv) -> str | None:
    """The domain; it comes with a key and its certificate, or none of the three is set."""
    names = ("OPENDSR_DOMAIN", "OPENDSR_KEY_FILE", "OPENDSR_CERTIFICATE_FILE")
    missing = [name for name in names if not env.str(name, "")]
    if len(missing) == len(names):
        return None
    if missing:
        raise SettingsError(f"PANLESS_{missing[0]} is not set. OpenDSR needs a domain, a key and a certificate.")
    domain: str = env.str("OPENDSR_DOMAIN")
    if not DOMAIN.fullmatch(domain):
        raise SettingsError("PANLESS_OPENDSR_DOMAIN must be a domain in lower case, for example vault.example.com.")
    return domain


def _callback_hosts(env: FileAwareEnv) -> frozenset[str] | None:
    hosts: frozenset[str] = frozenset(env.list("CALLBACK_HOSTS", []))
    if wrong := [host for host in hosts if not CALLBACK_HOST.fullmatch(host)]:
        raise SettingsError(
            f"PANLESS_CALLBACK_HOSTS has {min(wrong)!r}, which is not host, host:port, or one of these behind "
            "the id of a tenant or a client and =."
        )
    return hosts or None


def _optional_url(env: FileAwareEnv, name: str) -> str | None:
    url: str = env.str(name, "")
    return check_url(url, name) if url else None


def _run_as_root(env: FileAwareEnv) -> str:
    choice: str = env.str("RUN_AS_ROOT", "in-container")
    if choice not in RUN_AS_ROOT:
        raise SettingsError("PANLESS_RUN_AS_ROOT must be never, in-container or always.")
    return choice


def _log_level(env: FileAwareEnv) -> str:
    level: str = env.str("LOG_LEVEL", "INFO").upper()
    if level not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
        raise SettingsError("PANLESS_LOG_LEVEL must be DEBUG, INFO, WARNING or ERROR.")
    return level
