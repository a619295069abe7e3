import re
import tomllib
from pathlib import Path

import pytest
from commands import ROOT, panless
from program_scene import refusal

from panless.settings.policies import PolicyError, example_policy, read_policy

EXAMPLE = (ROOT / "panless" / "policy.toml").read_text()

REDACTION = r"# \[redaction\]\n# stripe = 90"
"""As the example leaves it commented out."""

WRONG = [
    ('version = "1"', "version = 1", "version must be a text in quotes"),
    ('version = "1"', "", "version is missing"),
    ('version = "1"', 'version = "1"\nresponse_days = 30', "response_days is not known"),
    ('"rights-request"', '"Rights request"', "purposes must be one or more codes"),
    ('"rights-request"', "7", "purposes must be one or more codes"),
    (r"purposes = \[.*\]", "purposes = []", "purposes must be one or more codes"),
    (r"purposes = \[.*\]", 'purposes = "billing"', "purposes must be a list"),
    ('authority = ".*"', 'authority = " "', "authority must not be empty"),
    ("keystore_backup_days = 7", "keystore_backup_days = 0", "keystore_backup_days must be a whole number from 1 to"),
    ("records_backup_days = 35", "records_backup_days = 9999", "records_backup_days must be a whole number from 1 to"),
    ("records_backup_days = 35", "records_backup_days = true", "records_backup_days must be a whole number from 1 to"),
    ("erasures_per_day = 1000", "erasures_per_day = 1.5", "erasures_per_day must be a whole number from 1 to"),
    ('"Europe/Paris"', '"Europe/Lutetia"', "time_zone must be an IANA name like Europe/Paris"),
    ('"Europe/Paris"', '"Europe"', "time_zone must be an IANA name like Europe/Paris"),
    ('"Europe/Paris"', '"../Paris"', "time_zone must be an IANA name like Europe/Paris"),
    ("2026-01-01,", '"2026-01-01",', "holidays must be dates like 2026-12-25, and '2026-01-01' is none"),
    ("2026-01-01,", "2026-01-01T00:00:00Z,", "holidays must be dates like 2026-12-25"),
    ("2026-01-01,", "2026-02-30,", "can't be read"),
    ('email = ".*"', "", "controller.email is missing"),
    ('email = ".*"', 'email = "x@example.com"\nmail = "y"', "controller.mail is not known"),
    (r"\[controller\]\n(.*\n){3}", "", "controller is missing"),
    ('sandbox = "The.*"', "sandbox = 7", "recipients.sandbox must be a text in quotes"),
    ('sandbox = "The.*"', '"Sand Box" = "x"', "the names in recipients must be codes"),
    (r"(?<=\[transfers\]\n)stripe", "adyen", "transfers.adyen is not known"),
    (r"\[regulations.gdpr\]", "[regulations.lgpd]", "regulations.gdpr is missing"),
    ('unit = "month"', 'unit = "week"', 'regulations.gdpr.unit must be "month" or "day"'),
    ('starts = "submitted"', "starts = true", 'regulations.gdpr.starts must be "submitted" or "received"'),
    ("extension = 2", "extension = -1", "regulations.gdpr.extension must be a whole number from 0 to"),
    ("to_working_day = true", "to_working_day = 1", "regulations.gdpr.to_working_day must be true or false"),
    ("to_working_day = true", "to_workingday = true", "regulations.gdpr.to_workingday is not known"),
    ("warn_after_days = 28", "warn_after_days = 29", "gdpr.warn_after_days must be a whole number from 1 to 28"),
    ("warn_after_days = 38", "warn_after_days = 46", "ccpa.warn_after_days must be a whole number from 1 to 45"),
    ("acknowledge_working_days = 10", "acknowledge_working_days = 0", "regulations.ccpa.acknowledge_working_days must"),
    (r"\[retention.transactions\]", "[retention.cards]", "retention.cards is not known"),
    ('jurisdiction = "FR"', "", "retention.transactions.jurisdiction is missing"),
    (REDACTION, "[redaction]\nadyen = 90", "redaction.adyen is not known"),
    (REDACTION, "[redaction]\nstripe = 0", "redaction.stripe must be a whole number from 1 to 3650"),
    (REDACTION, "[redaction]\nstripe = true", "redaction.stripe must be a whole number from 1 to 3650"),
    ("years = 10", 'years = "10"', "retention.transactions.years must be a whole number from 1 to"),
]


@pytest.mark.parametrize(("there", "instead", "says"), WRONG, ids=[f"{says} / {instead}" for _, instead, says in WRONG])
def test_a_wrong_policy_file_is_refused(there: str, instead: str, says: str, tmp_path: Path) -> None:
    """Each mistake is said with its place in the file; none is passed over, a key that nobody knows neither."""
    wrong, times = re.subn(there, lambda _: instead, EXAMPLE)
    assert times == 1
    file = tmp_path / "policy.toml"
    file.write_text(wrong)
    with pytest.raises(PolicyError) as refused:
        read_policy(file)
    assert says in str(refused.value)
    assert str(file) in str(refused.value)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """Bytes that are not UTF-8 are trouble with the file, said as such."""
    (tmp_path / "policy.toml").write_bytes(b'version = "\xff"')
    with pytest.raises(PolicyError, match="can't be read"):
        read_policy(tmp_path / "policy.toml")


def test_what_may_be_left_out(tmp_path: Path) -> None:
    """No transfers, no deadline to acknowledge, no holidays: these say that there are none."""
    short = re.sub(r"\[transfers\]\n.*\n|acknowledge_working_days.*\n", "", EXAMPLE)
    short = re.sub(r"holidays = \[[^\]]*\]", "holidays = []", short)
    (tmp_path / "policy.toml").write_text(short)
    policy = read_policy(tmp_path / "policy.toml")
    assert (policy.transfers, policy.holidays) == ({}, frozenset())
    assert policy.regulations["ccpa"].acknowledge_working_days is None


def test_redaction_is_what_the_file_names(tmp_path: Path) -> None:
    """Nothing in the example; once it is no comment any more, so many days for each kind."""
    asked = re.sub(REDACTION, "[redaction]\nstripe = 90", EXAMPLE)
    found = []
    for number, content in enumerate((EXAMPLE, asked)):
        file = tmp_path / f"{number}.toml"
        file.write_text(content)
        found.append(read_policy(file).redaction)
    assert found == [{}, {"stripe": 90}]


def test_the_example_is_read_as_it_stands(tmp_path: Path) -> None:
    """Every value of the example arrives, and more regulations may be added."""
    brazil = '\n[regulations.lgpd]\nunit = "day"\namount = 15\nextension = 0\nstarts = "received"\n'
    (tmp_path / "policy.toml").write_text(f"{example_policy()}{brazil}to_working_day = false\nwarn_after_days = 10\n")
    policy, file = read_policy(tmp_path / "policy.toml"), tomllib.loads(EXAMPLE)
    assert policy.controller == file["controller"]
    assert policy.recipients == file["recipients"]
    assert policy.holidays == set(file["holidays"])
    assert set(policy.regulations) == {"gdpr", "ccpa", "lgpd"}
    for name, clock in file["regulations"].items():
        assert {key: getattr(policy.regulations[name], key) for key in clock} == clock
    for name in ("version", "authority", "data_protection_officer", "time_zone", "erasures_per_day"):
        assert getattr(policy, name) == file[name]


def test_a_processor_without_a_name_is_refused(deployment: dict[str, str]) -> None:
    """Whoever may get data has a name that people can be told: without it nothing starts, and the error says where."""
    file = Path(deployment["PANLESS_POLICY"])
    file.write_text(re.sub(r'sandbox = ".*"\n', "", EXAMPLE))
    create = ("clients", "create", "--name", "x", "--role", "admin")
    assert panless(*create, env=deployment).returncode == 0
    said = refusal(panless(*create, env=deployment | {"PANLESS_SANDBOX_URL": "http://127.0.0.1:1"}))
    assert said == f"Give the processor sandbox its legal name, under [recipients] in {file}."
