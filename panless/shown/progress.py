"""How far long work has come: a bar on a terminal, elsewhere a line now and then."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

import click

EVERY = 5.0
"""Seconds between two lines."""


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Something to call with how many more are done, of `total`; the end is told in any case."""
    if sys.stderr.isatty():
        with click.progressbar(length=total, label=what, file=sys.stderr) as bar:
            yield bar.update
        return
    done, told = 0, monotonic()

    def update(more: int) -> None:
        nonlocal done, told
        done += more
        if monotonic() - told >= EVERY:
            told = monotonic()
            click.echo(f"{what}: {done} of {total}", err=True)

    try:
        yield update
    finally:
        click.echo(f"{what}: {done} of {total}", err=True)
