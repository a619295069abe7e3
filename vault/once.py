"""What a call with an idempotency key answers: what it made, or what the first call with that key had made."""

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Once(Generic[T]):
    """The value as it is now; `replayed` where an earlier call with the same key made it."""

    value: T
    replayed: bool = False
