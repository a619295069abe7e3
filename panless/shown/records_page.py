"""The records of processing activities as a document in Markdown; each heading names its letter of GDPR art. 30(1)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def page(found: Mapping[str, Any]) -> str:
    """The document of what `vault.requests.processing_records.gather` found."""
    return "\n".join(line for section in _SECTIONS for line in (*section(found), ""))


def _head(found: Mapping[str, Any]) -> Iterator[str]:
    yield "# Records of processing activities"
    yield ""
    yield f"Under GDPR art. 30(1), for the Panless deployment {found['deployment']}, made {found['generated_at']} from"
    yield f"version {_plain(found['policy_version'])} of its policy file. {found['activity']}"


def _whom(found: Mapping[str, Any]) -> Iterator[str]:
    controller = found["controller"]
    yield "## (a) Controller and data protection officer"
    yield ""
    yield f"- Controller: {', '.join(_plain(controller[name]) for name in ('name', 'address', 'email'))}"
    yield f"- Data protection officer: {_plain(found['data_protection_officer'])}"
    yield f"- Supervisory authority: {_plain(found['authority'])}"


def _why(found: Mapping[str, Any]) -> Iterator[str]:
    yield "## (b) Purposes"
    yield ""
    yield from (f"- {purpose}" for purpose in found["purposes"])


def _what(found: Mapping[str, Any]) -> Iterator[str]:
    numbers = found["numbers"]
    yield "## (c) Data subjects and data, (f) time limits"
    yield ""
    yield from (f"- {subject}" for subject in found["data_subjects"])
    yield ""
    yield f"Tenants {numbers['tenants']}, customers {numbers['customers']}, erased or being erased {numbers['erased']}."
    yield ""
    yield from _table(("data", "kept"), [(each["category"], each["kept"]) for each in found["data_categories"]])
    yield ""
    yield from (_rule(name, rule) for name, rule in found["retention"].items())
    yield f"- copies made for a request, sealed: {found['packages_days']} days at most"
    backups = found["backups"]
    yield f"- backups: records {backups['records_days']} days, keys {backups['keystore_days']} days"
    yield "- a legal hold keeps what it names for as long as it is in force"


def _rule(name: str, rule: Mapping[str, Any]) -> str:
    return f"- {name}: {rule['years']} years ({_plain(rule['jurisdiction'])}). {_plain(rule['basis'])}"


def _to_whom(found: Mapping[str, Any]) -> Iterator[str]:
    yield "## (d) Recipients, (e) third countries"
    yield ""
    head = ("recipient", "processor", "mode", "accounts", "former", "third country and safeguard")
    names = ("name", "processor", "mode", "accounts", "former_accounts", "third_country")
    rows = [["none" if each[name] is None else each[name] for name in names] for each in found["recipients"]]
    yield from _table(head, rows) if rows else ("No processor account is connected.",)


def _how(found: Mapping[str, Any]) -> Iterator[str]:
    yield "## (g) Security measures"
    yield ""
    yield from (f"- {measure}" for measure in found["security_measures"])


_SECTIONS = (_head, _whom, _why, _what, _to_whom, _how)


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    yield from (f"| {' | '.join(_plain(cell) for cell in row)} |" for row in rows)


def _plain(text: object) -> str:
    """On one line, and no cell of a table ended early, whatever the policy file says."""
    return " ".join(str(text).split()).replace("|", "\\|")
