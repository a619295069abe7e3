"""An erasure whose process is killed (SIGKILL) at each of its steps: request and worker.

A step is what a process may have done last or not yet: each commit on either database, the ledger's write, each call to
the processor, before it acts and after. They are counted by running into them, so that a new one is met.
"""

from collections import Counter

from depth import deep
from house import House, Tenant
from killing import Dying, dying
from records_scene import at_processor, rows, work

from keys.errors import KeyDestroyed
from vault.ledger import book
from vault.tables import customers, erasures

TIMES = deep(10, at_least=4)
"""At each step, on each of the two databases: which step has which number differs by what else the worker does."""


def assert_nothing_is_certified_that_stands(tenant: Tenant) -> None:
    """Whoever has a certificate is gone: no key, no contact."""
    parts = tenant.house.components
    for each in rows(tenant.house, erasures, tenant_id=tenant.id):
        if each.done_entry_id is None:
            continue
        [customer] = rows(tenant.house, customers, customer_id=each.customer_id)
        assert (customer.state, customer.contact) == ("erased", None)
        try:
            parts.keyring.dek(tenant.id, customer.dek_id)
        except KeyDestroyed:
            continue
        raise AssertionError("a certificate was published and the key stands")


def finish(tenant: Tenant) -> None:
    """Rounds of the worker until nothing is open; each of them may find the processor failing."""
    for _ in range(8):
        work(tenant.house)
        if all(each.state == "completed" for each in rows(tenant.house, erasures, tenant_id=tenant.id)):
            return
    raise AssertionError("an erasure does not come to its end")


def test_killed_at_each_step(own_house: House) -> None:
    """No certificate before the read-back; afterwards each erasure that was decided completes, at the processor too."""
    tenant, met = own_house.tenant(), Counter[str]()
    program = dying(tenant)
    for job in ("request", "work"):
        met += each_step(tenant, program, job)
    assert met["before ledger write"] >= TIMES
    assert met["before processor forget"] >= TIMES
    assert met["before records commit"] >= TIMES
    assert at_processor(tenant) == {}
    chain = book.chain(own_house.components.ledger, book.Watermark(0, b"\0" * 32))
    done = [entry for entry in chain if entry.body["kind"] == "erase.done"]
    assert {entry.body["subject_id"] for entry in done} == {
        each.customer_id for each in rows(own_house, erasures, tenant_id=tenant.id)
    }
    assert own_house.components.guard.check().is_good


def each_step(tenant: Tenant, program: Dying, job: str) -> Counter[str]:
    met, step = Counter[str](), 0
    while True:
        step += 1
        names = {died(tenant, program, job, step) for _ in range(TIMES)}
        assert_nothing_is_certified_that_stands(tenant)
        met.update(dict.fromkeys(names, TIMES))
        tenant.house.sandbox.fault(path="/v1/payment_methods/*/detach", do="status", status=500, times=2)
        finish(tenant)
        tenant.house.sandbox.clear()
        if "finished" in names:
            return met


def died(tenant: Tenant, program: Dying, job: str, step: int) -> str:
    """One customer, one death."""
    customer = tenant.token()["customer"]
    if job == "work":
        assert tenant.call("DELETE", f"/v1/customers/{customer}").status_code == 202
    name = program.die(job, step, customer=customer)[0]
    if job == "request":
        gone = tenant.call("DELETE", f"/v1/customers/{customer}")
        assert gone.status_code in {200, 202}, (name, gone.get_data(as_text=True))
    return name
