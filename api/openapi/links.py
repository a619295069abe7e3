"""Links of the OpenAPI document: from an answer that shows a thing to every call that can name it by its id."""

from collections.abc import Iterator
from typing import Any

SHOWN = {
    "TokenShown": "token_id",
    "CustomerShown": "customer_id",
    "ChargeShown": "charge_id",
    "RefundShown": "refund_id",
    "AccountShown": "account_id",
    "RequestShown": "request_id",
    "HoldShown": "hold_id",
    "EventShown": "event_id",
    "DisputeShown": "dispute_id",
    "EndpointShown": "endpoint_id",
}
"""By which name paths call what a schema shows."""

ID = "$response.body#/id"
IN_BODIES: dict[str, dict[tuple[str, str], dict[str, Any]]] = {
    "TokenShown": {("/v1/charges", "post"): {"token": ID}},
    "CustomerShown": {
        ("/v1/tokens", "post"): {"customer": ID},
        ("/v1/rights-requests", "post"): {"customers": [ID]},
    },
}


def link(paths: dict[str, Any]) -> None:
    """Add links to every answer in `paths` that shows one thing."""
    for _, _, operation in _operations(paths):
        for response in operation["responses"].values():
            found = dict(_links(paths, _shown(response)))
            if found:
                response["links"] = found


def _operations(paths: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in paths.items():
        for method, operation in methods.items():
            if isinstance(operation, dict) and "responses" in operation:
                yield path, method, operation


def _shown(response: dict[str, Any]) -> str:
    """The name of the schema of an answer."""
    schema = response.get("content", {}).get("application/json", {}).get("schema", {})
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _links(paths: dict[str, Any], shown: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, method, _ in _operations(paths):
        if f"{{{SHOWN.get(shown)}}}" in path:
            yield _link(path, method, parameters={f"path.{SHOWN[shown]}": ID})
    for (path, method), body in IN_BODIES.get(shown, {}).items():
        yield _link(path, method, requestBody=body)


def _link(path: str, method: str, **carried: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    name = f"{method}{path.replace('/', '-').replace('{', '').replace('}', '')}"
    escaped = path.replace("~", "~0").replace("/", "~1")
    return name, {"operationRef": f"#/paths/{escaped}/{method}", **carried}
