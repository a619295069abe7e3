"""What a sealed value is bound to: where it stands, whose it is and which version it is (the AAD)."""

import struct
from dataclasses import dataclass

FORMAT = b"panless/context/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The place of one sealed value. A value moved to any other place does not open.

    All but `version` are our own opaque ids or names, never personal data; `customer` is empty for what is a tenant's.
    """

    deployment: str
    tenant: str
    table: str
    column: str
    row: str
    customer: str
    version: int

    def encode(self) -> bytes:
        """Unambiguous bytes: the format name, then each field with its length before it, big-endian.

        `u16 length | utf-8` for the seven texts (the format name first), `u64` for the version.
        """
        texts = (self.deployment, self.tenant, self.table, self.column, self.row, self.customer)
        encoded = (FORMAT, *(text.encode() for text in texts))
        return b"".join(struct.pack(">H", len(part)) + part for part in encoded) + struct.pack(">Q", self.version)
