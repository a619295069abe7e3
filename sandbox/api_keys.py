"""API keys: whose account one opens, what it may, and whether it is refused.

``sk_test_<account>`` and ``sk_test_<account>_<anything>`` are keys of one account; ``rk_test_<account>_<anything>`` is
a restricted key of it, which may do all but read the account. ``POST /_keys`` has a key refused, or taken again.
"""

import base64
import binascii
from dataclasses import dataclass

from sandbox import errors, state
from sandbox.connection import Request, Response
from sandbox.hook import HookError, as_json, read
from sandbox.state import Account, Sandbox

FULL, RESTRICTED, LIVE = "sk_test_", "rk_test_", ("sk_live_", "rk_live_")
REFUSALS = (401, 403, None)
NOT_FOR_RESTRICTED = ("GET /v1/account",)


@dataclass(frozen=True, slots=True)
class Opened:
    """The account that a key opens; a restricted key may not do everything there."""

    account: Account
    is_restricted: bool


def opened(sandbox: Sandbox, request: Request) -> Opened:
    """The account of the key that a request carries; raises 401 or 403. The key itself is not kept."""
    key = _sent(request)
    status = sandbox.refused_keys.get(_digest(sandbox, key))
    if status is not None:
        raise errors.unauthenticated("Invalid API Key provided.") if status == 401 else errors.forbidden()  # noqa: PLR2004 - HTTP
    account = state.account_for(sandbox, FULL + key[len(FULL) :].partition("_")[0])
    return Opened(account, key.startswith(RESTRICTED))


def check_may(key: Opened, route: str) -> None:
    """Raise 403 for what a restricted key may not do."""
    if key.is_restricted and route in NOT_FOR_RESTRICTED:
        raise errors.forbidden()


def refuse(sandbox: Sandbox, request: Request, _: str) -> Response:
    """``{"key": "sk_test_...", "refused": 401}`` or ``403``; ``null`` has it taken again."""
    order = read(request)
    key, status = order.get("key"), order.get("refused")
    if order.keys() != {"key", "refused"} or status not in REFUSALS:
        raise HookError('Send {"key": "sk_test_...", "refused": 401, 403 or null}.')
    if not (isinstance(key, str) and key.startswith((FULL, RESTRICTED))):
        raise HookError("A key begins with sk_test_ or rk_test_.")
    sandbox.refused_keys.pop(_digest(sandbox, key), None)
    if status is not None:
        sandbox.refused_keys[_digest(sandbox, key)] = status
    return as_json({"refused": status})


def _digest(sandbox: Sandbox, key: str) -> str:
    return sandbox.digest("key", key)


def _sent(request: Request) -> str:
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            credentials = base64.b64decode(credentials).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError) as error:
            raise errors.unauthenticated("The Authorization header cannot be read.") from error
    if not credentials:
        raise errors.unauthenticated("You did not provide an API key. Send it as Authorization: Bearer sk_test_...")
    if credentials.startswith(LIVE):
        raise errors.unauthenticated("Invalid API Key provided: this is a sandbox, it takes no live keys.")
    if not credentials.startswith((FULL, RESTRICTED)):
        raise errors.unauthenticated("Invalid API Key provided: it does not begin with sk_test_ or rk_test_.")
    return credentials
