"""A certificate's words: gone is only what the right account says is gone, and each exchange of a word is caught."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from certificate_words_scene import (
    AWAY,
    KEY_REFUSED,
    REFUSED,
    SAID,
    SILENT,
    Cell,
    Stage,
    Words,
    mutants,
    redaction_cells,
    stage,
    telling_cells,
)
from erasure_scene import certificate_of
from house import House, Tenant
from records_scene import CONTACT, LONG_AGO, Interposed, at_processor, crash, interpose, later, row, work
from redaction_scene import Kept
from rights_scene import with_policy
from sqlalchemy import delete, update

from rows.engine import transaction
from vault.erasing import redactions, telling
from vault.ledger import entries, keys
from vault.personal import Secret
from vault.processing.answers import Corrected, Forgotten, NotFound
from vault.tables import erasure_recipients, erasures, intents, processor_accounts

TELLING, REDACTING = [*telling_cells()], [*redaction_cells()]


def decided(tenant: Tenant) -> Stage:
    """An erasure with a card and a redaction, before anybody was told."""
    tenant = with_policy(tenant, redaction={"sandbox": 90})
    person = tenant.token()["customer"]
    assert tenant.call("DELETE", f"/v1/customers/{person}").status_code == 202
    return stage(tenant, row(tenant.house, erasures, customer_id=person).erasure_id)


def test_each_answer_has_its_word(tenant: Tenant) -> None:
    """Every answer to every call, of the account that is proven and of one that is not: the result and its reason."""
    told = decided(tenant)
    assert [told.said(telling, cell) for cell in TELLING] == [cell.words for cell in TELLING]
    assert [told.stepped(redactions, cell) for cell in REDACTING] == [cell.words for cell in REDACTING]


def test_each_exchange_of_a_word_is_caught(tenant: Tenant) -> None:
    """A copy of the code with one word, reason, kind of answer or comparison exchanged says something else."""
    told = decided(tenant)
    words = ("erased", "already_gone", "not_found", "pending")
    reasons = ("SUBSCRIPTIONS", "CREDENTIALS", "PROCESSOR", "PROOF", "SEARCH", "HUMAN", "NAME", "TAG")
    tell = [*mutants(telling, words, reasons)]
    redact = [*mutants(redactions, ("redacted", "not_available", "lost", "failed"), ())]
    assert (len(tell) > 100, len(redact) > 30) == (True, True)
    left = [name for name, mutant in tell if not _caught(told.said, mutant, TELLING)]
    left += [name for name, mutant in redact if not _caught(told.stepped, mutant, REDACTING)]
    assert left == []


def _caught(said: Callable[[Any, Cell], object], mutant: Any, cells: list[Cell]) -> bool:
    return any(_differs(said, mutant, cell) for cell in cells)


def _differs(said: Callable[[Any, Cell], object], mutant: Any, cell: Cell) -> bool:
    try:
        return said(mutant, cell) != cell.words
    except Exception:  # noqa: BLE001  # whatever a mutant stumbles over
        return True


class Answering(Interposed):
    """The sandbox, but that it answers calls about some of its objects as it is told to."""

    def __init__(self, real: Any, answers: dict[str, object]) -> None:
        super().__init__(real)
        self._told = answers

    def __getattr__(self, name: str) -> Any:
        method = super().__getattr__(name)

        def answer(*args: Any, **kwargs: Any) -> Any:
            about = {*kwargs.values()}.intersection(self._told) if name in FORGETTING else set()
            return self._told[about.pop()] if about else method(*args, **kwargs)

        return answer if callable(method) else method


FORGETTING = {"forget", "forget_customer", "search_customer"}


def answering(tenant: Tenant, answers: dict[str, object]) -> Tenant:
    parts = tenant.house.components
    processors = {"sandbox": Answering(parts.processors["sandbox"], answers)}
    return replace(tenant, house=replace(tenant.house, components=replace(parts, processors=processors)))


def certified(tenant: Tenant, customer: str) -> dict[str, Words]:
    """The words of the latest certificate, whose signature is good, by what the recipient has."""
    entry = certificate_of(tenant, customer)
    public = keys.public_key(tenant.house.components.keyring)
    told = entries.genuine(json.dumps(entry).encode(), public)["certificate"]
    assert (told["completed_at"] is None) == ("pending" in {each["result"] for each in told["recipients"]})
    return {each["what"]: (each["result"], each["waits_for"], each["looked_for"]) for each in told["recipients"]}


def names_of(tenant: Tenant, customer: str) -> dict[str, str]:
    """What the processor calls an erased customer and its card, by what they are."""
    erasure = row(tenant.house, erasures, customer_id=customer)
    told = stage(tenant, erasure.erasure_id)
    keyring = tenant.house.components.keyring
    dek = keyring.dek(tenant.id, erasure.dek_id)
    return {each.what: telling.recipients.open_reference(keyring, dek, each)["reference"] for each in told.listed}


def test_what_processors_say_is_what_is_certified(tenant: Tenant) -> None:
    """From each answer about a card and about a customer to the signed certificate, and how it stands a day later."""
    people = [tenant.token()["customer"] for _ in range(2 * (len(SAID) + 1))]
    answers: dict[str, object] = {}
    expected: dict[str, dict[str, Words]] = {}
    for person, (answer, words) in zip(people, 2 * [*SAID, (NotFound(), ("pending", "search", None))], strict=True):
        assert tenant.call("DELETE", f"/v1/customers/{person}").status_code == 202
        what = "customer" if person in people[: len(SAID) + 1] else "payment_method"
        answers[names_of(tenant, person)[what]] = answer
        others = {"customer": ("erased", None, None), "payment_method": ("erased", None, None)}
        expected[person] = {**others, what: words}
    work(answering(tenant, answers).house)
    assert {person: certified(tenant, person) for person in people} == expected
    work(later(answering(tenant, answers).house, hours=25))
    for person, told in expected.items():
        ended = {what: ("not_found", None, "name") if words[1] == "search" else words for what, words in told.items()}
        assert certified(tenant, person) == ended


def lose_the_names(tenant: Tenant) -> None:
    """As after a restore of the records that lost them: only our tag is left."""
    with transaction(tenant.house.components.records) as tx:
        its = erasure_recipients.c.tenant_id == tenant.id
        tx.execute(delete(erasure_recipients).where(its, erasure_recipients.c.what == "payment_method"))
        tx.execute(update(erasure_recipients).where(its).values(reference=None))


def test_silence_of_a_search_is_said_as_it_is(tenant: Tenant) -> None:
    """Looked for by tag and not found: pending for a day, then `not_found` by `tag`, at that moment; no more."""
    person = tenant.token()["customer"]
    assert tenant.call("DELETE", f"/v1/customers/{person}").status_code == 202
    lose_the_names(tenant)
    silent = interpose(tenant, search_customer=lambda _call: NotFound())
    work(silent.house)
    assert certified(tenant, person)["customer"] == ("pending", "search", None)
    work(later(silent.house, hours=23))
    assert certified(tenant, person)["customer"] == ("pending", "search", None)
    at = later(silent.house, hours=25)
    work(at)
    assert certified(tenant, person)["customer"] == ("not_found", None, "tag")
    [told] = [
        each for each in certificate_of(tenant, person)["certificate"]["recipients"] if each["what"] == "customer"
    ]
    assert told["answered_at"][:13] == at.components.clock().isoformat()[:13]


class OtherKey:
    """A processor that is asked with the key of another account."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._real, name)
        if not callable(method):
            return method
        return lambda _credentials, *args, **kwargs: method(Secret("sk_test_anothers"), *args, **kwargs)


@pytest.mark.parametrize("lost", [False, True])
def test_another_account_is_no_witness(tenant: Tenant, lost: bool) -> None:  # noqa: FBT001  # a case
    """An account whose key opens another one, from before keys were proved: pending until the right one says so."""
    person = tenant.token(customer={"billing_contact": CONTACT})["customer"]
    assert tenant.call("DELETE", f"/v1/customers/{person}").status_code == 202
    with transaction(tenant.house.components.records) as tx:
        its = processor_accounts.c.tenant_id == tenant.id
        tx.execute(update(processor_accounts).where(its).values(proven_at=None))
    if lost:
        lose_the_names(tenant)
    parts = tenant.house.components
    wrong = replace(parts, processors={"sandbox": OtherKey(parts.processors["sandbox"])})
    for days in (0, 2, 400):
        work(later(replace(tenant.house, components=wrong), days=days))
        assert {words[:2] for words in certified(tenant, person).values()} == {("pending", "proof")}
    work(later(tenant.house, days=401))
    assert {words[0] for words in certified(tenant, person).values()} <= {"erased", "already_gone"}
    assert certified(tenant, person)["customer"][0] == "erased"


def test_a_storing_that_needs_a_human_keeps_it_pending(tenant: Tenant) -> None:
    """Erased while a card was being stored, and nobody can say what became of it: not complete before somebody did."""
    person = tenant.call("POST", "/v1/customers", {"reference": "c-1"}).get_json()["id"]

    def erase_meanwhile(call: Callable[[], Any]) -> Any:
        call()
        assert tenant.erase(person).status_code == 202
        return SILENT

    assert interpose(tenant, store=erase_meanwhile).tokenize(customer=person).status_code == 410
    away = interpose(tenant, find_customer=lambda _call: SILENT)
    for _ in range(2):
        work(later(away.house, hours=26))
    assert certified(tenant, person) == {"payment_method": ("pending", None, None)}
    with transaction(tenant.house.components.records) as tx:
        tx.execute(update(intents).where(intents.c.tenant_id == tenant.id).values(lease_until=LONG_AGO))
    for _ in range(2):
        work(tenant.house)
    assert certified(tenant, person) == {}
    assert at_processor(tenant) == {}


def test_a_replay_says_what_was_said(own_house: House, tmp_path: Path) -> None:
    """Restored to before the answers: later certificates have each recipient's own word, not a better one."""
    kept = Kept(with_policy(own_house.tenant(), redaction={"sandbox": 90}), tmp_path / "records")
    tenant = kept.tenant
    person = tenant.token()["customer"]
    assert tenant.call("DELETE", f"/v1/customers/{person}").status_code == 202
    names, saved = names_of(tenant, person), kept.save()
    answers: dict[str, object] = {names["customer"]: NotFound(), names["payment_method"]: Forgotten(already=True)}
    work(later(answering(tenant, answers).house, hours=25))
    said = certified(tenant, person)
    assert (said["customer"], said["payment_method"][0]) == (("not_found", None, "name"), "already_gone")
    kept.restore(saved)
    refusing = interpose(tenant, redact=lambda _call: REFUSED, forget=crash, forget_customer=crash)
    work(later(refusing.house, days=91))  # which puts it off by a week, in another certificate
    now = certified(tenant, person)
    assert {what: now[what] for what in ("customer", "payment_method")} == {
        what: said[what] for what in ("customer", "payment_method")
    }


def test_a_contact_that_is_refused_is_not_corrected(tenant: Tenant) -> None:
    """The processor still has the old one: the call stays open until a human sees it, whatever it says."""
    token = tenant.token(customer={"billing_contact": CONTACT})
    path = f"/v1/customers/{token['customer']}/billing-contact"
    assert tenant.call("PATCH", path, {"name": "Ada King"}).status_code == 200
    for answer in (REFUSED, KEY_REFUSED, AWAY, SILENT, NotFound()):
        work(interpose(tenant, correct=lambda _call, answer=answer: answer).house)
        assert row(tenant.house, intents, tenant_id=tenant.id, operation="contact.send").state == "pending"
    work(interpose(tenant, correct=lambda _call: Corrected(already_gone=True)).house)
    assert row(tenant.house, intents, tenant_id=tenant.id, operation="contact.send").state == "done"
