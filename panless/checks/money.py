"""Money: none goes to a stand-in, and no call is left in doubt."""

from collections.abc import Iterator

from panless.checks.finding import Finding, note
from panless.wiring import Components
from vault.processing import live_use
from vault.recovering import open_intents, webhooks_left

STAND_IN = "sandbox"


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
    """Calls to processors that only a human can end, and differences to their books."""
    watch = open_intents.watch(house.records, house.clock())
    if watch.manual:
        yield note(f"{watch.manual} calls to processors need a human.", "See: panless charges manual.")
    left = webhooks_left.watch(house.records)
    if left.unmatched or left.given_up:
        yield note(
            f"{left.unmatched + left.given_up} events of processors came to nothing.", "See: panless webhooks left."
        )
    if watch.differences:
        yield note(
            f"The processors' books differ from ours in {watch.differences} places.", "See: panless charges reconcile."
        )
