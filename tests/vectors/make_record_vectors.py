"""Makes record.json, from docs/record-format.md and nothing of ours.

    .venv/bin/python tests/vectors/make_record_vectors.py > tests/vectors/record.json

Every input is fixed, the salts too, so that the good records are for opening; a sealer's own salt is fresh.
"""

import hashlib
import hmac
import json
import struct
import sys
from collections.abc import Iterator
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

Place = dict[str, Any]

DEK_ID = bytes.fromhex("00112233445566778899aabbccddeeff")
DEK = hashlib.sha256(b"panless test vector, dek").digest()
OTHER_DEK = hashlib.sha256(b"panless test vector, other dek").digest()
SALT = hashlib.sha256(b"panless test vector, salt").digest()
PLACE = {
    "deployment": "dep_1",
    "tenant": "ten_1",
    "table": "tokens",
    "column": "card",
    "row": "tok_1",
    "customer": "cus_1",
    "version": 1,
}
MOVES = {
    "deployment": "dep_2",
    "tenant": "ten_2",
    "table": "charges",
    "column": "contact",
    "row": "tok_2",
    "customer": "",
    "version": 2,
}
PLAIN = b'{"last4":"4242"}'


def encode(place: Place) -> bytes:
    names = ("deployment", "tenant", "table", "column", "row", "customer")
    texts = [b"panless/context/1", *(place[name].encode() for name in names)]
    return b"".join(struct.pack(">H", len(text)) + text for text in texts) + struct.pack(">Q", place["version"])


def record_key(dek: bytes, salt: bytes) -> tuple[bytes, bytes, bytes]:
    """RFC 5869 by hand: extract with the salt, expand to 76 bytes."""
    extracted = hmac.digest(salt, dek, "sha256")
    out, block = b"", b""
    for number in (1, 2, 3):
        block = hmac.digest(extracted, block + b"panless/record/1" + bytes([number]), "sha256")
        out += block
    return out[:32], out[32:44], out[44:76]


def header(salt: bytes = SALT, version: int = 1, suite: int = 1) -> bytes:
    return bytes([version, suite]) + DEK_ID + salt


def sealed(
    *, salt: bytes = SALT, plain: bytes = PLAIN, place: Place = PLACE, version: int = 1, suite: int = 1
) -> bytes:
    key, nonce, commitment = record_key(DEK, salt)
    gcm = Cipher(algorithms.AES256(key), modes.GCM(nonce)).encryptor()
    gcm.authenticate_additional_data(header(salt, version, suite) + encode(place))
    ciphertext = gcm.update(plain) + gcm.finalize()
    return header(salt, version, suite) + commitment + ciphertext + gcm.tag


def flipped(record: bytes, offset: int) -> bytes:
    return record[:offset] + bytes([record[offset] ^ 1]) + record[offset + 1 :]


def gf_multiply(x: int, y: int) -> int:
    """In GCM's field of 2^128 elements (NIST SP 800-38D, 6.3): bit 0 is the leftmost."""
    product = 0
    for bit in range(127, -1, -1):
        if x >> bit & 1:
            product ^= y
        y = y >> 1 ^ (0xE1 << 120 if y & 1 else 0)
    return product


def gf_power(x: int, exponent: int) -> int:
    power = 1 << 127
    for bit in f"{exponent:b}":
        power = gf_multiply(power, power)
        if bit == "1":
            power = gf_multiply(power, x)
    return power


def aes(key: bytes, block: bytes) -> int:
    one_block = Cipher(algorithms.AES256(key), modes.ECB())  # noqa: S305 - single blocks, as GCM itself is made of
    return int.from_bytes(one_block.encryptor().update(block), "big")


def tag_parts(key: bytes, nonce: bytes, associated: bytes) -> tuple[int, int]:
    """The tag of a one-block ciphertext c is `constant ^ c * factor`: returns both."""
    h = aes(key, bytes(16))
    padded = associated + bytes(-len(associated) % 16)
    hashed = 0
    for start in range(0, len(padded), 16):
        hashed = gf_multiply(hashed ^ int.from_bytes(padded[start : start + 16], "big"), h)
    lengths = len(associated) * 8 << 64 | 128
    factor = gf_multiply(h, h)
    constant = gf_multiply(hashed, factor) ^ gf_multiply(lengths, h) ^ aes(key, nonce + b"\0\0\0\1")
    return constant, factor


def collision() -> tuple[bytes, bytes]:
    """A record that commits to DEK, and whose ciphertext and tag AES-GCM accepts under OTHER_DEK just as well."""
    (key, nonce, commitment), (other_key, other_nonce, _) = record_key(DEK, SALT), record_key(OTHER_DEK, SALT)
    associated = header() + encode(PLACE)
    constant, factor = tag_parts(key, nonce, associated)
    other_constant, other_factor = tag_parts(other_key, other_nonce, associated)
    inverse = gf_power(factor ^ other_factor, 2**128 - 2)
    block = gf_multiply(constant ^ other_constant, inverse)
    tag = constant ^ gf_multiply(block, factor)
    plain = block ^ aes(key, nonce + b"\0\0\0\2")
    return header() + commitment + block.to_bytes(16, "big") + tag.to_bytes(16, "big"), plain.to_bytes(16, "big")


def good() -> Iterator[tuple[str, bytes, Place, bytes, bytes]]:
    yield "a card", DEK, PLACE, sealed(), PLAIN
    yield "nothing", DEK, PLACE, sealed(plain=b""), b""
    yield "a kilobyte", DEK, PLACE, sealed(plain=bytes(1024)), bytes(1024)
    yield "another salt", DEK, PLACE, sealed(salt=bytes(32)), PLAIN
    place = PLACE | {"customer": "", "row": "tok_Ж", "version": 2**64 - 1}
    yield "no customer, a row that is not ASCII, the last version", DEK, place, sealed(place=place), PLAIN
    record, plain = collision()
    yield "ciphertext of two keys, under the key it commits to", DEK, PLACE, record, plain


def bad() -> Iterator[tuple[str, bytes, Place, bytes]]:
    whole = sealed()
    for field, value in MOVES.items():
        yield f"moved to another {field}", DEK, PLACE | {field: value}, whole
    for name, offset in {"version": 0, "suite": 1, "dek_id": 2, "salt": 18, "commitment": 50, "ciphertext": 82}.items():
        yield f"a bit of the {name} flipped", DEK, PLACE, flipped(whole, offset)
    yield "a bit of the tag flipped", DEK, PLACE, flipped(whole, len(whole) - 1)
    yield "version 2, made so", DEK, PLACE, sealed(version=2)
    yield "suite 2, made so", DEK, PLACE, sealed(suite=2)
    for length in (0, 1, 18, 50, 82, 97, len(whole) - 1):
        yield f"cut to {length} bytes", DEK, PLACE, whole[:length]
    yield "a byte too many", DEK, PLACE, whole + b"\0"
    yield "another key of the same id", OTHER_DEK, PLACE, whole
    commitment = sealed(salt=bytes(32))[50:82]
    yield "the commitment of another record", DEK, PLACE, whole[:50] + commitment + whole[82:]
    yield "ciphertext of two keys, under the key it does not commit to", OTHER_DEK, PLACE, collision()[0]


def vector(name: str, dek: bytes, place: Place, record: bytes, *plain: bytes) -> dict[str, Any]:
    case = {"name": name, "dek_id": DEK_ID.hex(), "dek": dek.hex(), "context": place}
    case |= {"context_bytes": encode(place).hex(), "record": record.hex()}
    return case | ({"plaintext": plain[0].hex()} if plain else {})


def main() -> None:
    about = {
        "format": "docs/record-format.md, version 1 suite 1",
        "made_by": ".venv/bin/python tests/vectors/make_record_vectors.py > tests/vectors/record.json",
        "bad_means": "refused, each with the same error",
    }
    cases = {"good": [vector(*case) for case in good()], "bad": [vector(*case) for case in bad()]}
    json.dump(about | cases, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
