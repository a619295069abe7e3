"""A house by its transit engine: tokens that end, several addresses, and what `panless check` says of both."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from house import House
from http_front import Front
from transit_house import moved
from transit_standin import JWT, ROLE, SECRET_ID, TOKEN, Transit

from panless.checks import transit as checks

pytestmark = pytest.mark.xdist_group("root-keys")


@pytest.fixture
def transit() -> Iterator[Transit]:
    made = Transit(["root"])
    yield made
    made.front.stop()


@pytest.fixture
def second(transit: Transit) -> Iterator[Front]:
    """Another address of the same engine."""
    made = Front(transit)
    yield made
    made.stop()


def secret_file(place: Path, text: str) -> str:
    place.write_text(text + "\n")
    place.chmod(0o600)
    return str(place)


def is_ready(house: House) -> bool:
    """Whether the house opens its KEK, out of no memory."""
    house.components.keyring.keks.forget()
    return house.app.test_client().get("/readyz").status_code == 200


def findings(house: House, *, unsafe: bool = True) -> list[str]:
    looked = checks.engines(house.components)
    return [f"{found.what} {found.mend}" for found in looked if found.is_unsafe == unsafe]


def test_a_new_token_in_the_file_serves_without_a_restart(own_house: House, transit: Transit, tmp_path: Path) -> None:
    """Once the old one has ended; a token is never taken from the file into an error."""
    file = tmp_path / "token"
    transit.token("hvs.canary-first")
    house = moved(own_house, transit, PANLESS_TRANSIT_TOKEN_FILE=secret_file(file, "hvs.canary-first"))
    assert is_ready(house)
    del transit.tokens["hvs.canary-first"]
    assert not is_ready(house)
    secret_file(file, transit.token("hvs.canary-second"))
    time.sleep(1.1)  # after one that was refused, another is fetched a second later
    assert is_ready(house)
    house.components.close()


@pytest.mark.parametrize("method", ["approle", "kubernetes"])
def test_it_signs_in_again(own_house: House, transit: Transit, tmp_path: Path, method: str) -> None:
    """By AppRole, or as Kubernetes says who it is: a token that ended is followed by another."""
    settings = {
        "approle": {
            "PANLESS_TRANSIT_APPROLE": ROLE,
            "PANLESS_TRANSIT_SECRET_ID_FILE": secret_file(tmp_path / "secret", SECRET_ID),
        },
        "kubernetes": {
            "PANLESS_TRANSIT_KUBERNETES_ROLE": ROLE,
            "PANLESS_TRANSIT_KUBERNETES_TOKEN_FILE": secret_file(tmp_path / "jwt", JWT),
        },
    }[method]
    house = moved(own_house, transit, **settings)
    assert is_ready(house)
    transit.tokens.clear()
    time.sleep(1.1)
    assert is_ready(house)
    house.components.close()


def test_one_root_key_has_several_addresses(own_house: House, transit: Transit, second: Front, tmp_path: Path) -> None:
    """Either may be away, also for a new tenant; each may have a token of its own."""
    tokens = secret_file(tmp_path / "tokens", f"{transit.token('hvs.canary-a')}\n{transit.token('hvs.canary-b')}")
    house = moved(own_house, transit, second, PANLESS_TRANSIT_TOKEN_FILE=tokens)
    assert [root.key_id for root in house.components.keyring.roots] == ["some/transit/root"]
    for front in (transit.front, second):
        with front.gone():
            assert is_ready(house)
            house.tenant()
    del transit.tokens["hvs.canary-a"]
    with second.gone():
        assert not is_ready(house)
    assert is_ready(house)
    house.components.close()


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ({}, ""),
        ({"life": 3600.0}, ""),
        ({"life": 36000.0, "renewable": False}, "can't be renewed, and ends in 10 hours"),
        ({"life": 3600.0, "last": 7200.0}, "ends in 2 hours, however often it is renewed"),
    ],
)
def test_a_token_that_ends_is_unsafe(own_house: House, tmp_path: Path, token: dict[str, float], said: str) -> None:
    """One that can't be renewed, or only for a day more; those who sign in get another."""
    start = time.time()
    transit = Transit(["root"], time.time)
    token = token | {"last": start + token["last"]} if "last" in token else token
    file = secret_file(tmp_path / "token", transit.token("hvs.canary-of-file", **token))
    house = moved(own_house, transit, PANLESS_TRANSIT_TOKEN_FILE=file)
    assert said in "".join(findings(house))
    assert bool(findings(house)) == bool(said)
    house.components.close()
    transit.front.stop()


def test_a_key_that_can_leave_its_engine_is_unsafe(own_house: House, transit: Transit) -> None:
    """Exportable, or open to plaintext backups; where nobody lets us look, that is said."""
    house = moved(own_house, transit)
    assert findings(house) == []
    transit.keys["root"].exportable = True
    assert ["whoever exports it" in found for found in findings(house)] == [True]
    transit.tokens[TOKEN] = replace(transit.tokens[TOKEN], may_read=False)
    assert findings(house) == []
    assert ["Grant read on some/transit/keys/root" in found for found in findings(house, unsafe=False)] == [True]
    house.components.close()
