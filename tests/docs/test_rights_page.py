"""The page about rights: its commands as they stand there, and what they show."""

import json
import shutil
from pathlib import Path

from house import wait_for
from tour_scene import run_page, running

PAGE = "docs/rights.md"


def test_every_right_works_as_written(tmp_path: Path, free_port: int) -> None:
    """Each step shows what the text beside it says, from access to OpenDSR's signature."""
    with running(tmp_path, free_port):
        _, access, portability, rectification, restriction, objection, hold, erasure, opendsr, signature = run_page(
            PAGE, "tour", tmp_path
        )
    assert '"complaint":' in access
    assert "data.json" in access
    assert "Ada Lovelace" in portability
    assert '"status":"completed"' in rectification
    assert '"ground":"accuracy_contested"' in restriction
    assert '"restricted":false' in restriction
    assert '"status":"denied"' in objection
    assert '"blocked":true' in hold
    assert '"blocked":false' in erasure
    assert '"request_id"' in erasure
    certificate = json.loads((tmp_path / "certificate.json").read_text())["certificate"]
    assert {each["result"] for each in certificate["recipients"]} == {"erased"}
    assert '"supported_identities"' in opendsr
    assert '"encoded_request"' in opendsr
    assert signature == "Verified OK\n"


def test_the_restore_works_as_written(tmp_path: Path, free_port: int) -> None:
    """A backup that still knew the erased is restored and replayed by the page's commands: they stay erased."""
    records = tmp_path / ".panless" / "records.db"
    (tmp_path / "backup").mkdir()
    with running(tmp_path, free_port):
        pass
    with running(tmp_path, free_port):  # the first start makes the database, the second one closes it with data in it
        first = run_page("README.md", "tour", tmp_path)
        assert '"last4":"4242"' in first[1]
    shutil.copy(records, tmp_path / "backup" / "records.db")
    with running(tmp_path, free_port):
        run_page(PAGE, "tour", tmp_path)
    _, replayed = run_page(PAGE, "restore", tmp_path)
    assert "entries replayed. These databases may serve." in replayed
    with running(tmp_path, free_port):
        wait_for(f"http://127.0.0.1:{free_port}/readyz")
