"""Tokens at a transit engine: renewed in time, replaced where they ended, fetched no more often than it helps."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from transit_standin import JWT, MOUNT, ROLE, SECRET_ID, TOKEN, Transit

from keys.errors import RootKeyAway, RootKeyDenied
from keys.providers.hashicorp_transit import TransitKey
from keys.providers.transit_address import PAUSE, TransitAddress
from keys.providers.transit_tokens import SignIn, by_approle, by_kubernetes, given

KEK = bytes(range(64))
HOUR = 3600.0
RENEWAL, APPROLE = "auth/token/renew-self", "auth/approle/login"


class Clock:
    """One for the engine and for us."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def transit(clock: Clock) -> Iterator[Transit]:
    made = Transit(["root"], clock)
    yield made
    made.front.stop()


def key(transit: Transit, sign_in: SignIn, clock: Clock) -> TransitKey:
    return TransitKey(addresses=[TransitAddress(transit.front.url, sign_in, clock)], mount=MOUNT, key="root")


def approle(secret_id: str = SECRET_ID) -> SignIn:
    return by_approle(ROLE, lambda: secret_id, "approle", "THE_APPROLE")


def test_a_token_is_renewed_at_half_its_life(transit: Transit, clock: Clock) -> None:
    """Not before; and so it lives on, for as long as it is used."""
    token = transit.token("hvs.canary-periodic", life=HOUR)
    root = key(transit, given(lambda: token, ""), clock)
    wrapped = root.wrap(KEK)
    clock.now += HOUR / 2 - 1
    root.unwrap(wrapped)
    assert RENEWAL not in transit.asked
    for passed in (1, *[HOUR / 2] * 4):
        clock.now += passed
        assert root.unwrap(wrapped) == KEK
    assert transit.asked.count(RENEWAL) == 5


def test_one_that_has_no_end_is_not_renewed(transit: Transit, clock: Clock) -> None:
    """Nor is it looked at again."""
    root = key(transit, given(lambda: TOKEN, ""), clock)
    wrapped = root.wrap(KEK)
    clock.now += 1e9
    assert root.unwrap(wrapped) == KEK
    assert transit.asked == ["auth/token/lookup-self"]


@pytest.mark.parametrize("renewable", [True, False])
def test_what_can_not_be_renewed_is_replaced_in_time(transit: Transit, clock: Clock, *, renewable: bool) -> None:
    """Where the server gives less than half of what there was, or nothing, we sign in before it ends."""
    transit.issues.life, transit.issues.renewable, transit.issues.last = HOUR, renewable, clock.now + HOUR
    root = key(transit, approle(), clock)
    wrapped = root.wrap(KEK)
    transit.issues.last = float("inf")
    clock.now += HOUR * 0.6
    assert root.unwrap(wrapped) == KEK
    assert transit.asked.count(APPROLE) == 2


def test_a_token_in_a_file_is_read_again_at_half_its_life(transit: Transit, clock: Clock, tmp_path: Path) -> None:
    """Before the old one, which can't be renewed, has ended: nobody sees the change."""
    file = tmp_path / "token"
    file.write_text(transit.token("hvs.canary-1", life=HOUR, renewable=False))
    root = key(transit, given(file.read_text, ""), clock)
    wrapped = root.wrap(KEK)
    file.write_text(transit.token("hvs.canary-2", life=HOUR * 9, renewable=False))
    clock.now += HOUR / 2
    root.unwrap(wrapped)
    assert transit.asked.count("auth/token/lookup-self") == 2
    del transit.tokens["hvs.canary-1"]
    assert root.unwrap(wrapped) == KEK


def test_a_token_serves_to_its_end_whatever_befalls_its_file(transit: Transit, clock: Clock, tmp_path: Path) -> None:
    """A file that is gone is told once the token has ended, and not before."""
    file = tmp_path / "token"
    file.write_text(transit.token("hvs.canary-1", life=HOUR, renewable=False))
    root = key(transit, given(file.read_text, "THE_FILE"), clock)
    wrapped = root.wrap(KEK)
    file.unlink()
    clock.now += HOUR * 0.9
    assert root.unwrap(wrapped) == KEK
    clock.now += HOUR * 0.2
    with pytest.raises(RootKeyDenied, match="THE_FILE"):
        root.unwrap(wrapped)


def test_a_token_that_was_revoked_is_replaced_within_the_call(transit: Transit, clock: Clock) -> None:
    """Who may sign in again does so, and the call is answered."""
    root = key(transit, by_kubernetes(ROLE, lambda: JWT, "kubernetes", ""), clock)
    wrapped = root.wrap(KEK)
    transit.tokens.clear()
    clock.now += PAUSE
    assert root.unwrap(wrapped) == KEK


def test_what_refuses_every_token_is_not_asked_for_one_by_each_call(transit: Transit, clock: Clock) -> None:
    """A second must pass: a policy that lacks something is not mended by another token."""
    root = key(transit, approle(), clock)
    wrapped = root.wrap(KEK)
    for _ in range(5):
        transit.tokens.clear()
        with pytest.raises(RootKeyDenied, match="policy"):
            root.unwrap(wrapped)
    assert transit.asked.count(APPROLE) == 1


@pytest.mark.parametrize(
    "sign_in",
    [
        approle("canary-wrong"),
        by_kubernetes(ROLE, lambda: "canary-wrong", "kubernetes", "THE_APPROLE"),
        by_approle(ROLE, lambda: SECRET_ID, "elsewhere", "THE_APPROLE"),
    ],
)
def test_who_is_not_let_in_is_told_what_to_look_at(transit: Transit, clock: Clock, sign_in: SignIn) -> None:
    """With no credential in the message, nor in how the key is printed."""
    root = key(transit, sign_in, clock)
    with pytest.raises(RootKeyDenied, match="THE_APPROLE") as denied:
        root.wrap(KEK)
    assert "canary" not in str(denied.value) + repr(root) + repr(sign_in)


def test_a_server_that_is_away_signs_nobody_in(transit: Transit, clock: Clock) -> None:
    """Which is an outage, and over once it is back."""
    root = key(transit, approle(), clock)
    with transit.front.gone(), pytest.raises(RootKeyAway):
        root.wrap(KEK)
    assert root.unwrap(root.wrap(KEK)) == KEK


def test_no_token_but_ours_is_sent(transit: Transit, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK would take one from VAULT_TOKEN, or from a file in the home of who runs us."""
    monkeypatch.setenv("VAULT_TOKEN", TOKEN)
    with pytest.raises(RootKeyDenied):
        key(transit, given(lambda: "", ""), clock).wrap(KEK)
