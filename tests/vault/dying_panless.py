"""A program that does one job in a child of its own, and kills that child at one of its steps.

Each line that it reads is JSON: the house's environment, the job and what it is about, and at which step the child
dies. It answers with the name of that step, or `finished` and what the job came to. Forking a process that has loaded
and put together everything costs a hundredth of starting one.
"""

import json
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import event

sys.path.insert(0, str(Path(__file__).parent.parent))

from house import House, Sandbox, make_app, open_house

from rows.engine import reader_of
from vault.caller import Caller
from vault.erasing import requests
from vault.ids import new_id
from vault.lanes.rounds import LANES, SLOW
from vault.processing.processor import Processor

LOOKING = re.compile(r"find_|read_|search_|list_|redaction$|parse_|identify$|misfit$|.*_of$")
OF_THE_LOG = ("anchor", "audit")
ACTING = [name for name in vars(Processor) if not name.startswith("_") and not LOOKING.match(name)]
"""Every call of the port that may do something there; a new one is among them without anybody thinking of it."""


class Steps:
    """Counts what could be the last thing that a process does, and dies before or after it; first it is told which."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.left = 0
        self._tell = tell

    def reached(self, name: str) -> None:
        self.left -= 1
        if self.left == 0:
            self._tell(name)
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self, house: House) -> House:
        """The house whose writes to databases and ledger and calls to processors are steps."""
        parts = house.components
        for name, engine in (("records", parts.records), ("keystore", parts.keystore)):
            for each in (engine, reader_of(engine)):
                event.listen(each, "after_cursor_execute", self._executed(name, each is engine))
            event.listen(engine, "commit", self._committing(name))
        store = _Watched(parts.ledger.store, self, {"write": "ledger write"})
        calls = {name: f"processor {name}" for name in ACTING}
        processors = {kind: _Watched(each, self, calls) for kind, each in parts.processors.items()}
        logs = replace(parts.logs, anchors=_Anchors(parts.logs.anchors, self)) if parts.logs.anchors else parts.logs
        components = replace(parts, logs=logs, ledger=replace(parts.ledger, store=store), processors=processors)
        return replace(house, components=components, app=make_app(components))

    def _committing(self, name: str) -> Callable[..., None]:
        """Once the last statement of a transaction is made; that it is committed is met at the next step."""
        return lambda _connection: self.reached(f"before {name} commit")

    def _executed(self, name: str, in_transaction: bool) -> Callable[..., None]:  # noqa: FBT001  # which of two engines
        """A writing statement that is a transaction of its own; inside one, dying is like dying before its commit."""

        def executed(_connection: Any, _cursor: Any, sql: str, *_rest: Any) -> None:
            if not in_transaction and sql.split(None, 1)[0] in {"INSERT", "UPDATE", "DELETE", "WITH"}:
                self.reached(f"after {name} write")

        return executed


class _Watched:
    """A collaborator whose named calls are steps: before it acts and after it has."""

    def __init__(self, real: Any, steps: Steps, names: dict[str, str]) -> None:
        self._real = real
        self._steps = steps
        self._names = names

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._real, name)
        if name not in self._names:
            return method

        def watched(*args: Any, **kwargs: Any) -> Any:
            self._steps.reached(f"before {self._names[name]}")
            result = method(*args, **kwargs)
            self._steps.reached(f"after {self._names[name]}")
            return result

        return watched


class _Anchors:
    """Anchors, whose writes are steps in each log's folder."""

    def __init__(self, real: Any, steps: Steps) -> None:
        self._real = real
        self._steps = steps

    def within(self, folder: str) -> Any:
        return _Watched(self._real.within(folder), self._steps, {"write": "anchor write"})


def request(house: House, order: dict[str, Any]) -> None:
    """What DELETE /v1/customers/{id} does."""
    parts = house.components
    caller = Caller(
        tenant=order["tenant"], client="", live=False, at=parts.clock(), request_id=new_id("req", order["tenant"])
    )
    requests.erase(parts.desk(caller), parts.ledger, parts.policy, order["customer"])


def call(house: House, order: dict[str, Any]) -> dict[str, Any]:
    """Any call of the API, through the door."""
    headers = {"Authorization": f"Bearer {order['api_key']}", "Idempotency-Key": order["key"]}
    client = house.app.test_client()
    answer = client.open(order["path"], method=order["method"], json=order["body"], headers=headers)
    return {"status": answer.status_code, "body": answer.get_json()}


def work(house: House, _order: dict[str, Any]) -> None:
    """A round of the worker, but for the audit log's lanes: `place` is theirs."""
    for name, lane in LANES.items():
        if name not in {*SLOW, *OF_THE_LOG}:
            lane(house.components.workshop, lambda _what, _error: None)


def place(house: House, _order: dict[str, Any]) -> None:
    """A round of the audit log's lanes, and half a minute later another: what the first one signed is anchored."""
    for ahead in (0, 30):
        clock = partial(_ahead, house.components.clock, timedelta(seconds=ahead))
        shop = replace(house.components, clock=clock).workshop
        for name in OF_THE_LOG:
            LANES[name](shop, lambda _what, _error: None)


def _ahead(clock: Callable[[], datetime], by: timedelta) -> datetime:
    return clock() + by


JOBS: dict[str, Callable[[House, dict[str, Any]], dict[str, Any] | None]] = {
    "request": request,
    "call": call,
    "work": work,
    "place": place,
}


def orders() -> Iterator[dict[str, Any]]:
    for line in sys.stdin:
        yield json.loads(line)


def child(order: dict[str, Any], house: House, steps: Steps, answers: int) -> None:
    """Do the job; whoever survives it says so."""
    house.components.guard.check()
    steps.left = order["dies_at"]
    result = JOBS[order["job"]](house, order)
    os.write(answers, f"finished {json.dumps(result)}\n".encode())
    os._exit(0)


def opened(order: dict[str, Any], steps: Steps) -> House:
    """The house that children find, with no connection open: one that two processes share would mix them up."""
    house = open_house(Path(order["home"]), order["environment"], Sandbox(order["sandbox"]), checked=False)
    for engine in (house.components.records, house.components.keystore):
        engine.dispose()
    return steps.watch(house)


def main() -> None:
    answers = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Panless logs to stdout
    steps = Steps(lambda name: os.write(answers, f"{name}\n".encode()))
    houses: dict[str, House] = {}
    for order in orders():
        if order["home"] not in houses:
            houses[order["home"]] = opened(order, steps)
        pid = os.fork()
        if pid == 0:
            try:
                child(order, houses[order["home"]], steps, answers)
            finally:
                os._exit(1)
        _, status = os.waitpid(pid, 0)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status):
            os.write(answers, b"failed\n")


if __name__ == "__main__":
    main()
