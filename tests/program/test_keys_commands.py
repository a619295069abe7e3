"""`panless keys`, as operators use it."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from commands import panless
from program_scene import refusal

Deployment = dict[str, str]


def keks(deployment: Deployment) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(panless("keys", "status", "--json", env=deployment).stdout)
    return [kek for kek in found if kek["tenant_id"] == deployment["PANLESS_TENANT"]]


def refused(*command: str, env: Deployment) -> str:
    return refusal(panless("keys", *command, env=env))


def test_rotate(deployment: Deployment) -> None:
    """New KEKs for all, every DEK on them; lines of progress; the date from which the old ones go, in the table too."""
    [first] = keks(deployment)
    done = panless("keys", "rotate", env=deployment)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == ["New KEKs: 2 of 2", "DEKs moved: 14 of 14"]
    goes = f"{datetime.now(UTC) + timedelta(days=7):%Y-%m-%d}"
    assert done.stdout == f"2 empty KEKs. The worker destroys them from {goes} on.\n"
    old, new = keks(deployment)
    assert old["kek_id"] == first["kek_id"]
    assert (old["state"], old["live"], old["destroyed_from"][:10]) == ("retired", 0, goes)
    assert (new["epoch"], new["state"], new["live"], new["destroyed_from"]) == (2, "active", 7, None)
    assert goes in panless("keys", "status", env=deployment).stdout


def test_rotate_one_tenant(deployment: Deployment) -> None:
    """The deployment's own KEK stays; a tenant that is not there is an error, and nothing rotates."""
    tenant = deployment["PANLESS_TENANT"]
    done = panless("keys", "rotate", "--tenant", tenant, env=deployment)
    assert done.stderr.splitlines() == ["New KEKs: 1 of 1", "DEKs moved: 7 of 7"]
    assert "There is no tenant ten_nobody." in refused("rotate", "--tenant", "ten_nobody", env=deployment)
    assert len(keks(deployment)) == 2


def test_rewrap_with_nothing_to_do(deployment: Deployment) -> None:
    """Says so and is well."""
    done = panless("keys", "rewrap", env=deployment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "DEKs moved: 0 of 0\n")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("rotate", "--provider", "pkcs11"), "No root key of pkcs11 is set."),
        (("add-root", "keyfile:kf_other"), "keyfile:kf_other is not set here. These are: keyfile:kf_"),
    ],
)
def test_root_keys_that_are_not_there(deployment: Deployment, command: tuple[str, ...], said: str) -> None:
    """A sentence, and nothing happens."""
    assert said in refused(*command, env=deployment)
    assert len(keks(deployment)) == 1


def test_the_only_root_key_stays(deployment: Deployment) -> None:
    """It can't be dropped."""
    [name] = keks(deployment)[0]["roots"]
    assert "is the only root key here" in refused("drop-root", name, env=deployment)
    assert keks(deployment)[0]["roots"] == [name]


def test_a_root_key_is_added_and_another_dropped(deployment: Deployment, tmp_path: Path) -> None:
    """Both set: the new one opens every KEK, the old one goes; then the new one alone is enough."""
    [old] = keks(deployment)[0]["roots"]
    second = tmp_path / "second.key"
    assert panless("keys", "new-keyfile", str(second)).returncode == 0
    new = f"keyfile:{second.read_text().split()[1]}"
    first = deployment.pop("PANLESS_KEYFILE")
    both = deployment | {"PANLESS_ROOT_KEYS": f"keyfile:{first},keyfile:{second}"}
    assert panless("keys", "add-root", new, env=both).stdout == f"{new} opens 2 KEKs more.\n"
    assert panless("keys", "add-root", new, env=both).stdout == f"{new} opens 0 KEKs more.\n"
    dropped = panless("keys", "drop-root", old, env=both)
    assert dropped.stdout == f"2 wraps deleted. Take {old} out of the settings now.\n"
    alone = deployment | {"PANLESS_ROOT_KEYS": f"keyfile:{second}"}
    assert keks(alone)[0]["roots"] == [new]
    assert panless("clients", "create", "--name", "till", "--role", "checkout", env=alone).returncode == 0
    lost = deployment | {"PANLESS_ROOT_KEYS": f"keyfile:{first}"}
    assert "it needs one of: keyfile kf_" in refused_for(lost)


def refused_for(env: Deployment) -> str:
    return refusal(panless("clients", "create", "--name", "till", "--role", "checkout", env=env))
