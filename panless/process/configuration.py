"""What this process is set up with, for the record (vault/configurations.py)."""

import os

from panless.wiring import Components
from vault import configurations


def note(components: Components, kind: str) -> list[str]:
    """Record what differs from the last process of that kind; the names of it."""
    given = {name: value for name, value in os.environ.items() if name.startswith("PANLESS_")}
    policy = components.settings.policy.read_text()
    parts = components.records, components.keyring
    return configurations.note(*parts, kind, {**given, "policy": policy}, components.clock())
