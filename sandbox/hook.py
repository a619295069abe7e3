"""What the sandbox's own endpoints share: reading, answering, finding an object in whichever account it is."""

import json
from typing import Any

from sandbox import state, wire
from sandbox.connection import Request, Response
from sandbox.state import Account, Object, Sandbox


class HookError(ValueError):
    """A hook was asked for something it cannot do; the message says what to change."""


class NotFound(LookupError):
    """There is no such object."""


def read(request: Request) -> dict[str, Any]:
    """The JSON object of a request; raises HookError."""
    try:
        content = json.loads(request.body)
    except (ValueError, RecursionError) as error:
        raise HookError("The body is not JSON.") from error
    if not isinstance(content, dict):
        raise HookError("The body is not a JSON object.")
    return content


def as_json(content: object, status: int = 200) -> Response:
    """An answer in JSON."""
    return Response(status, wire.encode(content))


def found(sandbox: Sandbox, kind: str, name: str) -> tuple[Account, Object]:
    """An object and its account, about to be changed by nobody's request; raises NotFound."""
    for account in sandbox.accounts.values():
        thing = state.find(account, kind, name)
        if thing:
            account.cause = {"id": None, "idempotency_key": None}
            return account, thing
    raise NotFound(f"There is nothing of this name among the {kind}.")
