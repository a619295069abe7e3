"""What befalls a whole deployment: restarts, failovers, restores, stores that are away, credentials, the dashboard."""

from collections.abc import Callable, Mapping
from typing import Any

from chance import Chance
from sites import NAMES, SITES
from webhooks import Webhooks
from world import START, Slot, World


class Operations:
    """What operators and disasters do to one world."""

    def __init__(self, world: World, webhooks: Webhooks) -> None:
        self.world, self.webhooks = world, webhooks
        self.site = SITES[0]
        self._at_work = False
        self._sites = iter(SITES[1:])
        self._lost_keys: list[tuple[float, float]] = []

    def plan(self, number: int, event: Mapping[str, Any]) -> None:
        """Have an event happen at its time."""
        world, do = self.world, getattr(self, event["do"])
        at = event["at"]
        if "age" in event:
            kept = f"kept{number}"
            world.scheduler.at(max(at - event["age"], 0.0), lambda: world.stage.sites.keep(self.site, kept))
            world.scheduler.at(max(at - event.get("hang", 0.0), 0.0), lambda: self._hang(event))
            world.scheduler.start(f"op{number}", lambda: self._alone(lambda: do(event, kept)), after=at)
        elif event["do"] == "restart":
            world.scheduler.start(f"op{number}", lambda: self._alone(lambda: do(event)), after=at)
        else:
            world.scheduler.start(f"op{number}", lambda: do(event), after=at)

    def _alone(self, work: Callable[[], None]) -> None:
        """Nobody starts what somebody else has stopped: who comes second waits for the first."""
        while self._at_work:
            self.world.scheduler.sleep(10.0)
        self._at_work = True
        work()
        self._at_work = False

    def restart(self, event: Mapping[str, Any]) -> None:
        """All processes are stopped and started."""
        self.world.say("all stop")
        self._stop(self.world.slots)
        self.world.scheduler.sleep(event["down"])
        self._start(self.world.slots)

    def restore(self, event: Mapping[str, Any], kept: str) -> None:
        """As the page says: stop all, put the backup back, replay, start."""
        world = self.world
        self._stop(world.slots)
        world.scheduler.sleep(event["down"])
        names = self._names(event)
        world.stage.sites.put(kept, self.site, names, over=event["over"])
        world.say(f"restored {event}: {names}")
        self._lost(_kept_at(event))
        self._start(world.slots)

    def copied(self, event: Mapping[str, Any], kept: str) -> None:
        """A backup is copied over the files while processes run."""
        self.world.stage.sites.put(kept, self.site, self._names(event), over=True)
        self.world.say(f"copied over running servers {event}")
        self._lost(_kept_at(event))

    def failover(self, event: Mapping[str, Any], kept: str) -> None:
        """A standby without the last commits takes over; some processes go on with the old primary for a while."""
        world, before = self.world, self.site
        self.site = next(self._sites, before)
        if before == self.site:
            return
        world.stage.sites.stand_by(kept, self.site, before, self._names(event))
        old = self._left(event, before)
        new = [slot for slot in world.slots if slot not in old]
        world.say(f"failover {event}, {[slot.number for slot in old]} stay")
        world.tells_payments |= bool(old)
        self._stop(new)
        self._lost(_kept_at(event))
        self._start(new)
        world.scheduler.sleep(event["hangs_on"] + event["goes_on"])
        world.say("the old primary is fenced")
        self._stop(old)
        self._lost(world.scheduler.now - event["hangs_on"] - event["goes_on"])
        self._start(old)
        for slot in old:  # what they took meanwhile is walked through because they begin anew, on SQLite
            world.look(slot)

    def _hang(self, event: Mapping[str, Any]) -> None:
        """The primary stops answering, some time before somebody takes over and some time after."""
        if "hang" in event:
            self.world.hung[self.site] = self.world.scheduler.now + event["hang"] + event["hangs_on"]

    def _left(self, event: Mapping[str, Any], site: str) -> list[Slot]:
        """Who goes on with the old primary: at most two of those who wait for it, and who was picked."""
        here = [slot for slot in self.world.slots if slot.site == site]
        waiting = [slot for slot in here if slot.busy][:2]
        return [slot for slot in here if slot in waiting or slot.number in event["old"]]

    def ledger(self, event: Mapping[str, Any]) -> None:
        self.world.say(f"the ledger is away for {event['down']}")
        self.world.ledger.is_away = True
        self.world.scheduler.sleep(event["down"])
        self.world.ledger.is_away, self.world.shaken_at = False, self.world.scheduler.now

    def keystore(self, event: Mapping[str, Any]) -> None:
        self.world.say(f"the keystore is away for {event['down']}")
        for slot in self.world.slots:
            slot.gate.away = {"keystore"}
        self.world.shaken_at = self.world.scheduler.now
        self.world.scheduler.sleep(event["down"])
        for slot in self.world.slots:
            slot.gate.away = set()
        self.world.shaken_at = self.world.scheduler.now

    def credentials(self, event: Mapping[str, Any]) -> None:
        """The API key is revoked at the processor; later the operator enters the new one."""
        world, first = self.world, self.world.stage.founded.api_key
        now = next(reversed(world.processor.renewed), first)
        world.say("the API key is revoked")
        world.processor.revoked.add(now)
        world.scheduler.sleep(event["down"])
        world.processor.renewed[f"sk_test_simulated{len(world.processor.renewed)}"] = first
        self.enter_credentials("op-key")

    def wrong_key(self, event: Mapping[str, Any]) -> None:
        """An operator enters the API key of another account, and later, where that was taken, the right one."""
        world, path = self.world, f"/v1/processor-accounts/{self.world.stage.founded.account}"
        answer = world.call("op-wrong", "PATCH", path, {"api_key": "sk_test_of_another_account"})
        if answer is not None and answer.status == 200:
            world.scheduler.sleep(event["down"])
            world.processor.renewed.setdefault(world.stage.founded.api_key, world.stage.founded.api_key)
            self.enter_credentials("op-right")

    def enter_credentials(self, name: str) -> None:
        """The operator enters the API key that is good now, until that is taken."""
        world = self.world
        if not world.processor.renewed:
            return
        path = f"/v1/processor-accounts/{world.stage.founded.account}"
        for number in range(100):
            key = {"api_key": next(reversed(world.processor.renewed))}
            answer = world.call(f"{name}{number}", "PATCH", path, key)
            if answer is not None and answer.status == 200:
                return
            world.scheduler.sleep(30.0)

    def _names(self, event: Mapping[str, Any]) -> tuple[str, ...]:
        """What a copy replaces. Of the seconds that the keystore has lost, the records are never put back alone.

        They name keys that are gone (docs/ledger.md).
        """
        made = _kept_at(event)
        if event["what"] == "both" or any(begin < made <= end for begin, end in self._lost_keys):
            self._lost_keys.append((made, self.world.scheduler.now))
            return NAMES
        return (event["what"],)

    def _stop(self, slots: list[Slot]) -> None:
        for slot in slots:
            self.world.stop(slot)

    def _start(self, slots: list[Slot]) -> None:
        """The first alone: it may have to replay the ledger."""
        for slot in slots:
            self.world.move(slot, self.site)
            self.world.start(slot)

    def _lost(self, since: float) -> None:
        """What was told since then is told once more."""
        self.world.moved_at = self.world.scheduler.now
        self.webhooks.send_again(since)


def _kept_at(event: Mapping[str, Any]) -> float:
    """When the copy was made that an event goes on with, which may wait for another event to end first."""
    return float(START + max(event["at"] - event["age"], 0.0))


def starts(chance: Chance, number: int) -> float:
    """When a story begins, seconds."""
    return round(0.1 + chance.share(f"o{number} start") * 600, 1)


def _about(chance: Chance, name: str) -> float:
    begun = starts(chance, chance.number(f"{name} story", 0, 3))
    return round(max(begun - 30.0 + chance.share(f"{name} at") * 240.0, 5.0), 1)


def drawn(world: World, number: int, kinds: list[tuple[str, float]]) -> dict[str, Any]:
    """One of these, about the time of some story's beginning."""
    chance, name = world.chance, f"event{number}"
    kind = chance.weighted(f"{name} kind", kinds)
    made: dict[str, Any] = {"do": kind, "at": _about(chance, name)}
    if kind in ("restore", "failover", "copied"):
        made |= {
            "what": chance.one_of(f"{name} what", ["both", "records"]),
            "age": chance.between(f"{name} age", 2.0, 900.0),
        }
        made["age"] = round(min(made["age"], made["at"] - 1), 1)

    if kind == "failover":
        made["old"] = [n for n in range(len(world.slots)) if chance.is_so(f"{name} old{n}", 0.2)]
        made["goes_on"] = chance.span(f"{name} goes on", 3600.0)
        made["hang"] = round(min(chance.between(f"{name} hang", 5.0, 150.0), made["at"] - 1), 1)
        made["hangs_on"] = round(chance.between(f"{name} hangs on", 1.0, 900.0), 1)
    if kind == "restore":
        made["over"] = chance.is_so(f"{name} over", 0.5)
    if kind not in ("failover", "copied"):
        made["down"] = chance.span(f"{name} down", 3600.0)
    return made
