"""Key commitment: what AES-GCM alone lets through, and what a record does not."""

from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from two_keys import BLOCK, Lock, collide

from keys.context import Context
from keys.dek import Dek
from keys.envelope import PREFIX, _record_key, seal, unseal
from keys.errors import Unreadable
from keys.wrapping import unwrap_dek

PLAIN = b'{"last4":"4242","exp_month":12,"exp_year":2030}\n'
SPENT = range(len(PLAIN) // BLOCK)
SALT = sha256(b"salt").digest()
DEK_ID = bytes(16)
DEKS = Dek(DEK_ID, sha256(b"the one that was destroyed").digest()), Dek(DEK_ID, sha256(b"another").digest())
COMMITMENTS = [_record_key(dek, SALT)[2] for dek in DEKS]


def collision(context: Context, spent: int) -> tuple[bytes, bytes]:
    """A record without its commitment, as header and ciphertext, that is made for both DEKs."""
    header = PREFIX + DEK_ID + SALT
    one, other = (Lock(*_record_key(dek, SALT)[:2]) for dek in DEKS)
    return header, collide(one, other, PLAIN, header + context.encode(), spent)


def opening(record: bytes, context: Context) -> list[int]:
    """Which of the two DEKs, by number, a record opens under."""
    return [number for number, dek in enumerate(DEKS) if _opens(dek, record, context)]


def _opens(dek: Dek, record: bytes, context: Context) -> bool:
    try:
        unseal(dek, record, context)
    except Unreadable:
        return False
    return True


@pytest.mark.parametrize("spent", SPENT)
def test_aes_gcm_alone_opens_under_two_keys(spent: int) -> None:
    """The attack is real: one nonce, ciphertext and tag open under two keys, as all but a block of what was chosen."""
    one, other = (Lock(dek.key, bytes(12)) for dek in DEKS)
    sealed = collide(one, other, PLAIN, b"associated", spent)
    opened = one.opened(sealed, b"associated")
    start, end = spent * BLOCK, (spent + 1) * BLOCK
    assert opened[:start] + opened[end:] == PLAIN[:start] + PLAIN[end:]
    assert other.opened(sealed, b"associated") != opened


@pytest.mark.parametrize("spent", SPENT)
def test_a_record_opens_under_the_key_it_commits_to(context: Context, spent: int) -> None:
    """A record that is made for two DEKs opens under the one whose commitment is in it, and not under the other.

    But for the commitment it would open under both: key and nonce of each accept it.
    """
    header, sealed = collision(context, spent)
    for dek in DEKS:
        assert Lock(*_record_key(dek, SALT)[:2]).opened(sealed, header + context.encode())
    for number, commitment in enumerate(COMMITMENTS):
        assert opening(header + commitment + sealed, context) == [number]


@pytest.mark.parametrize("cut", range(1, 32))
def test_no_mixed_commitment_opens(context: Context, cut: int) -> None:
    """A commitment that begins as one DEK's and ends as the other's, wherever it changes, opens under neither."""
    header, sealed = collision(context, 0)
    one, other = COMMITMENTS
    for mixed in (one[:cut] + other[cut:], other[:cut] + one[cut:]):
        assert opening(header + mixed + sealed, context) == []


def test_no_other_commitment_opens(context: Context) -> None:
    """Nor does one that is both DEKs' at once, nobody's, or that of either DEK for another salt."""
    header, sealed = collision(context, 0)
    one, other = (int.from_bytes(each) for each in COMMITMENTS)
    numbers = one ^ other, one & other, one | other, 0, 2**256 - 1
    made = [*(each.to_bytes(32) for each in numbers), *(_record_key(dek, bytes(32))[2] for dek in DEKS)]
    assert [opening(header + each + sealed, context) for each in made] == [[]] * len(made)


def test_a_wrap_of_two_keks_gives_two_deks(context: Context) -> None:
    """A wrapped DEK commits to no KEK: it can be made to open under two, as two DEKs. A record opens under one."""
    kek, other_kek = (Lock(sha256(name).digest(), bytes(12)) for name in (b"kek", b"other kek"))
    wrapped = kek.nonce + collide(kek, other_kek, DEKS[0].key, b"place", 1)
    one, other = (unwrap_dek(AESGCM(each.key), DEK_ID, wrapped, b"place") for each in (kek, other_kek))
    assert one != other
    for right, wrong in ((one, other), (other, one)):
        record = seal(right, PLAIN, context)
        assert unseal(right, record, context) == PLAIN
        with pytest.raises(Unreadable):
            unseal(wrong, record, context)
