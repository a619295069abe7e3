"""`panless webhooks`: what processors told and nothing here fitted."""

import click

from panless.settings.environment import read_settings
from panless.shown.trouble import Refused
from panless.wiring import build
from vault.processing import inbox
from vault.recovering import webhooks_left


@click.group("webhooks")
def webhooks_group() -> None:
    """Events from processors."""


@webhooks_group.command("left")
def left() -> None:
    """List events that came to nothing: about a payment of ours without a charge, or never answered for."""
    house = build(read_settings())
    found = webhooks_left.listed(house.records)
    for row in found:
        named = " ".join(filter(None, inbox.named_in(house.keyring, row).values()))
        click.echo(f"{row.account_id} {row.type} {row.state} since {row.received_at:%Y-%m-%d %H:%M}: {named}")
    click.echo(f"{len(found)} need a human.", err=True)


@webhooks_group.command("retry")
@click.argument("account")
def retry(account: str) -> None:
    """Have the worker look into the events of ACCOUNT once more."""
    given = webhooks_left.retry(build(read_settings()).workshop, account)
    if not given:
        raise Refused("This account has no event that came to nothing.")
    click.echo(f"The worker looks into {given} again.")


COMMANDS = (webhooks_group,)
