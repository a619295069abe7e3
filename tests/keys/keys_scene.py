import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keys.errors import RootKeyAway
from keys.providers.keyfile import Keyfile

DEPLOYMENT = "dep_1"
TENANT = "ten_1"
NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


@dataclass
class MemoryRoot:
    """A root key that counts its calls, can be away, and can be slow."""

    key_id: str
    provider: str = "memory"
    away: bool = False
    seconds: float = 0.0
    unwraps: int = 0
    key: Keyfile = field(default_factory=lambda: Keyfile("kf_memory", AESGCM(AESGCM.generate_key(256))), repr=False)

    def wrap(self, plain: bytes) -> bytes:
        if self.away:
            raise RootKeyAway(self.key_id)
        return self.key.wrap(plain)

    def unwrap(self, wrapped: bytes) -> bytes:
        self.unwraps += 1
        time.sleep(self.seconds)
        if self.away:
            raise RootKeyAway(self.key_id)
        return self.key.unwrap(wrapped)
