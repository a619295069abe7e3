"""What every part of the bench is handed: one house with its stub, and how thorough to be."""

import gc
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import databases, stub
from bench.house import House, build_house
from bench.paths import Path as Called
from bench.paths import paths_of, reference
from rows.engine import open_database


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One backend, set up. Paired blocks are repeated `rounds` times; the disk is waited for, `patience` seconds."""

    backend: str
    home: Path
    house: House
    processor: stub.Processor
    paths: list[Called]
    ref: Called
    rounds: int
    patience: int
    say: Callable[[str], None]

    def path(self, name: str) -> Called:
        return next(path for path in self.paths if path.name == name)


@contextmanager
def setting(backend: str, rounds: int, say: Callable[[str], None], *, patience: int = 0) -> Iterator[Scene]:
    """A house on that backend; all of it is gone afterwards."""
    say("setting up")
    with (
        stub.running() as processor,
        tempfile.TemporaryDirectory(prefix="panless-bench-", ignore_cleanup_errors=True) as directory,
        databases.opened(backend, Path(directory)) as pairs,
    ):
        house = build_house(Path(directory) / "house", *pairs[0], processor.url)
        engine = open_database(pairs[0][0])
        gc.collect()
        gc.freeze()  # as `panless serve` does in each of its workers
        try:
            yield Scene(
                backend=backend,
                home=Path(directory),
                house=house,
                processor=processor,
                paths=paths_of(house),
                ref=reference(engine),
                rounds=rounds,
                patience=patience,
                say=say,
            )
        finally:
            engine.dispose()
            house.components.close()
            gc.unfreeze()
