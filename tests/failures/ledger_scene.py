"""A house whose ledger is in a bucket that can be away."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from failure_scene import (
    Load,
    under_load,
)
from house import House, Tenant
from http_front import Front

AWAY = (503, "ledger_unavailable")


@dataclass(frozen=True)
class InBucket:
    """A house on a server of its own whose ledger is in a bucket, a tenant and a token there."""

    house: House
    server: Any
    front: Front
    tenant: Tenant
    token: dict[str, Any]

    @property
    def key(self) -> str:
        return self.tenant.keys["all"]

    def loaded(self, url: str) -> AbstractContextManager[Load]:
        return under_load(url, self.key, self.token)
