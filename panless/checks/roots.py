"""Root keys: whether they open this keystore. One that can't be loaded keeps the house from being built."""

from collections.abc import Iterator

from keys.errors import KeyMissing, RootKeyAway, RootKeyDenied, Unreadable
from panless.checks.finding import Finding
from panless.settings.environment import Settings
from panless.shown.trouble import sentence
from panless.wiring import Components


def open_the_keystore(house: Components) -> Iterator[Finding]:
    """Without that nothing else of the house can be looked at."""
    try:
        house.keyring.tenant_key(house.keyring.deployment, "signing")
    except (RootKeyAway, RootKeyDenied, Unreadable, KeyMissing) as error:
        what = f"The root key does not open this keystore ({sentence(error).rstrip('.')})."
        yield Finding(what=what, mend=f"Point {setting(house.settings)} at the one that it was made with.")


def setting(settings: Settings) -> str:
    """The setting that names the root keys here."""
    return "PANLESS_ROOT_KEYS" if settings.root_keys else "PANLESS_KEYFILE"
