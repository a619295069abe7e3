"""One person is found however the identity is written: at the door, and in what was indexed by earlier rules."""

import hashlib

import pytest
from house import PURPOSE, Tenant
from opendsr_scene import Outside, speaking
from records_scene import rows, work
from rights_scene import asked, person
from sqlalchemy import delete, insert

from keys.blindindex import digest, label, normalize
from rows.engine import transaction
from vault.people import identities
from vault.tables import blind_index
from vault.tenancy import phone_regions

EMAILS = [
    ("jo@xn--bcher-kva.de", "jo@bücher.de"),
    ("jo@bücher.de", "JO@XN--BCHER-KVA.DE"),
    ("Jo@BÜCHER.de", "jo@xn--bcher-kva.de"),
    ("jo@faß.de", "jo@xn--fa-hia.de"),
    ("jo@例え.jp", "jo@xn--r8jz45g.jp"),
    ("İST@example.com", "ist@example.com"),
    ("ist@example.com", "İST@example.com"),
    ("\u0131lker@example.com", "ILKER@EXAMPLE.COM"),
    ("jo@istanbul.com", "JO@İSTANBUL.COM"),
    ("ﬁn@example.com", "fin@example.com"),
    ("j\u00f3@example.com", "jo\u0301@example.com"),
]
PHONES = [
    ("+4930123456", "004930123456"),
    ("0049 30 123456", "+49 (0)30 123456"),
    ("+44 (0)20 7946 0958", "+442079460958"),
    ("+44 20 7946 0958", "0044 (0) 20 7946-0958"),
    ("+1 555 010 9999", "+15550109999 ext. 5"),
    ("+44 20 7946 0958", "+٤٤ ٢٠ ٧٩٤٦ ٠٩٥٨"),
]
NATIONAL = [
    ("US", "(415) 555-0178", "+14155550178"),
    ("US", "+1 415 555 0178", "415.555.0178"),
    ("US", "1-415-555-0178", "0014155550178"),
    ("GB", "020 7946 0958", "+44 (0)20 7946 0958"),
    ("GB", "+442079460958", "(020) 7946 0958"),
    ("IT", "06 1234 5678", "+39 06 1234 5678"),
    ("US", "011 49 30 123456", "+4930123456"),
    ("US", "0049 30 123456", "+4930123456"),
]


@pytest.fixture
def speaker(tenant: Tenant) -> Tenant:
    return speaking(tenant, outside=Outside())


def stored(tenant: Tenant, kind: str, value: str) -> str:
    return tenant.call("POST", "/v1/customers", {"billing_contact": {kind: value}}).get_json()["id"]


def found(tenant: Tenant, kind: str, value: str) -> list[str]:
    answer = tenant.call("POST", "/v1/customers/search", {kind: value}, **PURPOSE)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return [each["id"] for each in answer.get_json()["data"]]


def meant(tenant: Tenant, kind: str, value: str, form: str = "raw") -> list[str]:
    """Whom a rights request is about that names somebody so; withdrawn again."""
    request = asked(tenant, "erasure", identities=[{"type": kind, "value": value, "format": form}])
    tenant.call("DELETE", f"/v1/rights-requests/{request['id']}", role="privacy")
    return request["customers"]


def region(tenant: Tenant, code: str | None) -> None:
    phone_regions.put(tenant.desk, code)


@pytest.mark.parametrize(("kept", "asked_by"), EMAILS)
def test_an_email_however_it_is_written(tenant: Tenant, kept: str, asked_by: str) -> None:
    """In either form of its domain, in the capitals of any language, composed or not; other addresses stay apart."""
    mine = stored(tenant, "email", kept)
    stored(tenant, "email", "other@example.com")
    assert found(tenant, "email", asked_by) == meant(tenant, "email", asked_by) == [mine]


def test_domains_that_only_look_alike(tenant: Tenant) -> None:
    """Those that the domain name system tells apart are two."""
    one, other = stored(tenant, "email", "jo@straße.de"), stored(tenant, "email", "jo@strasse.de")
    assert found(tenant, "email", "jo@straße.de") == [one]
    assert found(tenant, "email", "jo@STRASSE.de") == [other]


@pytest.mark.parametrize(("kept", "asked_by"), PHONES)
def test_a_phone_however_it_is_written(tenant: Tenant, kept: str, asked_by: str) -> None:
    """With its country, a number is one number: exit code or plus, trunk zero, extension, digits of any script."""
    mine = person(tenant, phone="+1 202 555 0100")
    tenant.call("PATCH", f"/v1/customers/{mine}/billing-contact", {"phone": kept}, role="privacy")
    stored(tenant, "phone", "+1 202 555 0100")
    assert meant(tenant, "phone", asked_by) == [mine]


@pytest.mark.parametrize(("where", "kept", "asked_by"), NATIONAL)
def test_a_national_number(tenant: Tenant, where: str, kept: str, asked_by: str) -> None:
    """Without its country it is one of the tenant's region."""
    region(tenant, where)
    mine = stored(tenant, "phone", kept)
    assert found(tenant, "phone", asked_by) == meant(tenant, "phone", asked_by) == [mine]


def test_a_national_number_without_a_region(tenant: Tenant) -> None:
    """It is found as it was typed, and as nothing else; nothing is found by no digits at all."""
    mine = stored(tenant, "phone", "(415) 555-0178")
    stored(tenant, "phone", "().-/")
    assert found(tenant, "phone", "415 555 0178") == [mine]
    assert found(tenant, "phone", "+14155550178") == []
    assert found(tenant, "phone", "none") == []


def test_erased_by_another_writing(tenant: Tenant, speaker: Tenant) -> None:
    """`DELETE`'s counterparts: a rights request and Fides erase who is meant, restriction restricts them."""
    region(tenant, "US")
    first = stored(tenant, "email", "jo@xn--bcher-kva.de")
    second = stored(tenant, "phone", "(415) 555-0178")
    request = asked(tenant, "restriction", identities=[{"type": "email", "value": "jo@bücher.de"}], ground="unlawful")
    assert request["customers"] == [first]
    run = "pri_029832ba-3b84-40f7-8946-82aec6f95448"
    body = {"privacy_request_id": run, "direction": "two_way", "callback_type": "pre", "policy_action": "erasure"}
    identity = {"email": "jo@bücher.de", "phone_number": "+14155550178"}
    answer = speaker.call("POST", "/fides/pre-execution", {**body, "identity": identity}, role="privacy")
    assert answer.get_json()["halt"] is False
    assert [tenant.call("GET", f"/v1/customers/{each}").status_code for each in (first, second)] == [410, 410]


@pytest.mark.parametrize(
    ("kind", "kept", "hashed"),
    [
        ("email", "Jo@bücher.de", "Jo@bücher.de"),
        ("email", "Jo@bücher.de", "jo@bücher.de"),
        ("email", "Jo@bücher.de", "jo@xn--bcher-kva.de"),
        ("email", "Jo@xn--bcher-kva.de", "jo@bücher.de"),
        ("phone", "(415) 555-0178", "(415) 555-0178"),
        ("phone", "(415) 555-0178", "+14155550178"),
        ("phone", "0044 20 7946 0958", "+442079460958"),
        ("reference", "R-ä", "r-ä"),
    ],
)
def test_hashes_that_protocols_send(tenant: Tenant, kind: str, kept: str, hashed: str) -> None:
    """SHA-256 of what was typed, of that in lower case, and of the one form that all writings have."""
    region(tenant, "US")
    body = {kind: kept} if kind == "reference" else {"billing_contact": {kind: kept}}
    mine = tenant.call("POST", "/v1/customers", body).get_json()["id"]
    assert meant(tenant, kind, hashlib.sha256(hashed.encode()).hexdigest(), "sha256") == [mine]


def as_before(tenant: Tenant, customer: str, kind: str, value: str) -> None:
    """Put the index rows of one value as the first rules made them."""
    keyring = tenant.house.components.keyring
    texts = {"raw": [normalize(kind, value)]}
    texts["sha256"] = [hashlib.sha256(each.encode()).hexdigest() for each in dict.fromkeys((value, value.lower()))]
    made = [
        {
            "tenant_id": tenant.id,
            "field": kind,
            "form": form,
            "digest": digest(key, form=form, value=text),
            "customer_id": customer,
            "live": False,
            "key_id": key_id,
            "normalization": 1,
        }
        for key_id, key in keyring.subkeys(tenant.id, "index", label(kind)).items()
        for form, each in texts.items()
        for text in each
    ]
    theirs = (blind_index.c.tenant_id == tenant.id) & (blind_index.c.customer_id == customer)
    with transaction(tenant.house.components.records) as tx:
        tx.execute(delete(blind_index).where(theirs, blind_index.c.field == kind))
        tx.execute(insert(blind_index), made)


def versions(tenant: Tenant) -> set[tuple[str, int, str | None]]:
    return {
        (each.field, each.normalization, each.region) for each in rows(tenant.house, blind_index, tenant_id=tenant.id)
    }


EARLIER = [
    ("email", "ann@example.com", "Ann@Example.com", None),
    ("email", "jo@xn--bcher-kva.de", "jo@bücher.de", None),
    ("email", "jo@bücher.de", "jo@xn--bcher-kva.de", None),
    ("phone", "0049 30 123456", "+4930123456", None),
    ("phone", "+49 30 123456", "0049 30 123456", None),
    ("phone", "+44 (0)20 7946 0958", "+442079460958", None),
    ("phone", "+44 20 7946 0958", "+44 (0)20 7946 0958", None),
    ("phone", "(415) 555-0178", "+14155550178", "US"),
    ("phone", "1 415 555 0178", "+14155550178", "US"),
    ("phone", "020 7946 0958", "+442079460958", "GB"),
]


@pytest.mark.parametrize(("kind", "kept", "asked_by", "where"), EARLIER)
def test_what_was_indexed_before(tenant: Tenant, kind: str, kept: str, asked_by: str, where: str | None) -> None:
    """Rows by the first rules are found at once, and indexed anew by the worker; then they are found as others are."""
    mine = stored(tenant, kind, kept)
    as_before(tenant, mine, kind, kept)
    region(tenant, where)
    assert {each[1] for each in versions(tenant)} == {1}
    assert meant(tenant, kind, asked_by) == [mine]
    assert work(tenant.house) == []
    assert {each[1] for each in versions(tenant)} == {2}
    assert meant(tenant, kind, asked_by) == meant(tenant, kind, kept) == [mine]
    before = rows(tenant.house, blind_index, tenant_id=tenant.id)
    assert work(tenant.house) == []
    assert rows(tenant.house, blind_index, tenant_id=tenant.id) == before


def test_a_region_that_is_set_later(tenant: Tenant) -> None:
    """What was stored before is found at once, and again after the worker has read it anew; another region likewise."""
    national, abroad = stored(tenant, "phone", "(415) 555-0178"), stored(tenant, "phone", "+44 20 7946 0958")
    assert versions(tenant) == {("phone", 2, ""), ("phone", 2, None)}
    region(tenant, "US")
    for _ in range(2):
        assert found(tenant, "phone", "+14155550178") == [national]
        assert found(tenant, "phone", "+442079460958") == [abroad]
        assert work(tenant.house) == []
    assert versions(tenant) == {("phone", 2, "US"), ("phone", 2, None)}
    region(tenant, "CA")
    assert work(tenant.house) == []
    assert versions(tenant) == {("phone", 2, "CA"), ("phone", 2, None)}
    assert found(tenant, "phone", "+14155550178") == [national]


def test_a_region_that_there_is_not(tenant: Tenant) -> None:
    """It is refused."""
    for wrong in ("us", "XX", "USA", ""):
        with pytest.raises(ValueError, match="region"):
            region(tenant, wrong)


@pytest.mark.parametrize(("kind", "pairs"), [("email", EMAILS), ("phone", PHONES)], ids=["email", "phone"])
def test_the_one_form_is_its_own(kind: str, pairs: list[tuple[str, str]]) -> None:
    """What all writings come to comes to itself; whatever a field holds has one."""
    for each in [*(one for pair in pairs for one in pair), "", "@", "a@xn--\u00fc", "a@xn--99999999", "x" * 99_999]:
        once = identities.canonical(kind, each, "US")
        assert identities.canonical(kind, once, "US") == once
