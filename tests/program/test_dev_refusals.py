import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import panless
from ports import free_port
from program_scene import environment, fingerprints, refusal


def open_keyfile(home: Path) -> None:
    (home / "keyfile").chmod(0o640)


def no_keyfile(home: Path) -> None:
    (home / "keyfile").unlink()


def foreign_keyfile(home: Path) -> None:
    (home / "keyfile").unlink()
    assert panless("keys", "new-keyfile", str(home / "keyfile")).returncode == 0


def no_records(home: Path) -> None:
    (home / "records.db").unlink()


def no_keystore(home: Path) -> None:
    (home / "keystore.db").unlink()


def empty_records(home: Path) -> None:
    (home / "records.db").write_bytes(b"")


def broken_keystore(home: Path) -> None:
    (home / "keystore.db").write_bytes(b"not a database" * 100)


def no_ledger(home: Path) -> None:
    shutil.rmtree(home / "ledger")


def cut_ledger(home: Path) -> None:
    for entry in (home / "ledger").iterdir():
        entry.unlink()


def broken_policy(home: Path) -> None:
    (home / "policy.toml").write_text("purposes = [")


def no_policy(home: Path) -> None:
    (home / "policy.toml").unlink()


def other_files(home: Path) -> None:
    shutil.rmtree(home)
    home.mkdir()
    (home / "thesis.txt").write_text("mine")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (open_keyfile, "keyfile has mode 0640, more than 0600: run `chmod 600 "),
        (no_keyfile, "keyfile is missing. Without it nothing in keystore.db opens."),
        (foreign_keyfile, "keyfile is not the keyfile that this keystore was made with."),
        (no_records, "records.db is missing."),
        (no_keystore, "keystore.db is missing."),
        (empty_records, "can't be read (no such table"),
        (broken_keystore, "can't be read (file is not a database)"),
        (no_ledger, "ledger is missing, and the databases know of entries in it."),
        (cut_ledger, "The erasure ledger is shorter than these databases know"),
        (broken_policy, "policy.toml can't be read"),
        (no_policy, "policy.toml is missing."),
        (other_files, "holds other files than a home of Panless."),
    ],
)
def test_a_home_that_is_not_whole_is_refused(spoil: Callable[[Path], None], sentence: str, home: Path) -> None:
    """One sentence that names the file, exit code 1, and every file is as it was, none added."""
    spoil(home)
    before = fingerprints(home)
    assert sentence in refusal(panless("dev", "--home", str(home), "--port", str(free_port())))
    assert fingerprints(home) == before


def test_databases_of_two_deployments_are_refused(home: Path, deployment: dict[str, str]) -> None:
    """Records of one and the keystore of another: refused, nothing changed."""
    shutil.copy(deployment["PANLESS_KEYSTORE_URL"].removeprefix("sqlite:///"), home / "keystore.db")
    before = fingerprints(home)
    said = refusal(panless("dev", "--home", str(home), "--port", str(free_port())))
    assert "are not of the same deployment" in said
    assert fingerprints(home) == before


def test_a_taken_port_is_refused(home: Path, tmp_path: Path) -> None:
    """The server's port: one sentence that says how to name another; an old home is untouched, a new one not begun."""
    before = fingerprints(home)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for folder in (home, tmp_path / "new"):
            said = refusal(panless("dev", "--home", str(folder), "--port", port))
            assert said == f"127.0.0.1:{port} is in use. Stop what listens there, or name another port: --port."
    assert fingerprints(home) == before
    assert fingerprints(tmp_path / "new") == {}


def test_a_taken_sandbox_port_is_refused(home: Path) -> None:
    """The sandbox's remembered port: one sentence that says how to name another, nothing changed."""
    before = fingerprints(home)
    port = int(environment(home)["PANLESS_SANDBOX_URL"].rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)):
        said = refusal(panless("dev", "--home", str(home), "--port", str(free_port())))
    assert said.startswith(f"127.0.0.1:{port} is in use.")
    assert "--sandbox-port" in said
    assert fingerprints(home) == before
