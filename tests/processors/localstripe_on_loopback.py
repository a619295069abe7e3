"""Runs localstripe where only this machine sees it, and without its file of card numbers.

By itself it listens on every interface and pickles its store, numbers included, into the temp folder on every write.
It also speaks an older version of Stripe's API: the few names that are newer are translated at its door.
"""

import socket
import sys
from typing import Any

from aiohttp import web
from localstripe import resources, server

NEWER = {"allowed_payment_method_types": "payment_method_types", "use_stripe_sdk": None}

read_fields = server.get_post_data


async def read_older_fields(request: web.Request, *, remove_auth: bool = True) -> dict[str, Any]:
    fields = await read_fields(request, remove_auth=remove_auth) or {}
    renamed = {NEWER.get(name, name): value for name, value in fields.items()}
    renamed.pop(None, None)
    return renamed


def stay_in_memory(_: resources.Store) -> None:
    """In the place of the functions that write and read the pickle."""


def main() -> None:
    resources.Store.dump_to_disk = stay_in_memory
    resources.Store.try_load_from_disk = stay_in_memory
    resources.PaymentIntent.amount_received = property(
        lambda intent: intent.amount if intent.status == "succeeded" else 0
    )
    server.get_post_data = read_older_fields
    listening = socket.create_server(("127.0.0.1", 0))
    sys.stdout.write(f"localstripe listening on http://127.0.0.1:{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    web.run_app(server.app, sock=listening, print=None, access_log=None)


if __name__ == "__main__":
    main()
