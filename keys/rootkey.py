"""The port to whatever keeps the root key: a file, an HSM, a cloud's KMS."""

from typing import Protocol


class RootKey(Protocol):
    """A key that never leaves its provider. It wraps KEKs, a few per tenant, never a customer's key.

    The port promises no associated data, because not every HSM can bind any: what must be bound is put into what is
    wrapped (`keys.wrapping`). Every call has a timeout of the provider's own.
    """

    @property
    def provider(self) -> str:
        """The kind of provider, such as `keyfile`."""

    @property
    def key_id(self) -> str:
        """Which key of that provider; what it wrapped is found by this again, so it never changes."""

    def wrap(self, plain: bytes) -> bytes:
        """`plain` (64 bytes), encrypted and authenticated. Raises RootKeyAway, RootKeyDenied."""

    def unwrap(self, wrapped: bytes) -> bytes:
        """What `wrap` was given.

        Raises RootKeyAway when the provider can't be asked, RootKeyDenied when it does not let us, Unreadable when this
        is nothing that the key wrapped.
        """
