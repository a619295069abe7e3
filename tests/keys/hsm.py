"""An HSM in software: SoftHSM2's module, over tokens of this process's own."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from keys.providers.pkcs11 import Pkcs11Key

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
TOKEN = "panless's token"
PIN = "canary-pin-4711"

_MAKE = """
import sys, pkcs11
token = pkcs11.lib(sys.argv[1]).get_token(token_label=sys.argv[2])
with token.open(rw=True, user_pin=sys.argv[3]) as session:
    for label in ("root", "other"):
        session.generate_key(pkcs11.KeyType.AES, 256, label=label, store=True)
    session.generate_key(pkcs11.KeyType.AES, 256, label="signs", store=True, capabilities=pkcs11.MechanismFlag.SIGN)
    for _ in range(2):
        session.generate_key(pkcs11.KeyType.AES, 256, label="twice", store=True)
"""


class Hsm:
    """A folder with tokens. SOFTHSM2_CONF leads programs there."""

    def __init__(self, folder: Path) -> None:
        assert MODULE.exists(), "apt-get install softhsm2: no test of a root key in an HSM is ever skipped"
        self.tokens, configuration = folder / "tokens", folder / "softhsm2.conf"
        self.tokens.mkdir()
        configuration.write_text(
            f"directories.tokendir = {self.tokens}\nobjectstore.backend = file\nlog.level = ERROR\n"
        )
        os.environ["SOFTHSM2_CONF"] = str(configuration)
        made = ("softhsm2-util", "--init-token", "--free", "--label", TOKEN, "--so-pin", "12345678", "--pin", PIN)
        subprocess.run(made, check=True, capture_output=True)
        subprocess.run([sys.executable, "-c", _MAKE, str(MODULE), TOKEN, PIN], check=True)

    def key(self, label: str = "root", pin: str = PIN, token: str = TOKEN) -> Pkcs11Key:
        return Pkcs11Key(module=MODULE, token=token, label=label, pin=pin)

    @contextmanager
    def unplugged(self) -> Iterator[None]:
        gone = self.tokens.with_name("gone")
        self.tokens.rename(gone)
        try:
            yield
        finally:
            gone.rename(self.tokens)

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """The library hangs in every call: so does each program that it runs in, also one that is started now."""
        over = threading.Event()
        _suspend_programs()
        stopping = threading.Thread(target=_stop_programs, args=(over,))
        stopping.start()
        try:
            yield
        finally:
            over.set()
            stopping.join()
            for program in session_programs():
                program.resume()


def _stop_programs(over: threading.Event) -> None:
    while not over.wait(0.01):
        _suspend_programs()


def _suspend_programs() -> None:
    for program in session_programs():
        with suppress(psutil.NoSuchProcess):
            program.suspend()


def session_programs() -> list[psutil.Process]:
    """The programs of this process that hold a session."""
    found = []
    for one in psutil.Process().children():
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            found += [one] if "keys.providers.pkcs11_session" in one.cmdline() else []
    return found
