"""Calls to a processor: which one, with whose credentials, and how often a call that did nothing is made again."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import Row

from keys.keyring import Keyring
from vault.errors import NotUsable
from vault.personal import Secret
from vault.processing.processor import Processor
from vault.processing.processor_accounts import credentials_of
from vault.processing.processor_answers import NotReached, Unknown

Processors = Mapping[str, Processor]
"""By the kind that a processor account names."""

PAUSES = (0.1, 0.4)
"""Seconds before the second and the third try of a call that was not reached, or that is in flight."""

Outcome = TypeVar("Outcome")


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """A processor with the credentials of one processor account."""

    processor: Processor
    credentials: Secret = field(repr=False)


def connect(processors: Processors, keyring: Keyring, tenant: str, account: Row[Any]) -> Connected:
    """The processor of an account's row. Raises NotUsable when this deployment has none of that kind."""
    processor = processors.get(account.kind)
    if processor is None or account.credentials is None:
        raise NotUsable(
            "processor_account_unusable", "This processor account can't be used by this deployment any more."
        )
    return Connected(processor=processor, credentials=credentials_of(keyring, tenant, account).api_key)


def persist(call: Callable[[], Outcome]) -> Outcome:
    """Make a call again, with the same key, while it was not reached or is in flight; the last outcome.

    Once any try is in doubt, not being reached afterwards doesn't make it certain again: the doubt stays.
    """
    outcome, doubt = call(), None
    for pause in PAUSES:
        if not isinstance(outcome, NotReached) and not (isinstance(outcome, Unknown) and outcome.in_flight):
            return outcome
        doubt = outcome if isinstance(outcome, Unknown) else doubt
        time.sleep(pause)
        outcome = call()
    return doubt if doubt is not None and isinstance(outcome, NotReached) else outcome
