"""The sandbox's own mistakes: a place in the code for the terminal, a 500 for the client."""

import sys
import traceback


def report(error: Exception) -> None:
    """Say where it broke, never with what: an exception's own text may hold what was sent."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    sys.stderr.write(f"sandbox: {type(error).__name__} at {place.filename}:{place.lineno} in {place.name}\n")
