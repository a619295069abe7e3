"""API keys: how one is written, what is kept of it, and the terms that it is bound to.

A key reads `panless_test_` or `panless_live_`, the tenant's and the key's id, 256 random bits and a checksum, so that
the tenant is known before the first row is read and a typing error costs none.

What is kept is `digest`, the SHA-256 of an HMAC that binds tenant, client, key, mode, scopes and secret, and `mac`, an
HMAC over the row: the same, the client's name, the digest, the end of the key, the networks that it may come from and
the certificate that must come with it. Both keys are not in the database: whoever writes there and edits any of these
makes the key stop working. The `mac` takes no secret, so that the terms of a key can be changed without it; rows are
verified first. A revocation empties `digest`, so that only who has kept the row from before can take it back there
(`panless check` finds that).

Before there were terms `digest` was that HMAC itself, and there was no `mac`. Such a row works without terms. When it
is used it gets a `mac` (`key_uses.py`), and the releases before this one still take it; once it gets terms its digest
is hashed, which can't be turned back into a row without any.
"""

import hashlib
import hmac
import secrets
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, TypeAlias

from keys.keyring import Keyring
from vault.ids import BODY_LENGTH, base32, new_id

Network: TypeAlias = IPv4Network | IPv6Network

_PURPOSE, _SECRETS, _TERMS = "client_key", "api-key", "terms"
HASHED, PLAIN = "hashed", "plain"
"""How a row keeps its digest."""

_SECRET_LENGTH = 52
_CHECKSUM_LENGTH = 8
_KEY_LENGTH = 2 * BODY_LENGTH + _SECRET_LENGTH + _CHECKSUM_LENGTH
_MODES = {"panless_test_": False, "panless_live_": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a key is bound to besides its client: when it ends, where it may come from, what must come with it."""

    expires_at: datetime | None = None
    networks: str | None = None
    certificate: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Presented:
    """What somebody presents: the parts of an API key. `live` is None for what has no mode of its own."""

    tenant: str
    key_id: str
    live: bool | None
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """How a request came here: from which address, and with which certificate (SHA-256, in hex)."""

    address: str = ""
    certificate: str | None = None


UNSEEN = Arrival()
"""Of whom nothing is known; it meets no terms."""


def new_key(tenant: str, *, live: bool) -> Presented:
    """A new API key."""
    return Presented(tenant=tenant, key_id=new_id("key", tenant), live=live, secret=base32(secrets.token_bytes(32)))


def of_issuer(tenant: str, issuer: str, subject: str) -> Presented:
    """What stands for a client that another issuer's tokens name `subject`: it takes the place of an API key.

    It is no secret. Its row says that this client was registered here, which only who has our keys can write.
    """
    named = f"{issuer}\n{subject}"
    return Presented(tenant=tenant, key_id=f"iss_{_short(named)}", live=None, secret=named)


def person_of(issuer: str, subject: str) -> str:
    """What stands for a human whom an issuer's tokens name; no client can name an actor like that."""
    named = f"{issuer}\n{subject}"
    return f"sub/{_short(named)}"


def _short(named: str) -> str:
    return base32(hashlib.sha256(named.encode()).digest()[:20])


def parse_key(key: str) -> Presented | None:
    """The parts of a well-formed API key, else None. Reads no row."""
    prefix, rest = key[:13], key[13:]
    if prefix not in _MODES or len(rest) != _KEY_LENGTH or not (rest.isascii() and rest.isalnum()):
        return None
    tenant, key_id = rest[:BODY_LENGTH], rest[BODY_LENGTH : 2 * BODY_LENGTH]
    presented = Presented(
        tenant=f"ten_{tenant}",
        key_id=f"key_{key_id}",
        live=_MODES[prefix],
        secret=rest[2 * BODY_LENGTH : -_CHECKSUM_LENGTH],
    )
    return presented if hmac.compare_digest(write_key(presented), key) else None


def write_key(presented: Presented) -> str:
    """An API key as its client keeps it."""
    mode = "live" if presented.live else "test"
    body = f"panless_{mode}_{presented.tenant[4:]}{presented.key_id[4:]}{presented.secret}"
    return f"{body}{zlib.crc32(body.encode()):08x}"


def networks(written: Iterable[str]) -> str | None:
    """Networks in the form in which they are kept; None for none. Raises ValueError."""
    return " ".join(sorted({str(ip_network(each)) for each in written})) or None


def key_row(keyring: Keyring, client: Any, presented: Presented, terms: Terms, at: datetime) -> dict[str, Any]:  # noqa: ANN401  # a row of `clients`
    """The row of a new key of `client`. Raises KeyMissing."""
    proof = _proof(keyring.subkey(presented.tenant, _PURPOSE, _SECRETS), presented, client, live=client.live)
    row = {
        "tenant_id": client.tenant_id,
        "key_id": presented.key_id,
        "client_id": client.client_id,
        "digest": hashlib.sha256(proof).digest(),
        "created_at": at,
    }
    return row | bound(keyring, client, presented.key_id, row["digest"], terms)


def bound(keyring: Keyring, client: Any, key_id: str, digest: bytes, terms: Terms) -> dict[str, Any]:  # noqa: ANN401  # as above
    """The columns that hold a key's terms, and what binds the row to them."""
    key = keyring.subkey(client.tenant_id, _PURPOSE, _TERMS)
    columns = {"expires_at": terms.expires_at, "networks": terms.networks, "certificate": terms.certificate}
    return {**columns, "digest": digest, "mac": _mac(key, client, key_id, digest, terms, HASHED)}


def rebound(keyring: Keyring, row: Any, terms: Terms) -> dict[str, Any]:  # noqa: ANN401  # as above
    """The columns that hold other terms of a key whose row is untouched, and what binds the row to them."""
    is_plain = form_of(keyring, row) == PLAIN
    digest = hashlib.sha256(row.digest).digest() if is_plain else row.digest
    return bound(keyring, row, row.key_id, digest, terms)


def upgraded(keyring: Keyring, row: Any) -> dict[str, Any] | None:  # noqa: ANN401  # a client's row with its key's
    """What a verified row from before there were terms gets; None for any other."""
    if row.mac is not None:
        return None
    key = keyring.subkey(row.tenant_id, _PURPOSE, _TERMS)
    return {"mac": _mac(key, row, row.key_id, row.digest, Terms(), PLAIN)}


def is_genuine(keyring: Keyring, presented: Presented, row: Any) -> bool:  # noqa: ANN401  # as above
    """Whether this is the key whose row it is, and nobody edited that. Raises KeyMissing."""
    if row.mac is None and terms_of(row) != Terms():
        return False
    form = PLAIN if row.mac is None else form_of(keyring, row)
    if form is None:
        return False

    def kept(key: bytes) -> bytes:
        proof = _proof(key, presented, row, live=row.live)
        return proof if form == PLAIN else hashlib.sha256(proof).digest()

    return any(hmac.compare_digest(kept(key), row.digest) for key in _keys(keyring, presented.tenant, _SECRETS))


def form_of(keyring: Keyring, row: Any) -> str | None:  # noqa: ANN401  # as above
    """How a row keeps its digest, if nobody edited that, or its client's scopes and mode; else None.

    It can't be told of one without a MAC: that takes the secret. Raises KeyMissing.
    """
    if row.mac is None:
        return None
    terms = terms_of(row)
    for key in _keys(keyring, row.tenant_id, _TERMS):
        for form in (HASHED, PLAIN):
            if hmac.compare_digest(_mac(key, row, row.key_id, row.digest, terms, form), row.mac):
                return form
    return None


def meets(terms: Terms, arrival: Arrival, at: datetime) -> bool:
    """Whether a key may be used now, by who comes like this."""
    if terms.expires_at is not None and terms.expires_at <= at:
        return False
    if terms.certificate is not None and terms.certificate != arrival.certificate:
        return False
    return terms.networks is None or _is_within(arrival.address, terms.networks)


def terms_of(row: Any) -> Terms:  # noqa: ANN401  # as above
    """The terms in a key's row."""
    return Terms(expires_at=row.expires_at, networks=row.networks, certificate=row.certificate)


def _is_within(address: str, written: str) -> bool:
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:  # a socket of this machine, or nothing that is known
        return False
    plain = getattr(found, "ipv4_mapped", None) or found  # how a listener on :: sees IPv4
    return any(plain in network for network in _parsed(written))


@lru_cache(maxsize=1024)
def _parsed(written: str) -> tuple[Network, ...]:
    return tuple(ip_network(each) for each in written.split())


def _keys(keyring: Keyring, tenant: str, label: str) -> Iterator[bytes]:
    """The tenant's keys for this, the newest first; last of all read anew. Raises KeyMissing."""
    for subkeys in (keyring.subkeys, keyring.subkeys_now):
        yield from subkeys(tenant, _PURPOSE, label).values()


def _proof(key: bytes, presented: Presented, client: Any, *, live: bool) -> bytes:  # noqa: ANN401  # as above
    """What only this key, of this client with these scopes, makes."""
    mode = "live" if live else "test"
    parts = (presented.tenant, client.client_id, presented.key_id, mode, client.scopes, presented.secret)
    return hmac.digest(key, _framed(parts), hashlib.sha256)


def _mac(key: bytes, client: Any, key_id: str, digest: bytes, terms: Terms, form: str) -> bytes:  # noqa: ANN401  # as above
    mode = "live" if client.live else "test"
    ends = terms.expires_at.isoformat(timespec="microseconds") if terms.expires_at else ""
    bounds = (ends, terms.networks or "", terms.certificate or "")
    who = (client.tenant_id, client.client_id, client.name, key_id, mode, client.scopes)
    parts = (form, *who, digest.hex(), *bounds)
    return hmac.digest(key, _framed(parts), hashlib.sha256)


def _framed(parts: Iterable[str]) -> bytes:
    """Each part behind its length: no two lists of parts read the same."""
    return b"".join(struct.pack(">H", len(part)) + part for part in map(str.encode, parts))
