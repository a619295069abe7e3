"""`/docs`: the reference page, made from the OpenAPI document on this server; it loads nothing from anywhere else."""

from typing import Any

from flask import Flask, Response, render_template
from flask_smorest import Api

CSP = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def serve_reference(app: Flask, documented: Api) -> None:
    """Add `/docs` to `app`."""

    @app.get("/docs")
    def docs() -> Response:
        spec = documented.spec.to_dict()
        page = render_template("reference.html", spec=spec, operations=list(_operations(spec)), problems=_problems())
        return Response(page, content_type="text/html; charset=utf-8", headers={"Content-Security-Policy": CSP})


def _operations(spec: dict[str, Any]) -> Any:  # noqa: ANN401  # a generator of template rows
    for path, methods in spec["paths"].items():
        for method, operation in methods.items():
            if isinstance(operation, dict) and "responses" in operation:
                yield {"path": path, "method": method.upper(), **operation}


def _problems() -> dict[str, str]:
    return {
        "already_paid": "Another charge paid this obligation. `charge` names it.",
        "blocked": "Something open stands in the way; `reasons` lists what.",
        "card_declined": "The issuer declined to store the card.",
        "card_number_misplaced": "A card number stood outside card.number. It was refused and not kept.",
        "customer_exists": "The reference names a customer already.",
        "database_unavailable": "A database does not answer. Try again.",
        "declined": "The charge was declined; `decline_code` is the processor's.",
        "erased": "The customer was erased. It does not come back.",
        "idempotency_key_required": "Money moves only with an Idempotency-Key.",
        "idempotency_key_reused": "The key was used with another body.",
        "in_doubt": "Another charge for this obligation has an end that nobody knows yet.",
        "in_progress": "The same request is being worked on. Try again with the same key.",
        "insufficient_scope": "The API key lacks a scope.",
        "processor_not_reached": "The processor was not reached; nothing happened there. Try again, same key.",
        "processor_refused": "The processor refused the request itself; `processor_code` says why.",
        "restricted": "Processing is restricted for this customer.",
        "unauthenticated": "No valid API key.",
    }
