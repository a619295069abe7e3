"""Our marks in the tests, and the look for a charge, which is what the vault does with the list."""

from datetime import UTC, datetime, timedelta

from vault.personal import Secret
from vault.processing.answers import ChargeOutcome, Failure, Marks, NotFound, PaymentPage
from vault.processors.stripe.adapter import StripeProcessor

SINCE = datetime.now(UTC) - timedelta(hours=1)


def marks(word: str, obligation: str | None = None) -> Marks:
    return Marks(tag=word, id=f"id-{word}", obligation=obligation)


def charge_found(stripe: StripeProcessor, credentials: Secret, own_id: str) -> ChargeOutcome | NotFound | Failure:
    """What the whole list of the account's payments says of a charge of ours."""
    after: str | None = None
    while True:
        page = stripe.list_payments(credentials, since=SINCE, until=None, after=after)
        if not isinstance(page, PaymentPage):
            return page
        found = [each.outcome for each in page.payments if each.marks is not None and each.marks.id == own_id]
        if found or page.after is None:
            return found[0] if found else NotFound()
        after = page.after
