"""Stripe's lists, page after page."""

from collections.abc import Callable

from vault.personal import Secret
from vault.processing.processor_answers import Declined, Failure, Unknown
from vault.processors.stripe_errors import Object
from vault.processors.stripe_outcomes import Outcome, outcome
from vault.processors.stripe_transport import Wire

PAGE, MAX_PAGES = 100, 20
"""A look-up reads at most this many objects a page and pages; what lies beyond is Unknown, never NotFound."""


def look_through(
    wire: Wire, credentials: Secret, path: str, params: Object, look: Callable[[Object], Outcome | str]
) -> Outcome | Declined | Failure:
    """What `look` makes of a list: of each page either that, or the id after which the next page begins."""
    cursor = None
    for _ in range(MAX_PAGES):
        page = {"limit": PAGE, "starting_after": cursor, **params}
        found = outcome(wire.send("get", path, page, credentials=credentials.value), "list", look)
        if not isinstance(found, str):
            return found
        cursor = found
    return Unknown(reason="too_many_to_look_through")
