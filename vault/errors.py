"""What can go wrong in the records, typed. `api/problems.py` says which answer each one is."""

from collections.abc import Mapping
from datetime import datetime


class VaultError(Exception):
    """The base of all errors of this package. Messages say what to do and quote nothing that a client sent."""

    retryable = False


class NotFoundHere(VaultError):
    """No such thing for this tenant. A foreign tenant's id is exactly this."""


class Erased(VaultError):
    """It was erased, or is being erased: it stays gone."""


class Gone(VaultError):
    """It could be had once, or until a certain time, and that is over."""


class Restricted(VaultError):
    """Processing is restricted for this customer."""


class Blocked(VaultError):
    """Something open stands in the way; the reasons are codes, `until` says when one of them ends, where known."""

    def __init__(
        self, reasons: list[str], until: Mapping[str, datetime] | None = None, request: str | None = None
    ) -> None:
        """Keep the reasons as data: the door shows them, and the request that waits for their end, where one does."""
        super().__init__("Blocked by: " + ", ".join(reasons))
        self.reasons = reasons
        self.until = until or {}
        self.request = request


class Duplicate(VaultError):
    """This right is being asked for already, for one of the same customers."""

    def __init__(self, request_id: str) -> None:
        """Keep that request: the door links to it."""
        super().__init__("A request of this type for one of these customers is open. Decide that one.")
        self.request_id = request_id


class ActorNeeded(VaultError):
    """Who is behind the client matters here, and it did not say."""


class NeedsHuman(VaultError):
    """An intent that the worker could not end; whoever operates this must look at the processor."""


class NotVouchedFor(VaultError):
    """A row is not, or can't be shown to be, what Panless wrote: nothing is built on it."""


class KeyReused(VaultError):
    """The idempotency key was used with another body."""


class InProgress(VaultError):
    """A call with this idempotency key is being worked on."""

    retryable = True


class DoNotRetry(VaultError):
    """The card must not be charged now: an issuer said never again, or it was declined too often."""

    def __init__(self, code: str, until: datetime | None) -> None:
        """Keep why, and when that ends by itself, if it does."""
        super().__init__("This card is not to be charged again now. Ask the customer for another one.")
        self.code = code
        self.until = until


class ObligationTaken(VaultError):
    """Another charge stands for this obligation: `in_doubt` tells one whose end is open from one that is paid."""

    def __init__(self, charge_id: str, *, in_doubt: bool) -> None:
        """Keep the first charge: the door links to it."""
        super().__init__("A charge for this obligation exists.")
        self.charge_id = charge_id
        self.in_doubt = in_doubt


class CustomerExists(VaultError):
    """The tenant's reference names a customer already."""

    def __init__(self, customer_id: str) -> None:
        """Keep that customer: the door links to it."""
        super().__init__("A customer with this reference exists.")
        self.customer_id = customer_id


class Invalid(VaultError):
    """What a client sent breaks a rule of ours; `field` names where, the message says which rule."""

    def __init__(self, field: str, message: str) -> None:
        """Keep the field's name: the door shows it."""
        super().__init__(message)
        self.field = field


class NotUsable(VaultError):
    """The thing exists and its state does not allow this; `code` says which."""

    def __init__(self, code: str, message: str) -> None:
        """Keep the code: it is part of the interface."""
        super().__init__(message)
        self.code = code


class ProcessorRefused(VaultError):
    """The processor refused our request itself; `code` is the processor's or ours."""

    def __init__(self, code: str, param: str | None = None, *, credentials: bool = False) -> None:
        """Keep the code and the processor's parameter name."""
        super().__init__("The processor refused the request.")
        self.code = code
        self.param = param
        self.credentials = credentials


class ProcessorNotReached(VaultError):
    """The processor was never reached: nothing happened there, the same call may be made again."""

    retryable = True


class RawCardsRefused(VaultError):
    """This deployment takes no raw cards."""


class InDoubt(VaultError):
    """These records may have lost who paid this: they are compared with the processor first, which takes seconds."""

    retryable = True


class MovedOn(VaultError):
    """Others changed the same thing so fast that this call never got its turn."""

    retryable = True


class LedgerAway(VaultError):
    """The erasure ledger does not answer."""

    retryable = True


class LedgerBroken(VaultError):
    """The erasure ledger does not hold together: cut, or an entry that does not verify."""


class LogBroken(VaultError):
    """The audit log is not what was signed last: nothing more is signed until somebody has looked."""


class NotContinued(VaultError):
    """The audit log is not the one that this worker knows: its anchors must be asked before it is signed on."""

    retryable = True


class AnchorStale(VaultError):
    """The audit log was not anchored for too long: what needs its proof has to wait."""

    retryable = True


class CallbackFailed(VaultError):
    """Somebody who wants to be told how a request stands could not be told now."""

    retryable = True


class EraseIncomplete(VaultError):
    """The read-back after an erasure found something that should be gone."""


class RecordsRestored(VaultError):
    """These records are older than the ledger says they should be."""


class KeystoreRestored(VaultError):
    """This keystore is older than the ledger says it should be."""


class Refused(VaultError):
    """The guard does not vouch for these databases; `code` is its verdict's."""

    retryable = True

    def __init__(self, code: str, message: str) -> None:
        """Keep the code: it is part of the interface."""
        super().__init__(message)
        self.code = code
