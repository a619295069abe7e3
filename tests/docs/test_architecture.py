"""docs/architecture.md: every room is on it, every file that it names is there, and its walks are walked as written."""

import re
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import FrameType

import pytest
from house import House, open_house

from panless.wiring import utc_now
from vault.lanes.keeping import anchor_once, rotate_once, sequence_once

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
FILE = re.compile(r"`([\w/]+\.py)`")
PERSON = {"reference": "R-1", "billing_contact": {"name": "Ada Lovelace", "email": "ada@lovelace.example"}}


def walk(title: str) -> list[str]:
    """The files of a walk, in its order."""
    (paragraph,) = (each for each in PAGE.split("\n\n") if each.startswith(f"**{title}.**"))
    return FILE.findall(paragraph)


@contextmanager
def followed() -> Iterator[list[str]]:
    """The files of ours whose functions are called meanwhile, each once, in the order of their first calls."""
    met: dict[str, None] = {}

    def note(frame: FrameType, event: str, _argument: object) -> None:
        file = Path(frame.f_code.co_filename)
        if event == "call" and frame.f_code.co_name != "<module>" and file.is_relative_to(ROOT):
            met[str(file.relative_to(ROOT))] = None

    files: list[str] = []
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield files
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
        files += met


def a_card(house: House) -> None:
    tenant = house.tenant()
    with followed() as files:
        tenant.token(customer=PERSON)
    assert_walked("A card becomes a token", files)


def a_charge(house: House) -> None:
    tenant = house.tenant()
    token = tenant.token()
    with followed() as files:
        tenant.charge(token["id"])
    assert_walked("A charge", files)


def an_erasure(house: House) -> None:
    tenant = house.tenant()
    token = tenant.token()
    house.work()
    with followed() as files:
        tenant.erase(token["customer"])
        house.work()
    assert_walked("An erasure", files)


def a_rotation(house: House) -> None:
    house.tenant().token()
    house.work()
    later = open_house(house.home, house.environment, house.sandbox, lambda: utc_now() + timedelta(days=30))
    for lane in (anchor_once, sequence_once):
        lane(later.components.workshop, pytest.fail)
    with followed() as files:
        rotate_once(later.components.workshop, pytest.fail)
    later.components.close()
    assert_walked("A rotation", files)


def a_look(house: House) -> None:
    tenant = house.tenant()
    token = tenant.token()
    house.work()
    parts = house.components
    with followed() as files:
        assert tenant.call("GET", f"/v1/tokens/{token['id']}").status_code == 200
        parts.tallies.write_down(parts.records, parts.keyring, utc_now(), all_of_it=True)
        for lane in (sequence_once, anchor_once):
            lane(parts.workshop, pytest.fail)
    assert_walked("A look, to a signed checkpoint", files)


def assert_walked(title: str, files: list[str]) -> None:
    written = walk(title)
    assert len(written) >= 4
    assert [each for each in files if each in written] == written


@pytest.mark.parametrize("take", [a_card, a_charge, an_erasure, a_rotation, a_look])
@pytest.mark.parametrize("own_house", ["sqlite"], indirect=True)  # no SQL differs by where functions stand
def test_walks_are_walked_as_written(own_house: House, take: Callable[[House], None]) -> None:
    """A call comes by the files that the page lists, in their order."""
    take(own_house)


def test_every_room_is_on_it() -> None:
    """No package of the program is missing, and none is there that has gone."""
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    rooms = {f"{each.replace('.', '/')}/" for each in packages}
    assert {each for each in rooms if each not in PAGE} == set()
    named = set(re.findall(r"`((?:panless|api|vault|keys|rows|migrations)/(?:\w+/)*)`", PAGE))
    assert named - rooms == set()


def test_every_file_is_there() -> None:
    """What the page sends a reader to exists."""
    files = FILE.findall(PAGE)
    assert len(files) > 50
    assert [each for each in files if not (ROOT / each).is_file()] == []
