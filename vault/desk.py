"""What always goes together where a caller is served: the records, the keys, and who they are."""

from dataclasses import dataclass, field

from sqlalchemy import Engine

from keys.keyring import Keyring
from rows.tenants import for_tenant
from vault.caller import Caller


@dataclass(frozen=True, slots=True)
class Desk:
    """What one caller is served with; domain functions take it first. Made by `desk_for`."""

    records: Engine = field(repr=False)
    keyring: Keyring = field(repr=False)
    caller: Caller


def desk_for(records: Engine, keyring: Keyring, caller: Caller) -> Desk:
    """A desk whose records are those of the caller's tenant, whatever they were bound to before.

    Where the database keeps tenants apart for this program (`rows.tenants`), no statement at the desk sees another
    one's rows. That is so for the server; the worker and the commands serve all tenants.
    """
    return Desk(for_tenant(records, caller.tenant), keyring, caller)
