"""What no processor has: the clock, the faults, the ledger, and somebody to authenticate. No key is asked for."""

from collections.abc import Callable

from sandbox import api_keys, authentication, delivery, faults, refunds, wire
from sandbox.commit import commit
from sandbox.connection import Request, Response
from sandbox.errors import WireError
from sandbox.events import emit
from sandbox.hook import HookError, NotFound, as_json, found, read
from sandbox.state import Object, Sandbox

Hook = Callable[[Sandbox, Request, str], Response]
LONGEST_JUMP = 400 * 86_400


def answer(sandbox: Sandbox, request: Request) -> Response:
    """The answer of a hook: 400 with a sentence when the request is wrong, 404 for what there is not."""
    _, name, *rest = request.path.split("/", 2)
    hook = HOOKS.get(f"{request.method} /{name}")
    if hook is None:
        return _say(f"There is no such hook: {request.method} /{name}.", 404)
    try:
        response = hook(sandbox, request, rest[0] if rest else "")
    except (HookError, faults.ScriptError) as error:
        return _say(str(error), 400)
    except WireError as error:  # what the intent wanted to do next, it may not do any more
        return as_json({"error": error.error}, error.status)
    except NotFound as error:
        return _say(str(error), 404)
    commit(sandbox)
    return response


def _say(sentence: str, status: int) -> Response:
    return as_json({"error": {"type": "invalid_request_error", "message": sentence}}, status)


def ledger(sandbox: Sandbox) -> Object:
    """The book over all accounts: the charges that are money, the customers, the payment methods."""
    accounts = sandbox.accounts.values()
    charges = [one for account in accounts for one in account.tables["charges"].values()]
    customers = [one for account in accounts for one in account.tables["customers"].values()]
    methods = [one for account in accounts for one in account.tables["payment_methods"].values()]
    return {
        "charges": [_entry(charge) for charge in charges if charge["status"] == "succeeded"],
        "customers": [{"id": one["id"], "deleted": one.get("deleted", False)} for one in customers],
        "payment_methods": [{"id": one["id"], "customer": one["customer"]} for one in methods],
    }


def _entry(charge: Object) -> Object:
    """A charge as money: what was taken of it once it is captured, what is held until then."""
    return {
        "id": charge["id"],
        "payment_intent": charge["payment_intent"],
        "amount": charge["amount_captured"] if charge["captured"] else charge["amount"],
        "currency": charge["currency"],
        "captured": charge["captured"],
        "refunded": charge["amount_refunded"],
        "metadata": charge["metadata"],
    }


def _show_ledger(sandbox: Sandbox, _: Request, __: str) -> Response:
    return as_json(ledger(sandbox))


def _show_faults(sandbox: Sandbox, _: Request, __: str) -> Response:
    return as_json({"faults": sandbox.script.faults, "webhooks": sandbox.script.webhooks})


def _arm_faults(sandbox: Sandbox, request: Request, __: str) -> Response:
    faults.arm(sandbox.script, read(request))
    return _show_faults(sandbox, request, "")


def _clear_faults(sandbox: Sandbox, request: Request, __: str) -> Response:
    faults.clear(sandbox.script)
    return _show_faults(sandbox, request, "")


def _show_clock(sandbox: Sandbox, _: Request, __: str) -> Response:
    return as_json({"now": sandbox.now(), "advanced_seconds": sandbox.clock_offset})


def _advance_clock(sandbox: Sandbox, request: Request, __: str) -> Response:
    seconds = read(request).get("advance_seconds")
    if not isinstance(seconds, int) or isinstance(seconds, bool) or not 0 <= seconds <= LONGEST_JUMP:
        raise HookError(f'Send {{"advance_seconds": n}}, n from 0 to {LONGEST_JUMP}: the clock only goes forward.')
    sandbox.clock_offset += seconds
    sandbox.is_unsaved = True
    refunds.settle(sandbox)
    return _show_clock(sandbox, request, "")


def _reset(sandbox: Sandbox, _: Request, __: str) -> Response:
    sandbox.accounts.clear()
    sandbox.refused_keys.clear()
    sandbox.clock_offset = 0
    sandbox.is_unsaved = True
    faults.clear(sandbox.script)
    delivery.stop(sandbox.queues)
    return as_json({"reset": True})


def _update_card(sandbox: Sandbox, request: Request, name: str) -> Response:
    """The issuer replaced the card: same payment method, new face."""
    new = read(request)
    if not new or not new.keys() <= {"exp_month", "exp_year", "last4"}:
        raise HookError('Send some of {"exp_month": 1-12, "exp_year": 2030, "last4": "1234"}.')
    account, method = found(sandbox, "payment_methods", name)
    previous = {key: method["card"][key] for key in new}
    face = method["card"] | new
    right = face["exp_month"] in range(1, 13) and face["exp_year"] in range(2000, 2100)
    if not (right and isinstance(face["last4"], str) and len(face["last4"]) == 4 and face["last4"].isdecimal()):  # noqa: PLR2004 - last four
        raise HookError('"exp_month" is 1 to 12, "exp_year" has four digits, "last4" is a string of four digits.')
    if "last4" in new:
        face["fingerprint"] = sandbox.digest("replaced", face["fingerprint"], face["last4"])[:16]
    method["card"] = face
    emit(account, "payment_method.automatically_updated", method, {"card": previous})
    return as_json(wire.public(method))


HOOKS: dict[str, Hook] = {
    "GET /_ledger": _show_ledger,
    "GET /_faults": _show_faults,
    "POST /_faults": _arm_faults,
    "DELETE /_faults": _clear_faults,
    "GET /_clock": _show_clock,
    "POST /_clock": _advance_clock,
    "POST /_keys": api_keys.refuse,
    "POST /_reset": _reset,
    "GET /_authenticate": authentication.show,
    "POST /_authenticate": authentication.complete,
    "POST /_update_card": _update_card,
}
