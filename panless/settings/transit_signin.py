"""How this deployment signs in at transit engines: the settings of it, read, and what they mean to `keys`.

Where a value stands in a file, the file is read anew each time: whoever renews it has nothing to restart.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from environs import FileAwareEnv

from panless.errors import SettingsError
from vault.personal import Secret

if TYPE_CHECKING:
    from keys.providers.transit_tokens import SignIn

JWT = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
"""Where Kubernetes puts the token of a pod's service account."""

Kept = Secret | Path
"""A value, or the file that has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenToken:
    """A token that somebody else makes. Of several, an address has that of its turn; a single one is for all."""

    token: Kept
    turn: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AppRole:
    """The ids of an AppRole, of several those of the address's turn."""

    role_id: str
    secret_id: Kept
    mount: str
    turn: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubernetes:
    """A role for the service account whose token Kubernetes puts in a file."""

    role: str
    jwt: Path
    mount: str
    turn: int = 0


TransitSignIn = GivenToken | AppRole | Kubernetes


def read(env: FileAwareEnv) -> dict[str, Any]:
    """The values by the names of their fields. Raises SettingsError, EnvError."""
    token, secret_id = env.str("TRANSIT_TOKEN", ""), env.str("TRANSIT_SECRET_ID", "")
    return {
        "transit_token": Secret(token) if token else None,
        "transit_approle": env.str("TRANSIT_APPROLE", "") or None,
        "transit_secret_id": Secret(secret_id) if secret_id else None,
        "transit_kubernetes_role": env.str("TRANSIT_KUBERNETES_ROLE", "") or None,
        "transit_kubernetes_token_file": env.path("TRANSIT_KUBERNETES_TOKEN_FILE", JWT),
        "transit_auth_mount": env.str("TRANSIT_AUTH_MOUNT", "") or None,
    }


def chosen(values: dict[str, Any]) -> TransitSignIn | None:
    """The one way to sign in that is set, if one is. Raises SettingsError for several, and for half of one."""
    ways = [way for way in (_given(values), _approle(values), _kubernetes(values)) if way is not None]
    if len(ways) > 1:
        raise SettingsError(
            "PANLESS_TRANSIT_TOKEN, PANLESS_TRANSIT_APPROLE and PANLESS_TRANSIT_KUBERNETES_ROLE are three ways to sign "
            "in. Set one of them."
        )
    return ways[0] if ways else None


def _given(values: dict[str, Any]) -> GivenToken | None:
    token = values["transit_token"]
    return None if token is None else GivenToken(token=_kept("TRANSIT_TOKEN", token))


def _approle(values: dict[str, Any]) -> AppRole | None:
    role_id, secret_id = values["transit_approle"], values["transit_secret_id"]
    if (role_id is None) != (secret_id is None):
        raise SettingsError("An AppRole needs both its ids: set PANLESS_TRANSIT_APPROLE and PANLESS_TRANSIT_SECRET_ID.")
    if role_id is None:
        return None
    mount = values["transit_auth_mount"] or "approle"
    return AppRole(role_id=role_id, secret_id=_kept("TRANSIT_SECRET_ID", secret_id), mount=mount)


def _kubernetes(values: dict[str, Any]) -> Kubernetes | None:
    role, mount = values["transit_kubernetes_role"], values["transit_auth_mount"] or "kubernetes"
    return role and Kubernetes(role=role, jwt=values["transit_kubernetes_token_file"], mount=mount)


def load(sign_in: TransitSignIn) -> "SignIn":
    """What gets a token. Needs hvac."""
    from keys.providers import transit_tokens  # noqa: PLC0415  # hvac is an extra; most do without

    match sign_in:
        case GivenToken():
            return transit_tokens.given(_reader(sign_in.token, sign_in.turn), "PANLESS_TRANSIT_TOKEN")
        case AppRole():
            return transit_tokens.by_approle(
                _of_turn(sign_in.role_id, sign_in.turn),
                _reader(sign_in.secret_id, sign_in.turn),
                sign_in.mount,
                "PANLESS_TRANSIT_APPROLE and PANLESS_TRANSIT_SECRET_ID, and at the AppRole",
            )
        case Kubernetes():
            return transit_tokens.by_kubernetes(
                _of_turn(sign_in.role, sign_in.turn),
                _reader(sign_in.jwt, 0),
                sign_in.mount,
                "PANLESS_TRANSIT_KUBERNETES_ROLE, and at the service accounts that the role is for",
            )


def _kept(name: str, value: Secret) -> Kept:
    file = os.environ.get(f"PANLESS_{name}_FILE")
    return Path(file.strip()) if file else value


def _reader(kept: Kept, turn: int) -> Callable[[], str]:
    return lambda: _of_turn(kept.read_text() if isinstance(kept, Path) else kept.value, turn)


def _of_turn(text: str, turn: int) -> str:
    """The word of this turn, or the only one; nothing where there are too few."""
    words = text.replace(",", " ").split()
    return "".join(words if len(words) == 1 else words[turn : turn + 1])
