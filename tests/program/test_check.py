import json
import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from certificates import write_pair
from commands import panless
from roles import databases_of, migrate_with, new_roles, used_by
from sqlalchemy import delete, insert, make_url, select, text, update

from panless.checks import disks, listening
from panless.checks.choices import DEBUGGING
from panless.checks.examination import examine
from panless.checks.finding import Finding
from panless.settings.environment import read_settings
from panless.wiring import build
from rows.engine import open_database, reading, transaction
from vault.tables import client_keys, clients

Deployment = dict[str, str]


@pytest.fixture
def found(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Finding]]:
    """What is found in the deployment, its settings changed."""

    def look(**changed: str) -> list[Finding]:
        for name, value in (deployment | {f"PANLESS_{name}": value for name, value in changed.items()}).items():
            monkeypatch.setenv(name, value)
        return examine()

    return look


@pytest.fixture
def safe(on_postgresql: Deployment, tmp_path: Path) -> Deployment:
    """A deployment on two servers, as far as addresses tell, under two users, on this machine."""
    url = make_url(on_postgresql["PANLESS_KEYSTORE_URL"])
    other = Path(tempfile.mkdtemp(dir="/tmp")) / "other"  # a socket's path is short, whatever TMPDIR is
    other.symlink_to(str(url.query["host"]))
    admin = open_database(on_postgresql["PANLESS_KEYSTORE_URL"])
    with transaction(admin) as tx:
        tx.execute(text(f"CREATE ROLE {url.database} SUPERUSER LOGIN"))
    admin.dispose()
    apart = url.set(username=url.database, query={"host": str(other)}).render_as_string(hide_password=False)
    (tmp_path / "anchors").mkdir()
    return on_postgresql | {"PANLESS_KEYSTORE_URL": apart, "PANLESS_AUDIT_ANCHOR": f"{tmp_path}/anchors"}


def sentences(findings: list[Finding], *, unsafe: bool = True) -> str:
    return "\n".join(f"{one.what} {one.mend}" for one in findings if one.is_unsafe == unsafe)


def test_one_disk_for_everything_is_unsafe(deployment: Deployment) -> None:
    """The command says what a copy of that disk gives away, how to mend it, and ends with exit code 1."""
    assert panless("worker", "--once", env=deployment).returncode == 0
    done = panless("check", env=deployment)
    assert done.returncode == 1
    assert "UNSAFE  The keyfile lies on the same disk as the keystore" in done.stdout
    assert "UNSAFE  The ledger lies on the same disk as the records" in done.stdout
    assert "UNSAFE  The keystore stands beside the records" in done.stdout
    assert "UNSAFE  The audit log is not anchored" in done.stdout
    assert done.stderr == "6 unsafe.\n"


def test_programs_read_it_as_json(deployment: Deployment) -> None:
    """JSON has the text's findings and its exit code, each with severity, what and mend; nothing else is printed."""
    assert panless("worker", "--once", env=deployment).returncode == 0
    done = panless("check", "--json", env=deployment)
    assert (done.returncode, done.stderr) == (1, "")
    findings = json.loads(done.stdout)
    assert {tuple(one) for one in findings} == {("severity", "what", "mend")}
    assert [one["severity"] for one in findings].count("unsafe") == 6
    assert {one["severity"] for one in findings} == {"unsafe", "note"}


def test_nothing_unsafe_is_exit_code_0(safe: Deployment) -> None:
    """Where every part stands apart nothing is unsafe, for people and for programs."""
    done = panless("check", env=safe)
    assert (done.stdout.splitlines()[-1], done.stderr, done.returncode) == ("Nothing unsafe was found.", "", 0)
    as_json = panless("check", "--json", env=safe)
    assert as_json.returncode == 0
    assert {one["severity"] for one in json.loads(as_json.stdout)} <= {"note"}


def test_anchors_beside_the_records_are_unsafe(found: Callable[..., list[Finding]], tmp_path: Path) -> None:
    """On their disk; in a bucket they are well."""
    (tmp_path / "anchors").mkdir()
    assert "anchors lie on the same disk" in sentences(found(AUDIT_ANCHOR=f"{tmp_path}/anchors"))
    assert "anchors lie on the same disk" not in sentences(found(AUDIT_ANCHOR="s3://anchors/panless"))


def test_readable_databases_are_unsafe(found: Callable[..., list[Finding]], tmp_path: Path) -> None:
    """A database file that others may read is named with its chmod."""
    (tmp_path / "records.db").chmod(0o644)
    assert f"Run: chmod 600 {tmp_path}/records.db" in sentences(found())


def test_folders_that_others_write_to_are_unsafe(found: Callable[..., list[Finding]], tmp_path: Path) -> None:
    """Of keys, databases, ledger, anchors; where a sticky bit is, as in /tmp, nobody replaces what is ours."""
    more = {name: tmp_path / name for name in ("anchors", "tls", "jwks")}
    for folder in more.values():
        folder.mkdir()
    (more["jwks"] / "keys.json").write_text('{"keys": []}')
    certificate, key = write_pair(more["tls"])
    found = partial(
        found,
        AUDIT_ANCHOR=str(more["anchors"]),
        TLS_CERTIFICATE_FILE=str(certificate),
        TLS_KEY_FILE=str(key),
        OAUTH_ISSUER="https://issuer.example",
        OAUTH_AUDIENCE="panless",
        OAUTH_JWKS=str(more["jwks"] / "keys.json"),
        OAUTH_TENANT="ten_00abc",
    )
    assert "can replace files" not in sentences(found())
    for folder in (tmp_path, tmp_path / "ledger", *more.values()):
        before = folder.stat().st_mode
        folder.chmod(0o770)
        assert f"Run: chmod go-w {folder}" in sentences(found())
        folder.chmod(0o1777)
        assert "can replace files" not in sentences(found())
        folder.chmod(before)


def test_proxies_that_are_anybody_are_unsafe(found: Callable[..., list[Finding]]) -> None:
    """Whoever is trusted to say where a request comes from must be few."""
    for networks, is_said in (("0.0.0.0/0", True), ("2000::/3", True), ("10.0.0.0/8,fd00::/64,192.0.2.7/32", False)):
        assert ("may say where requests come from" in sentences(found(TRUSTED_PROXIES=networks))) is is_said


def test_anchors_that_can_be_deleted_are_a_note(found: Callable[..., list[Finding]]) -> None:
    """A bucket without a lock: who may write there may delete."""
    for days, is_said in (({}, True), ({"AUDIT_ANCHOR_LOCK_DAYS": "400"}, False)):
        said = sentences(found(AUDIT_ANCHOR="s3://anchors/x", **days), unsafe=False)
        assert ("make the audit log unprovable" in said) is is_said


def test_a_database_file_on_a_shared_disk_is_unsafe(found: Callable[..., list[Finding]], tmp_path: Path) -> None:
    """SQLite's locks do not hold where several machines write; a disk of this machine's own is fine."""
    assert "other machines" not in sentences(found())
    device = (tmp_path / "records.db").stat().st_dev
    mount = f"36 35 {os.major(device)}:{os.minor(device)} / /data rw,noatime shared:1 - %s server:/export rw\n"
    mounts = tmp_path / "mountinfo"
    for kind, count in (("ext4", 0), ("nfs4", 2)):
        mounts.write_text(mount % kind)
        said = sentences([*disks.shared_files(read_settings(), mounts)])
        assert said.count(f"a SQLite file on {kind}") == count
    assert disks.MOUNTS.exists()


def test_plain_http_beyond_this_machine_is_unsafe(found: Callable[..., list[Finding]]) -> None:
    """Except from inside a container, from where nobody can tell who reaches its ports: there it is a note."""
    found(BIND="0.0.0.0:8080")
    settings = read_settings()
    for contained in (False, True):
        (one,) = listening.plain_http(settings, contained=contained)
        assert "plain HTTP" in one.what
        assert one.is_unsafe is not contained
    assert not [*listening.plain_http(replace(settings, bind="127.0.0.1:8080"), contained=False)]


@pytest.mark.parametrize("name", DEBUGGING)
def test_debugging_is_unsafe(name: str, found: Callable[..., list[Finding]], monkeypatch: pytest.MonkeyPatch) -> None:
    """What opens a library below us up for looking into it; 0 is off."""
    for value, is_said in (("0", False), ("", False), ("1", True)):
        monkeypatch.setenv(name, value)
        assert (f"Unset {name}." in sentences(found())) is is_said


def test_a_policy_without_a_backup_window_is_unsafe(found: Callable[..., list[Finding]], tmp_path: Path) -> None:
    """How long backups are kept must be said: certificates promise a date by it.

    It is one finding, and said even where a database can't be used.
    """
    file = tmp_path / "policy.toml"
    file.write_text(re.sub(r"^keystore_backup_days = .*$", "", file.read_text(), flags=re.MULTILINE))
    assert sentences(found()).count("keystore_backup_days") == 1
    said = sentences(found(RECORDS_URL=f"sqlite:///{tmp_path}/new.db"))
    assert "keystore_backup_days" in said
    assert "Run: panless migrate." in said


def test_an_open_keyfile_is_found_once(found: Callable[..., list[Finding]], tmp_path: Path) -> None:
    """Wrong permissions are one finding, although everything else fails for them too."""
    (tmp_path / "keyfile").chmod(0o644)
    assert sentences(found()).count("chmod 600") == 1


def test_wrong_settings_are_a_finding(found: Callable[..., list[Finding]]) -> None:
    """A setting that can't be read is the one finding: nothing else can be looked at."""
    (one,) = found(CELL="nope")
    assert one.what.startswith("PANLESS_CELL")
    assert one.is_unsafe


def test_a_foreign_keyfile_is_found(found: Callable[..., list[Finding]], tmp_path: Path) -> None:
    """A root key that does not open the keystore is told from one that is away."""
    assert panless("keys", "new-keyfile", str(tmp_path / "other")).returncode == 0
    assert "The root key does not open this keystore" in sentences(found(KEYFILE=str(tmp_path / "other")))


def test_the_guards_verdict_is_a_finding(found: Callable[..., list[Finding]], tmp_path: Path) -> None:
    """What the boot guard refuses for is said."""
    silent = "The erasure ledger does not answer."
    assert silent not in sentences(found())
    (tmp_path / "ledger").rmdir()
    assert silent in sentences(found())


def test_an_old_schema_is_a_finding(found: Callable[..., list[Finding]], tmp_path: Path) -> None:
    """A database that is not migrated is named with the command."""
    assert "Run: panless migrate." in sentences(found(RECORDS_URL=f"sqlite:///{tmp_path}/new.db"))


@pytest.mark.parametrize("named", ["host=db.invalid", "hostaddr=192.0.2.1", "service=db"])
def test_another_machine_however_it_is_named(found: Callable[..., list[Finding]], named: str) -> None:
    """In the query of a URL, or by libpq's own file of services: it must prove who answers, too."""
    said = sentences(found(RECORDS_URL=f"postgresql:///records?{named}", KEYSTORE_URL="postgresql:///k?host=/run"))
    assert said.count("does not prove who answers") == 1


def test_databases_over_the_net(found: Callable[..., list[Finding]]) -> None:
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


def test_what_is_allowed_and_has_a_price_is_a_note(found: Callable[..., list[Finding]]) -> None:
    """No limit on calls, raw cards, a sandbox, a long KEK life, DEBUG, open figures, root, SQLite: not unsafe."""
    said = sentences(
        found(
            ACCEPT_RAW_CARDS="true",
            SANDBOX_URL="http://127.0.0.1:1",
            KEK_TTL="3600",
            LOG_LEVEL="DEBUG",
            METRICS_BIND="0.0.0.0:9090",
            WORKER_METRICS_BIND="0.0.0.0:9091",
            RUN_AS_ROOT="always",
        ),
        unsafe=False,
    )
    words = "as often as it likes,PCI scope,sandbox processor,3600 s,DEBUG,0.0.0.0:9090,0.0.0.0:9091,root of,SQLite"
    for what in words.split(","):
        assert what in said


def test_a_certificate_that_ends_is_told(found: Callable[..., list[Finding]], tmp_path: Path) -> None:
    """A month before it does; once it has, that is unsafe, and a file that is none is told as by the server."""
    for days, unsafe, told in ((29.5, False, "29 days more"), (31, None, ""), (-0.5, True, "0 days more")):
        certificate, key = map(str, write_pair(tmp_path, days=days))
        mine = [one for one in found(TLS_CERTIFICATE_FILE=certificate, TLS_KEY_FILE=key) if "certificate" in one.what]
        assert [one.is_unsafe for one in mine] == ([] if unsafe is None else [unsafe])
        assert told in "".join(one.what for one in mine)
    Path(certificate).write_text("none")
    assert "must be a certificate and its key" in sentences(found())


def test_keys_that_end_are_a_note(found: Callable[..., list[Finding]], deployment: Deployment) -> None:
    """A client's last key, within a month; not one that has another key, whose key is over, or who was revoked."""
    now = datetime.now(UTC)

    def client(*ends: float | None) -> str:
        made = panless("clients", "create", "--name", "x", "--role", "admin", env=deployment).stdout.split()[0]
        with transaction(records) as tx:
            row = dict(tx.execute(select(client_keys).where(client_keys.c.client_id == made)).mappings().one())
            tx.execute(delete(client_keys).where(client_keys.c.client_id == made))
            for number, days in enumerate(ends):
                end = None if days is None else now + timedelta(days=days)
                tx.execute(insert(client_keys), {**row, "key_id": f"{made}{number}"[-28:], "expires_at": end})
        return made

    records = open_database(deployment["PANLESS_RECORDS_URL"])
    for ends in ((None,), (29, None), (29, 31), (-1,), (31,)):
        client(*ends)
    revoked = client(20)
    assert panless("clients", "revoke", "--client", revoked, env=deployment).returncode == 0
    assert "clients end" not in sentences(found(), unsafe=False)
    client(29)
    first = client(3, 28)
    assert f"The keys of 2 clients end within 30 days, those of {first} first." in sentences(found(), unsafe=False)
    records.dispose()


def test_a_revoked_client_that_is_good_again_is_unsafe(
    found: Callable[..., list[Finding]], deployment: Deployment
) -> None:
    """A client's rows from before were written back: the audit log knows better."""
    made, *_ = panless("clients", "create", "--name", "x", "--role", "admin", env=deployment).stdout.split()
    records = open_database(deployment["PANLESS_RECORDS_URL"])
    tables = (clients, client_keys)
    with reading(records) as connection:
        before = [connection.execute(select(each).where(each.c.client_id == made)).mappings().one() for each in tables]
    assert panless("clients", "revoke", "--client", made, env=deployment).returncode == 0
    assert "good again" not in sentences(found())
    with transaction(records) as tx:
        for table, row in zip(tables, before, strict=True):
            tx.execute(update(table).where(table.c.client_id == made).values(dict(row)))
    records.dispose()
    assert f"The keys of {made} were revoked and are good again" in sentences(found())


def test_a_server_that_sees_every_tenant_is_a_note(
    found: Callable[..., list[Finding]], deployment: Deployment, postgresql: str
) -> None:
    """It is said of a user whom nothing in the database holds to one tenant, and not of the server's own."""
    owner, roles = new_roles(postgresql)
    databases = databases_of(postgresql, owner)
    migrate_with(deployment | databases, roles)
    for user, is_said in ((roles.worker, True), (roles.app, False)):
        urls = used_by(databases, user, roles.keys)
        settings = {name.removeprefix("PANLESS_"): url for name, url in urls.items()}
        assert ("sees every tenant's rows" in sentences(found(**settings), unsafe=False)) is is_said


def test_row_level_security_that_is_off_is_unsafe(
    found: Callable[..., list[Finding]], deployment: Deployment, postgresql: str
) -> None:
    """By PostgreSQL's own word, table by table: turned off, or let past by a policy more."""
    owner, roles = new_roles(postgresql)
    databases = databases_of(postgresql, owner)
    migrate_with(deployment | databases, roles)
    urls = used_by(databases, roles.app, roles.keys)
    settings = {name.removeprefix("PANLESS_"): url for name, url in urls.items()}
    assert "Row-level security" not in sentences(found(**settings))
    records = open_database(databases["PANLESS_RECORDS_URL"])
    with transaction(records) as tx:
        tx.execute(text("ALTER TABLE charges DISABLE ROW LEVEL SECURITY"))
        tx.execute(text("CREATE POLICY more ON holds USING (true)"))
    records.dispose()
    assert "does not hold the records' user in charges, holds." in sentences(found(**settings))


def test_holidays_that_run_out_are_a_note(found: Callable[..., list[Finding]], tmp_path: Path) -> None:
    """Next year's holidays are asked for before a request can be due in it; none at all likewise."""
    file, known = tmp_path / "policy.toml", "holidays = [\n  {},\n]"
    policy = re.sub(r"holidays = \[[^\]]*\]", "%s", file.read_text())
    soon, later = (datetime.now(UTC).date() + timedelta(days=days) for days in (95, 105))
    for holidays, is_said in ((known.format(soon), True), ("holidays = []", True), (known.format(later), False)):
        file.write_text(policy % holidays)
        assert ("names no holiday on" in sentences(found(), unsafe=False)) is is_said


def test_looking_changes_nothing(found: Callable[..., list[Finding]]) -> None:
    """The deployment works on as before."""
    found()
    assert build(read_settings()).guard.check().is_good
