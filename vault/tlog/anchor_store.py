"""The port to where checkpoints are anchored: `vault/stores/` is behind it."""

from typing import Protocol


class AnchorStore(Protocol):
    """Where anchors lie: numbered, each written once. Every method raises LedgerAway."""

    def within(self, folder: str) -> "AnchorStore":
        """The store of a folder further down. Raises ValueError for a name that leads elsewhere."""

    def folders(self) -> list[str]:
        """The folders there are."""

    def numbers(self, after: int = -1) -> list[int]:
        """The numbers there are that are larger than `after`, in their order."""

    def read(self, seq: int) -> bytes | None:
        """The anchor of that number, None if there is none."""

    def write(self, seq: int, entry: bytes) -> bool:
        """Write it durably, only if there is none yet; whether it was written."""
