"""The port through which Panless calls others' servers on its own account; `panless/outgoing.py` is behind it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Posted:
    """It was sent and answered; the body of the answer is nobody's business."""

    status: int


@dataclass(frozen=True, slots=True)
class NotPosted:
    """It was not sent, or there was no answer; `reason` is a code."""

    reason: str


Post = Callable[[str, bytes, Mapping[str, str]], Posted | NotPosted]
"""Send a body with these headers to a URL, once."""


def failure(outcome: Posted | NotPosted) -> str | None:
    """Why something was not delivered, as a code; None for any 2xx. A redirect is no delivery."""
    if isinstance(outcome, NotPosted):
        return outcome.reason
    return None if 200 <= outcome.status < 300 else f"http_{outcome.status}"  # noqa: PLR2004  # RFC 9110, 15.3
