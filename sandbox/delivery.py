"""Webhooks on their way: signed, in the background, in order of their events for each endpoint, retried a few times."""

import asyncio
import time
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from sandbox import events, wire
from sandbox.faults import Script
from sandbox.state import Account, Object
from sandbox.webhooks import signature

TIMEOUT = 10
RETRY_AFTER = (0.5, 1, 2, 4)
GATHER = 0.3
Queues = dict[str, tuple["asyncio.Queue[bytes]", "asyncio.Task[None]"]]


def send_outbox(account: Account, queues: Queues) -> None:
    """Hand what just happened to the queues of the endpoints that want it."""
    for event in account.outbox:
        body = wire.encode(events.shown(event))
        for endpoint in events.listeners(account, event["type"]):
            _queue(account, endpoint["id"], queues).put_nowait(body)
    account.outbox.clear()


def stop(queues: Queues) -> None:
    """Give up what was not delivered."""
    for _, task in queues.values():
        task.cancel()
    queues.clear()


def _queue(account: Account, endpoint: str, queues: Queues) -> "asyncio.Queue[bytes]":
    if endpoint not in queues:
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        queues[endpoint] = (queue, asyncio.create_task(_deliver_all(account, endpoint, queue)))
    return queues[endpoint][0]


async def _deliver_all(account: Account, endpoint: str, queue: "asyncio.Queue[bytes]") -> None:
    late: set[asyncio.Task[None]] = set()
    while True:
        for body in await _batch(queue, account.sandbox.script):
            to = account.tables["webhook_endpoints"].get(endpoint)
            if to and not await asyncio.to_thread(_post, to, body):
                task = asyncio.create_task(_retry(account, endpoint, body))
                late.add(task)
                task.add_done_callback(late.discard)


async def _batch(queue: "asyncio.Queue[bytes]", script: Script) -> list[bytes]:
    batch = [await queue.get()]
    if script.webhooks == "reverse":
        await asyncio.sleep(GATHER)
    while not queue.empty():
        batch.append(queue.get_nowait())
    return {"twice": batch * 2, "reverse": batch[::-1], "drop": []}.get(script.webhooks or "", batch)


async def _retry(account: Account, endpoint: str, body: bytes) -> None:
    for pause in RETRY_AFTER:
        await asyncio.sleep(pause)
        to = account.tables["webhook_endpoints"].get(endpoint)
        if not to or await asyncio.to_thread(_post, to, body):
            return


def _post(endpoint: Object, body: bytes) -> bool:
    parts = urlsplit(endpoint["url"])
    connection = HTTPConnection(parts.hostname or "", parts.port or 80, timeout=TIMEOUT)
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "Stripe-Signature": signature(endpoint["_secret"], body, int(time.time())),
        "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
    }
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    with suppress(OSError, HTTPException):
        try:
            connection.request("POST", target, body, headers)
            return 200 <= connection.getresponse().status < 300  # noqa: PLR2004 - HTTP's own classes
        finally:
            connection.close()
    return False
