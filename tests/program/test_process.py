import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path

import psutil
import pytest
from commands import PLAIN, ROOT, panless
from ports import free_port
from program_scene import PANLESS, answers, folder_of_figures, refusal, settings_in, until

from panless.process.privilege import RUN_AS_ROOT, in_container, refuse_root
from panless.settings.environment import SECRETS, read_settings
from panless.shown.trouble import Refused
from vault.personal import Secret

Deployment = dict[str, str]
Start = Callable[..., subprocess.Popen[bytes]]
AS_OTHERS_DO = (sys.executable, str(Path(__file__).with_name("as_others_do.py")))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a program in a folder of its own, as others do."""
    started: list[subprocess.Popen[bytes]] = []
    folder = tmp_path / "here"
    folder.mkdir()

    def begin(*command: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        with (tmp_path / "log.txt").open("ab") as log:
            whole = PLAIN | dict(env or {})
            program = subprocess.Popen([*AS_OTHERS_DO, *command], env=whole, cwd=folder, stdout=log, stderr=log)
        started.append(program)
        return program

    yield begin
    for one in started:
        one.kill()
        one.wait()


@pytest.fixture
def server(start: Start) -> Callable[[Deployment], subprocess.Popen[bytes]]:
    """`panless serve`, once it answers."""

    def begin(env: Deployment) -> subprocess.Popen[bytes]:
        address = f"127.0.0.1:{free_port()}"
        program = start(PANLESS, "serve", env=env | {"PANLESS_BIND": address})
        until(lambda: program.poll() is not None or answers(f"http://{address}/livez"))
        return program

    return begin


@pytest.fixture
def worker(start: Start, tmp_path: Path) -> Callable[[Deployment], subprocess.Popen[bytes]]:
    """`panless worker`, once it works."""

    def begin(env: Deployment) -> subprocess.Popen[bytes]:
        program = start(PANLESS, "worker", env=env)
        until(lambda: program.poll() is not None or "worker_started" in (tmp_path / "log.txt").read_text())
        return program

    return begin


def is_open_to_its_user(pid: int) -> bool:
    """Whether another process of the same user may read the memory in which this one keeps its environment."""
    look = f"open('/proc/{pid}/environ', 'rb').read(1)"
    command = [*AS_OTHERS_DO, sys.executable, "-c", look]
    done = subprocess.run(command, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 0 or b"PermissionError" in done.stderr, done.stderr
    return done.returncode == 0


def umask_of(pid: int) -> str:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(line.split()[1] for line in status.splitlines() if line.startswith("Umask:"))


def assert_hardened(pid: int) -> None:
    assert psutil.Process(pid).rlimit(resource.RLIMIT_CORE) == (0, 0)
    assert umask_of(pid) == "0077"
    assert not is_open_to_its_user(pid)


def test_a_plain_process_is_not_hardened(start: Start) -> None:
    """What the other tests look for is not so by itself: a program like any other is open to its user."""
    plain = start(sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)")
    until(lambda: "python" in psutil.Process(plain.pid).name())
    assert is_open_to_its_user(plain.pid)
    assert umask_of(plain.pid) == "0000"


@pytest.mark.parametrize("database", ["deployment", "on_postgresql"])
def test_the_servers_processes_are_hardened(
    server: Callable[[Deployment], subprocess.Popen[bytes]], database: str, request: pytest.FixtureRequest
) -> None:
    """Master and workers: no core file, memory that no other process of the user can read, files for their owner."""
    program = server(request.getfixturevalue(database))
    workers = psutil.Process(program.pid).children()
    assert workers
    for pid in (program.pid, *(one.pid for one in workers)):
        assert_hardened(pid)


def test_the_worker_is_hardened(
    worker: Callable[[Deployment], subprocess.Popen[bytes]], deployment: Deployment
) -> None:
    """As the server is."""
    assert_hardened(worker(deployment).pid)


def test_a_crash_leaves_no_core(
    worker: Callable[[Deployment], subprocess.Popen[bytes]], deployment: Deployment, tmp_path: Path
) -> None:
    """Where core files are allowed, one that crashes still writes none, neither to a file nor into a pipe."""
    program = worker(deployment)
    program.send_signal(signal.SIGABRT)
    _, status = os.waitpid(program.pid, 0)
    program.returncode = -signal.SIGABRT
    assert os.WTERMSIG(status) == signal.SIGABRT
    assert not os.WCOREDUMP(status)
    assert not [*(tmp_path / "here").iterdir()]


def test_files_are_their_owners(
    start: Start, server: Callable[[Deployment], subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    """Keyfile, databases, locks, OpenDSR's key and certificate, figures: nobody else can read what is made here."""
    env = settings_in(tmp_path / "here") | {
        "PANLESS_LEDGER": str(tmp_path / "ledger"),
        "PANLESS_POLICY": str(ROOT / "panless" / "policy.toml"),
        "PANLESS_METRICS_BIND": f"127.0.0.1:{free_port()}",
    }
    (tmp_path / "ledger").mkdir()
    for command in (
        ("keys", "new-keyfile", env["PANLESS_KEYFILE"]),
        ("migrate",),
        ("tenants", "create", "--name", "Shop"),
        ("opendsr", "certificate", "--domain", "localhost", "--key", "key.pem", "--certificate", "certificate.pem"),
    ):
        assert start(PANLESS, *command, env=env).wait(60) == 0, (tmp_path / "log.txt").read_text()
    program = server(env)
    figures = folder_of_figures(psutil.Process(program.pid).children()[0].pid)
    made = [file for folder in (tmp_path / "here", figures) for file in folder.rglob("*")]
    assert {"keyfile", "records.db", "keystore.db", "key.pem", "certificate.pem"} <= {file.name for file in made}
    assert any(file.parent == figures for file in made)
    assert [file.name for file in made if file.stat().st_mode & 0o077] == []
    program.terminate()
    program.wait(20)


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_root_can_be_refused(command: str, deployment: Deployment) -> None:
    """One who is told never to run as root says so and stops; any other user goes on, here up to what is missing."""
    never = deployment | {"PANLESS_RUN_AS_ROOT": "never"}
    Path(deployment["PANLESS_RECORDS_URL"].removeprefix("sqlite:///")).unlink()
    said = refusal(panless(command, env=never))
    assert said.startswith("Panless won't run as root." if os.geteuid() == 0 else "A database is not")
    assert refusal(panless(command, env=deployment)).startswith("A database is not")


@pytest.mark.parametrize(
    ("choice", "uid", "contained", "runs"),
    [
        ("in-container", 0, False, False),
        ("in-container", 0, True, True),
        ("in-container", 1000, False, True),
        ("never", 0, True, False),
        ("never", 1000, False, True),
        ("always", 0, False, True),
    ],
)
def test_root_runs_in_containers_unless_told(choice: str, uid: int, *, contained: bool, runs: bool) -> None:
    """Root of a whole machine is refused by default, with what to do about it."""
    refused = pytest.raises(Refused, match="if root is meant, set PANLESS_RUN_AS_ROOT=always")
    with nullcontext() if runs else refused:
        refuse_root(choice, uid, contained=contained)


def test_other_choices_about_root_are_refused(deployment: Deployment) -> None:
    """A typing error does not become a permission."""
    said = refusal(panless("serve", env=deployment | {"PANLESS_RUN_AS_ROOT": "yes"}))
    assert said == f"PANLESS_RUN_AS_ROOT must be {RUN_AS_ROOT[0]}, {RUN_AS_ROOT[1]} or {RUN_AS_ROOT[2]}."


@pytest.mark.parametrize(
    ("mark", "pids", "contained"),
    [
        ("", "pid:[4026531836]", False),
        ("", "", False),
        ("", "pid:[4026532451]", True),
        (".dockerenv", "pid:[4026531836]", True),
        ("run/.containerenv", "", True),
    ],
)
def test_a_container_is_recognized(mark: str, pids: str, tmp_path: Path, *, contained: bool) -> None:
    """By the mark of Docker or Podman, or by process ids of its own, which every other engine gives it."""
    (tmp_path / "run").mkdir()
    (tmp_path / "proc/self/ns").mkdir(parents=True)
    if mark:
        (tmp_path / mark).touch()
    if pids:
        (tmp_path / "proc/self/ns/pid").symlink_to(pids)
    assert in_container(tmp_path) is contained


def test_this_kernel_names_its_first_pids_as_we_think() -> None:
    """The name by which a whole machine is known has that form here."""
    assert str(Path("/proc/self/ns/pid").readlink()).startswith("pid:[402653")


GOOD = {"PANLESS_RATE_LIMIT_STORE": "redis://:mounted-secret@127.0.0.1:1/0"}
"""Secrets of a form of their own."""


@pytest.mark.parametrize("name", SECRETS)
def test_every_secret_can_come_from_a_file(
    name: str, deployment: Deployment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its group may read the file; one that every user can read is refused, by both names and with its mend."""
    file = tmp_path / "secret"
    file.write_text(deployment.pop(name, GOOD.get(name, "mounted-secret")) + "\n")
    file.chmod(0o640)
    for variable, value in (deployment | {f"{name}_FILE": str(file)}).items():
        monkeypatch.setenv(variable, value)
    secret = getattr(read_settings(), name.removeprefix("PANLESS_").lower())
    assert isinstance(secret, Secret)
    assert secret.value == file.read_text().strip()
    for mode in (0o644, 0o602):
        file.chmod(mode)
        said = refusal(panless("keys", "status", env=deployment | {f"{name}_FILE": str(file)}))
        assert said == f"{file} ({name}_FILE) is open to every user of this machine. Run: chmod o= {file}."


def test_which_settings_are_secrets() -> None:
    """Those that the settings keep as such; all of them are tested above."""
    assert set(SECRETS) >= {
        "PANLESS_RECORDS_URL",
        "PANLESS_KEYSTORE_URL",
        "PANLESS_PKCS11_PIN",
        "PANLESS_TRANSIT_TOKEN",
    }


@pytest.mark.parametrize("option", ["--api-key-file", "--webhook-secret-file"])
def test_a_processors_secrets_are_refused_from_open_files(option: str, deployment: Deployment, tmp_path: Path) -> None:
    """Likewise where a command takes them from a file; closed, the same file is taken."""
    shutil.copy(tmp_path / "keyfile", file := tmp_path / "secret")
    file.write_text("sk_test_0123456789\n")
    both = {"--api-key-file", "--webhook-secret-file"}
    (tmp_path / "other").touch(0o600)
    (tmp_path / "other").write_text("sk_test_0123456789\n")
    files = {**dict.fromkeys(both, tmp_path / "other"), option: file}
    named = [str(part) for pair in files.items() for part in pair]
    add = ("processor-accounts", "add", "--kind", "stripe", "--label", "main", "--test", *named)
    file.chmod(0o604)
    assert refusal(panless(*add, env=deployment)).startswith(f"{file} ({option}) is open to every user")
    file.chmod(0o600)
    assert panless(*add, env=deployment).returncode == 0
