"""Fides (github.com/ethyca/fides): a run that waits at our webhook goes on once nothing stands in the way.

Its `reply-to` header names this path under its API, its `reply-to-token` is the bearer token for it, good for hours;
`{}` says that we have no further identities of the person.
"""

from vault.desk import Desk
from vault.outgoing import Post, failure
from vault.protocols.callbacks import Address, is_last
from vault.requests.rights import RightsRequest

PROTOCOL = "fides"
WAITING = frozenset({"verifying", "received", "approved", "blocked"})
"""Where a request stands while Fides had better wait: not decided here, or blocked."""


def resume(
    post: Post, api: str, desk: Desk, request: RightsRequest, told: str, state: str, address: Address
) -> str | None:
    """Have a run go on that was told to wait, once; a code where that failed.

    It goes on with the last of the requests that it waits for. One that was denied or cancelled here holds Fides up no
    longer: what is kept here is kept by that decision.
    """
    if told not in WAITING or state in WAITING:
        return None
    if not is_last(desk, request.id, address["privacy_request"], WAITING, state):
        return None
    url = f"{api}/privacy-request/{address['privacy_request']}/resume"
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {address['token']}"}
    return failure(post(url, b"{}", headers))
