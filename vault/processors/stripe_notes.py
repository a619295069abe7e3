"""Our notes in Stripe's metadata, whose values take 500 characters each, and the lists where they are found again."""

from datetime import UTC, datetime
from itertools import count, takewhile

from vault.processing.processor import METADATA_KEY
from vault.processing.processor_answers import Noted, NotedPage
from vault.processors.stripe_errors import Object, dig

VALUE_CHARACTERS = 500
PATHS = {
    "customer": "/v1/customers",
    "card": "/v1/setup_intents",
    "charge": "/v1/payment_intents",
    "refund": "/v1/refunds",
}


def marked(tag: str, note: str | None) -> Object:
    """The metadata of an object of ours."""
    text = note or ""
    cut = [text[start : start + VALUE_CHARACTERS] for start in range(0, len(text), VALUE_CHARACTERS)]
    return {METADATA_KEY: tag, **{_name(number): piece for number, piece in enumerate(cut)}}


def page(listed: Object) -> NotedPage:
    """A page of a list: of what it has, the objects with a note."""
    rows = listed["data"]
    found = [_noted(each) for each in rows if dig(each, "metadata", METADATA_KEY) and _note_in(each)]
    return NotedPage(noted=found, after=rows[-1]["id"] if listed["has_more"] else None)


def _noted(thing: Object) -> Noted:
    return Noted(
        reference=thing["id"],
        customer=thing["id"] if thing["object"] == "customer" else thing.get("customer") or "",
        tag=thing["metadata"][METADATA_KEY],
        note=_note_in(thing),
        at=datetime.fromtimestamp(thing["created"], UTC),
    )


def _note_in(thing: Object) -> str:
    pieces = (dig(thing, "metadata", _name(number)) for number in count())
    return "".join(takewhile(bool, pieces))


def _name(number: int) -> str:
    return f"{METADATA_KEY}_note_{number}"
