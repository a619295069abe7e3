"""Commands about doubt: processor accounts about which these records may have lost something."""

import click

from panless.commands.tenancy import mode_of, when
from panless.settings.environment import read_settings
from panless.shown.tables import table
from panless.wiring import build
from vault.recovering import doubts


@click.group("doubt")
def doubt_group() -> None:
    """Doubt: what processors may have, and these records have lost, since a failover, a restart or a restore."""


@doubt_group.command("list")
def list_() -> None:
    """List the processor accounts in doubt, those first for which orders wait."""
    house = build(read_settings())
    found = doubts.listed(house.records, house.processors)
    head = ("ACCOUNT", "KIND", "MODE", "LABEL", "LOST SINCE", "KEYS GUARD UNTIL", "ORDERS WAIT SINCE", "NEXT WALK", "")
    click.echo(table(head, [_line(each) for each in found]))
    click.echo(f"{len(found)} in doubt.", err=True)


@doubt_group.command("waive")
@click.argument("account")
def waive(account: str) -> None:
    """End the doubt about ACCOUNT without a walk: what these records lost of it may be paid again. On the record."""
    doubts.waive(build(read_settings()).workshop, account)
    click.echo("Waived. What was lost of it is not written again.")


def _line(each: doubts.Doubt) -> tuple[object, ...]:
    named = (each.account, each.kind, mode_of(live=each.live), each.label)
    since, until = when(each.since) or "ever", when(each.guarded_until) or "no key does"
    return (*named, since, until, when(each.wanted_at), when(each.walk_at), "overdue" if each.overdue else "")


COMMANDS = (doubt_group,)
