"""What people are owed: answers in time, and erasures that end."""

from collections.abc import Iterator

from panless.checks.finding import Finding, note
from panless.wiring import Components
from vault.erasing import watch as erasure_watch
from vault.requests import watch as rights_watch


def requests(house: Components) -> Iterator[Finding]:
    """Rights requests past their day."""
    watch = rights_watch.watch(house.records, house.policy, house.clock())
    if watch.overdue:
        yield Finding(
            what=f"{watch.overdue} rights requests are overdue.",
            mend="Answer them: GET /v1/rights-requests?overdue=true.",
        )
    if watch.pressing:
        yield note(f"{watch.pressing} rights requests want an answer soon.", "See GET /v1/rights-requests.")


def erasures(house: Components) -> Iterator[Finding]:
    """Erasures that stand still."""
    watch = erasure_watch.watch(house.records, house.clock())
    if watch.undone:
        yield Finding(
            what=f"{watch.undone} erasures were decided an hour ago or longer, and the keys still stand.",
            mend="See why the worker can't carry them out: its log names each step that failed.",
        )
    if watch.unanswered:
        yield note(
            f"{watch.unanswered} erasures wait for a processor's answer since a week or longer.",
            "See whether its account still opens (panless processor-accounts list).",
        )
