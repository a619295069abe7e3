"""Our three words in the metadata of Stripe's objects."""

from typing import Any

from vault.processing.answers import Marks
from vault.processing.processor import METADATA_FOR, METADATA_ID, METADATA_KEY
from vault.processors.stripe.errors import Object, dig


def metadata(marks: Marks) -> Object:
    """What an object of ours carries; a word that is not there is not sent."""
    return {METADATA_KEY: marks.tag, METADATA_ID: marks.id, METADATA_FOR: marks.obligation}


def read(thing: Any) -> Marks | None:  # noqa: ANN401 - JSON of any shape
    """The marks of an object, None where it is not ours."""
    tag, own, of = (_word(thing, name) for name in (METADATA_KEY, METADATA_ID, METADATA_FOR))
    return Marks(tag=tag, id=own or "", obligation=of) if tag else None


def _word(thing: Any, name: str) -> str | None:  # noqa: ANN401 - JSON of any shape
    word = dig(thing, "metadata", name)
    return word if isinstance(word, str) and word else None
