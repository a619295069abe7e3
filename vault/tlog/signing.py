"""The keys that a log's checkpoints are signed with, and the name that it has."""

from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from keys.keyring import Keyring
from vault.ledger.keys import pair_of
from vault.tlog.notes import Verifier

_SEED = ("audit", "checkpoint-ed25519")


def name_of(deployment: str, tenant: str) -> str:
    """The name of a tenant's log, or of the deployment's own, in all its generations; its keys have it too."""
    return f"panless/{deployment}/{tenant}"


def origin_of(name: str, generation: int) -> str:
    """The origin line of a generation. The first has the log's name; each later one began with a restored log."""
    return name if generation == 1 else f"{name}/{generation}"


def parse_origin(origin: str) -> tuple[str, str, int]:
    """Deployment, tenant and generation. Raises ValueError."""
    first, *parts = origin.split("/")
    number = parts[2] if len(parts) > 2 else "1"  # noqa: PLR2004  # the generation is the third part
    if first != "panless" or len(parts) not in {2, 3} or not (number.isascii() and number.isdigit()):
        raise ValueError("The origin of a Panless log is panless/<deployment>/<tenant>, perhaps with /<generation>.")
    return parts[0], parts[1], int(number)


def signers(keyring: Keyring, tenant: str) -> Sequence[tuple[Verifier, Ed25519PrivateKey]]:
    """The log's keys, the newest first. One that was replaced signs on: who knows only it can still verify.

    Raises as `Keyring.tenant_key`.
    """
    name = name_of(keyring.deployment, tenant)
    pairs = (pair_of(seed) for seed in keyring.subkeys(tenant, *_SEED).values())
    return [(Verifier(name, pair.public), pair.private) for pair in pairs]


def verifiers(keyring: Keyring, tenant: str) -> list[Verifier]:
    """The public keys that a checkpoint of the log may be verified with, the newest first. Raises as `signers`."""
    return [verifier for verifier, _ in signers(keyring, tenant)]
