"""Which root keys there are, in the order in which they are asked: what PANLESS_ROOT_KEYS names, read and loaded.

Reading finds everything that is wrong with the text. Loading asks no provider: one that is away must not keep a process
from starting. A key file is read at once, because a wrong one is a wrong setting.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

from environs import FileAwareEnv

from keys.providers import keyfile
from keys.rootkey import RootKey
from panless.errors import SettingsError, WiringError
from panless.settings import transit_signin
from panless.settings.transit_signin import TransitSignIn
from vault.personal import Secret

LOOPBACK = ("127.0.0.1", "localhost", "::1")
ARN = re.compile(r"arn:aws[a-z-]*:kms:([a-z0-9-]+):\d{12}:key/[A-Za-z0-9-]+")
TRANSIT_PATH = re.compile(r"/([\w.-]+(?:/[\w.-]+)*)/([\w.-]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyfilePlace:
    """`keyfile:/path`."""

    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Pkcs11Place:
    """`pkcs11:token=LABEL;object=LABEL?module-path=/path`: a subset of RFC 7512, without the PIN."""

    module: Path
    token: str
    label: str
    pin: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class KmsPlace:
    """`aws-kms:ARN` of a key, not of an alias, which may come to name another key."""

    arn: str
    region: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitPlace:
    """`hashicorp-transit:https://host:8200/MOUNT/KEY`; a mount may have slashes in its path.

    Named at several addresses, it is one root key: URL by URL, and how to sign in there.
    """

    addresses: tuple[tuple[str, TransitSignIn], ...]
    mount: str
    key: str


Place = KeyfilePlace | Pkcs11Place | KmsPlace | TransitPlace


def read_named(env: FileAwareEnv, text: str) -> tuple[Place, ...]:
    """What `text` names, with the credentials in the settings. Raises SettingsError."""
    pin: str = env.str("PKCS11_PIN", "")
    return read(text, Secret(pin) if pin else None, transit_signin.chosen(transit_signin.read(env)))


def read(text: str, pin: Secret | None, sign_in: TransitSignIn | None) -> tuple[Place, ...]:
    """The places that `text` names, with commas between them. Raises SettingsError, which never quotes what it read."""
    places = [_read(number, named, pin, sign_in) for number, named in enumerate(text.split(","), 1)]
    if len(set(places)) < len(places):
        raise SettingsError("PANLESS_ROOT_KEYS names a root key twice. Each wraps every KEK once: name it once.")
    return _joined(places)


def _joined(places: Iterable[Place]) -> tuple[Place, ...]:
    """Each root key once: a transit key with all its addresses, which have the tokens of their turn."""
    joined: dict[object, Place] = {}
    turn = 0
    for place in places:
        if not isinstance(place, TransitPlace):
            joined[place] = place
            continue
        [(url, sign_in)] = place.addresses
        before = joined.get((place.mount, place.key))
        others = before.addresses if isinstance(before, TransitPlace) else ()
        joined[(place.mount, place.key)] = replace(place, addresses=(*others, (url, replace(sign_in, turn=turn))))
        turn += 1
    return tuple(joined.values())


def load(places: Iterable[Place]) -> list[RootKey]:
    """The root keys in these places. Raises WiringError where a library or module is missing, KeyfileRefused."""
    return [_load(place) for place in places]


def _read(number: int, named: str, pin: Secret | None, sign_in: TransitSignIn | None) -> Place:
    scheme, _, rest = named.strip().partition(":")
    where = f"Root key {number} in PANLESS_ROOT_KEYS"
    match scheme:
        case "keyfile" if rest:
            return KeyfilePlace(path=Path(rest))
        case "pkcs11":
            return _pkcs11(where, rest, pin)
        case "aws-kms":
            return _kms(where, rest)
        case "hashicorp-transit":
            return _transit(where, rest, sign_in)
    raise SettingsError(
        f"{where} is none of keyfile:PATH, pkcs11:token=LABEL;object=LABEL?module-path=PATH, aws-kms:ARN and "
        "hashicorp-transit:https://HOST/MOUNT/KEY. See docs/settings.md."
    )


def _pkcs11(where: str, rest: str, pin: Secret | None) -> Pkcs11Place:
    path, _, query = rest.partition("?")
    named = _attributes(where, path, ";", {"token", "object"}) | _attributes(where, query, "&", {"module-path"})
    if pin is None:
        raise SettingsError(f"{where} needs the token's PIN. Set PANLESS_PKCS11_PIN, or PANLESS_PKCS11_PIN_FILE.")
    return Pkcs11Place(module=Path(named["module-path"]), token=named["token"], label=named["object"], pin=pin)


def _attributes(where: str, text: str, separator: str, names: set[str]) -> dict[str, str]:
    """Exactly these attributes, each once and not empty, percent-decoded."""
    pairs = [pair.partition("=") for pair in text.split(separator)]
    if sorted(name for name, _, _ in pairs) != sorted(names) or not all(value for _, _, value in pairs):
        raise SettingsError(
            f"{where} must be pkcs11:token=LABEL;object=LABEL?module-path=PATH, without other attributes; "
            "the PIN stands in PANLESS_PKCS11_PIN."
        )
    return {name: unquote(value) for name, _, value in pairs}


def _kms(where: str, arn: str) -> KmsPlace:
    match = ARN.fullmatch(arn)
    if match is None:
        raise SettingsError(f"{where} must be aws-kms: and the ARN of a key, arn:aws:kms:REGION:ACCOUNT:key/ID.")
    return KmsPlace(arn=arn, region=match[1])


def _transit(where: str, url: str, sign_in: TransitSignIn | None) -> TransitPlace:
    parts, path = urlsplit(url), TRANSIT_PATH.fullmatch(urlsplit(url).path)
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    if path is None or not parts.hostname or not is_safe or parts.username or parts.query or parts.fragment:
        raise SettingsError(
            f"{where} must be hashicorp-transit:https://HOST:PORT/MOUNT/KEY; http on this machine only."
        )
    if sign_in is None:
        raise SettingsError(
            f"{where} needs a token. Set PANLESS_TRANSIT_TOKEN_FILE, PANLESS_TRANSIT_APPROLE or "
            "PANLESS_TRANSIT_KUBERNETES_ROLE."
        )
    return TransitPlace(addresses=((f"{parts.scheme}://{parts.netloc}", sign_in),), mount=path[1], key=path[2])


def _load(place: Place) -> RootKey:
    match place:
        case KeyfilePlace():
            return keyfile.load(place.path)
        case Pkcs11Place():
            return _load_pkcs11(place)
        case KmsPlace():
            return _load_kms(place)
        case TransitPlace():
            return _load_transit(place)


def _load_pkcs11(place: Pkcs11Place) -> RootKey:
    need("pkcs11", "A root key in an HSM needs python-pkcs11", "pkcs11")
    from keys.providers.pkcs11 import Pkcs11Key  # noqa: PLC0415  # only where one is used

    if not place.module.is_file():
        raise WiringError(f"{place.module} is not there. Name the HSM's PKCS#11 module (PANLESS_ROOT_KEYS).")
    return Pkcs11Key(module=place.module, token=place.token, label=place.label, pin=place.pin.value)


def _load_kms(place: KmsPlace) -> RootKey:
    need("boto3", "A root key in AWS KMS needs boto3", "aws-kms")
    from keys.providers.aws_kms import KmsKey  # noqa: PLC0415  # boto3 is an extra; most do without

    return KmsKey(place.arn, place.region)


def _load_transit(place: TransitPlace) -> RootKey:
    need("hvac", "A root key in a transit engine needs hvac", "hashicorp-transit")
    from keys.providers.hashicorp_transit import TransitKey  # noqa: PLC0415  # hvac is an extra; most do without
    from keys.providers.transit_address import TransitAddress  # noqa: PLC0415  # with hvac

    addresses = [TransitAddress(url, transit_signin.load(sign_in)) for url, sign_in in place.addresses]
    return TransitKey(addresses=addresses, mount=place.mount, key=place.key)


def need(library: str, sentence: str, extra: str) -> None:
    """Raise WiringError, with the command that mends it, unless `library` is installed."""
    if find_spec(library) is None:
        raise WiringError(f"{sentence}. Run: pip install 'panless[{extra}]'.")
