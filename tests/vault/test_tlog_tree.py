"""The tree, its notes and its paths against the specifications' own examples, and against definitions written out."""

import hashlib
from collections.abc import Sequence
from itertools import pairwise

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from vault.tlog.merkle import EMPTY_ROOT, Tree, leaf_hash, node_hash, tree_of
from vault.tlog.notes import Checkpoint, NotGenuine, Verifier, open_note, parse_verifier, sign
from vault.tlog.paths import bundle, parse_tail, tile_path, unbundled, written

RFC_ENTRIES = ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
RFC_ROOT = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
"""The eight entries of the Certificate Transparency project's Merkle tree tests, and their root."""


def defined(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962, 2.1, as it stands there."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node_hash(defined(leaves[:split]), defined(leaves[split:])) if leaves else EMPTY_ROOT


def test_the_root_is_the_one_of_certificate_transparency() -> None:
    """Eight entries that other implementations are tested with give the root that they give."""
    tree = Tree()
    assert list(tree.append([leaf_hash(bytes.fromhex(entry)) for entry in RFC_ENTRIES])) == []
    assert tree.root().hex() == RFC_ROOT
    assert Tree().root() == hashlib.sha256(b"").digest()


@pytest.mark.parametrize("size", [1, 2, 3, 255, 256, 257, 511, 512, 65535, 65536, 65537, 66000])
def test_a_tree_that_grew_is_the_tree_that_is_defined(size: int) -> None:
    """However it grew: the root is RFC 6962's, and each tile gives the root of every earlier size too."""
    leaves = [leaf_hash(str(number).encode()) for number in range(size)]
    tree, tiles = Tree(), {}
    steps = sorted({0, size, *(size * part // 97 for part in range(97))})
    for start, end in pairwise(steps):
        tiles |= {tile[:2]: tile.hashes for tile in tree.append(leaves[start:end])}
    tiles |= {tile[:2]: tile.hashes for tile in tree.partial_tiles()}
    assert tree.root() == defined(leaves)
    for earlier in {1, size // 3, size // 2, size - 1, size} - {0}:
        again = tree_of(earlier, lambda level, number: tiles[level, number])
        assert again.root() == defined(leaves[:earlier])


def test_a_tile_that_is_too_short_is_not_taken() -> None:
    """A tree is not made of fewer hashes than its size says."""
    with pytest.raises(ValueError, match="too short"):
        tree_of(3, lambda _level, _number: bytes(64))


def test_a_key_of_the_specification_is_read() -> None:
    """The verifier key of signed-note's own example: its id fits, and it is written again as it was."""
    example = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    assert str(parse_verifier(example)) == example
    for wrong in (example[:-1], example.replace("c74f20a3", "c74f20a4"), example.replace("Peter", "Petra"), "x+y"):
        with pytest.raises(ValueError, match=r"key"):
            parse_verifier(wrong)


def key(name: str, seed: int = 1) -> tuple[Verifier, Ed25519PrivateKey]:
    private = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
    return Verifier(name, private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)), private


CHECKPOINT = Checkpoint(origin="panless/dep_1/ten_1", size=7, root=bytes(range(32)))


def test_a_note_opens_for_each_key_that_signed_it() -> None:
    """Old key or new: who knows one of them can verify; who knows another one can't."""
    old, new, other = key("log", 1), key("log", 2), key("log", 3)
    note = sign(CHECKPOINT, [new, old])
    for known in ([old[0]], [new[0]], [new[0], old[0]], [other[0], old[0]]):
        assert open_note(note, known) == CHECKPOINT
    for unknown in ([other[0]], [key("gol", 1)[0]], []):
        with pytest.raises(NotGenuine, match="None of the keys"):
            open_note(note, unknown)


def test_a_note_is_one_string_of_bytes() -> None:
    """Every bit that is changed, every byte that is cut off or added: not genuine."""
    signer = key("log")
    note = sign(CHECKPOINT, [signer])
    changed = {note[:at] + bytes([note[at] ^ 1 << bit]) + note[at + 1 :] for at in range(len(note)) for bit in range(8)}
    cut = {note[:end] for end in range(len(note))} | {note + b"\n", note + b"x", b"\n" + note, note + note}
    for each in changed | cut:
        with pytest.raises(NotGenuine):
            open_note(each, [signer[0]])


@given(st.binary(max_size=300))
def test_what_is_no_note_is_refused_and_nothing_else(data: bytes) -> None:
    """Any bytes: NotGenuine."""
    with pytest.raises(NotGenuine):
        open_note(data, [key("log")[0]])


@pytest.mark.parametrize(("number", "path"), [(0, "000"), (67, "067"), (1000, "x001/000"), (1234067, "x001/x234/067")])
def test_paths_are_those_of_the_specification(number: int, path: str) -> None:
    """Its own example among them, there and back, whole and partial."""
    assert (written(number), parse_tail(path), parse_tail(f"{path}.p/255")) == (path, (number, 256), (number, 255))
    assert tile_path(0, number, 3) == f"tile/0/{path}.p/3"


@pytest.mark.parametrize(
    "tail", ["", "0", "1000", "x000/001", "001.p/0", "001.p/256", "001.p/01", "\u0660\u0660\u0661", "001/", "x1/001"]
)
def test_a_place_has_one_path(tail: str) -> None:
    """What is written otherwise is no path."""
    assert parse_tail(tail) is None


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_a_bundle_gives_its_entries_back(entries: list[bytes]) -> None:
    """All of them; a bundle that is cut off says so, but for whole entries missing at its end."""
    data = bundle(entries)
    assert list(unbundled(data)) == entries
    if data:
        with pytest.raises(ValueError, match="within an entry"):
            list(unbundled(data + b"\x00"))
