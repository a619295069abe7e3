"""What a value of an answer must be, because money hangs on it: anything else raises TypeError, and is Unknown then."""

from datetime import UTC, datetime

from vault.processors.stripe import units
from vault.processors.stripe.errors import Object


def text(thing: Object, name: str) -> str:
    """A text that is not empty: a name, a status, a currency."""
    value = thing[name]
    if not (isinstance(value, str) and value):
        raise TypeError(name)
    return value


def named(thing: Object, name: str) -> str | None:
    """The name of another object, expanded or not; None where there is none."""
    value = thing[name]
    if isinstance(value, dict):
        return text(value, "id")
    return None if value is None else text(thing, name)


def whole(thing: Object, name: str) -> int:
    """A whole number from 0."""
    value = thing[name]
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError(name)
    return value


def amount(thing: Object, name: str) -> int:
    """An amount of money in our minor units; raises ValueError where it can't be expressed in them."""
    return units.ours(whole(thing, name), text(thing, "currency"))


def moment(thing: Object, name: str) -> datetime:
    """A time that is given in seconds since 1970."""
    return datetime.fromtimestamp(whole(thing, name), UTC)
