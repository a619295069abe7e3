"""Money: none goes to a stand-in, and no call is left in doubt."""

from collections.abc import Iterator

from panless.checks.finding import Finding, note
from panless.wiring import Components
from vault.processing import live_use
from vault.recovering import doubts, open_intents, webhooks_left

STAND_IN = "sandbox"
OLD = 3600
"""Seconds: by then every outage but a long one is over, and looks have become rare."""


def sandbox_in_live_use(house: Components) -> Iterator[Finding]:
    """A sandbox approves what nobody pays."""
    if live_use.has_live_account(house.records, STAND_IN):
        yield Finding(
            what="A live processor account lies at the sandbox: its charges move no money.",
            mend="Add an account at a real processor in its place (panless processor-accounts add --live).",
        )
    if house.settings.sandbox_url is None:
        return
    if live_use.has_live_client(house.records):
        yield Finding(
            what="A sandbox processor is configured where clients with live keys call.",
            mend="Unset PANLESS_SANDBOX_URL.",
        )
    else:
        yield note("A sandbox processor is configured.", "In production, unset PANLESS_SANDBOX_URL.")


def open_calls(house: Components) -> Iterator[Finding]:
    """Calls to processors that come to no end, and differences to their books."""
    watch = open_intents.watch(house.records, house.clock())
    if watch.manual:
        yield note(
            f"{watch.manual} calls to processors need a human, the oldest for {_hours(watch.oldest_manual)}.",
            "See: panless intents list --manual. Then: panless intents retry, or settle.",
        )
    if watch.oldest_pending > OLD:
        yield note(
            f"A call to a processor has been open for {_hours(watch.oldest_pending)}.",
            "See: panless intents list --older 1h, and what the worker's log says of it.",
        )
    left = webhooks_left.watch(house.records)
    if left.unmatched or left.given_up:
        yield note(
            f"{left.unmatched + left.given_up} events of processors came to nothing.", "See: panless webhooks left."
        )
    if watch.differences:
        yield note(
            f"The processors' books differ from ours in {watch.differences} places.", "See: panless charges reconcile."
        )


def _hours(seconds: int) -> str:
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def lost_commits(house: Components) -> Iterator[Finding]:
    """Accounts that nobody could look through for what these records have lost: orders may wait for them."""
    late = [each for each in doubts.listed(house.records, house.processors) if each.overdue]
    if late:
        waiting = sum(each.wanted_at is not None for each in late)
        yield note(
            f"{len(late)} processor accounts could not be walked through for {doubts.LATE // 60} minutes; "
            f"orders wait for {waiting}.",
            "See: panless doubt list. Mend what the worker's log says, or: panless doubt waive ACCOUNT.",
        )
