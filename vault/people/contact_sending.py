"""A corrected contact goes on to every processor that knows the customer (GDPR Art. 19), at each of its cards there.

What is sent is the contact as it is when it is sent, so that a repeated sending can't bring back an older one. Whoever
finds that it was changed meanwhile sends again.
"""

from sqlalchemy import Row, bindparam, select

from keys.keyring import Keyring
from rows.conditions import given
from rows.engine import reading
from vault.desk import Desk
from vault.errors import Erased, NotUsable
from vault.people import contacts
from vault.people.customer_rows import row_of
from vault.personal import BillingContact
from vault.processing import references
from vault.processing.answers import Corrected
from vault.processing.connecting import Connected
from vault.tables import customers, processor_references


def send(desk: Desk, connected: Connected, customer_id: str, account_id: str, key: str) -> bool:
    """Put the contact at every card of the account; whether all of them have it and it is still the newest."""
    with reading(desk.records) as connection:
        try:
            customer = row_of(connection, desk.caller, customer_id)
            _, contact = contacts.opened(desk.keyring, customer)
        except (Erased, NotUsable):  # nobody's contact, or one that must be entered again, and is sent then
            return True
        named = {"of_tenant": desk.caller.tenant, "of_customer": customer_id, "of_account": account_id}
        cards = connection.execute(_CARDS, named).all()
    key = f"{key}-{customer.contact_version}"
    each = [
        _put(desk.keyring, connected, card, contact, key) for card in cards
    ]  # every card, whatever one of them says
    with reading(desk.records) as connection:
        now = connection.execute(_VERSION, {"of_tenant": desk.caller.tenant, "of_customer": customer_id}).scalar_one()
    return all(each) and now == customer.contact_version


def _put(keyring: Keyring, connected: Connected, card: Row[str], contact: BillingContact, key: str) -> bool:
    reference = references.read(keyring, card)["reference"]
    outcome = connected.processor.correct(
        connected.credentials, reference=reference, contact=contact, key=f"{key}-{card.owner_id}"
    )
    return isinstance(outcome, Corrected)  # who refuses it still has the old one: in the end a human must see that


_CARDS = select(processor_references).where(
    given(processor_references, "customer_id", "account_id"),
    processor_references.c.owner_id != bindparam("of_customer"),  # the customer itself there has no contact of ours
)
_VERSION = select(customers.c.contact_version).where(given(customers, "customer_id"))
