"""The page about keys: its commands as they stand there, and what they show."""

from pathlib import Path

from tour_scene import run_page, running

PAGE = "docs/keys.md"


def test_the_ceremony_of_a_keyfile(tmp_path: Path) -> None:
    """A key file is made, split among three, and made again by two of them."""
    _, split, again = run_page(PAGE, "ceremony", tmp_path)
    assert len(split.split("Any 2 of these make the key file again.")[1].split("\n")) > 3
    assert "holds the root key kf_" in again
    assert again.endswith("the same\n")


def test_rotation(tmp_path: Path, free_port: int) -> None:
    """A new epoch for everybody, and the day on which the old one goes."""
    with running(tmp_path, free_port):
        [shown] = run_page(PAGE, "rotate", tmp_path)
    assert "The worker destroys them from" in shown
    assert shown.count("retired") == shown.count("active") == 2


def test_the_check(tmp_path: Path, free_port: int) -> None:
    """What `panless dev` has set up opens."""
    with running(tmp_path, free_port):
        [shown] = run_page(PAGE, "check", tmp_path)
    assert shown.endswith(" looked at, 0 do not open.\n")
