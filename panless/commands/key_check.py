"""`panless keys check`: whether what is sealed opens."""

import json
import sys
from dataclasses import asdict

import click

from panless.settings.environment import read_settings
from panless.shown.progress import progress
from panless.wiring import build
from vault.resealing import key_check
from vault.resealing.key_check import Looked, Trouble
from vault.sealed_columns import HOLDERS, SEALED_COLUMNS


@click.command("check")
@click.option(
    "--sample", type=click.IntRange(min=1), default=1000, show_default=True, help="So many of each kind, drawn by lot."
)
@click.option("--all", "everything", is_flag=True, help="Every value; with a million cards that takes an hour.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def check(*, sample: int, everything: bool, as_json: bool) -> None:
    """Open values of every kind, and name those that do not open. Changes nothing; exit code 1 if any does not."""
    house = build(read_settings())
    found: list[Looked] = []
    with progress("Sealed columns", len(SEALED_COLUMNS) + len(HOLDERS) + 1) as told:
        for looked in key_check.examine(house.records, house.keyring, None if everything else sample):
            found.append(looked)
            told(1)
    troubles = [trouble for looked in found for trouble in looked.troubles]
    click.echo(_plain(found, troubles) if as_json else _shown(found, troubles))
    sys.exit(1 if troubles else 0)


def _plain(found: list[Looked], troubles: list[Trouble]) -> str:
    rows = [{"table": looked.table, "column": looked.column, "rows": looked.rows} for looked in found]
    return json.dumps({"looked_at": rows, "troubles": [asdict(trouble) for trouble in troubles]}, indent=2)


def _shown(found: list[Looked], troubles: list[Trouble]) -> str:
    lines = [f"{each.table}.{each.column} {each.row} of {each.tenant}: {each.trouble}." for each in troubles]
    rows = sum(looked.rows for looked in found)
    return "\n".join([*lines, f"{rows} looked at, {len(troubles)} do not open."])
