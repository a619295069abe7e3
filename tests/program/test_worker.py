import json
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import Event, Thread

import pytest
from commands import PLAIN, panless
from program_scene import PANLESS, refusal, until
from sqlalchemy import make_url, text
from sqlalchemy.exc import OperationalError

from panless.worker import LONGEST_PAUSE, PAUSE, REFUSED_PAUSE, Lane, run
from rows.engine import open_database
from vault.ledger.guard import GOOD, Verdict

CUT = Verdict(code="ledger_cut", message="It was cut.")
Deployment = dict[str, str]


def test_a_round_that_ended_something_is_followed_at_once() -> None:
    """With nothing to do it rests a second."""
    ended = iter([3, 0])
    rounds = Lane(name="x", check=lambda: GOOD, work=lambda: next(ended))
    assert [rounds.round(), rounds.round()] == [0.0, PAUSE]


def test_nothing_is_done_under_a_bad_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    """It only says so, until the verdict is good again."""
    verdicts, worked = iter([CUT, GOOD]), []
    rounds = Lane(name="x", check=lambda: next(verdicts), work=lambda: worked.append(1) or 0)
    assert rounds.round() == REFUSED_PAUSE
    assert worked == []
    assert "It was cut." in capsys.readouterr().out
    assert rounds.round() == PAUSE
    assert worked == [1]


def test_errors_make_it_slower_not_dead() -> None:
    """Each failure in a row doubles the pause, up to a limit; the first good round ends that."""
    fails = True

    def work() -> int:
        if fails:
            raise OperationalError("select", None, Exception("away"))
        return 0

    rounds = Lane(name="x", check=lambda: GOOD, work=work)
    assert [rounds.round() for _ in range(7)] == [2, 4, 8, 16, LONGEST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE]
    fails = False
    assert rounds.round() == PAUSE
    fails = True
    assert rounds.round() == 2


def test_a_lane_rests_as_long_as_it_is_told() -> None:
    """As long as something is found it goes on at once, then not before its rest is over."""
    found = iter([2, 1, 0])
    lane = Lane(name="x", check=lambda: GOOD, work=lambda: next(found), rest=3600)
    assert [lane.round() for _ in range(3)] == [0.0, 0.0, 3600]


def test_a_lane_that_hangs_holds_up_no_other() -> None:
    """While one waits for somebody who does not answer, the others go on; it is not waited for at the end for ever."""
    hanging, done, stop = Event(), [], Event()
    slow = Lane(name="slow", check=lambda: GOOD, work=lambda: int(hanging.wait(20)))
    fast = Lane(name="fast", check=lambda: GOOD, work=lambda: done.append(1) or 0, rest=0.01)
    running = Thread(target=run, args=([slow, fast], stop.wait))
    running.start()
    try:
        until(lambda: len(done) > 5)
    finally:
        stop.set()
        hanging.set()
        running.join(5)
    assert not running.is_alive()


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Callable[[Mapping[str, str]], subprocess.Popen[bytes]]]:
    started = []

    def start(env: Mapping[str, str]) -> subprocess.Popen[bytes]:
        with (tmp_path / "worker.log").open("wb") as log:
            started.append(subprocess.Popen([PANLESS, "worker"], env=PLAIN | dict(env), stderr=log))
        until(lambda: "worker_started" in events(tmp_path))
        return started[-1]

    yield start
    for one in started:
        one.kill()
        one.wait()


def events(folder: Path) -> list[str]:
    lines = (folder / "worker.log").read_text().splitlines()
    return [json.loads(line)["event"] for line in lines]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it(
    number: signal.Signals,
    worker: Callable[[Mapping[str, str]], subprocess.Popen[bytes]],
    deployment: Deployment,
    tmp_path: Path,
) -> None:
    """It finishes its round, says so, and exits with 0."""
    one = worker(deployment)
    one.send_signal(number)
    assert one.wait(10) == 0
    assert events(tmp_path)[-1] == "worker_stopped"


def test_it_survives_its_database(
    worker: Callable[[Mapping[str, str]], subprocess.Popen[bytes]],
    on_postgresql: Deployment,
    postgresql: str,
    tmp_path: Path,
) -> None:
    """While the records are away it does nothing and says why; once they are back it works on."""
    one = worker(on_postgresql)
    name = make_url(on_postgresql["PANLESS_RECORDS_URL"]).database
    admin = open_database(postgresql)
    with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
        connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"), {"name": name}
        )
        until(lambda: {"round_failed", "not_working"} & set(events(tmp_path)))
        connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true"))
        seen = text("SELECT 1 FROM pg_stat_activity WHERE datname = :name")
        until(lambda: connection.scalar(seen, {"name": name}))
    admin.dispose()
    assert one.poll() is None
    one.terminate()
    assert one.wait(10) == 0


def test_one_round_by_hand(deployment: Deployment) -> None:
    """`worker --once` works once and says how much came to an end; under a bad verdict it refuses."""
    assert panless("worker", "--once", env=deployment).stdout == "0 ended.\n"
    Path(deployment["PANLESS_LEDGER"]).rmdir()
    assert "The erasure ledger does not answer." in refusal(panless("worker", "--once", env=deployment))
