"""OpenDSR's callbacks: each controller hears of each status of its request, signed, at every URL that it named.

They carry no `results_url`: a link is made for who asks, and each would take the place of the one before.
"""

import json
from collections.abc import Collection

from vault.outgoing import Post, failure
from vault.protocols import callbacks
from vault.protocols.opendsr import Processor, document, signed, standing, status
from vault.requests.execution import Work
from vault.requests.rights import RightsRequest


def tell(
    work: Work,
    post: Post,
    processor: Processor,
    hosts: Collection[str],
    request: RightsRequest,
    told: str,
    state: str,
    url: str,
) -> str | None:
    """Call a controller back where the state is another status than the one that it was told; a code if that failed."""
    if not callbacks.is_allowed(hosts, work.desk.caller.tenant, request.client, url):
        return "host_not_allowed"
    if status(told) == status(state):
        return None
    is_past = status(state) != status(request.status)
    shown = standing(request, status(state)) if is_past else document(work, processor, request, links=False)
    if shown["request_status"] != status(state):
        return "not_certified_yet"
    body = json.dumps(shown | {"status_callback_url": url}).encode()
    return failure(post(url, body, {"Content-Type": "application/json", **signed(processor, body)}))
