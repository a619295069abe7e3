"""Commands about intents that are open: what nobody knows the end of, looked at again, or ended on a human's word."""

import json
import re
from datetime import datetime, timedelta
from typing import Any

import click
from sqlalchemy import Row

from api.pan_guard import has_card_number
from panless.commands.tenancy import mode_of, when
from panless.settings.environment import read_settings
from panless.shown.tables import table
from panless.shown.trouble import Refused
from panless.wiring import build
from vault.money.by_hand import ByHand
from vault.recovering import ended_by_hand, open_intents

LONGEST_EVIDENCE = 2000
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def _age(_context: click.Context, _option: click.Parameter, given: str | None) -> timedelta | None:
    """A time span as people write it: a number of minutes, hours or days, as in 30m, 1h, 2d."""
    if given is None:
        return None
    named = re.fullmatch(r"(\d{1,5})([mhd])", given, re.ASCII)
    if named is None:
        raise click.BadParameter("Write a number with m, h or d behind it, for example 30m, 1h or 2d.")
    return timedelta(**{_UNITS[named[2]]: int(named[1])})


@click.group("intents")
def intents_group() -> None:
    """Intents: calls to processors whose end nobody knows yet."""


@intents_group.command("list")
@click.option("--manual", is_flag=True, help="Only those that need a human.")
@click.option("--older", callback=_age, help="Only those that began so long ago: 30m, 1h, 2d.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each, a line each.")
def list_(older: timedelta | None, *, manual: bool, as_json: bool) -> None:
    """List those that are open, the oldest first."""
    house = build(read_settings())
    found = open_intents.listed(house.records, house.clock(), manual=manual, older=older)
    if as_json:
        for row in found:
            click.echo(json.dumps(_plain(row)))
        return
    head = ("INTENT", "OPERATION", "RESOURCE", "ACCOUNT", "STATE", "SINCE", "LOOKS", "NEXT")
    click.echo(table(head, [_line(row) for row in found]))
    click.echo(f"{len(found)} open, of which {sum(row.state == 'manual' for row in found)} need a human.", err=True)


@intents_group.command("show")
@click.argument("intent")
@click.option("--evidence", is_flag=True, help="Also by which evidence it was ended by hand; this look is recorded.")
def show(intent: str, *, evidence: bool) -> None:
    """Show one intent. At the processor its object has the resource's id in its metadata, as panless_id."""
    house = build(read_settings())
    row = open_intents.find(house.records, intent)
    if row is None:
        raise Refused("There is no such intent. See: panless intents list.")
    for name, value in _plain(row).items():
        click.echo(f"{name}: {'-' if value is None else value}")
    if evidence:
        click.echo(f"evidence: {ended_by_hand.evidence(house.workshop, intent) or '-'}")


@intents_group.command("retry")
@click.argument("intent")
def retry(intent: str) -> None:
    """Have the worker look INTENT up again at once, once what was in its way is mended."""
    ended_by_hand.retry(build(read_settings()).workshop, intent)
    click.echo("The worker looks it up again.")


@intents_group.command("settle")
@click.argument("intent")
@click.option("--as", "how", type=click.Choice(("succeeded", "failed")), required=True, help="How it ended there.")
@click.option("--evidence", required=True, help="What you saw at the processor, and who you are.")
def settle(intent: str, how: str, evidence: str) -> None:
    """End INTENT on your word, where the processor can't be asked any more. There is no way back.

    A charge that succeeded took its whole amount; one that failed frees its obligation. A step (capture, void) that
    succeeded was taken; one that failed was not, and the charge stays as it is. The evidence is sealed under the
    customer's key. Cards to be stored or forgotten, and contacts, can't be settled.
    """
    said = ByHand(succeeded=how == "succeeded", evidence=_checked(evidence))
    click.echo(f"Settled by hand: {ended_by_hand.settle(build(read_settings()).workshop, intent, said)}.")


def _checked(evidence: str) -> str:
    text = evidence.strip()
    if not text or len(text) > LONGEST_EVIDENCE:
        raise Refused(f"Give evidence of 1 to {LONGEST_EVIDENCE} characters: what you saw, where, and when.")
    if has_card_number(text):
        raise Refused("The evidence has a card number in it, which is kept nowhere. Leave it out.")
    return text


def _plain(row: Row[Any]) -> dict[str, Any]:
    return {
        "intent": row.intent_id,
        "tenant": row.tenant_id,
        "mode": mode_of(live=bool(row.live)),
        "operation": row.operation,
        "resource": row.resource_id,
        "customer": row.customer_id,
        "account": row.account_id,
        "state": row.state,
        "since": _at(row.created_at),
        "looks": row.attempts,
        "errors": row.exceptions,
        "key_burnt": row.burnt,
        "being_worked_on": bool(row.held) and row.state != "done",
        "next_look": _at(row.lease_until) if row.state != "done" else None,
        "ended": _at(row.finished_at),
    }


def _line(row: Row[Any]) -> tuple[object, ...]:
    following = "now" if row.held else when(row.lease_until)
    named = (row.intent_id, row.operation, row.resource_id, row.account_id or "", row.state)
    return (*named, when(row.created_at), row.attempts, following)


def _at(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment is not None else None


COMMANDS = (intents_group,)
