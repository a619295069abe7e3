import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.context import Context
from keys.dek import Dek, derive
from keys.envelope import OVERHEAD, dek_id_of, seal, unseal
from keys.errors import Unreadable

PLAIN = b"4242"


def refused(dek: Dek, record: bytes, context: Context) -> bool:
    try:
        unseal(dek, record, context)
    except Unreadable as error:
        return error.args == Unreadable().args and error.__cause__ is None
    return False


@given(plaintext=st.binary(max_size=300), row=st.text(st.characters(codec="utf-8"), max_size=20))
def test_what_was_sealed_opens_in_its_place(plaintext: bytes, row: str) -> None:
    """A value comes back byte for byte, 98 bytes longer while sealed."""
    dek = Dek(bytes(16), bytes(32))
    place = Context(deployment="d", tenant="t", table="a", column="b", row=row, customer="", version=2**64 - 1)
    record = seal(dek, plaintext, place)
    assert unseal(dek, record, place) == plaintext
    assert len(record) == len(plaintext) + OVERHEAD


def test_a_record_names_its_dek(dek: Dek, context: Context) -> None:
    """The DEK to open a record with is found from the record alone."""
    assert dek_id_of(seal(dek, PLAIN, context)) == dek.id


def test_no_two_records_share_a_salt(dek: Dek, context: Context) -> None:
    """Sealing the same value twice gives nothing in common after the header: the salt is fresh."""
    records = [seal(dek, PLAIN, context) for _ in range(100)]
    assert len({record[18:50] for record in records}) == 100
    assert len({record[50:82] for record in records}) == 100
    assert len({record[82:] for record in records}) == 100


@pytest.mark.parametrize(
    "moved",
    [
        {"deployment": "dep_2"},
        {"tenant": "ten_2"},
        {"table": "charges"},
        {"column": "contact"},
        {"row": "tok_2"},
        {"customer": "cus_2"},
        {"customer": ""},
        {"version": 2},
        {"version": 0},
    ],
    ids=str,
)
def test_a_moved_value_is_refused(dek: Dek, context: Context, moved: dict[str, str | int]) -> None:
    """A record put in another table, column, row, customer, tenant, deployment or version does not open."""
    place = dataclasses.replace(context, **moved)  # type: ignore[arg-type] # a mix of str and int, each for its field
    assert refused(dek, seal(dek, PLAIN, context), place)


def test_fields_do_not_run_into_each_other(dek: Dek, context: Context) -> None:
    """A character that moves from one field of the context to the next makes another context."""
    one = dataclasses.replace(context, table="ab", column="c")
    other = dataclasses.replace(context, table="a", column="bc")
    assert refused(dek, seal(dek, PLAIN, one), other)


def test_every_bit_counts(dek: Dek, context: Context) -> None:
    """A record with any single bit flipped does not open."""
    record = seal(dek, PLAIN, context)
    for bit in range(8 * len(record)):
        flipped = bytearray(record)
        flipped[bit // 8] ^= 1 << bit % 8
        assert refused(dek, bytes(flipped), context), bit


def test_every_byte_counts(dek: Dek, context: Context) -> None:
    """A record cut anywhere, at either end, or with a byte more does not open."""
    record = seal(dek, PLAIN, context)
    for length in range(len(record)):
        assert refused(dek, record[:length], context), length
        assert refused(dek, record[len(record) - length :], context), length
    assert refused(dek, record + b"\0", context)
    assert refused(dek, b"\0" + record, context)


def test_another_key_is_refused(dek: Dek, context: Context) -> None:
    """A record opens under no other key, be it of another id or of the same."""
    record = seal(dek, PLAIN, context)
    assert refused(Dek(bytes(16), dek.key), record, context)
    assert refused(Dek(dek.id, bytes(32)), record, context)


def test_parts_of_two_records_do_not_mix(dek: Dek, context: Context) -> None:
    """A header, commitment or ciphertext from one record does not open with the rest of another."""
    one, other = seal(dek, PLAIN, context), seal(dek, PLAIN, context)
    for cut in (50, 82):
        assert refused(dek, one[:cut] + other[cut:], context)


def test_the_dek_id_of_nonsense(dek: Dek, context: Context) -> None:
    """What is too short, or of another version or suite, names no DEK."""
    record = seal(dek, PLAIN, context)
    for wrong in (b"", record[:97], b"\x00" + record[1:], b"\x02" + record[1:], b"\x01\x02" + record[2:]):
        with pytest.raises(Unreadable):
            dek_id_of(wrong)


def test_subkeys_are_apart(dek: Dek) -> None:
    """Each label gives its own subkey, always the same, of the length asked for, and not the DEK."""
    assert derive(dek, "a") == derive(dek, "a")
    assert len({derive(dek, "a"), derive(dek, "b"), derive(Dek(dek.id, bytes(32)), "a"), dek.key}) == 4
    assert len(derive(dek, "a")) == 32
    assert len(derive(dek, "a", 64)) == 64
