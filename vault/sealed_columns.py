"""Every column of the records that holds a sealed value: under which DEK, and what its context names.

The rooms make their contexts through `vault.sealing.place_of`, which asks here, so that a value of a column that is not
listed can't be sealed. Resealing and `keys check` walk this list.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table

from keys.context import Context
from vault.tables import (
    callbacks,
    charges,
    customers,
    disputes,
    erasure_recipients,
    erasures,
    intents,
    package_chunks,
    packages,
    processor_accounts,
    processor_references,
    refunds,
    tokens,
    webhook_endpoints,
    webhook_inbox,
)

OWN = ("retention", "secrets")
"""Purposes of a tenant's own DEKs that seal values; all other DEKs that do are somebody's."""


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """One sealed column: the purpose of its DEK, and the columns that name its row in the context, in that order."""

    table: Table
    column: str
    under: str
    row: tuple[str, ...]
    of_customer: bool = False
    """Whether the context names the customer, too."""

    @property
    def name(self) -> tuple[str, str]:
        """Table and column, as the context has them."""
        return self.table.name, self.column

    @property
    def version(self) -> str:
        """The column beside it, of its version."""
        return f"{self.column}_version"

    def context(self, deployment: str, row: Mapping[str, Any]) -> Context:
        """The context of the value in a row of the table."""
        names = tuple(row[name] for name in self.row)
        whose = row["customer_id"] if self.of_customer else ""
        return self.context_of(deployment, row["tenant_id"], names, whose, row[self.version])

    def context_of(
        self, deployment: str, tenant: str, row: tuple[str | int | bytes, ...], customer: str, version: int
    ) -> Context:
        """The context of a value in the row that has these names, in order. Raises ValueError for what does not fit."""
        if len(row) != len(self.row) or bool(customer) != self.of_customer:
            raise ValueError(f"not how a value of {self.table.name}.{self.column} is named")
        return Context(
            deployment=deployment,
            tenant=tenant,
            table=self.table.name,
            column=self.column,
            row=" ".join(map(_written, row)),
            customer=customer,
            version=version,
        )


def _written(name: str | int | bytes) -> str:
    return name.hex() if isinstance(name, bytes) else str(name)


@dataclass(frozen=True, slots=True)
class Holder:
    """The table whose rows have a DEK of their own, named in `dek_id`, and the column that says whose it is."""

    table: Table
    subject: str
    alive: tuple[str, ...]
    """States in which its values are still read."""


HOLDERS = {
    "customer": Holder(customers, "customer_id", ("active",)),
    "erasure": Holder(erasures, "erasure_id", ("decided", "shredded", "certified", "redacting")),
    "package": Holder(packages, "package_id", ("building", "ready", "taken")),
}
"""By purpose."""

SEALED_COLUMNS = (
    SealedColumn(callbacks, "address", "secrets", ("request_id", "name")),
    SealedColumn(charges, "details", "customer", ("charge_id",), of_customer=True),
    SealedColumn(charges, "retained", "retention", ("charge_id",)),
    SealedColumn(customers, "contact", "customer", ("customer_id",), of_customer=True),
    SealedColumn(disputes, "retained", "retention", ("dispute_id",)),
    SealedColumn(erasure_recipients, "reference", "erasure", ("erasure_id", "recipient_id")),
    SealedColumn(intents, "parameters", "secrets", ("intent_id",)),
    SealedColumn(package_chunks, "content", "package", ("package_id", "number")),
    SealedColumn(processor_accounts, "credentials", "secrets", ("account_id",)),
    SealedColumn(processor_references, "reference", "customer", ("owner_id", "account_id"), of_customer=True),
    SealedColumn(refunds, "retained", "retention", ("refund_id",)),
    SealedColumn(tokens, "card", "customer", ("token_id",), of_customer=True),
    SealedColumn(tokens, "metadata", "customer", ("token_id",), of_customer=True),
    SealedColumn(tokens, "outcome", "customer", ("token_id",), of_customer=True),
    SealedColumn(webhook_endpoints, "address", "secrets", ("endpoint_id",)),
    SealedColumn(webhook_endpoints, "secrets", "secrets", ("endpoint_id",)),
    SealedColumn(webhook_inbox, "named", "secrets", ("event_digest",)),
)

BY_NAME = {each.name: each for each in SEALED_COLUMNS}
