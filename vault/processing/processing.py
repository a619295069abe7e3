"""Calls to a processor: which one, and with whose credentials."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row

from keys.keyring import Keyring
from vault.errors import NotUsable
from vault.personal import Secret
from vault.processing.processor import Processor
from vault.processing.processor_accounts import credentials_of

Processors = Mapping[str, Processor]
"""By the kind that a processor account names."""


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
