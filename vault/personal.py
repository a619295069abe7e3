"""Personal data and secrets in memory: types whose repr shows nothing, so that no log or traceback does either."""

from dataclasses import dataclass, field


class _Hidden:
    """What stands in a log line or a traceback where the value would."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


@dataclass(frozen=True, slots=True, repr=False)
class Secret(_Hidden):
    """A credential: an API key's secret part, a processor's key."""

    value: str


@dataclass(frozen=True, slots=True, repr=False, kw_only=True)
class Card(_Hidden):
    """A card as it was typed: alive in one request's memory on its way to the processor, never stored."""

    number: str
    exp_month: int
    exp_year: int
    cvc: str | None


@dataclass(frozen=True, slots=True, repr=False, kw_only=True)
class CardMetadata(_Hidden):
    """What the processor says of a card: the class `card`. `fingerprint` is the processor's own, never shown."""

    brand: str
    last4: str
    exp_month: int
    exp_year: int
    funding: str | None = None
    country: str | None = None
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True, repr=False, kw_only=True)
class BillingContact(_Hidden):
    """Name, email, phone and address of a customer: the class `contact`."""

    name: str | None = None
    email: str | None = None
    phone: str | None = None
    address: dict[str, str] = field(default_factory=dict)
