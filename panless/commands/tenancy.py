"""What commands about one tenant have in common: whose records, in which mode, and how times are shown."""

from datetime import datetime

import click

from panless.settings.environment import read_settings
from panless.shown.trouble import Refused
from panless.wiring import Components, build
from vault.caller import Caller
from vault.ids import is_id, new_id

of_tenant = click.option(
    "--tenant", required=True, envvar="PANLESS_TENANT", show_envvar=True, help="The tenant's id: ten_..."
)
mode = click.option("--live/--test", default=False, help="Real money, or the processor's test mode.")


def house_of(tenant: str) -> Components:
    """The parts, for a command about `tenant`."""
    if not is_id(tenant, "ten"):
        raise Refused("A tenant's id looks like ten_...; `panless tenants create` printed it.")
    return build(read_settings())


def caller_of(house: Components, tenant: str, *, live: bool = False) -> Caller:
    """The command line itself: no client."""
    return Caller(tenant=tenant, client="", live=live, at=house.clock(), request_id=new_id("req", tenant))


def mode_of(*, live: bool) -> str:
    """The name of a mode."""
    return "live" if live else "test"


def when(at: datetime | None) -> str:
    """A time for people, in UTC; empty for none."""
    return at.strftime("%Y-%m-%d %H:%M") if at else ""
