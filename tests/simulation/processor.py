"""The sandbox in process: its coroutines driven by the virtual clock, and the network between it and the house.

A message that was sent arrives whether or not its sender still lives. What goes wrong on the way is an event named
after the actor and the number of its call.
"""

import asyncio
import json
import pickle
from collections.abc import Callable, Coroutine, Mapping
from typing import Any
from urllib.parse import urlsplit

import stripe
from scheduler import Scheduler, Signal
from urllib3.exceptions import NewConnectionError, ProtocolError, ReadTimeoutError

from sandbox import dispatch, events, faults, refunds
from sandbox.commit import commit
from sandbox.connection import Cut, Request, Response
from sandbox.state import Account, Sandbox

TIMEOUT = 20.0
"""Seconds: `read_timeout` of the house's own transport."""

BASE = "http://127.0.0.1:1"
TOLD = (
    *("payment_intent.succeeded", "payment_intent.canceled", "payment_intent.amount_capturable_updated"),
    *("charge.refunded", "refund.updated", "charge.dispute.created", "charge.dispute.closed"),
    "payment_method.detached",
)
"""The types of events that the endpoint is signed up for."""


class Clocked(Sandbox):
    """The sandbox by the virtual clock."""

    clock: Callable[[], float]

    def now(self) -> int:
        return int(self.clock())

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "clock"}


class _Loop:
    """As much of an event loop as `asyncio.sleep` needs."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def get_debug(self) -> bool:
        return False

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self)

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any, context: Any = None) -> Any:
        self._scheduler.at(delay, lambda: callback(*args))
        return asyncio.Handle(callback, args, self, context)

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Any = None) -> Any:
        return self.call_later(0.0, callback, *args, context=context)

    def drive(self, coroutine: Coroutine[Any, Any, Any], done: Callable[[Any], None]) -> None:
        """Run it to its end, in virtual time."""
        asyncio._set_running_loop(self)  # noqa: SLF001  # made for loops that others write
        try:
            future = coroutine.send(None)
        except StopIteration as end:
            done(end.value)
            return
        finally:
            asyncio._set_running_loop(None)  # noqa: SLF001  # the same
        future._asyncio_future_blocking = False  # noqa: SLF001  # what a task does, too
        future.add_done_callback(lambda _: self.drive(coroutine, done))


class Processor:
    """The processor's side of the network."""

    def __init__(self, scheduler: Scheduler, sandbox: Clocked, lag: float) -> None:
        self.scheduler, self.sandbox, self.lag = scheduler, sandbox, lag
        self.loop = _Loop(scheduler)
        self.revoked: set[str] = set()
        self.renewed: dict[str, str] = {}
        """New API keys by the first one of their account."""
        self.listener: Callable[[Mapping[str, Any]], None] = lambda _event: None
        self._seen = {name for account in sandbox.accounts.values() for name in account.tables["events"]}

    def answer(self, request: Request, fault: dict[str, Any] | None, done: Callable[[Response | Cut], None]) -> None:
        """Take a request; `done` is told the answer, perhaps later."""
        shown = request.headers.get("authorization", "").removeprefix("Bearer ")
        if shown in self.revoked:
            error = {"type": "invalid_request_error", "code": "api_key_expired", "message": "Expired API key provided."}
            done(Response(401, json.dumps({"error": error}).encode()))
            return
        request.headers["authorization"] = f"Bearer {self.renewed.get(shown, shown)}"
        if fault:
            faults.arm(self.sandbox.script, {"faults": [{"path": "*", "method": "*", **fault}]})

        def ended(response: Response | Cut) -> None:
            self.tell()
            done(self._lagging(response) if isinstance(response, Response) and not fault else response)

        self.loop.drive(dispatch.answer(self.sandbox, request), ended)
        faults.clear(self.sandbox.script)

    def _lagging(self, response: Response) -> Response:
        """A list does not show yet what was made just now."""
        told = json.loads(response.body) if self.lag else {}
        if told.get("object") != "list":
            return response
        known = [each for each in told["data"] if each.get("created", 0) <= self.scheduler.now - self.lag]
        return Response(response.status, json.dumps({**told, "data": known}).encode(), response.headers)

    def by_hand(self, do: Callable[[Account], Any]) -> Any:
        """What somebody does at the processor's own dashboard."""
        account = next(iter(self.sandbox.accounts.values()))
        account.cause = {"id": None, "idempotency_key": None}
        made = do(account)
        commit(self.sandbox)
        self.tell()
        return made

    def tell(self) -> None:
        """Hand on what is new."""
        for account in self.sandbox.accounts.values():
            account.sandbox.queues.clear()
            for name, event in account.tables["events"].items():
                if name not in self._seen:
                    self._seen.add(name)
                    if event["type"] in TOLD:
                        self.listener(events.shown(event))

    def settle(self) -> None:
        """Bring refunds to their end whose time has come."""
        refunds.settle(self.sandbox)
        commit(self.sandbox)
        self.tell()

    @property
    def account(self) -> Account:
        return next(iter(self.sandbox.accounts.values()))


Meet = Callable[[], tuple[str, dict[str, Any] | None]]


class Transport(stripe.HTTPClient):
    """One process' way to the processor. `fate` says what becomes of the call that is made now."""

    name = "simulated"

    def __init__(self, processor: Processor, fate: Callable[[], Mapping[str, Any]]) -> None:
        super().__init__()
        self._processor, self._fate = processor, fate

    def request(self, method: str, url: str, headers: Any, post_data: Any = None) -> tuple[bytes, int, Any]:  # type: ignore[override]
        fate, scheduler = self._fate(), self._processor.scheduler
        if fate["do"] == "refused":
            scheduler.sleep(fate["travel"])
            raise NewConnectionError(None, "refused")  # type: ignore[arg-type]
        parts = urlsplit(url)
        shown = {name.lower(): value for name, value in headers.items()}
        request = Request(method.upper(), parts.path, parts.query, shown, (post_data or "").encode())
        answered = Signal(scheduler)

        def came(response: Response | Cut) -> None:
            scheduler.at(fate["travel"], lambda: answered.set(response))

        def arrive() -> None:
            self._processor.answer(request, fate.get("fault"), came if fate["do"] != "lost" else lambda _: None)

        if fate["do"] == "reset":
            scheduler.sleep(fate["travel"])
            raise ProtocolError("connection reset")
        if scheduler.current() is None:
            self._processor.answer(request, None, answered.set)
        else:
            scheduler.at(fate["travel"] + fate.get("late", 0.0), arrive)
        if not answered.wait(TIMEOUT):
            raise ReadTimeoutError(None, url, "timed out")  # type: ignore[arg-type]
        if isinstance(answered.value, Cut):
            raise ProtocolError("connection closed")
        response = answered.value
        return response.body, response.status, response.headers

    def close(self) -> None:
        """Nothing is held."""


def frozen(sandbox: Clocked) -> bytes:
    return pickle.dumps(sandbox)


def thawed(kept: bytes, clock: Callable[[], float]) -> Clocked:
    sandbox: Clocked = pickle.loads(kept)  # noqa: S301  # our own
    sandbox.clock = clock
    return sandbox
