"""What a transit engine's answers mean: a refusal with its mend, a ciphertext that does not open, or nobody there.

Told by the server's own words, because status 400 says both "this is no ciphertext of mine" and "I will not". Only what
is known to speak of the ciphertext is Unreadable: whatever else a server refuses is for its operator to mend.
"""

from typing import Any

from hvac.exceptions import Forbidden, InternalServerError, InvalidPath, InvalidRequest, Unauthorized, VaultError

from keys.errors import KeysError, RootKeyAway, RootKeyDenied, Unreadable

NO_CONTENT = 204
TOO_OLD = "disallowed by policy (too old)"
_RESTORED = "the engine, which does not know this version of the key: it was restored from before a rotate"
_TYPE = "the key's type, which must be one of aes256-gcm96, aes128-gcm96, chacha20-poly1305 and xchacha20-poly1305"
_MOUNT = "the mount, where no transit engine is"

MENDS = {
    "encryption key not found": "the key, which is not there: make it, or name the one that was used",
    "refusing to use soft-deleted key": "the key, which is soft-deleted: write to its soft-delete-restore",
    TOO_OLD: "min_decryption_version, which is above that of this wrap",
    "version is too new": _RESTORED,
    "disallowed by policy (too new)": _RESTORED,
    "missing 'context' for key derivation": "the key, which was made with derived=true: name one that was made without",
    "provided for non-AEAD cipher suite": _TYPE,
    "not supported for key type": _TYPE,
    "unsupported operation": _MOUNT,
}
"""By a server's words, what to look at. OpenBao 2.6 and HashiCorp's Vault say these the same; older ones say some."""

FORGED = ("message authentication failed", "invalid ciphertext")
"""What a server says of a ciphertext that does not open. Some say it with status 500: HashiCorp's from 1.5 on."""


class NoTransitEngine(Exception):
    """Something took a call and gave no answer, as a kv engine does."""


def data_of(answer: Any) -> Any:  # noqa: ANN401  # hvac has no types
    """The data in an answer. Raises NoTransitEngine, and TypeError or KeyError for what is no server of this kind."""
    if getattr(answer, "status_code", None) == NO_CONTENT:
        raise NoTransitEngine
    return answer["data"]


def is_of_ciphertext(error: VaultError) -> bool:
    """Whether a server speaks of the ciphertext, not of the key, and would open one of its own."""
    words = " ".join(error.errors or ())
    return isinstance(error, InvalidRequest | InternalServerError) and (
        not any(known in words for known in MENDS) and any(forged in words for forged in FORGED)
    )


def meaning(error: Exception, url: str, key_id: str) -> KeysError:
    """What a call that failed means. Nothing that the server said is repeated: it may quote what it was sent."""
    if isinstance(error, VaultError) and is_of_ciphertext(error):
        return Unreadable()
    if mend := _mend(error):
        return RootKeyDenied(f"{url} does not let us use the transit key {key_id}: look at {mend}")
    return RootKeyAway(f"{url} does not answer for the transit key {key_id} ({type(error).__name__})")


def _mend(error: Exception) -> str | None:
    words = " ".join(getattr(error, "errors", None) or ())
    if known := next((mend for said, mend in MENDS.items() if said in words), None):
        return known
    match error:
        case Forbidden() | Unauthorized():
            return "the token (PANLESS_TRANSIT_TOKEN), which ended or whose policy lacks update on encrypt and decrypt"
        case InvalidPath() | NoTransitEngine():
            return _MOUNT
        case InvalidRequest():
            return "the key, by what the server's own log says of this call"
    return None
