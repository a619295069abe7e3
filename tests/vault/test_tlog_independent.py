"""The log as somebody reads it who has none of our code: the Go checksum database's packages, which C2SP grew from."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from house import Tenant, serve
from tlog_scene import exported, log, look, place, settle

from vault.tlog.signing import verifiers

READER = Path(__file__).with_name("independent") / "tlog_reader.go"
SOURCES = Path("/usr/share/gocode")
"""Where Debian lays Go's packages."""

Read = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def read(tmp_path_factory: pytest.TempPathFactory) -> Read:
    """The reader, built once. It is not skipped where Go is missing."""
    wanted = "apt-get install golang-go golang-golang-x-mod-dev"
    assert shutil.which("go") is not None, wanted
    assert (SOURCES / "src/golang.org/x/mod/sumdb/tlog").is_dir(), wanted
    program = tmp_path_factory.mktemp("reader") / "reader"
    environment = {**os.environ, "GO111MODULE": "off", "GOPATH": str(SOURCES), "GOFLAGS": "", "GOTOOLCHAIN": "local"}
    environment |= {"GOCACHE": str(program.with_name("cache"))}
    subprocess.run(["go", "build", "-o", program, READER], check=True, env=environment)

    def run(*arguments: object, bearer: str = "") -> subprocess.CompletedProcess[str]:
        given = [str(each) for each in arguments]
        return subprocess.run(
            [program, *given], capture_output=True, text=True, check=False, env={**os.environ, "BEARER": bearer}
        )

    return run


@pytest.fixture
def grown(tenant: Tenant, tmp_path: Path) -> Path:
    """A checkpoint of the log of `tenant` from before it grew."""
    look(tenant, 300 - settle(tenant))
    place(tenant)
    older = tmp_path / "older"
    older.write_bytes(log(tenant.house, tenant.id).checkpoint)
    look(tenant, 340)
    place(tenant)
    return older


def test_an_export_is_read(tenant: Tenant, grown: Path, tmp_path: Path, read: Read) -> None:
    """Every entry is proven to be in it, and that it continues an older checkpoint; a changed tile is found."""
    folder = exported(tenant, tmp_path / "export")
    [key] = verifiers(tenant.house.components.keyring, tenant.id)
    answer = read(folder, key, grown)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "640 entries proven\n", "")
    tile = folder / "tile/0/001"
    tile.write_bytes(tile.read_bytes()[:-1] + b"x")
    answer = read(folder, key, grown)
    assert (answer.returncode, answer.stdout) == (1, "")


def test_the_door_is_read(tenant: Tenant, grown: Path, read: Read, free_port: int) -> None:
    """Somebody else's reader reads the log of the real server: /v1/audit is a prefix as the specification has it."""
    [key] = verifiers(tenant.house.components.keyring, tenant.id)
    with serve(tenant.house, free_port) as (_, url):
        answer = read(f"{url}/v1/audit", key, grown, bearer=tenant.keys["auditor"])
        assert (answer.returncode, answer.stdout, answer.stderr) == (0, "640 entries proven\n", "")
        foreign = tenant.house.tenant()
        answer = read(f"{url}/v1/audit", key, bearer=foreign.keys["auditor"])
        assert (answer.returncode, answer.stdout) == (1, "")
