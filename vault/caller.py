"""Who calls, for whom, why and when: what every domain function is told about the request it serves."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime


def _just_begun() -> float:
    return 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """One request's client, tenant and moment. `client` is empty for the worker and the command line."""

    tenant: str
    client: str
    live: bool
    at: datetime
    request_id: str
    scopes: frozenset[str] = frozenset()
    actor: str | None = None
    """The human behind the client, where it names one: letters, digits and `._:-`."""
    person: str | None = None
    """The human whom the issuer of the client's token vouches for: a digest of its subject. Nobody with an API key."""
    purpose: str | None = None
    purpose_reference: str | None = None
    age: Callable[[], float] = field(default=_just_begun, compare=False, repr=False)
    """Seconds since the request arrived: see `sending`. Who does not say is always young: a command, a migration."""
    aside: Callable[[], AbstractContextManager[None]] = field(default=nullcontext, compare=False, repr=False)
    """Entered while somebody else's server is waited for, so that others are served meanwhile."""
