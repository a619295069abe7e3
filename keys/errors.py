"""What goes wrong with keys. No message of these carries key material or anything sealed."""


class KeysError(Exception):
    """The base of every error that `keys` raises on purpose; `retryable` says whether trying again later can help."""

    retryable: bool = False


class Unreadable(KeysError):
    """A sealed or wrapped value does not open. One error for every cause: a reason would be an oracle."""

    def __init__(self) -> None:
        super().__init__("this value does not open")


class KeyDestroyed(KeysError):
    """The key was destroyed on purpose: its tombstone row stands."""


class KeyMissing(KeysError):
    """There is no row where one must be. This is data loss, never an erasure, and never to be answered as 410."""


class KeyReplaced(KeyMissing):
    """A reseal destroyed it: nothing was sealed under it by then, so whoever names it is from before. Never a 410."""


class RootKeyAway(KeysError):
    """No root key that can open this KEK answers now."""

    retryable = True


class RootKeyDenied(KeysError):
    """The provider answers, and does not let us use the root key; the message says what to grant or mend."""


class RootKeyNeeded(KeysError):
    """A root key can't be dropped, because nothing else opens a KEK; the message says which, and what is in the way."""


class KeyfileRefused(KeysError):
    """The key file can't be used; the message says what is wrong with it and what to do."""


class WatermarkMoved(KeysError):
    """Another process moved the keystore's watermark first: read the ledger again and start over."""

    retryable = True


class DatabaseReplaced(KeysError):
    """What was read came from a database that is not the one in use any more."""

    retryable = True
