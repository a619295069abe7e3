"""The account that an API key opens."""

from sandbox.params import Params
from sandbox.state import Account, Object

REQUIREMENTS = ("currently_due", "errors", "eventually_due", "past_due", "pending_verification", "alternatives")


def get(account: Account, _: Params) -> Object:
    """The account itself; it can do everything that the sandbox can."""
    requirements: Object = {name: [] for name in REQUIREMENTS}
    return {
        "id": account.id,
        "object": "account",
        "business_profile": None,
        "business_type": None,
        "capabilities": {"card_payments": "active", "transfers": "active"},
        "charges_enabled": True,
        "controller": {"type": "account"},
        "country": "US",
        "default_currency": "usd",
        "details_submitted": True,
        "email": None,
        "metadata": {},
        "payouts_enabled": True,
        "requirements": requirements | {"current_deadline": None, "disabled_reason": None},
        "settings": _settings(),
        "type": "standard",
    }


def _settings() -> Object:
    return {
        "branding": {"icon": None, "logo": None, "primary_color": None, "secondary_color": None},
        "card_payments": {"statement_descriptor_prefix": "SANDBOX"},
        "dashboard": {"display_name": "Sandbox", "timezone": "Etc/UTC"},
        "payments": {"statement_descriptor": "SANDBOX"},
    }
