"""Transit engines, address by address: whether they hold our key, whether it stays there, how long our token lasts."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from keys.errors import RootKeyAway, RootKeyDenied, Unreadable
from keys.rootkey import RootKey
from panless.checks.finding import Finding, broken, note
from panless.wiring import Components

if TYPE_CHECKING:
    from keys.providers.hashicorp_transit import TransitKey

DAY = 86400


def engines(house: Components) -> Iterator[Finding]:
    """Each address of each transit key: that it holds the key, that the key stays there, and that our token lasts."""
    for root in house.keyring.roots:
        for key in _by_address(root):
            try:
                yield from _same_key(root, key)
                yield from _stays(key)
                if house.settings.transit_token is not None:  # else another follows it
                    yield from _lasts(key, house.clock().timestamp())
            except (RootKeyAway, RootKeyDenied) as error:
                yield broken(error)


def _by_address(root: RootKey) -> "list[TransitKey]":
    if root.provider != "hashicorp-transit":
        return []
    from keys.providers.hashicorp_transit import TransitKey  # noqa: PLC0415  # hvac is an extra; most do without

    return [root.at(address) for address in root.addresses] if isinstance(root, TransitKey) else []


def _same_key(root: RootKey, key: "TransitKey") -> Iterator[Finding]:
    try:
        key.unwrap(root.wrap(bytes(64)))
    except Unreadable:
        yield Finding(
            what=f"A KEK that another address wrapped is not opened by {_named(key)}: it is another key.",
            mend="Name addresses of one cluster and its replicas only (PANLESS_ROOT_KEYS).",
        )


def _stays(key: "TransitKey") -> Iterator[Finding]:
    try:
        told = key.properties()
    except RootKeyDenied:
        mount, _, name = key.key_id.rpartition("/")
        yield note(
            f"Whether {_named(key)} can be exported is not known here.",
            f"Grant read on {mount}/keys/{name} to our token.",
        )
        return
    if told.get("exportable") or told.get("allow_plaintext_backup"):
        yield Finding(
            what=f"Out of its engine can come {_named(key)}: whoever exports it opens every KEK, and nobody sees it.",
            mend="That can't be taken back: make another key without, and move to it (docs/keys.md).",
        )


def _lasts(key: "TransitKey", now: float) -> Iterator[Finding]:
    """Nothing of a token that may not look at itself; what it does is seen."""
    try:
        told: dict[str, Any] = key.token()
    except RootKeyDenied:
        return
    last = told["explicit_max_ttl"] and told["creation_time"] + told["explicit_max_ttl"] - now
    mend = "Put a periodic one into PANLESS_TRANSIT_TOKEN_FILE, or sign in by AppRole or Kubernetes (docs/keys.md)."
    if told["ttl"] and not told["renewable"]:
        yield Finding(
            what=f"The token at {key.addresses[0].url} can't be renewed, and ends in {_hours(told['ttl'])}.", mend=mend
        )
    elif last and last < DAY:
        yield Finding(
            what=f"The token at {key.addresses[0].url} ends in {_hours(last)}, however often it is renewed.", mend=mend
        )


def _named(key: "TransitKey") -> str:
    return f"the transit key {key.key_id} at {key.addresses[0].url}"


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.0f} hours"
