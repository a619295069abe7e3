"""What processors keep for us: nobody else can read it, the same call sends the same, an erasure takes it."""

from dataclasses import replace
from typing import Any

from house import House, Tenant, word
from money_scene import made, prepared
from records_scene import rows

from vault.processing.processing import connect
from vault.processing.processor_answers import Noted, NotedPage
from vault.recovering import lost_commits, recovery_notes
from vault.tables import charges
from vault.tables import processor_accounts as accounts


def noted(tenant: Tenant, kind: str) -> list[Noted]:
    """What the sandbox lists with a note, of this tenant's account."""
    parts = tenant.house.components
    [row] = rows(tenant.house, accounts, tenant_id=tenant.id)
    connected = connect(parts.processors, parts.keyring, tenant.id, row)
    page = connected.processor.list_noted(connected.credentials, kind=kind, since=row.created_at, after=None)
    assert isinstance(page, NotedPage)
    return page.noted


def said(tenant: Tenant, kind: str, note: Noted) -> dict[str, Any] | None:
    return recovery_notes.read(tenant.house.components.keyring, tenant.id, kind, note)


def test_a_note_says_what_the_rows_said(tenant: Tenant) -> None:
    """Of each kind, with the ids that clients hold, at the longest that an obligation may be."""
    order = prepared(tenant, "charge")
    order["body"]["obligation"] = word().ljust(200, "\N{EURO SIGN}")
    _, charge = made(tenant, order)
    refund = tenant.call("POST", f"/v1/charges/{charge['id']}/refunds", {}, Idempotency_Key=word()).get_json()
    [person], [card] = noted(tenant, "customer"), noted(tenant, "card")
    [payment], [given_back] = noted(tenant, "charge"), noted(tenant, "refund")
    assert said(tenant, "customer", person) == {"customer": charge["customer"]}
    assert (said(tenant, "card", card) or {})["token"] == charge["token"]
    about = said(tenant, "charge", payment) or {}
    assert (about["charge"], about["obligation"]) == (charge["id"], order["body"]["obligation"])
    assert (said(tenant, "refund", given_back) or {})["refund"] == refund["id"]


def test_nobody_else_reads_it(house: House, tenant: Tenant) -> None:
    """Not another tenant, not under another tag, not as another kind, not a letter changed."""
    tenant.token()
    [card] = noted(tenant, "card")
    assert said(tenant, "card", card)
    assert said(house.tenant(), "card", card) is None
    assert said(tenant, "card", replace(card, tag="0" * 32)) is None
    assert said(tenant, "customer", card) is None
    assert said(tenant, "card", replace(card, note=card.note[:-6] + "AAAAA=")) is None
    assert said(tenant, "card", replace(card, note="nonsense")) is None


def test_an_erasure_takes_it(tenant: Tenant) -> None:
    """What hung on the customer opens no more; what is retained of the payment does, and brings nobody back."""
    _, charge = made(tenant, prepared(tenant, "charge"))
    [person], [card], [payment] = noted(tenant, "customer"), noted(tenant, "card"), noted(tenant, "charge")
    assert tenant.erase(charge["customer"]).status_code in {200, 202}
    assert said(tenant, "customer", person) is None
    assert said(tenant, "card", card) is None
    assert said(tenant, "charge", payment)
    parts = tenant.house.components
    for kind, each in (("customer", person), ("card", card), ("charge", payment)):
        written = lost_commits.write_back(parts.records, parts.keyring, tenant.caller, tenant.account, kind, [each])
        assert written == 0
    assert len(rows(tenant.house, charges, tenant_id=tenant.id)) == 1


def test_what_is_there_is_left_alone(tenant: Tenant) -> None:
    """Looking again writes nothing."""
    made(tenant, prepared(tenant, "refund"))
    parts = tenant.house.components
    for kind in lost_commits.KINDS:
        there = noted(tenant, kind)
        assert there
        assert lost_commits.write_back(parts.records, parts.keyring, tenant.caller, tenant.account, kind, there) == 0
