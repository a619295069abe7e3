"""What every answer tells a browser: take it for what it says it is, keep it nowhere, show it in no page of others.

Words only: the server, which says them too, must be able to read them before anything else is imported.
"""

FIXED = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""A route that needs another one (`/docs` has its style in the page) sets it itself."""

UNDER_TLS = "max-age=63072000; includeSubDomains"
