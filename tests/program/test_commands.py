import json
import re
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest
from commands import panless
from program_scene import environment, refusal

from vault.tenancy.client_keys import parse_key

Deployment = dict[str, str]


def first_word(*arguments: str, env: Mapping[str, str], stdin: str = "") -> str:
    done = panless(*arguments, env=env, stdin=stdin)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[0]


def test_clients_come_and_go(deployment: Deployment) -> None:
    """A key is shown once and is well formed; a revoked client stays listed, and the ledger knows."""
    made = panless("clients", "create", "--name", "till", "--role", "checkout", env=deployment).stdout.split()
    assert parse_key(made[1])
    live = panless("clients", "create", "--name", "x", "--scopes", "audit:read,tokens:read", "--live", env=deployment)
    assert live.stdout.split()[1].startswith("panless_live_")
    for _ in range(2):
        assert panless("clients", "revoke", "--client", made[0], env=deployment).returncode == 0
    lines = panless("clients", "list", env=deployment).stdout.splitlines()
    assert re.fullmatch(rf"{made[0]}  till  test  [-\d]+ [:\d]+  [-\d]+ [:\d]+ {{22}}checkout", lines[1])
    assert re.fullmatch(r"cli_\w+  x +live  [-\d]+ [:\d]+ {20,}audit:read,tokens:read", lines[2])
    entries = [json.loads(file.read_text()) for file in Path(deployment["PANLESS_LEDGER"]).iterdir()]
    assert [(entry["kind"], entry["subject_id"]) for entry in entries] == [("client.revoke", made[0])]


def test_where_phones_are_from(deployment: Deployment) -> None:
    """A tenant's region is said, changed and taken back; what is no region, and nobody's tenant, is refused."""
    for region in ("US", "FR", "none"):
        assert panless("tenants", "phone-region", region, env=deployment).returncode == 0
    assert "two capitals" in refusal(panless("tenants", "phone-region", "France", env=deployment))
    nobody = deployment | {"PANLESS_TENANT": f"ten_00{'a' * 26}"}
    assert "tenant" in refusal(panless("tenants", "phone-region", "FR", env=nobody)).lower()


def test_keys_are_bound_and_rotated(deployment: Deployment) -> None:
    """A key can be bound to an end, networks and a certificate; another one is made beside it, and listed."""
    terms = ("--expires", "2098-01-01", "--network", "192.0.2.0/24", "--network", "10.0.0.0/8")
    certified = ("--certificate", ":".join(["AB"] * 32))
    made = panless("clients", "create", "--name", "x", "--role", "auditor", *terms, *certified, env=deployment)
    client, first = made.stdout.split()
    rotated = panless(
        "clients", "rotate", "--client", client, "--overlap-hours", "2", "--expires", "2099-01-01", env=deployment
    )
    second = rotated.stdout.strip()
    assert parse_key(second)
    assert parse_key(first) != parse_key(second)
    assert "  2099-01-01 00:00  " in panless("clients", "list", env=deployment).stdout


def test_credentials_come_in_by_file_environment_or_input(deployment: Deployment, tmp_path: Path) -> None:
    """An account can be added with its key from each; none is shown again, and the last default wins."""
    (tmp_path / "key").write_text("sk_test_from_a_file\n")
    (tmp_path / "key").chmod(0o600)
    add = ("processor-accounts", "add", "--kind", "stripe", "--label")
    by_file = first_word(*add, "one", "--api-key-file", str(tmp_path / "key"), env=deployment)
    by_env = first_word(*add, "two", "--default", env=deployment | {"PANLESS_PROCESSOR_API_KEY": "sk_test_from_env"})
    by_input = first_word(*add, "three", env=deployment, stdin="sk_test_from_stdin\n")
    shown = panless("processor-accounts", "list", env=deployment).stdout
    lines = [line.split()[:5] for line in shown.splitlines()[1:]]
    assert [line[:4] for line in lines] == [
        [by_file, "stripe", "one", "test"],
        [by_env, "stripe", "two", "test"],
        [by_input, "stripe", "three", "test"],
    ]
    assert [line[4] == "yes" for line in lines] == [False, True, False]
    assert "sk_test" not in shown


def test_keys_are_shown_to_people_and_programs(deployment: Deployment) -> None:
    """`keys status` is a table; with --json the same as data, ids in hex."""
    head, *rows = panless("keys", "status", env=deployment).stdout.splitlines()
    assert head.split() == [
        "TENANT",
        "EPOCH",
        "STATE",
        "CREATED",
        "LIVE",
        "DEKS",
        "DESTROYED",
        "KEK",
        "GOES",
        "ROOT",
        "KEYS",
    ]
    told = json.loads(panless("keys", "status", "--json", env=deployment).stdout)
    assert {kek["tenant_id"] for kek in told} == {row.split()[0] for row in rows}
    assert deployment["PANLESS_TENANT"] in rows[1]
    assert all((kek["epoch"], kek["state"], kek["destroyed"]) == (1, "active", 0) for kek in told)
    assert all(bytes.fromhex(kek["kek_id"]) and kek["live"] == 7 for kek in told)


def test_files_that_commands_make_are_private(deployment: Deployment) -> None:
    """Keyfile and databases are 0600, whatever the shell's umask."""
    folder = Path(deployment["PANLESS_KEYFILE"]).parent
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir() if file.suffix in {"", ".db"}}
    assert {name: modes[name] for name in ("keyfile", "records.db", "keystore.db")} == dict.fromkeys(
        ("keyfile", "records.db", "keystore.db"), 0o600
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("clients", "create", "--name", "x"), "Say what the client may do: --role or --scopes, one of them."),
        (("clients", "create", "--name", "x", "--scopes", "all"), "There is no scope all."),
        (
            ("clients", "create", "--name", "x", "--role", "admin", "--network", "10.0.0.1/8"),
            "That is no network: 10.0.0.1/8 has host bits set.",
        ),
        (
            ("clients", "create", "--name", "x", "--role", "admin", "--subject", "till"),
            "PANLESS_OAUTH_ISSUER is not set.",
        ),
        (
            ("clients", "create", "--name", "x", "--role", "admin", "--certificate", "ab"),
            "A certificate is named by its SHA-256: 64 hex digits.",
        ),
        (
            ("clients", "rotate", "--client", "cli_00aaaaaaaaaaaaaaaaaaaaaaaaaa"),
            "No such client with an API key, or it is",
        ),
        (("clients", "revoke", "--client", "cli_00aaaaaaaaaaaaaaaaaaaaaaaaaa"), "No such client."),
        (("processor-accounts", "add", "--kind", "x", "--label", "x"), "This deployment has no processor x"),
        (("processor-accounts", "add", "--kind", "stripe", "--label", "x"), "An API key of a processor is 8 to 255"),
        (("keys", "new-keyfile", "{PANLESS_KEYFILE}"), "exists already and is never overwritten"),
    ],
)
def test_what_a_command_can_not_do_is_one_sentence(
    arguments: tuple[str, ...], sentence: str, deployment: Deployment
) -> None:
    """Exit code 1, one sentence on standard error, no traceback."""
    assert sentence in refusal(panless(*(one.format(**deployment) for one in arguments), env=deployment))


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"PANLESS_RECORDS_URL": ""}, "PANLESS_RECORDS_URL"),
        ({"PANLESS_LOG_LEVEL": "loud"}, "PANLESS_LOG_LEVEL must be DEBUG, INFO, WARNING or ERROR."),
        ({"PANLESS_TENANT": "ten_x"}, "A tenant's id looks like ten_..."),
        ({"PANLESS_TENANT": "ten_00aaaaaaaaaaaaaaaaaaaaaaaaaa"}, "There is no tenant ten_00"),
        ({"PANLESS_KEYFILE": "/nowhere"}, "/nowhere can't be opened"),
        ({"PANLESS_POLICY": "/nowhere"}, "The policy file /nowhere can't be read"),
        ({"PANLESS_RECORDS_URL": "sqlite:////nowhere/x.db"}, "A database can't be used: unable to open database file."),
        (
            {"PANLESS_RECORDS_URL": "postgresql://me:hidden@127.0.0.1:1/x"},
            'A database can\'t be used: connection failed: connection to server at "127.0.0.1", port 1 failed',
        ),
    ],
)
def test_trouble_with_the_deployment_is_one_sentence(
    changed: Mapping[str, str], sentence: str, deployment: Deployment
) -> None:
    """Wrong settings and databases that are away too: one sentence, no traceback, no password."""
    said = refusal(panless("clients", "create", "--name", "x", "--role", "admin", env=deployment | changed))
    assert sentence in said
    assert "hidden" not in said


def test_a_new_database_asks_for_migrate(deployment: Deployment, tmp_path: Path) -> None:
    """Databases without a schema are refused with the command that gives them one."""
    empty = deployment | {"PANLESS_RECORDS_URL": f"sqlite:///{tmp_path}/empty.db"}
    assert refusal(panless("serve", env=empty)).endswith("Run: panless migrate.")


def test_the_sandbox_is_a_command(home: Path) -> None:
    """`panless sandbox` becomes the sandbox: what that one refuses, it says itself."""
    done = panless("sandbox", "--port", "0", "--state", str(home / "keyfile"))
    assert done.returncode == 2
    assert "is not one that this sandbox wrote" in done.stderr
    assert environment(home)
