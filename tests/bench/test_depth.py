"""How often tests do what they repeat, and what they draw."""

import depth
from depth import chance, deep


def test_a_dial_turns_down_and_never_below_what_means_something() -> None:
    """The share of it that was asked for, and at least so often as the test says."""
    assert deep(1000) == round(1000 * depth.DEPTH)
    assert (deep(1), deep(1, at_least=4)) == (1, 4)


def test_what_a_test_draws_follows_from_seed_and_name() -> None:
    """Drawn again it is the same; by another name it is not; and the seed is told at the end."""
    drawn = [chance(name).random() for name in ("kills", "kills", "others")]
    assert drawn[0] == drawn[1] != drawn[2]
    assert f"SEED={depth.SEED}" in depth.said()
