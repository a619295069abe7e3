"""What always goes together where a caller is served: the records, the keys, and who they are."""

from dataclasses import dataclass, field

from sqlalchemy import Engine

from keys.keyring import Keyring
from vault.caller import Caller


@dataclass(frozen=True, slots=True)
class Desk:
    """What one caller is served with; domain functions take it first.

    `records` are bound to the caller's tenant (`keys.tenant_rows.for_tenant`), except on the command line, which works
    as the owner of the database.
    """

    records: Engine = field(repr=False)
    keyring: Keyring = field(repr=False)
    caller: Caller
