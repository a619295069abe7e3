"""Addresses to listen on: whether one is free, and which one is."""

import errno
import socket

from panless.shown.trouble import Refused


def split(bind: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`."""
    host, _, port = bind.rpartition(":")
    return host.strip("[]"), int(port)


def refuse_taken(bind: str, mend: str) -> None:
    """Raise Refused if nothing can listen on `bind`; `mend` says what to do."""
    try:
        _listen(*split(bind)).close()
    except OSError as error:
        why = "is in use" if error.errno == errno.EADDRINUSE else f"can't be listened on ({error.strerror})"
        raise Refused(f"{bind} {why}. {mend}") from None


def free_port() -> int:
    """A port of the loopback interface that is free now."""
    with _listen("127.0.0.1", 0) as listener:
        return int(listener.getsockname()[1])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=1)
