"""Answers that Stripe kept of an earlier call with the same key: they say how things stood then, not how they stand.

Source: docs.stripe.com/api/idempotent_requests; the header `Idempotent-Replayed` tells them from an answer of now.
"""

from collections.abc import Callable
from typing import TypeVar

from vault.processing.answers import Failure, Unknown
from vault.processors.stripe.errors import dig
from vault.processors.stripe.transport import Answer

Met = TypeVar("Met")
REPLAYED = Unknown(reason="replayed")
PROCESSING = Unknown(reason="processing")


def unless_stale(
    answer: Answer | Failure, met: Met, read: Callable[[str], Met], stands: Callable[[Met], bool]
) -> Met | Unknown:
    """`met`, where the answer is of now. Of a replay the object itself is read: if it `stands`, that counts.

    Whatever else a replay is of (a failure that was kept, an object that came to nothing or can't be read) is Unknown:
    a look-up decides.
    """
    if not (isinstance(answer, Answer) and answer.replayed):
        return met
    name = dig(answer.body, "id")
    if not 200 <= answer.status < 300 or not isinstance(name, str):  # noqa: PLR2004 - HTTP's own bounds
        return REPLAYED
    now = read(name)
    return now if now == PROCESSING or stands(now) else REPLAYED
