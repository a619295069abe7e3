"""Reading what a server of the operator's publishes, from wherever it is, with one deadline over all of it.

The server's certificate is verified with the system's authorities (SSL_CERT_FILE names others). No redirect is
followed, and no proxy asked.
"""

import http.client
from time import monotonic
from urllib.parse import urlsplit

from panless.outgoing import dial, resolve, resolve_by, secure


def fetch(url: str, *, seconds: float, largest: int) -> bytes:
    """What is answered with 200. Raises OSError, HTTPException, and ValueError where it is another answer or larger."""
    end = monotonic() + seconds
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    headers = {"Accept": "application/json", "Host": parts.netloc.rpartition("@")[2], "Connection": "close"}
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    addresses = resolve_by(resolve, host, port, end)
    with dial(addresses, port, end) as dialled, secure(dialled, parts, host, None) as secured:
        wire = http.client.HTTPConnection(host, port)
        wire.sock = secured
        wire.request("GET", target, headers=headers)
        answer = wire.getresponse()
        body = answer.read(largest + 1)
    if answer.status != http.HTTPStatus.OK or len(body) > largest:
        raise ValueError("what was asked for is not answered with 200, or is too large")
    return body
