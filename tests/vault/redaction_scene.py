"""Payments that a processor keeps until they are redacted."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backups import backup, restore
from house import Tenant

from vault.recovering.replay import replay

DAYS = 90


@dataclass(frozen=True)
class Kept:
    """A tenant whose records can be restored to how they stood when they were saved."""

    tenant: Tenant
    copy: Path

    def save(self) -> Any:
        return backup(self.tenant.house.components.records, self.copy)

    def restore(self, saved: Any) -> None:
        parts = self.tenant.house.components
        restore(parts.records, saved)
        replay(parts.ledger, parts.records, lambda _done, _total: None)
        assert parts.guard.check().is_good
