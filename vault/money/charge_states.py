"""The states of a charge, and which may follow which: forward only, the one table of it."""

from typing import Final

FOLLOWS: Final = {
    "unknown": ("pending",),
    "requires_action": ("pending", "unknown"),
    "authorized": ("pending", "unknown", "requires_action"),
    "succeeded": ("pending", "unknown", "requires_action"),
    "captured": ("pending", "unknown", "requires_action", "authorized"),
    "voided": ("pending", "unknown", "requires_action", "authorized"),
    "declined": ("pending", "unknown", "requires_action", "authorized"),
    "failed": ("pending", "unknown"),
}
"""By each state that a charge can come to, the states that it may come from. Every change is conditional on it."""

STATES: Final = ("pending", *FOLLOWS)

PAID: Final = ("succeeded", "captured")
"""States in which money was taken, so that it can be given back."""

STEPS: Final = {"capture": ("authorized",), "void": ("authorized", "requires_action"), "abandon": ("requires_action",)}
"""What can be done with a charge later, and in which states. One step at a time: its outcome may be open."""
