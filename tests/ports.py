"""Ports to listen on."""

import random
import socket
from contextlib import suppress

# Below those that Linux gives to connections as they go out (ip_local_port_range, from 32768 on): one of those could
# take a port that a server leaves for a moment, as it starts again.
_LISTENED_ON = range(10_000, 32_000)
_choose = random.SystemRandom().choice  # whatever seeds the tests set, two workers of them never choose alike


def free_port() -> int:
    """A port of the loopback interface that is free, and that no outgoing connection takes."""
    while True:
        port = _choose(_LISTENED_ON)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
