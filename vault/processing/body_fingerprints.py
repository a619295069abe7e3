"""What is remembered of the body of a call, to tell a client's retry from another call with the same key."""

import hashlib
import hmac
import json

from keys.keyring import Keyring


def body_fingerprint(keyring: Keyring, tenant: str, path: str, body: object) -> bytes:
    """HMAC-SHA256 of path and parsed body, its card number cut to the last four and its CVC left out."""
    canonical = json.dumps([path, _without_card(body)], sort_keys=True, separators=(",", ":")).encode()
    return hmac.digest(keyring.subkey(tenant, "processor_key", "body-fingerprint"), canonical, hashlib.sha256)


def _without_card(body: object) -> object:
    if not isinstance(body, dict) or not isinstance(body.get("card"), dict):
        return body
    card = {name: value for name, value in body["card"].items() if name != "cvc"}
    if isinstance(card.get("number"), str):
        card["number"] = "".join(filter(str.isdigit, card["number"]))[-4:]
    return {**body, "card": card}
