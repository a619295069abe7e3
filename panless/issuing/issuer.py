"""OAuth 2.0 client credentials: what an issuer's access token (a JWT, RFC 9068) says of a client of ours.

A token never makes a client: it names one that is registered here, which bounds what the token may. Everything in its
header is the sender's word, so nothing there chooses a key but its id, among the keys that the issuer publishes.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import jwt
from jwt.exceptions import PyJWTError

from api.parts import Shown
from panless.issuing.keys import ALGORITHMS, IssuerKeys
from panless.settings.environment import Settings
from vault.ids import is_id
from vault.tenancy.client_keys import of_issuer, person_of
from vault.tenancy.scopes import ROLES, SCOPES

LEEWAY = 30
"""Seconds that two clocks may differ."""

TYPES = frozenset({"at+jwt", "application/at+jwt", "jwt", ""})
"""What kinds of JWT are access tokens; others (logout tokens, proofs, events) are not, whoever signed them."""

REQUIRED = ["exp", "iat", "iss", "aud"]
LONGEST = 8192
LONGEST_SUBJECT = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Whose tokens count, and how they are read."""

    issuer: str
    audience: str
    tenant: str
    """A tenant's id, of all its tokens; or the claim that has one."""
    client_claim: str
    scopes_claim: str


def trust_of(settings: Settings) -> Trust:
    """The issuer that the settings name."""
    return Trust(
        issuer=settings.oauth_issuer or "",
        audience=settings.oauth_audience or "",
        tenant=settings.oauth_tenant or "",
        client_claim=settings.oauth_client_claim,
        scopes_claim=settings.oauth_scopes_claim,
    )


def reader(trust: Trust, keys: IssuerKeys) -> Callable[[str], Shown | None]:
    """What says whom a token stands for, and with which scopes; None for any reason that it is not good."""

    def read(token: str) -> Shown | None:
        try:
            claims = _verified(trust, keys, token)
            return _issued(trust, claims) if claims is not None else None  # a claim may be no Unicode
        except (PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            return None

    return read


def _verified(trust: Trust, keys: IssuerKeys, token: str) -> dict[str, Any] | None:
    if len(token) > LONGEST:
        return None
    header = jwt.get_unverified_header(token)
    key = keys.get(header["kid"]) if isinstance(header.get("kid"), str) else None
    if key is None or "crit" in header or str(header.get("typ", "")).lower() not in TYPES:
        return None
    claims = jwt.decode(
        token,
        key,  # which knows its algorithm: a token that names another one is refused
        algorithms=ALGORITHMS,
        audience=trust.audience,
        issuer=trust.issuer,
        leeway=LEEWAY,
        options={"require": REQUIRED},
    )
    return None if "cnf" in claims else claims  # bound to a key whose proof is not looked at here


def _issued(trust: Trust, claims: dict[str, Any]) -> Shown | None:
    tenant = trust.tenant if is_id(trust.tenant, "ten") else claims.get(trust.tenant)
    subject = claims.get(trust.client_claim)
    if not isinstance(tenant, str) or not is_id(tenant, "ten"):
        return None
    if not isinstance(subject, str) or not 0 < len(subject) <= LONGEST_SUBJECT:
        return None
    granted = scopes_of(claims.get(trust.scopes_claim))
    person = _person(trust, claims, subject)
    return Shown(presented=of_issuer(tenant, trust.issuer, subject), scopes=granted, person=person)


def _person(trust: Trust, claims: dict[str, Any], client: str) -> str | None:
    """Whom the token is about; where no human is involved, its subject is the client (RFC 9068, section 2.2)."""
    subject = claims.get("sub")
    if not isinstance(subject, str) or subject == client or not 0 < len(subject) <= LONGEST_SUBJECT:
        return None
    return person_of(trust.issuer, subject)


def scopes_of(claim: object) -> frozenset[str]:
    """Our scopes in a claim: words with spaces between, or a list; a role stands for its scopes, the rest for none."""
    words: Iterable[object] = claim.split() if isinstance(claim, str) else claim if isinstance(claim, list) else ()
    named = [word for word in words if isinstance(word, str)]
    return frozenset(named) & SCOPES | frozenset().union(*(ROLES.get(word, frozenset()) for word in named))
