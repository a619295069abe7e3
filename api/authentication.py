"""Who calls: the API key or token that a request shows, how it came here, and how often that may be."""

from dataclasses import replace

import structlog
from flask import request

from api.parts import Parts, Shown
from api.problems import Problem
from api.rate_limits import Standing
from rows.tenants import for_tenant
from vault.tenancy.client_keys import Arrival, parse_key
from vault.tenancy.clients import Client, authenticate

CERTIFICATE = "panless.certificate"
"""Where a request's environment says which client certificate it came with: its SHA-256, in hex."""

_CHALLENGE = {"WWW-Authenticate": "Bearer"}


def authenticated(house: Parts) -> tuple[Client, Parts]:
    """The client whose API key or token this request shows, and the parts for its tenant, whose records they reach.

    Raises Problem 401: the same for every cause.
    """
    at, shown = house.clock(), _shown(house)
    client = None
    if shown is not None:
        house = _bound(house, shown.presented.tenant)
        client = authenticate(house.records, house.ledger, shown.presented, at, _arrival())
    if client is None or shown is None:
        house.tallies.refused(shown.presented.tenant if shown else None, at)
        limited(house.limits.of_failure(request.remote_addr or "") if house.limits else None)
        raise Problem(401, "unauthenticated", "Send a valid API key: Authorization: Bearer ...", _CHALLENGE)
    house.uses.note(client, at)
    structlog.contextvars.bind_contextvars(tenant=client.tenant, client=client.client_id)
    if shown.scopes is not None:
        client = replace(client, scopes=client.scopes & shown.scopes, person=shown.person)
    return client, house


def _bound(house: Parts, tenant: str) -> Parts:
    records = for_tenant(house.records, tenant)
    return house if records is house.records else replace(house, records=records)


def limited(standing: Standing | None) -> Standing | None:
    """Refuse who is over a limit; how the others stand. Raises Problem."""
    if standing is not None and standing.is_over:
        headers = {"Retry-After": str(standing.reset), **standing.headers}
        raise Problem(429, "rate_limited", "Too many calls. Nothing was done: wait, then send it again.", headers)
    return standing


def _shown(house: Parts) -> Shown | None:
    """What this request shows of who sends it; nothing of that is believed yet but an issuer's signature."""
    kind, _, written = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer":
        return None
    if (presented := parse_key(written)) is not None:
        return Shown(presented=presented)
    return house.issued(written) if house.issued is not None else None


def _arrival() -> Arrival:
    return Arrival(address=request.remote_addr or "", certificate=request.environ.get(CERTIFICATE))
