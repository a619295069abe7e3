"""Commands about people's rights: the records of processing activities."""

import json

import click

from panless.settings.environment import read_settings
from panless.shown.records_page import page
from panless.wiring import build
from vault.requests import processing_records


@click.group("rights")
def rights_group() -> None:
    """Rights: what the law asks of whoever keeps records of people."""


@rights_group.command("records")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def records(*, as_json: bool) -> None:
    """Print the records of processing activities (GDPR art. 30), as Markdown."""
    house = build(read_settings())
    takes_card_numbers = house.settings.accept_raw_cards
    found = processing_records.gather(house.records, house.policy, house.clock(), takes_card_numbers=takes_card_numbers)
    click.echo(json.dumps(found, indent=2, ensure_ascii=False) if as_json else page(found))


COMMANDS = (rights_group,)
