"""A house whose records and keystore lie on a PostgreSQL server each, so that one can be away without the other."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from house import House, Sandbox, build_house
from postgres import create_database, own_server

from vault.processing import beats


@dataclass(frozen=True)
class TwoServers:
    """The house, and both servers by what lies there."""

    house: House
    servers: dict[str, Any]

    def restart(self, which: str) -> None:
        self.servers[which].stop()
        self.servers[which].start()
        for engine in (self.house.components.records, self.house.components.keystore):
            engine.dispose()


@contextmanager
def two_servers(home: Path, sandbox: Sandbox) -> Iterator[TwoServers]:
    with own_server() as records, own_server() as keystore:
        records_url, keystore_url = (create_database(server.get_uri(), "panless") for server in (records, keystore))
        house = build_house(home, records_url, keystore_url, sandbox)
        beats.beat(house.components.records)
        yield TwoServers(house, {"records": records, "keystore": keystore})
        house.components.close()
