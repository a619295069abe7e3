"""One API request, from the key it carries to the answer: authentication, faults, idempotency, the resource."""

import asyncio
from dataclasses import dataclass
from typing import Any

from sandbox import (
    api_keys,
    breakage,
    errors,
    expansion,
    faults,
    idempotency,
    params,
    refunds,
    state,
    stray_cards,
    wire,
)
from sandbox.commit import commit
from sandbox.connection import Cut, Request, Response
from sandbox.errors import WireError
from sandbox.events import API_VERSION
from sandbox.idempotency import Asked
from sandbox.routes import ROUTES, is_known, route
from sandbox.state import Account, Object, Sandbox


@dataclass(frozen=True, slots=True)
class Call:
    """A request that may go on: whose it is, its route, its fields and, if it carries a key, what it asked."""

    account: Account
    route: str
    ids: list[str]
    fields: dict[str, Any]
    request_id: str
    asked: Asked | None


async def answer(sandbox: Sandbox, request: Request) -> Response | Cut:
    """The answer to an API request, or the way the connection ends without one."""
    request_id = state.new_id("req")
    headers = {"Request-Id": request_id, "Stripe-Version": request.headers.get("stripe-version", API_VERSION)}
    try:
        call = _open(sandbox, request, request_id)
        fault = faults.take(sandbox.script, request.method, request.path)
        response = await _meet(call, fault)
    except WireError as error:
        response = _failure(error, request_id)
    if isinstance(response, Cut):
        return response
    return Response(response.status, response.body, headers | response.headers)


def _open(sandbox: Sandbox, request: Request, request_id: str) -> Call:
    key_used = api_keys.opened(sandbox, request)
    account = key_used.account
    name, ids = route(request.method, request.path)
    api_keys.check_may(key_used, name)
    if not is_known(name, request.headers.get("stripe-version", API_VERSION)):
        raise errors.unknown_url(request.method, request.path)
    form = request.body.decode(errors="replace") if request.method == "POST" else request.query
    fields = wire.decode(form)
    key = request.headers.get("idempotency-key") if request.method == "POST" else None
    stray_cards.refuse(fields, *ids, key or "")
    if key is None:
        return Call(account, name, ids, fields, request_id, None)
    where = f"{request.method} {request.path}"
    asked = idempotency.asked(account, key=key, route=where, fields=fields, request_id=request_id)
    return Call(account, name, ids, fields, request_id, asked)


async def _meet(call: Call, fault: dict[str, Any]) -> Response | Cut:
    deed = fault.get("do")
    if deed == "reset":
        return Cut.RESET
    if deed == "in_flight":
        raise errors.key_in_use()
    if deed == "unknown_url":
        raise errors.unknown_url(*call.route.split(" "))
    if deed == "status" and not fault["act"]:
        raise errors.of_status(fault["status"], fault["code"], fault["type"])
    if deed == "garbage" and not fault["act"]:
        return _garbage()
    response = await _once(call, fault)
    if deed == "lose_answer":
        return Cut.CLOSE
    return _garbage() if deed == "garbage" else response


def _garbage() -> Response:
    return Response(200, b"<html><body>It works!</body></html>", {"Content-Type": "text/html"})


async def _once(call: Call, fault: dict[str, Any]) -> Response:
    """Act, unless the idempotency key has its outcome already; the key is held while the fault delays."""
    if call.asked is None:
        return await _act_late(call, fault)
    kept = idempotency.claim(call.account, call.asked)
    if kept:
        return await _again(call.asked, kept, fault)
    try:
        response = await _act_late(call, fault)
    finally:
        idempotency.release(call.account, call.asked)
    return response


async def _act_late(call: Call, fault: dict[str, Any]) -> Response:
    await _pause(fault, "before")
    response = _act(call, fault)
    await _pause(fault, "after")
    return response


async def _again(asked: Asked, kept: Object, fault: dict[str, Any]) -> Response:
    await _pause(fault, "before")
    await _pause(fault, "after")
    headers = _post_headers(asked, kept["request_id"]) | {"Idempotent-Replayed": "true"}
    return Response(kept["status"], kept["body"], headers)


async def _pause(fault: dict[str, Any], when: str) -> None:
    if fault.get("do") == "delay" and fault["when"] == when:
        await asyncio.sleep(fault["seconds"])


def _act(call: Call, fault: dict[str, Any]) -> Response:
    """Run the resource's function and keep the outcome; nothing interrupts this, so that no lock is needed."""
    account, asked = call.account, call.asked
    refunds.settle(account.sandbox)
    account.cause = {"id": call.request_id, "idempotency_key": asked and asked.key}
    status, body, stored, headers = _outcome(call)
    if fault.get("do") == "status":
        error = errors.of_status(fault["status"], fault["code"], fault["type"])
        status, body, headers = error.status, {"error": error.error}, error.headers
    content = wire.encode(body)
    if asked and stored:
        idempotency.keep(account, asked, status, content)
        headers = _post_headers(asked, call.request_id) | headers
    commit(account.sandbox)
    return Response(status, content, headers)


def _outcome(call: Call) -> tuple[int, Object, bool, dict[str, str]]:
    try:
        typed = params.read(call.route, call.fields)
        thing = ROUTES[call.route](call.account, *call.ids, typed)
        return 200, expansion.shown(call.account, thing, typed.get("expand", [])), True, {}
    except WireError as error:
        return error.status, _signed(error, call.request_id), error.stored, error.headers
    except Exception as error:  # noqa: BLE001 - the client gets Stripe's 500, the terminal gets the place
        breakage.report(error)
        broken = errors.broken()
        return broken.status, {"error": broken.error}, True, {}


def _post_headers(asked: Asked, original: str) -> dict[str, str]:
    return {"Idempotency-Key": asked.key, "Original-Request": original, "Stripe-Should-Retry": "false"}


def _signed(error: WireError, request_id: str) -> Object:
    url = f"https://dashboard.stripe.com/test/logs/{request_id}"
    return {"error": error.error | {"request_log_url": url}}


def _failure(error: WireError, request_id: str) -> Response:
    return Response(error.status, wire.encode(_signed(error, request_id)), error.headers)
