"""Tokens of a transit server: where they come from, and how long they live."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hvac import Client
from hvac.exceptions import Forbidden

from keys.providers.transit_answers import data_of


@dataclass(frozen=True, slots=True)
class Token:
    """A token as its server told of it: the seconds that were left then, None if it has no end or nobody tells."""

    text: str = field(repr=False)
    left: float | None
    renewable: bool


@dataclass(frozen=True, slots=True)
class SignIn:
    """How to get a token with a client that has none, and what to look at where that is refused."""

    token: Callable[[Client], Token]
    look_at: str


def given(read: Callable[[], str], look_at: str) -> SignIn:
    """A token that somebody else makes and puts where it is read anew each time."""

    def token(client: Client) -> Token:
        client.token = text = read()
        try:
            told = data_of(client.auth.token.lookup_self())
        except Forbidden:  # it may not look at itself, or it has ended: the call that it is for will tell
            return Token(text, None, renewable=False)
        return Token(text, told["ttl"] or None, bool(told.get("renewable")))

    return SignIn(token, look_at)


def by_approle(role_id: str, read_secret_id: Callable[[], str], mount: str, look_at: str) -> SignIn:
    """A token for an AppRole."""
    return SignIn(
        lambda client: _token(client.auth.approle.login(role_id, read_secret_id(), use_token=False, mount_point=mount)),
        look_at,
    )


def by_kubernetes(role: str, read_jwt: Callable[[], str], mount: str, look_at: str) -> SignIn:
    """A token for the service account that Kubernetes says this is."""
    return SignIn(
        lambda client: _token(client.auth.kubernetes.login(role, read_jwt(), use_token=False, mount_point=mount)),
        look_at,
    )


def renewed(client: Client) -> Token:
    """The client's token, which lives longer now."""
    return _token(client.auth.token.renew_self())


def _token(answer: Any) -> Token:  # noqa: ANN401  # hvac has no types
    auth = answer["auth"]
    return Token(str(auth["client_token"]), auth["lease_duration"] or None, bool(auth["renewable"]))
