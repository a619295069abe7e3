"""OpenDSR's callbacks: each controller hears of each status of its request, signed, at every URL that it named."""

import json
from collections.abc import Collection, Iterator

from vault import callbacks
from vault.opendsr import Processor, document, signed, standing, status
from vault.outgoing import Post, failure
from vault.rights import RightsRequest
from vault.rights_execution import Work


def tell(
    work: Work, post: Post, processor: Processor, hosts: Collection[str], request: RightsRequest, told: str, url: str
) -> str | None:
    """Call a controller back with each status that it was not told of; a code where the last of them failed.

    A request that went past `in_progress` before anybody looked was there all the same.
    """
    if not callbacks.is_allowed(hosts, work.caller.tenant, request.client, url):
        return "host_not_allowed"
    failed = None
    for each in _passed(status(told), status(request.status)):
        shown = document(work, processor, request) if each == status(request.status) else standing(request, each)
        if shown["request_status"] != each:
            return "not_certified_yet"
        body = json.dumps(shown | {"status_callback_url": url}).encode()
        failed = failure(post(url, body, {"Content-Type": "application/json", **signed(processor, body)}))
    return failed


def _passed(told: str, now: str) -> Iterator[str]:
    if (told, now) == ("pending", "completed"):
        yield "in_progress"
    if told != now:
        yield now
