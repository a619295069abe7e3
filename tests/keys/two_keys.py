"""One AES-GCM ciphertext and tag that open under two keys.

The attack is that of Dodis, Grubbs, Ristenpart, Woodage, "Fast Message Franking: From Invisible Salamanders to
Encryptment" (CRYPTO 2018), and, for more keys, of Len, Grubbs, Ristenpart, "Partitioning Oracle Attacks" (USENIX
Security 2021). A tag is a sum over the ciphertext's blocks, each times a power of H, which is zero encrypted (NIST SP
800-38D, 6.4). So with one block open the two tags are `rest ^ block * H^n` and `other_rest ^ block * other_H^n`, and
they are equal for `block = (rest ^ other_rest) / (H^n ^ other_H^n)`. The tags come from the cipher; of GHASH nothing
but that power is made here.
"""

from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from vectors.make_record_vectors import aes, gf_multiply, gf_power

BLOCK = 16


@dataclass(frozen=True)
class Lock:
    """A key and a nonce."""

    key: bytes
    nonce: bytes

    def opened(self, sealed: bytes, associated: bytes) -> bytes:
        return AESGCM(self.key).decrypt(self.nonce, sealed, associated)

    def ciphertext(self, plain: bytes) -> bytes:
        return AESGCM(self.key).encrypt(self.nonce, plain, None)[:-BLOCK]

    def tag(self, ciphertext: bytes, associated: bytes) -> bytes:
        plain = self.ciphertext(ciphertext)  # the cipher is a key stream: twice is not at all
        return AESGCM(self.key).encrypt(self.nonce, plain, associated)[-BLOCK:]


def collide(one: Lock, other: Lock, plain: bytes, associated: bytes, spent: int) -> bytes:
    """`ciphertext | tag` that both open; under `one` it is `plain`, whole blocks, but for the block that is spent."""
    ciphertext = one.ciphertext(plain)
    before, after = ciphertext[: spent * BLOCK], ciphertext[(spent + 1) * BLOCK :]
    power = len(after) // BLOCK + 2  # after it come these blocks and that of the lengths, which is times H itself
    empty = before + bytes(BLOCK) + after
    rests = _number(one.tag(empty, associated)) ^ _number(other.tag(empty, associated))
    factors = gf_power(aes(one.key, bytes(BLOCK)), power) ^ gf_power(aes(other.key, bytes(BLOCK)), power)
    block = gf_multiply(rests, gf_power(factors, 2**128 - 2))
    collision = before + block.to_bytes(BLOCK) + after
    return collision + one.tag(collision, associated)


def _number(tag: bytes) -> int:
    return int.from_bytes(tag)
