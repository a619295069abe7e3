import shutil
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path

import pytest
from commands import ROOT, panless
from ports import free_port
from postgres import create_database
from program_scene import PANLESS, Dev, ask, card, kill_group, settings_in, start_dev
from serving_scene import Server


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[Callable[..., Dev]]:
    """Start `panless dev` on a home; whatever is left of it ends with the test."""
    started: list[Dev] = []

    def begin(home: Path | None = None, *options: str, env: Mapping[str, str] | None = None) -> Dev:
        started.append(start_dev(home or tmp_path / "home", *options, env=env))
        return started[-1]

    yield begin
    for one in started:
        kill_group(one)


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    """A `panless dev` that tests share to look at, started in a shell that another home's settings were left in."""
    stray = {"PANLESS_RECORDS_URL": "sqlite:////nowhere/else.db", "PANLESS_KEYFILE_FILE": "/nowhere/else"}
    one = start_dev(tmp_path_factory.mktemp("shared") / "a home", env=stray)
    yield one
    kill_group(one)


@pytest.fixture(scope="session")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that served, with a token in its records and an entry in its ledger, and stopped."""
    one = start_dev(tmp_path_factory.mktemp("used") / "home")
    try:
        env = one.env
        made = ask(f"{env['PANLESS_URL']}/v1/tokens", env["PANLESS_CHECKOUT_KEY"], card(), Idempotency_Key="used-1")
        assert made.status == 201
        client = panless("clients", "create", "--name", "spare", "--role", "auditor", env=env).stdout.split()[0]
        assert panless("clients", "revoke", "--client", client, env=env).returncode == 0
        assert one.stop() == 0
    finally:
        kill_group(one)
    return one.home


@pytest.fixture
def home(used: Path, tmp_path: Path) -> Path:
    """A copy of the used home, to be spoiled."""
    copy = tmp_path / "home"
    shutil.copytree(used, copy)
    copy.chmod(0o700)
    return copy


@pytest.fixture(scope="session")
def new(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The settings of a SQLite deployment with one tenant, set up as an operator does."""
    folder = tmp_path_factory.mktemp("new") / "deployment"
    (folder / "ledger").mkdir(parents=True)
    shutil.copy(ROOT / "panless" / "policy.toml", folder)
    settings = settings_in(folder)
    assert panless("keys", "new-keyfile", settings["PANLESS_KEYFILE"]).returncode == 0
    assert panless("migrate", env=settings).returncode == 0
    tenant = panless("tenants", "create", "--name", "Shop", env=settings)
    return settings | {"PANLESS_TENANT": tenant.stdout.strip()}


@pytest.fixture
def deployment(new: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The settings of a copy of it."""
    shutil.copytree(Path(new["PANLESS_KEYFILE"]).parent, tmp_path, dirs_exist_ok=True)
    return new | settings_in(tmp_path)


_NUMBERS = count(1)


@pytest.fixture
def on_postgresql(postgresql: str, deployment: dict[str, str]) -> dict[str, str]:
    """The settings of an empty deployment on two PostgreSQL databases, with some room for connections."""
    number = next(_NUMBERS)
    urls = {
        f"PANLESS_{name.upper()}_URL": create_database(postgresql, f"program_{name}_{number}")
        for name in ("records", "keystore")
    }
    settings = deployment | urls
    assert panless("migrate", env=settings).returncode == 0
    return settings


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    started: list[Server] = []

    def begin(env: Mapping[str, str], command: list[str] | None = None) -> Server:
        address = {"PANLESS_BIND": f"127.0.0.1:{free_port()}"}
        started.append(Server(command or [PANLESS, "serve"], address | dict(env), tmp_path / "server.log"))
        return started[-1]

    yield begin
    for one in started:
        one.process.terminate()
        one.process.wait(20)
