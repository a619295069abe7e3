"""The client certificate that a proxy saw, in each of the forms in which proxies say it: its SHA-256, in hex."""

import base64
import hashlib
import re
import ssl
from urllib.parse import unquote

_FINGERPRINT = re.compile(r"(sha256[:=])?([0-9a-f]{2}(:?[0-9a-f]{2}){31})", re.IGNORECASE)
_RFC_9440 = re.compile(r":([A-Za-z0-9+/]+={0,2}):")


def fingerprint(header: str) -> str | None:
    """The fingerprint that a header says or whose certificate it holds; None if it is no such thing.

    A fingerprint in hex (Caddy, HAProxy), a certificate as RFC 9440 writes it, or as PEM with percent signs (nginx).
    """
    value = header.strip()
    if said := _FINGERPRINT.fullmatch(value):
        return said[2].replace(":", "").lower()
    try:
        if held := _RFC_9440.fullmatch(value):
            der = base64.b64decode(held[1], validate=True)
        else:
            der = ssl.PEM_cert_to_DER_cert(unquote(value))
    except ValueError:
        return None
    return hashlib.sha256(der).hexdigest()
