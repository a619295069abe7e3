"""Whatever is signed, sealed or framed: what nobody signed or sealed is refused, and no two things are one."""

import hashlib
import hmac
import json
import os
import time

import pytest
from house import House, Tenant
from hypothesis import example, given
from hypothesis import strategies as st
from made_up import anything, headers, over_http, scalars

from keys.context import Context
from keys.dek import new_dek
from keys.envelope import dek_id_of, seal, unseal
from keys.errors import Unreadable
from keys.framing import frame

SECRET = "whsec_of_these_tests"


@pytest.fixture(scope="module")
def tenant(house: House) -> Tenant:
    """One tenant for all that is made up here; its processor signs with SECRET."""
    made = house.tenant()
    changed = made.call("PATCH", f"/v1/processor-accounts/{made.account}", {"webhook_secret": SECRET})
    assert changed.status_code == 200
    return made


def _signed(body: bytes) -> str:
    moment = int(time.time())
    mac = hmac.new(SECRET.encode(), b"%d." % moment + body, hashlib.sha256).hexdigest()
    return f"t={moment},v1={mac}"


events = st.fixed_dictionaries(
    {},
    optional={
        "object": st.just("event") | scalars,
        "id": st.text(max_size=30) | anything,
        "type": st.sampled_from(["charge.succeeded", "refund.updated", "payment_method.updated"]) | anything,
        "data": st.fixed_dictionaries({"object": st.dictionaries(st.sampled_from(["id", "payment_intent"]), anything)})
        | anything,
    },
)


@given(st.binary(max_size=100) | (events | anything).map(lambda value: json.dumps(value).encode()))
@example(b'{"object": "event", "type": "charge.succeeded", "data": {"object": {}}, "id":' + b"[" * 60_000)
@example(
    b'{"object": "event", "id": "\\ud800", "type": "charge.succeeded", "data": {"object": {"payment_intent": "pi"}}}'
)
@example(
    b'{"object": "event", "id": "evt", "type": "charge.succeeded", "data": {"object": {"payment_intent": "\\udfff"}}}'
)
@example(b'{"object": "event", "id": "evt", "type": "charge.\\u0000", "data": {"object": {"payment_intent": 7}}}')
@over_http
def test_signed_webhooks(tenant: Tenant, body: bytes) -> None:
    """What a processor signs, whatever it says, is taken or refused."""
    path = f"/webhooks/{tenant.account}"
    client = tenant.house.app.test_client()
    answer = client.post(path, data=body, headers={"Stripe-Signature": _signed(body)})
    assert answer.status_code in {204, 400}, answer.get_data(as_text=True)


@given(headers, st.binary(max_size=50))
@example("t=1,v1=", b"{}")
@example("t=" + "9" * 400 + ",v1=00", b"{}")
@example("t=-1,v1=\xff", b"{}")
@example("v1=00,t=x", b"\xff")
@over_http
def test_forged_signatures(tenant: Tenant, header: str, body: bytes) -> None:
    """Whatever stands in Stripe-Signature: what nobody signed is refused."""
    client = tenant.house.app.test_client()
    answer = client.post(f"/webhooks/{tenant.account}", data=body, headers={"Stripe-Signature": header})
    assert answer.status_code == 400


@given(st.lists(st.binary(max_size=20), max_size=6), st.lists(st.binary(max_size=20), max_size=6))
@example([b"", b"a"], [b"a", b""])
@example([b"ab", b"c"], [b"a", b"bc"])
@example([b"\0\0\0\x01a"], [b"", b"a"])
def test_frames(one: list[bytes], other: list[bytes]) -> None:
    """Two lists of parts give the same bytes only if they are the same."""
    assert (frame(*one) == frame(*other)) == (one == other)


CONTEXT = Context(deployment="dep", tenant="ten", table="tokens", column="card", row="tok", customer="cus", version=1)


@given(st.binary(max_size=200), st.binary(max_size=60), st.data())
def test_records(noise: bytes, plaintext: bytes, data: st.DataObject) -> None:
    """Noise does not open, and of a record no byte may be another, be missing or be added. One error for all of it."""
    dek = new_dek()
    record = seal(dek, plaintext, CONTEXT)
    assert unseal(dek, record, CONTEXT) == plaintext
    place = data.draw(st.integers(0, len(record) - 1))
    flipped = record[:place] + bytes([record[place] ^ data.draw(st.integers(1, 255))]) + record[place + 1 :]
    for broken in (noise, flipped, record[:place], record + os.urandom(1), record[:50] + noise):
        with pytest.raises(Unreadable):
            unseal(dek, broken, CONTEXT)
    try:
        assert len(dek_id_of(noise)) == 16
    except Unreadable:
        assert noise[:2] != b"\x01\x01" or len(noise) < 98


names = st.text(max_size=20)


@given(st.tuples(*[names] * 6), st.tuples(*[names] * 6), st.integers(0, 2**64 - 1))
def test_contexts(one: tuple[str, ...], other: tuple[str, ...], version: int) -> None:
    """Two places give the same bytes only if they are the same place."""
    fields = ("deployment", "tenant", "table", "column", "row", "customer")
    first, second = (
        Context(**dict(zip(fields, texts, strict=True)), version=version).encode() for texts in (one, other)
    )
    assert (first == second) == (one == other)
