"""Three PostgreSQL nodes under Patroni: who leads them is agreed on in an etcd, as in production."""

import json
import shutil
import tempfile
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from apart import end_all, processes_in, program, run_apart, until
from patroni_settings import settings_of, start_etcd, status_of
from ports import free_port
from postgres import give_away

LINES = 60
"""How many of its last lines each program is quoted with where a drill fails."""


@dataclass(frozen=True)
class Node:
    """A server and the Patroni that minds it, both at work in its folder."""

    home: Path
    port: int
    rest: int

    @property
    def name(self) -> str:
        return self.home.name

    def is_a(self, role: str) -> bool:
        """Whether Patroni says so, as it says it to a proxy's health check: `primary`, `replica`, `synchronous`."""
        return status_of(f"http://127.0.0.1:{self.rest}/{role}") == 200

    def start(self) -> None:
        run_apart([program("patroni"), str(self.home / "patroni.yaml")], self.home)


@dataclass(frozen=True)
class Cluster:
    """All nodes. The one that leads in the beginning is the first."""

    home: Path
    nodes: tuple[Node, ...]
    synchronous: bool

    @property
    def hosts_url(self) -> str:
        """The superuser's database on whichever node takes writes, as docs/high-availability.md writes it."""
        hosts = "&".join(f"host=127.0.0.1:{node.port}" for node in self.nodes)
        return f"postgresql://postgres@/postgres?{hosts}&target_session_attrs=read-write"

    def start(self) -> None:
        etcd = f"http://127.0.0.1:{free_port()}"
        start_etcd(self.home, etcd)
        for node in self.nodes:
            settings = settings_of(node.home, node.port, node.rest, etcd, synchronous=self.synchronous)
            node.home.mkdir()
            (node.home / "patroni.yaml").write_text(json.dumps(settings))
            give_away(node.home, node.home / "patroni.yaml")
        self.nodes[0].start()
        until(lambda: self.nodes[0].is_a("primary"), "the first node does not lead", 60)
        for node in self.nodes[1:]:
            node.start()
        self.until_all_follow()

    def until_all_follow(self, seconds: float = 90) -> None:
        """Until one leads and all others follow, one of them synchronously where they do."""

        def follow() -> bool:
            roles = sorted(node.is_a("primary") - node.is_a("replica") for node in self.nodes)
            in_step = [node for node in self.nodes if node.is_a("synchronous")]
            settled = roles == [-1] * (len(self.nodes) - 1) + [1] and bool(in_step) == self.synchronous
            return settled and len(self._senders()) == len(self.nodes) - 1

        until(follow, "not all follow", seconds)

    @property
    def leader(self) -> Node:
        [one] = [node for node in self.nodes if node.is_a("primary")]
        return one

    def until_led_by_another(self, old: Node, seconds: float = 90) -> None:
        """Until one of the others leads."""
        others = [node for node in self.nodes if node != old]
        until(lambda: any(node.is_a("primary") for node in others), "no other leads", seconds)

    def switch_over(self) -> Node:
        """As planned, as `patronictl switchover` asks for it; which one led before."""
        leader = self.leader
        order = json.dumps({"leader": leader.name}).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{leader.rest}/switchover", order, timeout=60) as answer:
            assert answer.status == 200, answer.read()
        return leader

    def send_nothing(self) -> None:
        """What the leader commits reaches no standby any more: its senders stand still."""
        senders = self._senders()
        assert len(senders) == len(self.nodes) - 1
        _each(senders, psutil.Process.suspend)

    def _senders(self) -> list[psutil.Process]:
        return [each for each in processes_in(self.leader.home) if _sends(each)]

    def kill(self) -> Node:
        """The leader and its Patroni are gone from one moment to the next; which one it was."""
        leader = self.leader
        end_all(leader.home)
        return leader

    def freeze(self) -> tuple[Node, Callable[[], None]]:
        """The leader and its Patroni stand still; which one, and what lets it go on."""
        leader = self.leader
        frozen: list[psutil.Process] = []
        while born := [each for each in processes_in(leader.home) if each not in frozen]:
            _each(born, psutil.Process.suspend)
            frozen += born
        assert len(frozen) > len(self.nodes)
        return leader, lambda: _each(frozen, psutil.Process.resume)


def _sends(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):  # it ended since it was found: others do, all the time
        title = " ".join(process.cmdline())
        return "walsender" in title and "streaming" in title
    return False


def _each(processes: Iterable[psutil.Process], act: Callable[[psutil.Process], None]) -> None:
    for one in processes:
        with suppress(psutil.NoSuchProcess):
            act(one)


@contextmanager
def cluster(*, synchronous: bool, size: int = 3) -> Iterator[Cluster]:
    """So many nodes, following each other."""
    home = Path(tempfile.mkdtemp(prefix="panless-patroni-"))
    home.chmod(0o755)
    give_away(home)
    nodes = tuple(Node(home / name, free_port(), free_port()) for name in "abcdefg"[:size])
    try:
        started = Cluster(home, nodes, synchronous)
        started.start()
        yield started
    finally:
        end_all(home)
        for log in sorted(home.rglob("log")):
            print(log, "\n".join(log.read_text(errors="replace").splitlines()[-LINES:]), sep="\n")  # noqa: T201  # where it fails
        shutil.rmtree(home, ignore_errors=True)
