"""The calls of a storing to the processor: its customer is opened there, where it has none, and the card stored."""

import time
from datetime import timedelta
from functools import partial

from vault.cards.storing import Storing
from vault.personal import BillingContact, Card
from vault.processing import intents, sending
from vault.processing.answers import CustomerOpened, Failure, NotFound, NotReached, StoreOutcome, Unknown

_KEY_REMEMBERED = timedelta(days=1)
_OTHERS_SECONDS = (0.1, 0.3, 0.6)
"""Pauses until the other of two storings, which opens the customer for both, has done it."""


def store(storing: Storing, source: Card | str, contact: BillingContact | None) -> tuple[StoreOutcome, str | None]:
    """Let the processor store the card; also its name for the customer, where this call had to open one there."""
    processor, credentials = storing.connected.processor, storing.connected.credentials
    key, opened = (storing.intent.processor_key if storing.intent else None) or "", None
    if (reference := storing.customer_reference) is None:
        customer = _open_customer(storing, key)
        if not isinstance(customer, CustomerOpened):
            return customer, None
        reference = opened = customer.customer_reference
    store = partial(
        processor.store,
        credentials,
        source=source,
        contact=contact,
        customer_reference=reference,
        usage=storing.usage,
        marks=intents.marks(storing.desk.keyring, storing.tenant_id, storing.token_id),
        key=key,
    )
    return sending.once(storing.desk.caller, store), opened


def _open_customer(storing: Storing, processor_key: str) -> CustomerOpened | Failure:
    """The processor's customer for ours. Storings at once send one key between them, so that they get one customer.

    A key whose outcome was lost is replayed with that outcome for a day: look what it did, else open with another.
    """
    processor, credentials = storing.connected.processor, storing.connected.credentials
    marks = intents.marks(storing.desk.keyring, storing.tenant_id, storing.customer_id)
    opening = partial(processor.open_customer, credentials, marks=marks)
    shared = partial(opening, key=f"panless-{storing.customer_id}-{storing.account_id}")
    customer = sending.once(storing.desk.caller, shared)
    for pause in _OTHERS_SECONDS:
        if not isinstance(customer, Unknown) or not customer.in_flight:
            break
        time.sleep(pause)
        customer = sending.once(storing.desk.caller, shared)
    if not isinstance(customer, Unknown):
        return customer
    if customer.in_flight:  # the other storing opens it; of this one nothing was sent
        return NotReached(reason=customer.reason)
    found = processor.find_customer(credentials, id=storing.customer_id, since=storing.desk.caller.at - _KEY_REMEMBERED)
    if isinstance(found, NotFound):
        return sending.once(storing.desk.caller, partial(opening, key=f"{processor_key}-customer"))
    return found if isinstance(found, CustomerOpened) else customer
