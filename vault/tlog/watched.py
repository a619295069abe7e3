"""What one worker knows of logs besides their rows: where they are anchored, and how far it saw them."""

from dataclasses import dataclass, field
from datetime import datetime

from vault.tlog.anchor_store import AnchorStore
from vault.tlog.sequencing import Known


@dataclass(slots=True, kw_only=True)
class Watched:
    """One log, as this worker knows it."""

    seen: Known | None = None
    """How far it was seen; None before the first look."""
    is_unsure: bool = False
    """Whether it did not go on from where it was seen."""
    rests_until: float = 0.0
    """Until when (`time.monotonic`) it is left alone, because its last turn failed."""
    held_since: float | None = None
    """Since when (`time.monotonic`) somebody else has had its row."""
    anchored: tuple[int, int] | None = None
    """Generation and size of its last anchor from here."""
    behind_since: datetime | None = None
    """Since when it has been elsewhere than its last anchor from here, whatever its row says."""

    @property
    def known(self) -> Known | None:
        """How far it was seen, where it went on from there; None where it wants a look."""
        return None if self.is_unsure else self.seen


@dataclass(slots=True, kw_only=True)
class LogWatch:
    """All logs that this worker has met, by tenant, and where they are anchored (None: nowhere)."""

    anchors: AnchorStore | None = None
    logs: dict[str, Watched] = field(default_factory=dict)
    followed: float = 0.0
    """When (`time.monotonic`) it was last looked how far other workers took the logs that it has seen."""
    rest: float = 30.0
    """For how many seconds a log is left alone whose turn failed: it must not hold up the others."""

    def of(self, tenant: str) -> Watched:
        """What is known of a tenant's log."""
        return self.logs.setdefault(tenant, Watched())
