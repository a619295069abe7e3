"""`/docs`: the reference page, made from the OpenAPI document on this server; it loads nothing from anywhere else."""

from functools import cache
from typing import Any

from flask import Flask, Response, render_template
from flask_smorest import Api

CSP = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def serve_reference(app: Flask, documented: Api) -> None:
    """Add `/docs` to `app`."""

    @cache  # anybody may ask for it, as often as they like
    def page() -> str:
        spec = documented.spec.to_dict()
        return render_template("reference.html", spec=spec, operations=list(_operations(spec)), problems=_problems())

    @app.get("/docs")
    def docs() -> Response:
        return Response(page(), content_type="text/html; charset=utf-8", headers={"Content-Security-Policy": CSP})


def _operations(spec: dict[str, Any]) -> Any:  # noqa: ANN401  # a generator of template rows
    for path, methods in spec["paths"].items():
        for method, operation in methods.items():
            if isinstance(operation, dict) and "responses" in operation:
                yield {"path": path, "method": method.upper(), **operation}


def _problems() -> dict[str, str]:
    return {
        "access_purpose_required": "Personal data is read for a purpose: send Access-Purpose.",
        "access_purpose_unknown": "The policy does not know this purpose.",
        "account_unproven": "Nothing proves that this key opens the same account at the processor, and calls are open "
        "that would be looked up there. Try again once they have ended, or with a key that may read the account.",
        "actor_required": "Two people must agree to this: name the human in Panless-Actor. One key is one person.",
        "already_extended": "A rights request can be extended once.",
        "already_paid": "Another charge paid this obligation. `charge` names it.",
        "already_refunded": "Nothing of this charge is left to refund.",
        "audit_anchor_stale": "The audit log was not anchored for five minutes: what must be provable waits.",
        "bad_request": "This is not HTTP that can be read.",
        "blocked": "Something open stands in the way; `reasons` lists what, `until` when one ends, where known. "
        "`request` is done by itself once nothing stands in the way.",
        "card_declined": "The issuer declined to store the card.",
        "card_number_misplaced": "A card number stood outside card.number. It was refused and not kept.",
        "charge_in_progress": "What becomes of a capture or a void of this charge is still open. Try again.",
        "charge_not_capturable": "Only a charge that is authorized can be captured.",
        "charge_not_refundable": "Only a charge that succeeded or was captured can be refunded.",
        "charge_not_voidable": "Only a charge that is authorized, or waits for the person, can be voided.",
        "contact_lost": "A correction was lost when the records were restored. Enter the contact again.",
        "contended": "Others changed the same thing at the same time. Try again, same key.",
        "customer_exists": "The reference names a customer already. `customer` is its id.",
        "database_busy": "All database connections are in use. Try again.",
        "database_unavailable": "A database does not answer. Try again.",
        "declined": "The charge was declined; `decline_code` is the processor's.",
        "deployment_mismatch": "Records and keystore do not belong together: nothing is served.",
        "do_not_retry": "The issuer said never again, until the card is renewed, or it was declined too often. Nothing "
        "was sent. `reason` says which, `until` when that ends by itself.",
        "duplicate_request": "The same right is being asked for already; `request` is that request.",
        "erased": "The customer was erased. It does not come back.",
        "gone": "It could be had once, or for some days, and that is over. Ask for a new one.",
        "idempotency_key_required": "Money moves only with an Idempotency-Key.",
        "idempotency_key_reused": "The key was used with another body.",
        "in_doubt": "409: another charge for this obligation has an end that nobody knows yet; `charge` names it. 503: "
        "after a failover or a restore the records are compared with the processor first. Try again, same key.",
        "in_progress": "The same request is being worked on. Try again with the same key.",
        "insufficient_scope": "The API key lacks a scope; `scope` says which.",
        "internal_error": "Something went wrong here. It was noted under the Request-Id.",
        "invalid_characters": "A string holds control characters or half a surrogate pair.",
        "invalid_header": "A header has not the form that it must have.",
        "invalid_request": "Fields are missing, unknown or wrong; `errors` lists them.",
        "issuer_unavailable": "The token's issuer does not answer. Nothing was done: try again.",
        "json_too_deep": "The JSON is nested too deep.",
        "keystore_restored": "The keystore is older than the records: nothing is served.",
        "ledger_cut": "The erasure ledger was cut or changed: nothing is served.",
        "ledger_unavailable": "The erasure ledger does not answer. Try again.",
        "malformed_json": "The body is not one JSON value in UTF-8 with each key once.",
        "malformed_query": "The query is not percent-encoded UTF-8.",
        "method_not_allowed": "The path does not take this method; Allow says which it takes.",
        "no_processor_account": "The tenant has no processor account yet.",
        "not_certified_yet": "The erasure is not certified yet. Ask again later.",
        "not_configured": "This protocol is not set up here: a setting is missing.",
        "refund_in_doubt": "A refund of this amount was made just before records were lost: it may be this one. "
        "Look at the charge's refunds; another amount is not in doubt.",
        "other_account": "This key opens another account at the processor. Add that account beside this one.",
        "never_charged": "The call was never carried out and won't be: nothing was charged. Use a new Idempotency-Key.",
        "never_stored": "The card was not stored, by no fault of its own. Use a new Idempotency-Key.",
        "not_found": "There is no such thing, for you.",
        "not_restricted": "The customer is not restricted: there is nothing to lift.",
        "not_verified": "Nobody has said yet how the person was verified: send `verification`.",
        "overloaded": "There is more to do here than can be done in time. Nothing was begun: try again.",
        "package_not_ready": "The package is still being built. Ask again later.",
        "processor_account_unusable": "This deployment can't use the processor account any more.",
        "processor_credentials_refused": "The processor refuses the processor account's credentials.",
        "processor_not_reached": "The processor was not reached; nothing happened there. Try again, same key.",
        "processor_refused": "The processor refused the request itself; `processor_code` says why.",
        "rate_limited": "Too many calls; Retry-After says when to go on. Nothing was done.",
        "raw_cards_refused": "This deployment takes no raw cards: send processor_reference.",
        "records_restored": "The records are older than the erasure ledger: nothing is served.",
        "request_closed": "The rights request is past the state in which this can be done.",
        "request_open": "A rights request about this and other customers waits for approval: decide that one.",
        "restricted": "Processing is restricted for this customer.",
        "root_key_denied": "The root key's provider refuses this deployment, whose operator must grant that.",
        "root_key_unavailable": "The root key does not answer. Try again.",
        "starting": "The erasure ledger has not been checked yet. Try again.",
        "token_not_active": "The token can't be charged; its status says why.",
        "too_many_endpoints": "There are as many webhook endpoints as there can be. Remove one.",
        "too_large": "The body is larger than 64 KiB.",
        "unauthenticated": "No valid API key.",
        "unsupported_media_type": "Send the body as application/json.",
        "webhook_refused": "No such webhook, or it is not signed as it should be.",
    }
