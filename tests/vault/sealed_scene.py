"""Something sealed in every column that can hold it, and how the program opens each."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from json import dumps
from typing import Any

import pytest
from house import Tenant, package_of
from records_scene import CONTACT, Crash, crash, interpose, rows
from rights_scene import asked
from sqlalchemy import Row, Table, and_, update
from stripe import WebhookSignature

from keys.envelope import dek_id_of, unseal
from rows.engine import transaction
from vault.cards import deletion, tokens
from vault.erasing import completion, recipients, telling
from vault.events import webhook_endpoints
from vault.exports import packages
from vault.money import disputes
from vault.money.charge import charges
from vault.money.refund import following
from vault.people import contacts
from vault.personal import Secret
from vault.processing import accounts, inbox, references
from vault.processing.answers import Disputed, Held, Unknown
from vault.processing.connecting import Connected
from vault.protocols import callbacks
from vault.recovering import webhooks_in
from vault.sealing import open_value
from vault.tables import metadata

SEALED = sorted(
    (table.name, column.name)
    for table in metadata.tables.values()
    for column in table.columns
    if f"{column.name}_version" in table.columns
)
"""Every column of the records that holds a sealed value: those with a version beside them."""

MARK = "kanarie"


@dataclass(frozen=True)
class Place:
    """One sealed value in the records, and how the program opens it."""

    tenant: Tenant
    table: Table
    column: str
    row: Row[Any]

    @property
    def value(self) -> bytes:
        return bytes(getattr(self.row, self.column))

    @property
    def key(self) -> tuple[Any, ...]:
        return tuple(getattr(self.row, column.name) for column in self.table.primary_key.columns)

    def put(self, **changes: object) -> None:
        this = and_(*(column == value for column, value in zip(self.table.primary_key.columns, self.key, strict=True)))
        with transaction(self.tenant.house.components.records) as tx:
            tx.execute(update(self.table).where(this).values(**changes))

    def now(self) -> Row[Any]:
        columns = [column.name for column in self.table.primary_key.columns]
        [found] = rows(self.tenant.house, self.table, **dict(zip(columns, self.key, strict=True)))
        return found

    def open(self) -> str:
        return OPENERS[self.table.name, self.column](self.tenant, self.now())

    def __str__(self) -> str:
        return f"{self.table.name}.{self.column}"


def _credentials(tenant: Tenant, row: Row[Any]) -> str:
    return accounts.credentials_of(tenant.house.components.keyring, tenant.id, row).api_key.value


def _contact(tenant: Tenant, row: Row[Any]) -> str:
    contact = contacts.read(tenant.desk, row.customer_id)
    return f"{contact.name} {contact.email} {contact.phone} {contact.address}"


def _reference(tenant: Tenant, row: Row[Any]) -> str:
    return str(references.read(tenant.house.components.keyring, row))


def _token(tenant: Tenant, row: Row[Any]) -> str:
    token = tokens.read(tenant.desk, row.token_id)
    card = token.card and (token.card.last4, token.card.brand, token.card.exp_year)
    return f"{card} {token.metadata} {token.next_action} {token.declined}"


def _charge(tenant: Tenant, row: Row[Any]) -> str:
    charge = charges.read(tenant.desk, row.charge_id)
    return f"{charge.obligation} {charge.metadata}"


def _refund(tenant: Tenant, row: Row[Any]) -> str:
    keyring = tenant.house.components.keyring
    place = following.refund_place(keyring, tenant.id, row.refund_id, row.retained_version)
    return str(open_value(keyring, row.retained, place))


def _parameters(tenant: Tenant, row: Row[Any]) -> str:
    return str(deletion.left_to_forget(tenant.house.components.keyring, row))


def _recipient(tenant: Tenant, row: Row[Any]) -> str:
    """What the processor would be told: it stays silent, so that the row stays pending."""
    told: list[str] = []

    class Listening:
        def forget(self, _credentials: object, *, reference: str, key: str) -> Unknown:  # noqa: ARG002  # the port's
            told.append(reference)
            return Unknown(reason="timeout")

        def forget_customer(self, credentials: object, *, customer_reference: str, key: str) -> Unknown:
            return self.forget(credentials, reference=customer_reference, key=key)

        def held(self, credentials: object, *, customer_reference: str) -> Held:  # noqa: ARG002  # the port's
            return Held(subscriptions=0)

    parts = tenant.house.components
    erasure = completion.read(parts.records, tenant.id, row.erasure_id)
    processors: Any = {"sandbox": Listening()}
    soon = replace(tenant.caller, at=tenant.caller.at + timedelta(hours=2))
    telling.tell(parts.desk(soon), processors, erasure, recipients.of_erasure(parts.records, erasure))
    return str(told)


def _chunk(tenant: Tenant, row: Row[Any]) -> str:
    """Its text as the ZIP would have it, under the package's own key."""
    keyring = tenant.house.components.keyring
    place = packages.chunk_place(keyring, tenant.id, row.package_id, row.number, row.content_version)
    return unseal(keyring.dek(tenant.id, dek_id_of(row.content)), row.content, place).decode()


def _address(tenant: Tenant, row: Row[Any]) -> str:
    return str(callbacks.opened(tenant.house.components.keyring, row))


def _dispute(tenant: Tenant, row: Row[Any]) -> str:
    keyring = tenant.house.components.keyring
    place = disputes.dispute_place(keyring, tenant.id, row.dispute_id)
    return str(open_value(keyring, row.retained, replace(place, version=row.retained_version)))


def _endpoint(tenant: Tenant, row: Row[Any]) -> str:
    return webhook_endpoints.address(tenant.house.components.keyring, row)


def _signing(tenant: Tenant, row: Row[Any]) -> str:
    return webhook_endpoints.signing(tenant.house.components.keyring, row, tenant.caller.at)[0].value


def _named(tenant: Tenant, row: Row[Any]) -> str:
    return str(inbox.named_in(tenant.house.components.keyring, row))


OPENERS: dict[tuple[str, str], Callable[[Tenant, Row[Any]], str]] = {
    ("callbacks", "address"): _address,
    ("charges", "details"): _charge,
    ("charges", "retained"): _charge,
    ("customers", "contact"): _contact,
    ("disputes", "retained"): _dispute,
    ("erasure_recipients", "reference"): _recipient,
    ("intents", "parameters"): _parameters,
    ("package_chunks", "content"): _chunk,
    ("processor_accounts", "credentials"): _credentials,
    ("processor_references", "reference"): _reference,
    ("refunds", "retained"): _refund,
    ("tokens", "card"): _token,
    ("tokens", "metadata"): _token,
    ("tokens", "outcome"): _token,
    ("webhook_endpoints", "address"): _endpoint,
    ("webhook_endpoints", "secrets"): _signing,
    ("webhook_inbox", "named"): _named,
}


def live(tenant: Tenant, mark: str) -> None:
    """A customer with something sealed in every column that can be."""
    contact = CONTACT | {"name": f"{MARK} {mark}", "phone": None}
    person = tenant.call("POST", "/v1/customers", {"reference": mark, "billing_contact": contact}).get_json()["id"]
    token = tenant.token(customer=person, metadata={"a": f"{MARK} {mark}"})
    spare = tenant.token("5555555555554444", customer=person, metadata={"a": f"{MARK} {mark} 2"})
    for each in (token, spare):
        charge = tenant.charge(each["id"], obligation=f"{MARK}-{mark}-{each['id'][-4:]}", metadata={"b": MARK})
        path = f"/v1/charges/{charge.get_json()['id']}/refunds"
        assert tenant.call("POST", path, {}, Idempotency_Key=path).status_code == 201
    assert tenant.tokenize("4000002760003184", customer=person).get_json()["status"] == "requires_action"
    gone = tenant.token("6011111111111117", customer=person)
    tenant.call("DELETE", f"/v1/tokens/{gone['id']}")
    package_of(tenant, person)
    request = asked(tenant, "access", customers=[person])["id"]
    with transaction(tenant.house.components.records) as tx:
        address = {"url": f"https://controller.example.com/{MARK}/{mark}"}
        callbacks.ask(tenant.desk, tx, request, "here", "opendsr", address, "received")
    _told(tenant, mark, charge.get_json()["id"])
    erased = tenant.token()
    with pytest.raises(Crash):
        interpose(tenant, forget=crash).erase(erased["customer"])


def _told(tenant: Tenant, mark: str, charge: str) -> None:
    """An endpoint, a dispute, and an event; that and the callback are for nobody before the end of the century."""
    parts = tenant.house.components
    webhook_endpoints.create(tenant.desk, f"https://shop.example/{MARK}{mark}", [])
    asked_of = Connected(processor=Disputing(mark), credentials=Secret("none"))
    disputes.follow(tenant.desk, asked_of, tenant.account, charge, f"du_{mark}")
    tenant.call("PATCH", f"/v1/processor-accounts/{tenant.account}", {"webhook_secret": "whsec_of_theirs"})
    about = {"id": f"pi_{MARK}{mark}"}
    body = dumps(
        {"id": f"evt_{mark}", "object": "event", "type": "payment_intent.succeeded", "data": {"object": about}}
    )
    headers = {"Stripe-Signature": WebhookSignature.generate_signature_header(body, "whsec_of_theirs")}
    assert webhooks_in.receive(
        parts.records, parts.keyring, parts.processors, tenant.account, body.encode(), headers, parts.clock()
    )
    with transaction(parts.records) as tx:
        for table in (metadata.tables["webhook_inbox"], metadata.tables["callbacks"]):
            its_own = update(table).where(table.c.tenant_id == tenant.id)
            tx.execute(its_own.values(next_attempt_at=datetime(2099, 1, 1, tzinfo=UTC)))


class Disputing:
    """A processor that has a dispute."""

    def __init__(self, mark: str) -> None:
        self._mark = mark

    def read_dispute(self, _credentials: object, *, reference: str) -> Disputed:
        return Disputed(
            reference=f"{reference}{MARK}{self._mark}",
            payment="pi",
            status="won",
            amount=1,
            currency="eur",
            reason="fraudulent",
            due_at=None,
        )


def places_of(*tenants: Tenant) -> list[Place]:
    """Every sealed value of these tenants."""
    return [
        Place(tenant, metadata.tables[table], column, row)
        for tenant in tenants
        for table, column in SEALED
        for row in rows(tenant.house, metadata.tables[table], tenant_id=tenant.id)
        if getattr(row, column) is not None
    ]
