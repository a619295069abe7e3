import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from program_scene import panless
from roles import databases_of, migrate_with, new_roles, used_by

from panless import checks
from panless.settings import read_settings
from panless.wiring import build
from vault.guard import Verdict

Deployment = dict[str, str]


@pytest.fixture
def found(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[checks.Finding]]:
    """What is found in the deployment, its settings changed."""

    def examine(**changed: str) -> list[checks.Finding]:
        for name, value in (deployment | {f"PANLESS_{name}": value for name, value in changed.items()}).items():
            monkeypatch.setenv(name, value)
        return checks.examine()

    return examine


def sentences(findings: list[checks.Finding], *, unsafe: bool = True) -> str:
    return "\n".join(f"{one.what} {one.mend}" for one in findings if one.is_unsafe == unsafe)


def test_one_disk_for_everything_is_unsafe(deployment: Deployment) -> None:
    """The command says what a copy of that disk gives away, how to mend it, and ends with exit code 1."""
    done = panless("check", env=deployment)
    assert done.returncode == 1
    assert "UNSAFE  The keyfile lies on the same disk as the keystore" in done.stdout
    assert "UNSAFE  The ledger lies on the same disk as the records" in done.stdout
    assert "UNSAFE  The keystore stands beside the records" in done.stdout
    assert done.stderr == "5 unsafe.\n"


def test_nothing_unsafe_is_exit_code_0(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where every part lies on its own disk nothing is unsafe."""
    monkeypatch.setattr(checks, "_same_disk", lambda *_: False)
    for name, value in deployment.items():
        monkeypatch.setenv(name, value)
    assert sentences(checks.examine()) == ""


def test_readable_databases_are_unsafe(found: Callable[..., list[checks.Finding]], tmp_path: Path) -> None:
    """A database file that others may read is named with its chmod."""
    (tmp_path / "records.db").chmod(0o644)
    assert f"Run: chmod 600 {tmp_path}/records.db" in sentences(found())


def test_an_open_keyfile_is_found_once(found: Callable[..., list[checks.Finding]], tmp_path: Path) -> None:
    """Wrong permissions are one finding, although everything else fails for them too."""
    (tmp_path / "keyfile").chmod(0o644)
    assert sentences(found()).count("chmod 600") == 1


def test_wrong_settings_are_a_finding(found: Callable[..., list[checks.Finding]]) -> None:
    """A setting that can't be read is the one finding: nothing else can be looked at."""
    (one,) = found(CELL="nope")
    assert one.what.startswith("PANLESS_CELL")
    assert one.is_unsafe


def test_a_foreign_keyfile_is_found(found: Callable[..., list[checks.Finding]], tmp_path: Path) -> None:
    """A root key that does not open the keystore is told from one that is away."""
    assert panless("keys", "new-keyfile", str(tmp_path / "other")).returncode == 0
    assert "The root key does not open this keystore" in sentences(found(KEYFILE=str(tmp_path / "other")))


def test_the_guards_verdict_is_a_finding(
    found: Callable[..., list[checks.Finding]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the boot guard refuses for is said."""
    monkeypatch.setattr("vault.guard.Guard.check", lambda _: Verdict(code="ledger_cut", message="It was cut."))
    assert "It was cut." in sentences(found())


def test_an_old_schema_is_a_finding(found: Callable[..., list[checks.Finding]], tmp_path: Path) -> None:
    """A database that is not migrated is named with the command."""
    assert "Run: panless migrate." in sentences(found(RECORDS_URL=f"sqlite:///{tmp_path}/new.db"))


def test_databases_over_the_net(found: Callable[..., list[checks.Finding]]) -> None:
    """Without verified TLS, on one server, under one user: each is unsafe by itself."""
    one = "postgresql://panless@db.invalid/records"
    said = sentences(found(RECORDS_URL=one, KEYSTORE_URL=f"{one}?sslmode=require"))
    assert said.count("does not prove who answers") == 2
    assert "The keystore stands beside the records" in said
    assert "opened by the same database user" in said
    apart = sentences(
        found(
            RECORDS_URL="postgresql://a@db.invalid/records?sslmode=verify-full",
            KEYSTORE_URL="postgresql://b@keys.invalid/keystore?sslmode=verify-full",
        )
    )
    assert not {"prove", "beside", "same database user"} & set(apart.split())


def test_what_is_allowed_and_has_a_price_is_a_note(found: Callable[..., list[checks.Finding]]) -> None:
    """Raw cards, a sandbox, a long KEK life, DEBUG, plain HTTP beyond this machine: said, but not unsafe."""
    said = sentences(
        found(
            ACCEPT_RAW_CARDS="true",
            SANDBOX_URL="http://127.0.0.1:1",
            KEK_TTL="3600",
            LOG_LEVEL="DEBUG",
            BIND="0.0.0.0:8080",
        ),
        unsafe=False,
    )
    for what in ("PCI scope", "sandbox processor", "3600 s", "DEBUG", "plain HTTP"):
        assert what in said


def test_a_server_that_sees_every_tenant_is_a_note(
    found: Callable[..., list[checks.Finding]], deployment: Deployment, postgresql: str
) -> None:
    """It is said of a user whom nothing in the database holds to one tenant, and not of the server's own."""
    owner, roles = new_roles(postgresql)
    databases = databases_of(postgresql, owner)
    migrate_with(deployment | databases, roles)
    for user, is_said in ((roles.worker, True), (roles.app, False)):
        urls = used_by(databases, user, roles.keys)
        settings = {name.removeprefix("PANLESS_"): url for name, url in urls.items()}
        assert ("sees every tenant's rows" in sentences(found(**settings), unsafe=False)) is is_said


def test_holidays_that_run_out_are_a_note(found: Callable[..., list[checks.Finding]], tmp_path: Path) -> None:
    """Next year's holidays are asked for before a request can be due in it; none at all likewise."""
    file, known = tmp_path / "policy.toml", "holidays = [\n  {},\n]"
    policy = re.sub(r"holidays = \[[^\]]*\]", "%s", file.read_text())
    soon, later = (datetime.now(UTC).date() + timedelta(days=days) for days in (95, 105))
    for holidays, is_said in ((known.format(soon), True), ("holidays = []", True), (known.format(later), False)):
        file.write_text(policy % holidays)
        assert ("names no holiday on" in sentences(found(), unsafe=False)) is is_said


def test_looking_changes_nothing(found: Callable[..., list[checks.Finding]]) -> None:
    """The deployment works on as before."""
    found()
    assert build(read_settings()).guard.check().is_good
