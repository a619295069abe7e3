"""The README's tour, run as a newcomer would: the commands as they stand there, in one shell."""

import re
from pathlib import Path

import pytest
from house import ROOT
from tour_scene import run_page, running

LINK = re.compile(r"\]\((?!https?:)([^)#]+)\)")


def test_the_tour_works_as_written(tmp_path: Path, free_port: int) -> None:
    """Each step of the tour shows what the text beside it says."""
    with running(tmp_path, free_port):
        shown = run_page("README.md", "tour", tmp_path)
    assert '"last4":"4242"' in shown[1]
    assert '"status":"succeeded"' in shown[2]
    assert "already_paid" in shown[2]
    assert '"decline_code": "generic_decline"' in shown[3]
    assert shown[3].rstrip().endswith("402")
    assert "ada@example.com" in shown[4]
    assert '"status":"completed_with_retention"' in shown[5]
    assert '"result":"erased"' in shown[5]
    assert "410" in shown[5].splitlines()
    assert '"deleted":true' in shown[5].replace(" ", "")
    assert '"customer":null' in shown[5].replace(" ", "")


@pytest.mark.parametrize(
    "page", sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("**/*.md") if ".venv" not in path.parts)
)
def test_links_lead_somewhere(page: str) -> None:
    """Every relative link on our pages names a file that is there."""
    file = ROOT / page
    missing = [target for target in LINK.findall(file.read_text()) if not (file.parent / target).exists()]
    assert missing == []


def test_the_commands_are_make_targets() -> None:
    """The two commands of the README are targets of the Makefile."""
    makefile = (ROOT / "Makefile").read_text()
    assert all(f"\n{target}:" in makefile for target in ("run", "test", "check", "bench", "setup"))
