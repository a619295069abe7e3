"""A look of the guard whose database hangs: others look meanwhile, and are believed."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event, current_thread

import pytest
from house import House
from records_scene import before_statements
from sqlalchemy.exc import OperationalError

from rows.engine import reader_of

SLACK = 2.0
pytestmark = pytest.mark.parametrize("own_house", ["postgresql"], indirect=True)


def hangs_once(then: Callable[[], object]) -> tuple[Callable[[], None], Event, Event]:
    """What hangs when it is done for the first time; whether it does; what lets it go on."""
    hanging, go_on = Event(), Event()

    def act() -> None:
        if not hanging.is_set():
            hanging.set()
            assert go_on.wait(30)
        then()

    return act, hanging, go_on


def test_requests_wait_for_no_look_that_hangs(own_house: House) -> None:
    """Of requests that meet another database one looks; where that hangs, the next is served within moments."""
    tenant, witness = own_house.tenant(), own_house.components.ledger.witness
    token = tenant.token()["id"]
    witness.alarm, hanging, go_on = hangs_once(witness.alarm)
    witness.vouched = None
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(tenant.charge, token)
        assert hanging.wait(10)
        begun = time.monotonic()
        assert tenant.charge(token).status_code == 201
        assert time.monotonic() - begun < SLACK
        go_on.set()
        assert first.result(30).status_code == 201


def test_who_began_last_is_believed(own_house: House) -> None:
    """A look that hung, and then was not answered, says nothing against one that began after it and was."""
    parts = own_house.components
    main = current_thread()

    def fail() -> None:
        if current_thread() is not main:
            raise OperationalError("gone", None, Exception())

    act, hanging, go_on = hangs_once(fail)
    with before_statements(reader_of(parts.records), "guard", act), ThreadPoolExecutor(1) as pool:
        late = pool.submit(parts.guard.check)
        assert hanging.wait(10)
        begun = time.monotonic()
        assert parts.guard.check().is_good
        assert time.monotonic() - begun < SLACK
        go_on.set()
        assert late.result(30).is_good
    assert parts.guard.verdict.is_good
