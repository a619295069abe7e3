"""Commands about charges: compare them with the processors."""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click
from sqlalchemy import Row, select

from panless.settings.environment import read_settings
from panless.shown.trouble import Refused
from panless.wiring import Components, build
from rows.engine import reading
from vault.errors import NotUsable
from vault.money import comparing
from vault.tables import processor_accounts
from vault.workshop import caller_of

DIFFER, NOT_COMPARED = 1, 2
"""Exit codes."""


@click.group("charges")
def charges_group() -> None:
    """Charges: what the processors have of them."""


@charges_group.command("reconcile")
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), required=True, help="The first day, in UTC.")
@click.option("--account", help="One processor account only.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each difference, a line each.")
def reconcile_(since: datetime, account: str | None, *, as_json: bool) -> None:
    """Compare charges with the processors' payments. Exit code 0: alike; 1: not alike; 2: could not be compared."""
    house = build(read_settings())
    rows = _accounts(house, account)
    if account is not None and not rows:
        raise Refused("There is no such processor account.")
    codes = [_compared(house, row, since.replace(tzinfo=UTC), as_json=as_json) for row in rows]
    sys.exit(max(codes, default=0))


def _compared(house: Components, row: Row[str, str, bool], since: datetime, *, as_json: bool) -> int:
    caller = caller_of(house.workshop, row.tenant_id, live=row.live)
    try:
        report = comparing.compare(house.desk(caller), house.processors, row.account_id, since, _say)
    except (comparing.NotCompared, NotUsable) as error:
        click.echo(f"{row.account_id}: not compared. {error}", err=True)
        return NOT_COMPARED
    for each in report.differences:
        click.echo(json.dumps({"account": row.account_id, **asdict(each)}) if as_json else _line(row.account_id, each))
    if not as_json:
        click.echo(
            f"{row.account_id}: {report.compared} compared, {len(report.differences)} differ, "
            f"{report.not_ours} there are not ours."
        )
    return DIFFER if report.differences else 0


def _line(account: str, each: comparing.Difference) -> str:
    named = f"{account} {each.kind} {each.charge or '-'} {each.payment or '-'}"
    return f"{named} ours: {_side(each.ours)} theirs: {_side(each.theirs)}"


def _side(side: Mapping[str, Any] | None) -> str:
    return " ".join(f"{name}={value}" for name, value in side.items()) if side else "-"


def _accounts(house: Components, account: str | None) -> list[Row[str, str, bool]]:
    columns = (processor_accounts.c.tenant_id, processor_accounts.c.account_id, processor_accounts.c.live)
    statement = select(*columns).where(processor_accounts.c.deleted_at.is_(None)).order_by(*columns)
    if account is not None:
        statement = statement.where(processor_accounts.c.account_id == account)
    with reading(house.records) as connection:
        return [*connection.execute(statement)]


def _say(day: datetime, compared: int) -> None:
    click.echo(f"until {day:%Y-%m-%d %H:%M}: {compared} compared", err=True)


COMMANDS = (charges_group,)
