"""The program that talks to an HSM: one JSON object a line over the socket that is its standard input.

The first line says which key, each other line is a request, and is answered. It ends when its owner does.
"""

import base64
import ctypes
import json
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pkcs11
from pkcs11 import exceptions as trouble

from keys.errors import KeysError, RootKeyAway, RootKeyDenied, Unreadable

NONCE_BYTES = 12
TAG_BYTES = 16
PR_SET_DUMPABLE = 4

_WRONG_PIN = (
    *(trouble.PinIncorrect, trouble.PinInvalid, trouble.PinLenRange, trouble.PinLocked, trouble.PinExpired),
    trouble.UserPinNotInitialized,
)
_UNFIT = (
    *(trouble.MechanismInvalid, trouble.MechanismParamInvalid, trouble.KeyTypeInconsistent, trouble.KeySizeRange),
    trouble.FunctionNotSupported,
)
_FORGED = (
    *(trouble.EncryptedDataInvalid, trouble.EncryptedDataLenRange, trouble.DataInvalid, trouble.DataLenRange),
    trouble.SignatureInvalid,
)


class Session:
    """A session with an HSM, opened when it is needed, and once more when it turns out to be lost."""

    def __init__(self, *, module: str, token: str, label: str, pin: str) -> None:
        self._module, self._token, self._label, self._pin = module, token, label, pin
        self._library: Any = None
        self._key: Any = None  # a class that the library makes for what this key can do
        self._refused_pin = ""

    def wrap(self, plain: bytes) -> bytes:
        """`nonce 12 | ciphertext | tag 16`. The nonce is random; a root key wraps far fewer than 2^32."""
        return self._asked(lambda key: _encrypted(key, plain))

    def unwrap(self, wrapped: bytes) -> bytes:
        """What was wrapped. Raises Unreadable."""
        if len(wrapped) < NONCE_BYTES + TAG_BYTES:
            raise Unreadable
        return self._asked(lambda key: _decrypted(key, wrapped))

    def _asked(self, call: Callable[[Any], bytes]) -> bytes:
        was_open = self._key is not None
        try:
            return self._once(call)
        except RootKeyAway:
            if not was_open:
                raise
        return self._once(call)

    def _once(self, call: Callable[[Any], bytes]) -> bytes:
        try:
            return call(self._opened())
        except _UNFIT:
            self._forget()
            raise RootKeyDenied(f"the HSM does not let us use {self._named()} with AES-GCM") from None
        except trouble.PKCS11Error as error:
            self._forget()
            raise RootKeyAway(f"the HSM does not let us reach {self._named()} ({type(error).__name__})") from None

    def _opened(self) -> Any:  # noqa: ANN401  # see _key
        if self._refused_pin:
            raise RootKeyDenied(self._refused_pin)
        if self._key is None:
            self._key = self._found()
        return self._key

    def _found(self) -> Any:  # noqa: ANN401  # see _key
        try:
            self._library = pkcs11.lib(self._module)
            session = self._library.get_token(token_label=self._token).open(user_pin=self._pin)
            return _able(session.get_key(object_class=pkcs11.ObjectClass.SECRET_KEY, label=self._label))
        except _WRONG_PIN as error:  # remembered: to try again could lock the token
            self._refused_pin = (
                f"the HSM refuses the PIN for the token {self._token!r} ({type(error).__name__}): "
                "set the right one (PANLESS_PKCS11_PIN), and start anew"
            )
            raise RootKeyDenied(self._refused_pin) from None
        except trouble.NoSuchKey:
            self._forget()
            raise RootKeyDenied(
                f"there is no {self._named()}: make it, or name the right one (PANLESS_ROOT_KEYS)"
            ) from None
        except (trouble.MultipleObjectsReturned, trouble.MultipleTokensReturned):
            self._forget()
            raise RootKeyDenied(f"there is more than one {self._named()}: labels must be unique") from None

    def _named(self) -> str:
        return f"secret key labelled {self._label!r} on a token {self._token!r}"

    def _forget(self) -> None:
        """End everything, so that the library looks anew at what is there."""
        self._key = None
        if self._library is not None:
            with suppress(trouble.PKCS11Error):
                self._library.finalize()


def _able(key: Any) -> Any:  # noqa: ANN401  # see Session._key
    """The key, if it may encrypt and decrypt."""
    if isinstance(key, pkcs11.EncryptMixin) and isinstance(key, pkcs11.DecryptMixin):
        return key
    raise trouble.FunctionNotSupported


def _encrypted(key: Any, plain: bytes) -> bytes:  # noqa: ANN401  # see Session._key
    nonce = os.urandom(NONCE_BYTES)
    return nonce + bytes(key.encrypt(plain, mechanism=pkcs11.Mechanism.AES_GCM, mechanism_param=_with(nonce)))


def _decrypted(key: Any, wrapped: bytes) -> bytes:  # noqa: ANN401  # see Session._key
    """What was wrapped. Some HSMs have one error for all: then it is the wrap's fault if a fresh wrap does open."""
    try:
        return _plain(key, wrapped)
    except _FORGED:
        raise Unreadable from None
    except trouble.PKCS11Error:
        _plain(key, _encrypted(key, bytes(TAG_BYTES)))
        raise Unreadable from None


def _plain(key: Any, wrapped: bytes) -> bytes:  # noqa: ANN401  # see Session._key
    nonce, ciphertext = wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:]
    return bytes(key.decrypt(ciphertext, mechanism=pkcs11.Mechanism.AES_GCM, mechanism_param=_with(nonce)))


def _with(nonce: bytes) -> pkcs11.GCMParams:
    return pkcs11.GCMParams(nonce, b"", TAG_BYTES * 8)


def answer(session: Session, request: dict[str, str]) -> dict[str, str]:
    """The answer to one request: a value, or the name of an error of ours and its message."""
    call = {"wrap": session.wrap, "unwrap": session.unwrap}[request["do"]]
    try:
        return {"value": base64.b64encode(call(base64.b64decode(request["value"]))).decode()}
    except KeysError as error:
        return {"error": type(error).__name__, "message": str(error)}


def main() -> None:
    """Answer until the owner hangs up."""
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)  # what passes here must not lie in a core file
    with socket.socket(fileno=0) as line, line.makefile("rw") as lines:
        session = Session(**json.loads(lines.readline()))
        for request in lines:
            lines.write(json.dumps(answer(session, json.loads(request))) + "\n")
            lines.flush()


if __name__ == "__main__":
    main()
