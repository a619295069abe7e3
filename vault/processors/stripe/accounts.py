"""What is asked about an account, and of its keys: whose it is, and to use a key up."""

from collections.abc import Mapping

from vault.processing.answers import (
    Burnt,
    CustomerOpened,
    Failure,
    Identified,
    KeyTaken,
    Marks,
    NotFound,
    Refused,
    Unknown,
)
from vault.processors.stripe import marks, outcomes, shapes
from vault.processors.stripe.errors import KEY_TAKEN, Object
from vault.processors.stripe.outcomes import definite, or_missing, outcome
from vault.processors.stripe.storing import CARDS, CUSTOMERS, SETUPS
from vault.processors.stripe.transport import Answer, Line, segment

FORBIDDEN = 403
MAY_NOT_ASK = Refused(code="may_not_ask")


def identify(line: Line) -> Identified | Failure:
    """Retrieve the account of the key; a restricted key may lack the permission, which is a 403."""
    answer = line.get("/v1/account", {})
    met = definite(outcome(answer, "account", lambda account: Identified(own_id=shapes.text(account, "id"))))
    forbidden = isinstance(answer, Answer) and answer.status == FORBIDDEN and isinstance(met, Refused)
    return MAY_NOT_ASK if forbidden else met


def read_marks(line: Line, customer: str) -> Marks | NotFound | Failure:
    """Our marks on a customer that is there."""
    answer = line.get(f"{CUSTOMERS}/{segment(customer)}", {})
    return or_missing(NotFound(), outcome(answer, "customer", lambda found: marks.read(found) or NotFound()))


def open_customer(line: Line, of: Marks, key: str) -> CustomerOpened | Failure:
    """An empty Customer with our marks."""
    answer = line.post(CUSTOMERS, {"metadata": marks.metadata(of)}, key)
    return definite(outcome(answer, "customer", outcomes.customer_opened))


def burn(line: Line, key: str, words: Mapping[str, str]) -> Burnt | KeyTaken | Failure:
    """A SetupIntent without customer and payment method, which nobody confirms: it does nothing, for ever.

    It passes Stripe's validation, so that its answer is kept for the key. A replay of whatever kind means that this
    same call came before: the key is used up by it.
    """
    answer = line.post(SETUPS, {"usage": "off_session", **CARDS, "metadata": dict(words)}, key)
    if isinstance(answer, Answer) and answer.replayed:
        return Burnt(replayed=True)
    met = definite(outcome(answer, "setup_intent", _burnt))
    taken = isinstance(met, Unknown) and met.reason == KEY_TAKEN
    return KeyTaken() if taken else met


def _burnt(setup: Object) -> Burnt:
    shapes.text(setup, "id")
    return Burnt(replayed=False)
