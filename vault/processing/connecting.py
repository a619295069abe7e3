"""Calls to a processor: which one, and with whose credentials."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import Engine, Row

from keys.keyring import Keyring
from rows.engine import reading
from vault.errors import NotUsable
from vault.personal import Secret
from vault.processing.accounts import by_id, credentials_of
from vault.processing.answers import Failure, MadePage, PaymentPage
from vault.processing.processor import Processor

Processors = Mapping[str, Processor]
"""By the kind that a processor account names."""

Page = TypeVar("Page", PaymentPage, MadePage)


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


def connect_to(records: Engine, keyring: Keyring, processors: Processors, tenant: str, account_id: str) -> Connected:
    """The processor of the account that has this id, a deleted one too. Raises as `connect`."""
    with reading(records) as connection:
        account = by_id(connection, tenant, account_id)
    return connect(processors, keyring, tenant, account)


def each_page(listed: Callable[..., Page | Failure]) -> Iterator[Page | Failure]:
    """The pages of a list, each asked for when its turn comes; a failure is the last. `listed` takes `after`."""
    after: str | None = None
    while True:
        page = listed(after=after)
        yield page
        if isinstance(page, Failure) or page.after is None:
            return
        after = page.after
