"""The states of a charge, which may follow which, and all that derives from them: the one table of it."""

from typing import Final

FOLLOWS: Final = {
    "unknown": ("pending",),
    "requires_action": ("pending", "unknown"),
    "authorized": ("pending", "unknown", "requires_action"),
    "succeeded": ("pending", "unknown", "requires_action"),
    "captured": ("pending", "unknown", "requires_action", "authorized"),
    "voided": ("pending", "unknown", "requires_action", "authorized"),
    "declined": ("pending", "unknown", "requires_action", "authorized"),
    "failed": ("pending", "unknown", "requires_action", "authorized"),
}
"""By each state that a charge can come to, the states that it may come from. Every change is conditional on it."""

STATES: Final = ("pending", *FOLLOWS)

PAID: Final = ("succeeded", "captured")
"""States in which money was taken, so that it can be given back."""

UNPAID: Final = ("declined", "voided", "failed")
"""States in which a charge definitely took no money, so that its obligation is free again."""

OPEN: Final = tuple(state for state in STATES if state not in (*PAID, *UNPAID))
"""States in which nobody can say yet whether money moved, or will."""

UNSETTLED: Final = ("pending", "unknown")
"""Open states in which an intent is what ends it: nobody knows what the call did."""

STEPS: Final = {"capture": ("authorized",), "void": ("authorized", "requires_action"), "abandon": ("requires_action",)}
"""What can be done with a charge later, and in which states. One step at a time: its outcome may be open."""

TAKEN: Final = f"obligation_digest IS NOT NULL AND state NOT IN {UNPAID}"
"""In SQL, of which charges an obligation has one at most."""
