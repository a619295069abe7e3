"""What every call passes before its route: the guard, the API key, the scope, the body, the headers with a meaning."""

import functools
import re
import secrets
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from flask import g, request
from flask_smorest import Blueprint as SmorestBlueprint
from marshmallow import Schema
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import MethodNotAllowed

from api.admission import TURN
from api.authentication import authenticated, limited
from api.bodies import check_values, is_percent_encoded, read_json
from api.parts import Parts, parts
from api.problems import Problem
from api.request_headers import actor, idempotency_key, purpose_and_reference
from rows.tenants import for_tenant
from vault.caller import Caller
from vault.desk import Desk
from vault.errors import NotFoundHere
from vault.ids import is_id
from vault.ledger.book import assure
from vault.processing.body_fingerprints import body_fingerprint
from vault.processing.intents import Attempt
from vault.tlog.lateness import require_fresh

Route = TypeVar("Route", bound=Callable[..., Any])

SUBJECT_REQUEST_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
PREFIXES = {
    "token_id": ("tok", "token"),
    "customer_id": ("cus", "customer"),
    "charge_id": ("chg", "charge"),
    "refund_id": ("rfd", "refund"),
    "account_id": ("pa", "processor account"),
    "request_id": ("rr", "rights request"),
    "hold_id": ("hold", "hold"),
    "event_id": ("evt", "event"),
    "dispute_id": ("dsp", "dispute"),
    "endpoint_id": ("whe", "webhook endpoint"),
}
_NO_IDS = frozenset({"level", "place"})
"""Parts of a path whose form the route looks at."""

_NEEDS = "_panless_needs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a route can't be called without, for the reference."""

    scope: str
    purpose: bool
    key: bool
    optional: bool
    refusals: frozenset[int]


class _Parser(FlaskParser):
    """Hands schemas the body that the door has read already."""

    DEFAULT_UNKNOWN_BY_LOCATION = {"json": None, "query": "raise"}  # noqa: RUF012  # webargs declares it so

    def load_json(self, _req: object, _schema: object) -> Any:  # noqa: ANN401  # webargs' signature
        return g.body


class Blueprint(SmorestBlueprint):
    """A blueprint whose schemas get what the door let through."""

    ARGUMENTS_PARSER = _Parser()

    def arguments(self, schema: type[Schema], **kwargs: Any) -> Any:  # noqa: ANN401  # flask-smorest's
        """Take a schema as flask-smorest does, but make it once, not per request."""
        return super().arguments(schema(), **kwargs)


@dataclass(frozen=True, slots=True)
class Passed:
    """One request after the door: who calls, and the parts to work with."""

    caller: Caller
    parts: Parts

    @property
    def desk(self) -> Desk:
        """What the caller is served with."""
        return self.parts.desk(self.caller)

    def attempt(self, operation: str) -> Attempt:
        """What tells this call from a retry of it: operation, idempotency key, and what was asked of which path."""
        return self.attempt_named(operation, idempotency_key(), g.body)

    def attempt_named(self, operation: str, key: str | None, asked: object) -> Attempt:
        """What tells a call from a retry of it, for a protocol that names its calls in its own way."""
        fingerprint = body_fingerprint(self.parts.keyring, self.caller.tenant, request.path, asked)
        return Attempt(operation=operation, key=key, fingerprint=fingerprint)


def replay_headers(*, replayed: bool) -> dict[str, str]:
    """What says, where it is so, that an earlier call with the same idempotency key made what is answered."""
    return {"Idempotent-Replayed": "true"} if replayed else {}


def passed() -> Passed:
    """This request's caller and parts."""
    return cast("Passed", g.passed)


def needs(
    scope: str,
    *,
    query: frozenset[str] = frozenset(),
    body: bool = False,
    optional: bool = False,
    raw: bool = False,
    reads: type[Schema] | None = None,
    purpose: bool = False,
    key: bool = False,
    provable: bool = False,
    refusals: frozenset[int] = frozenset(),
) -> Callable[[Route], Route]:
    """Open a route to clients with `scope`.

    `query` names its query fields, `body` says whether it takes one, `optional` whether it can do without, `raw`
    whether it looks at the body's very bytes, `reads` the lenient schema beyond which nothing of it is looked at,
    `purpose` and `key` which headers it can't do without, `provable` whether it has to wait while the audit log is not
    anchored, `refusals` the statuses of refusals that few routes have (api/openapi/document.py).
    """
    known = reads() if reads is not None else None

    def decorate(route: Route) -> Route:
        @functools.wraps(route)
        def opened(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # the route's own
            _pass(
                scope, kwargs, query=query, body=body, optional=optional, raw=raw, reads=known, purpose=purpose, key=key
            )
            if provable:
                refuse_unproven(passed().parts, passed().caller.tenant)
            return route(*args, **kwargs)

        setattr(opened, _NEEDS, Needs(scope=scope, purpose=purpose, key=key, optional=optional, refusals=refusals))
        return cast("Route", opened)

    return decorate


def open_to_links(route: Route) -> Route:
    """Open a GET route to whoever has a link, which is the key. The guard holds for it, and it takes nothing else.

    HEAD is refused: what looks at a link before it follows it would use it up.
    """

    @functools.wraps(route)
    def opened(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # the route's own
        house = parts()
        _refuse_unfit(house)
        assure(house.ledger, house.records)
        _check_query(frozenset())
        if request.method != "GET":
            raise MethodNotAllowed(["GET"])
        if _has_body():
            raise Problem(422, "invalid_request", "This request takes no body.")
        return route(*args, **kwargs)

    return cast("Route", opened)


def open_to_signatures(route: Route) -> Route:
    """Open a POST route to whoever signs what is sent, which the route checks. The guard holds for it."""

    @functools.wraps(route)
    def opened(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # the route's own
        house = parts()
        _refuse_unfit(house)
        assure(house.ledger, house.records)
        _check_query(frozenset())
        return route(*args, **kwargs)

    return cast("Route", opened)


def refuse_unproven(house: Parts, tenant: str) -> None:
    """Raises AnchorStale where the audit log is to be anchored, and has not been for too long."""
    if tenant:
        require_fresh(house.logs, for_tenant(house.records, tenant), house.keyring, tenant, house.clock())


def needs_of(view: Callable[..., Any]) -> Needs | None:
    """What a route needs, None for an open one."""
    return getattr(view, _NEEDS, None)


def _pass(
    scope: str,
    path_ids: dict[str, str],
    *,
    query: frozenset[str],
    body: bool,
    optional: bool,
    raw: bool,
    reads: Schema | None,
    purpose: bool,
    key: bool,
) -> None:
    house = parts()
    _refuse_unfit(house)
    client, house = authenticated(house)
    g.standing = limited(house.limits.of_client(client.client_id) if house.limits else None)
    if scope not in client.scopes:
        raise Problem(403, "insufficient_scope", f"This key lacks the scope {scope}.", scope=scope)
    _check_path(path_ids)
    _check_query(query)
    g.body = read_json(request, keep=raw, reads=reads) if _has_body() else {} if optional else None
    if g.body and not body:
        raise Problem(422, "invalid_request", "This request takes no body.")
    code, reference = purpose_and_reference(house.policy.purposes, required=purpose)
    if idempotency_key() is None and key:
        raise Problem(400, "idempotency_key_required", "Send an Idempotency-Key: without one a retry could pay twice.")
    caller = Caller(
        tenant=client.tenant,
        client=client.client_id,
        live=client.live,
        at=house.clock(),
        request_id=g.request_id,
        scopes=client.scopes,
        actor=actor(),
        person=client.person,
        purpose=code,
        purpose_reference=reference,
        age=g.age,
        aside=turn.aside if (turn := request.environ.get(TURN)) else nullcontext,
    )
    g.passed = Passed(caller=caller, parts=house)


def _refuse_unfit(house: Parts) -> None:
    """Nothing is served from databases that the guard does not vouch for."""
    verdict = house.guard.verdict
    if not verdict.is_good:
        raise Problem(503, verdict.code, verdict.message, {"Retry-After": "10"})


def _check_path(path_ids: dict[str, str]) -> None:
    """An id of another form answers like one that never was."""
    for name, value in path_ids.items():
        if name in _NO_IDS:
            continue
        if name == "subject_request_id":  # the controller's own
            fits, what = SUBJECT_REQUEST_ID.fullmatch(value) is not None, "request"
        else:
            prefix, what = PREFIXES[name]
            fits = is_id(value, prefix)
        if not fits:
            raise NotFoundHere(f"No such {what}.")


def _check_query(known: frozenset[str]) -> None:
    if not is_percent_encoded(request.query_string):
        raise Problem(400, "malformed_query", "The query is not percent-encoded UTF-8.")
    check_values(((name,), text) for name, values in request.args.lists() for text in (name, *values))
    if not known.issuperset(request.args):
        names = ", ".join(sorted(known)) or "none"
        raise Problem(422, "invalid_request", f"This request has query fields that are unknown here. Known: {names}.")
    if any(len(values) > 1 for _, values in request.args.lists()):
        raise Problem(422, "invalid_request", "A query field stands twice.")


def _has_body() -> bool:
    return bool(request.content_length) or "Transfer-Encoding" in request.headers


def new_request_id() -> str:
    """The id under which an answer, its log lines and its audit entries are found together."""
    return f"req_{secrets.token_hex(16)}"
