import json
import re
from pathlib import Path
from typing import Any

import pytest
from commands import panless
from program_scene import environment

from panless.settings.policies import read_policy
from vault.policy import Policy

Deployment = dict[str, str]


def told(env: Deployment) -> dict[str, Any]:
    done = panless("rights", "records", "--json", env=env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def written(env: Deployment) -> str:
    done = panless("rights", "records", env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def add_account(env: Deployment, *options: str) -> None:
    mode = "live" if "--live" in options else "test"
    key = env | {"PANLESS_PROCESSOR_API_KEY": f"sk_{mode}_of_the_records"}
    assert panless("processor-accounts", "add", "--kind", "stripe", "--label", "x", *options, env=key).returncode == 0


@pytest.fixture(scope="module")
def lived(used: Path) -> Deployment:
    """The settings of a deployment that stored a card."""
    return environment(used)


@pytest.fixture(scope="module")
def policy(lived: Deployment) -> Policy:
    return read_policy(Path(lived["PANLESS_POLICY"]))


def test_every_letter_of_the_article_is_answered(lived: Deployment, policy: Policy) -> None:
    """(a) to (g): whom, why, whose and which data, to whom and where, how long, how it is kept safe."""
    page = written(lived)
    letters = [
        letter for heading in re.findall("^## .*$", page, re.MULTILINE) for letter in re.findall(r"\((.)\)", heading)
    ]
    assert sorted(letters) == ["a", "b", "c", "d", "e", "f", "g"]
    rule = policy.retention["transactions"]
    for said in (*policy.controller.values(), policy.data_protection_officer, policy.authority, rule.basis):
        assert said in page
    for purpose in policy.purposes:
        assert f"\n- {purpose}\n" in page
    assert f"- transactions: {rule.years} years ({rule.jurisdiction})." in page
    assert f"records {policy.records_backup_days} days, keys {policy.keystore_backup_days} days" in page


def test_people_and_programs_are_told_the_same(lived: Deployment) -> None:
    """Every text of the JSON stands in the Markdown, and nothing in it names a tenant, a client or a customer."""
    found, page = told(lived), written(lived)
    texts = [*found["data_subjects"], *found["security_measures"], *(each["kept"] for each in found["data_categories"])]
    assert len(texts) > 10
    assert [text for text in texts if text not in page] == []
    assert re.findall(r"\b(?:ten|cli|cus|tok|pa|acc)_\w+", page + json.dumps(found)) == []
    assert lived["PANLESS_TENANT"] not in page
    assert found["deployment"].startswith("dep_")


def test_numbers_are_counted(lived: Deployment) -> None:
    """Tenants and customers of the whole deployment, as numbers."""
    assert told(lived)["numbers"] == {"tenants": 1, "customers": 1, "erased": 0}
    assert "Tenants 1, customers 1, erased or being erased 0." in written(lived)


def test_only_recipients_that_are_connected(deployment: Deployment, policy: Policy) -> None:
    """None before an account is added; then each kind and mode under its legal name, with its safeguard abroad."""
    assert told(deployment)["recipients"] == []
    assert "No processor account is connected." in written(deployment)
    for options in ((), (), ("--live",)):
        add_account(deployment, *options)
    stripe = {"name": policy.recipients["stripe"], "processor": "stripe", "third_country": policy.transfers["stripe"]}
    assert told(deployment)["recipients"] == [
        stripe | {"mode": "test", "accounts": 2, "former_accounts": 0},
        stripe | {"mode": "live", "accounts": 1, "former_accounts": 0},
    ]
    row = f"| {stripe['name']} | stripe | live | 1 | 0 | {stripe['third_country']} |"
    assert row in written(deployment).splitlines()


def test_card_numbers_only_where_they_are_taken(deployment: Deployment) -> None:
    """A deployment that takes raw cards says so, and that they are in memory only; another has no such data."""
    assert "card number and security code" not in written(deployment)
    assert "| card number and security code | in memory" in written(deployment | {"PANLESS_ACCEPT_RAW_CARDS": "true"})


def test_the_policy_file_can_not_break_the_document(deployment: Deployment) -> None:
    """Line breaks and bars in a name stay inside their cell and their line."""
    file = Path(deployment["PANLESS_POLICY"])
    file.write_text(file.read_text().replace("Stripe Payments Europe, Limited", "Stripe | Europe\\n## (h) Limited"))
    add_account(deployment)
    lines = written(deployment).splitlines()
    assert "| Stripe \\| Europe ## (h) Limited, Dublin, Ireland | stripe | test | 1 | 0 |" in "\n".join(lines)
    assert not [line for line in lines if line.startswith("## (h)")]
