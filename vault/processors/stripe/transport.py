"""One request to Stripe, one answer: the official SDK's wire on a pool of kept-alive connections of our own.

The SDK encodes parameters and makes headers; urllib3 sends. Nothing here retries, follows a redirect, keeps a
credential, or writes anywhere: a resend is the business of the intent that a call belongs to.
"""

import json
import logging
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any, cast
from urllib.parse import quote

import stripe
import urllib3
from stripe import _api_requestor, _util
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, EmptyPoolError, HTTPError, NewConnectionError, ReadTimeoutError

from vault.personal import Secret
from vault.processing.answers import Failure, NotReached, Refused, Unknown

IDLE_LIMIT = 5.0
"""Seconds. A connection that idled longer is opened anew: its server may be closing it just as we send, and a reset
then is an unknown outcome, although nothing came of it."""

MODES = {"sk_live_": True, "rk_live_": True, "sk_test_": False, "rk_test_": False}
"""By how a key begins, whether it is live. Source: docs.stripe.com/keys."""

NEVER_SENT: dict[type[HTTPError], str] = {
    NewConnectionError: "never_connected",
    ConnectTimeoutError: "never_connected",
    EmptyPoolError: "no_connection_free",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What Stripe said: the status, the JSON body (None where it is none), Retry-After in seconds.

    `replayed` when it is what Stripe kept of an earlier call with that key; `live` is the mode of the key that asked,
    None where its kind has no modes.
    """

    status: int
    body: Any = field(repr=False)
    retry_after: float | None = None
    replayed: bool = False
    live: bool | None = None


class Wire(stripe.StripeClient):
    """One client for every account: the credentials come with each call, and go with it.

    `connect_timeout` and `read_timeout` are seconds; the second bounds each read, and a small answer is one or two. A
    `transport` of one's own takes the place of the pool; what it can't do it raises as an HTTPError of urllib3.
    """

    def __init__(
        self,
        *,
        base_url: str,
        pool_size: int,
        connect_timeout: float,
        read_timeout: float,
        has_modes: bool = True,
        transport: stripe.HTTPClient | None = None,
    ) -> None:
        stripe.enable_telemetry = False  # it would write an id into a file under the user's home
        silence_stripe_log()
        base_url = base_url.rstrip("/")
        sends = transport or _Pooled(base_url, pool_size, connect_timeout, read_timeout)
        super().__init__("", base_addresses={"api": base_url}, http_client=sends, max_network_retries=0)
        self._has_modes = has_modes

    def mode_of(self, credentials: str) -> bool | None:
        """Whether a key is live, by its prefix; None for one without, and where there are no modes."""
        return MODES.get(credentials[:8]) if self._has_modes else None

    def send(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any],
        *,
        credentials: str,
        key: str | None = None,
        version: str | None = None,
    ) -> Answer | Failure:
        """Send one request, once, in the `version` that the SDK pins unless another is named.

        The step under `raw_request`, because that one drops a parameter named `usage`, which SetupIntents take, and
        turns answers into exceptions that quote them.
        """
        if not (credentials.isascii() and credentials.isprintable()):  # no header can carry them
            return Refused(code="processor_credentials_refused", credentials=True)
        try:
            body, status, headers = self._requestor.request_raw(
                method,
                path,
                params=params,
                options={"api_key": credentials, "idempotency_key": key, "stripe_version": version},
                base_address="api",
                api_mode="V1",
            )
        except HTTPError as error:
            return _unanswered(error)
        return Answer(
            status,
            _json(cast("bytes", body)),
            _seconds(headers.get("Retry-After")),
            replayed=headers.get("Idempotent-Replayed") == "true",
            live=self.mode_of(credentials),
        )

    def line(self, credentials: Secret) -> "Line":
        """The wire with one account's key."""
        return Line(self, credentials)


@dataclass(frozen=True, slots=True)
class Line:
    """The wire, for one account: each call is sent once."""

    wire: Wire
    credentials: Secret

    def get(self, path: str, params: Mapping[str, Any], version: str | None = None) -> Answer | Failure:
        """Read something."""
        return self.wire.send("get", path, params, credentials=self.credentials.value, version=version)

    def post(self, path: str, params: Mapping[str, Any], key: str, version: str | None = None) -> Answer | Failure:
        """Make or change something under an idempotency key."""
        return self.wire.send("post", path, params, credentials=self.credentials.value, key=key, version=version)

    def delete(self, path: str) -> Answer | Failure:
        """Delete something; Stripe takes no key with that."""
        return self.wire.send("delete", path, {}, credentials=self.credentials.value)


def segment(reference: str) -> str:
    """A reference as one segment of a path, whatever it holds."""
    return quote(reference, safe="")


def silence_stripe_log() -> None:
    """Keep the SDK from printing or logging anything at any level: at DEBUG it writes whole bodies, `card[number]` too.

    Its two log functions are replaced, because `STRIPE_LOG` and `stripe.log` print past every logger. Of urllib3 only
    the lines that name a path of Stripe's go: they carry the customer's reference there.
    """
    for module, name in product((_api_requestor, _util), ("log_debug", "log_info")):
        setattr(module, name, _say_nothing)
    logging.getLogger("stripe").addFilter(_nothing)
    logging.getLogger("urllib3.connectionpool").addFilter(_no_stripe_path)


class _Freshness:
    """A connection that passes for dropped, and is then opened anew, once it idled longer than `IDLE_LIMIT`."""

    _idle_since = 0.0

    def connect(self) -> None:
        """Connect, TLS included. Whatever goes wrong in here, the request was not sent."""
        try:
            super().connect()  # type: ignore[misc]  # a mixin: urllib3's connection comes next
        except OSError as error:
            raise NewConnectionError(cast("HTTPConnection", self), type(error).__name__) from error

    def getresponse(self) -> Any:  # noqa: ANN401 - urllib3's own response, which its stubs name differently in each base
        response = super().getresponse()  # type: ignore[misc]  # as above
        self._idle_since = time.monotonic()
        return response

    @property
    def is_connected(self) -> bool:
        fresh = time.monotonic() - self._idle_since < IDLE_LIMIT
        return fresh and bool(super().is_connected)  # type: ignore[misc]  # as above


class _FreshHTTP(_Freshness, HTTPConnection):
    pass


class _FreshHTTPS(_Freshness, HTTPSConnection):
    pass


class _HTTPPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _FreshHTTP


class _HTTPSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _FreshHTTPS


class _Pooled(stripe.HTTPClient):
    """The SDK's transport on at most `pool_size` connections; a call waits for one as long as for connecting."""

    name = "urllib3"

    def __init__(self, base_url: str, pool_size: int, connect_timeout: float, read_timeout: float) -> None:
        super().__init__()
        self._base_url = base_url
        self._wait = connect_timeout
        url = urllib3.util.parse_url(base_url)
        timeout = urllib3.Timeout(connect=connect_timeout, read=read_timeout)
        options: dict[str, Any] = {"port": url.port, "maxsize": pool_size, "block": True, "timeout": timeout}
        if url.scheme == "https":  # one context for all connections: reading the authorities takes milliseconds
            options["ssl_context"] = ssl.create_default_context(cafile=stripe.ca_bundle_path)
        self._pool = (_HTTPSPool if url.scheme == "https" else _HTTPPool)(url.host or "", **options)

    def request(  # type: ignore[override]  # the SDK says str; its own transports return bytes too
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: str | None = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        response = self._pool.urlopen(
            method.upper(),
            url.removeprefix(self._base_url),
            body=post_data,
            headers=headers,
            retries=False,  # no redirects either
            pool_timeout=self._wait,  # type: ignore[arg-type]  # seconds like any other: it waits on a queue
        )
        return response.data, response.status, response.headers

    def close(self) -> None:
        self._pool.close()


def _unanswered(error: HTTPError) -> NotReached | Unknown:
    never_sent = next((reason for kind, reason in NEVER_SENT.items() if isinstance(error, kind)), None)
    if never_sent:
        return NotReached(reason=never_sent)
    return Unknown(reason="timeout" if isinstance(error, ReadTimeoutError) else "connection_lost")


def _json(body: bytes) -> Any:  # noqa: ANN401 - JSON of any shape
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _seconds(retry_after: str | None) -> float | None:
    """The header in its form of whole seconds; its other form, a date, counts as absent."""
    return float(retry_after) if retry_after and retry_after.isascii() and retry_after.isdigit() else None


def _say_nothing(*_: object, **__: object) -> None:
    pass


def _nothing(_: logging.LogRecord) -> bool:
    return False


def _no_stripe_path(record: logging.LogRecord) -> bool:
    return "/v1/" not in record.getMessage()
