"""What a client may do: scopes, and the roles that are presets of them."""

SCOPES = frozenset(
    {
        "tokens:create",
        "tokens:read",
        "tokens:delete",
        "charges:create",
        "charges:read",
        "refunds:create",
        "customers:write",
        "customers:read",
        "contacts:read",
        "contacts:write",
        "rights:read",
        "rights:write",
        "accounts:write",
        "audit:read",
        "events:read",
        "webhooks:write",
        "clients:write",
    }
)

ROLES: dict[str, frozenset[str]] = {
    "checkout": frozenset(
        {"tokens:create", "tokens:read", "tokens:delete", "customers:write", "customers:read", "contacts:write"}
    ),
    "billing": frozenset(
        {
            "tokens:read",
            "customers:read",
            "charges:create",
            "charges:read",
            "refunds:create",
            "contacts:read",
            "events:read",
        }
    ),
    "privacy": frozenset(
        {
            "customers:read",
            "contacts:read",
            "contacts:write",
            "rights:read",
            "rights:write",
            "tokens:read",
            "charges:read",
        }
    ),
    "auditor": frozenset({"audit:read"}),
    "admin": frozenset({"accounts:write", "clients:write", "events:read", "webhooks:write"}),
}
