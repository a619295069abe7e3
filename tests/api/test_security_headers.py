"""What browsers are told, on every answer."""

import pytest
from api_scene import operations
from house import House, Tenant
from werkzeug.test import TestResponse

WANTED = {
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def check(answer: TestResponse) -> None:
    for name, value in WANTED.items():
        assert answer.headers.getlist(name) == [value], name
    for name in ("Cache-Control", "Content-Security-Policy", "Permissions-Policy"):
        assert len(answer.headers.getlist(name)) == 1, name
    policy = answer.headers["Content-Security-Policy"]
    assert all(part in policy for part in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"))
    assert "script" not in policy
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert "Strict-Transport-Security" not in answer.headers


def test_every_answer_is_guarded(tenant: Tenant) -> None:
    """Every endpoint without a key, and what goes wrong before, in and after a route: all headers, each once."""
    client = tenant.house.app.test_client()
    for method, path, _ in operations(tenant.house.app):
        check(client.open(path.replace("{", "").replace("}", ""), method=method))
    for path in ("/", "/docs", "/openapi.json", "/livez", "/readyz", "/nowhere"):
        for method in ("GET", "HEAD", "DELETE", "OPTIONS", "TRACE"):
            check(client.open(path, method=method))
    check(tenant.call("GET", "/v1/charges"))
    check(tenant.call("POST", "/v1/customers", {"reference": "x" * 70_000}))
    check(tenant.call("GET", "/v1/charges?unknown=1"))


@pytest.mark.parametrize(("base", "said"), [("http://x", False), ("https://x", True)])
def test_over_tls_it_is_never_to_be_asked_without(house: House, base: str, said: bool) -> None:  # noqa: FBT001
    """HSTS for two years, subdomains too, over TLS only, where a browser believes it; errors say it too."""
    for path in ("/livez", "/nowhere", "/v1/charges"):
        found = house.app.test_client().get(path, base_url=base).headers.get("Strict-Transport-Security")
        assert found == ("max-age=63072000; includeSubDomains" if said else None)


def test_data_is_kept_in_no_cache(tenant: Tenant) -> None:
    """Answers about people, and errors, are for nobody's cache."""
    for answer in (tenant.call("GET", "/v1/charges"), tenant.call("GET", "/v1/nothing")):
        assert answer.headers["Cache-Control"] == "no-store"
