"""What one object may say of another: checks for ids that stand in a body."""

from sandbox import errors
from sandbox.state import Account


def customer(account: Account, name: str | None) -> None:
    """Check a customer that is referred to: 400 when there is none, or it was deleted. None at all is fine."""
    found = account.tables["customers"].get(name or "")
    if name and (found is None or found.get("deleted")):
        raise errors.missing("customer", name, param="customer", status=400)
