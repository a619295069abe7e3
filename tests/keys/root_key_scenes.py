"""The providers of root keys as the contract meets them: each with what can go wrong with it, made to go wrong."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from hsm import PIN, Hsm
from kms_standin import REGION, Kms
from transit_standin import MOUNT, TOKEN, Transit

from keys.providers import aws_kms, keyfile, pkcs11, transit_address
from keys.providers.hashicorp_transit import TransitKey
from keys.providers.transit_address import TransitAddress
from keys.providers.transit_tokens import given
from keys.rootkey import RootKey

SECRET = "canary-of-a-secret"


class Scene(Protocol):
    """One provider."""

    longest_call: float
    secrets: tuple[str, ...]

    def root(self) -> RootKey: ...
    def other(self) -> RootKey: ...
    def unknown(self) -> RootKey: ...
    def refused(self) -> list[RootKey]:
        """Root keys that the provider does not let us use, each for a reason of its own."""

    def away(self) -> AbstractContextManager[None]: ...
    def slow(self) -> AbstractContextManager[None]: ...


class KeyfileScene:
    longest_call = 0.0
    secrets: tuple[str, ...] = ()

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in ("root", "other"):
            keyfile.create(folder / name)

    def root(self) -> RootKey:
        return keyfile.load(self._folder / "root")

    def other(self) -> RootKey:
        return keyfile.load(self._folder / "other")


class Pkcs11Scene:
    longest_call = pkcs11.LONGEST_CALL
    secrets = (PIN,)

    def __init__(self, folder: Path) -> None:
        self.hsm = Hsm(folder)

    def root(self) -> RootKey:
        return self.hsm.key()

    def other(self) -> RootKey:
        return self.hsm.key("other")

    def unknown(self) -> RootKey:
        return self.hsm.key("nobody's")

    def refused(self) -> list[RootKey]:
        return [self.hsm.key(pin="wrong"), self.hsm.key("signs"), self.hsm.key("twice")]

    def away(self) -> AbstractContextManager[None]:
        return self.hsm.unplugged()

    def slow(self) -> AbstractContextManager[None]:
        return self.hsm.hanging()


class KmsScene:
    longest_call = aws_kms.LONGEST_CALL
    secrets = (SECRET,)

    def __init__(self) -> None:
        os.environ |= {"AWS_ACCESS_KEY_ID": "AKIDCANARY", "AWS_SECRET_ACCESS_KEY": SECRET}
        self.kms = Kms()
        os.environ["AWS_ENDPOINT_URL_KMS"] = self.kms.front.url
        self._arns = [self.kms.new_key() for _ in range(6)]
        denials = ("AccessDeniedException", "DisabledException", "KMSInvalidStateException", "InvalidKeyUsageException")
        self.kms.refuses = dict(zip(self._arns[2:], denials, strict=True))

    def _key(self, number: int) -> RootKey:
        return aws_kms.KmsKey(self._arns[number], REGION)

    def root(self) -> RootKey:
        return self._key(0)

    def other(self) -> RootKey:
        return self._key(1)

    def unknown(self) -> RootKey:
        return aws_kms.KmsKey(f"{self._arns[0].rpartition('/')[0]}/00000000-0000-0000-0000-000000000000", REGION)

    def refused(self) -> list[RootKey]:
        return [self._key(number) for number in range(2, 6)]

    def away(self) -> AbstractContextManager[None]:
        return self.kms.front.gone()

    def slow(self) -> AbstractContextManager[None]:
        return self.kms.front.slow(30)


def transit_key(url: str, mount: str, key: str, token: str) -> TransitKey:
    """At one address, with a token that stays what it is."""
    return TransitKey(addresses=[TransitAddress(url, given(lambda: token, "the token"))], mount=mount, key=key)


class TransitScene:
    longest_call = transit_address.LONGEST_CALL
    secrets = (TOKEN,)

    def __init__(self) -> None:
        self.transit = Transit(["root", "other"])

    def key(self, key: str, token: str = TOKEN, mount: str = MOUNT) -> RootKey:
        return transit_key(self.transit.front.url, mount, key, token)

    def root(self) -> RootKey:
        return self.key("root")

    def other(self) -> RootKey:
        return self.key("other")

    def unknown(self) -> RootKey:
        return self.key("nobody")

    def refused(self) -> list[RootKey]:
        return [self.key("root", token="hvs.wrong"), self.key("root", mount="elsewhere")]

    def away(self) -> AbstractContextManager[None]:
        return self.transit.front.gone()

    def slow(self) -> AbstractContextManager[None]:
        return self.transit.front.slow(30)


class RealTransitScene:
    """A real server, where PANLESS_TEST_TRANSIT_ADDR names one: transit at `transit/`, with keys `root` and `other`."""

    longest_call = transit_address.LONGEST_CALL

    def __init__(self) -> None:
        self.secrets = (os.environ["PANLESS_TEST_TRANSIT_TOKEN"],)

    def _key(self, key: str, token: str | None = None) -> RootKey:
        url = os.environ["PANLESS_TEST_TRANSIT_ADDR"]
        return transit_key(url, "transit", key, token or self.secrets[0])

    def root(self) -> RootKey:
        return self._key("root")

    def other(self) -> RootKey:
        return self._key("other")

    def unknown(self) -> RootKey:
        return self._key("nobody")

    def refused(self) -> list[RootKey]:
        return [self._key("root", token="hvs.wrong")]


@contextmanager
def run_scene(provider: str, folder: Path) -> Iterator[Scene]:
    match provider:
        case "keyfile":
            yield KeyfileScene(folder)
        case "pkcs11":
            yield Pkcs11Scene(folder)
        case "aws-kms":
            kms = KmsScene()
            yield kms
            kms.kms.front.stop()
        case "hashicorp-transit":
            transit = TransitScene()
            yield transit
            transit.transit.front.stop()
        case "real-transit":
            yield RealTransitScene()
