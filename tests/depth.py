"""How often tests do what they repeat: `make test` a tenth, `make deep` all of it; and what chance they draw.

Each run has a seed of its own, which it says at its end: `SEED=... make test` draws alike. DEPTH is the share.
"""

import os
import random

SEED = int(os.environ.setdefault("SEED", str(random.SystemRandom().randrange(10**6))))
"""Set in the environment by the first process that asks: those that run tests are its children."""

DEPTH = float(os.environ.get("DEPTH", "0.1"))


def deep(times: int, at_least: int = 1) -> int:
    """So many times in `make deep`; a tenth of it, and at least so often, in `make test`."""
    return max(at_least, round(times * DEPTH))


def chance(of: str) -> random.Random:
    """What a test draws from, by its name: others that draw more or less change nothing for it."""
    return random.Random(f"{SEED} {of}")


def said() -> str:
    """What makes a run like this one."""
    return f"depth {DEPTH:g}; again with the same chance: SEED={SEED}"
