"""A thousand ways to tamper with an exported log, each found offline against a checkpoint from before."""

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from house import Tenant
from tlog_scene import exported, findings, log, look, place, settle

from vault.canonical import canonical
from vault.tlog.merkle import TILE_WIDTH, Tree, leaf_hash
from vault.tlog.notes import Checkpoint, Verifier, sign
from vault.tlog.paths import CHECKPOINT, ENTRIES, bundle, tile_path, unbundled
from vault.tlog.signing import name_of

SIZE = 700
MUTATIONS = 1000


@dataclass(frozen=True)
class World:
    """A log of some tiles with two older checkpoints, and the dice."""

    tenant: Tenant
    export: Path
    older: bytes
    dice: random.Random

    def entries(self, folder: Path) -> list[bytes]:
        return [each for path in bundles(folder) for each in unbundled(path.read_bytes())]


def bundles(folder: Path) -> list[Path]:
    found = [path for path in (folder / "tile" / ENTRIES).rglob("*") if path.is_file()]
    return sorted(found, key=lambda path: path.as_posix())


def tiles(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "tile").rglob("*") if path.is_file() and ENTRIES not in path.parts)


def rebuilt(folder: Path, entries: list[bytes]) -> None:
    """Have every file fit these entries, as one who knows the format would; but for the signature."""
    shutil.rmtree(folder / "tile")
    tree = Tree()
    hashed = [*tree.append([leaf_hash(each) for each in entries]), *tree.partial_tiles()]
    files = {tile_path(each.level, each.number, len(each.hashes) // 32): each.hashes for each in hashed}
    for start in range(0, len(entries), TILE_WIDTH):
        part = entries[start : start + TILE_WIDTH]
        files[tile_path(ENTRIES, start // TILE_WIDTH, len(part))] = bundle(part)
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def forged_checkpoint(world: World, folder: Path, entries: list[bytes]) -> None:
    """A checkpoint over these entries under the log's name, signed with a key of the forger's own."""
    tree, private = Tree(), Ed25519PrivateKey.generate()
    for _ in tree.append([leaf_hash(each) for each in entries]):
        pass
    name = name_of(world.tenant.house.components.keyring.deployment, world.tenant.id)
    signer = Verifier(name, private.public_key().public_bytes_raw())
    (folder / CHECKPOINT).write_bytes(
        sign(Checkpoint(origin=name, size=tree.size, root=tree.root()), [(signer, private)])
    )


def delete_leaf(world: World, entries: list[bytes]) -> None:
    del entries[world.dice.randrange(len(entries))]


def edit_leaf(world: World, entries: list[bytes]) -> None:
    at = world.dice.randrange(len(entries))
    leaf = json.loads(entries[at])
    field = world.dice.choice(["action", "customer", "client", "at", "request_id", "purpose"])
    entries[at] = canonical({**leaf, field: f"{leaf[field]}x"})


def reorder_leaves(world: World, entries: list[bytes]) -> None:
    one, other = world.dice.sample(range(len(entries)), 2)
    entries[one], entries[other] = entries[other], entries[one]


def truncate_leaves(world: World, entries: list[bytes]) -> None:
    del entries[world.dice.randrange(len(entries)) :]


def insert_leaf(world: World, entries: list[bytes]) -> None:
    entries.insert(world.dice.randrange(len(entries) + 1), world.dice.choice(entries))


OF_LEAVES = (delete_leaf, edit_leaf, reorder_leaves, truncate_leaves, insert_leaf)


def in_place(world: World, folder: Path) -> None:
    """In the bundles alone."""
    entries = world.entries(folder)
    world.dice.choice(OF_LEAVES)(world, entries)
    for number, path in enumerate(bundles(folder)):
        path.write_bytes(bundle(entries[number * TILE_WIDTH : (number + 1) * TILE_WIDTH]))


def thoroughly(world: World, folder: Path) -> None:
    """In the bundles and every tile over them."""
    entries = world.entries(folder)
    world.dice.choice(OF_LEAVES)(world, entries)
    rebuilt(folder, entries)


def with_checkpoint(world: World, folder: Path) -> None:
    """In everything, a new checkpoint included."""
    entries = world.entries(folder)
    world.dice.choice(OF_LEAVES)(world, entries)
    rebuilt(folder, entries)
    forged_checkpoint(world, folder, entries)


def of_a_file(choose: Callable[[Path], list[Path]]) -> Callable[[World, Path], None]:
    def mutate(world: World, folder: Path) -> None:
        path = world.dice.choice(choose(folder))
        content, at = path.read_bytes(), world.dice.randrange(path.stat().st_size)
        width = 32 if path.name != CHECKPOINT else 1
        first = at - at % width
        kinds = {
            "delete": path.unlink,
            "edit": lambda: path.write_bytes(content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :]),
            "truncate": lambda: path.write_bytes(content[:first]),
            "insert": lambda: path.write_bytes(content[:first] + bytes(range(width)) + content[first:]),
            "cut": lambda: path.write_bytes(content[:first] + content[first + width :]),
            "reorder": lambda: path.write_bytes(content[first:] + content[:first] if first else content[::-1]),
        }
        kinds[world.dice.choice(list(kinds))]()

    return mutate


def a_stranger(world: World, folder: Path) -> None:
    """A tile or a bundle more than the log has."""
    path = folder / tile_path(
        world.dice.choice([ENTRIES, 0, 1, 2]), world.dice.randrange(3, 2000), world.dice.randrange(1, 257)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(world.dice.randbytes(32))


def swapped(world: World, folder: Path) -> None:
    """Two tiles, or two bundles, change places."""
    one, other = world.dice.sample([*tiles(folder), *bundles(folder)], 2)
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)


def rolled_back(world: World, folder: Path) -> None:
    """The log as it truly was, once, before the checkpoint that the verifier has; its signature is good."""
    shutil.rmtree(folder)
    shutil.copytree(world.export.with_name("before"), folder)


KINDS = {
    "leaves": in_place,
    "leaves and tiles": thoroughly,
    "leaves, tiles, checkpoint": with_checkpoint,
    "tile": of_a_file(tiles),
    "bundle": of_a_file(bundles),
    "checkpoint": of_a_file(lambda folder: [folder / CHECKPOINT]),
    "stranger": a_stranger,
    "swap": swapped,
    "roll back": rolled_back,
}


@pytest.fixture
def world(tenant: Tenant, tmp_path: Path) -> World:
    look(tenant, 300 - settle(tenant))
    place(tenant)
    exported(tenant, tmp_path / "before")
    look(tenant, 200)
    place(tenant)
    older = log(tenant.house, tenant.id).checkpoint
    look(tenant, SIZE - 500)
    place(tenant)
    assert log(tenant.house, tenant.id).size == SIZE
    return World(tenant, exported(tenant, tmp_path / "export"), older, random.Random(20261128))


@pytest.mark.parametrize("house", ["sqlite"], indirect=True)
def test_a_thousand_mutations_are_found(world: World, tmp_path: Path) -> None:
    """Delete, edit, reorder, truncate, insert; leaves, tiles, checkpoints, alone and together: not one goes unseen."""
    assert findings(world.tenant, world.export, world.older) == []
    whole, folder, missed, done = _content(world.export), tmp_path / "mutated", [], 0
    for kind in cycle(KINDS):
        shutil.copytree(world.export, folder)
        KINDS[kind](world, folder)
        if _content(folder) != whole:  # the dice may have put back what was there
            done += 1
            missed += [] if findings(world.tenant, folder, world.older) else [(done, kind)]
        shutil.rmtree(folder)
        if done == MUTATIONS:
            break
    assert missed == []


def _content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
