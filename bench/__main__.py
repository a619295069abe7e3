"""`make bench`: every figure that must hold, as a table and as JSON; exit code 1 when a gate is broken."""

import argparse
import sys
from collections.abc import Sequence
from functools import partial

from bench import audit, counts, crypto, http, large, lists, overload, ratios, rewrap
from bench.databases import BACKENDS
from bench.disk import PATIENCE_SECONDS
from bench.figures import Figure, print_table, write_json
from bench.house import log_to_nowhere
from bench.profiling import profile
from bench.scene import Scene, setting

PATHS = ("tokenize", "charge", "metadata", "contact", "erase")
SECTIONS = ("counts", "crypto", "rewrap", "http", "overload", "audit", "large", "lists")
QUICK_ROUNDS, ROUNDS = 7, 30
STORM, LONG_STORM = 30, 300
"""Seconds of twice the load: among the rest, and where it is asked for by name."""


def main(arguments: Sequence[str]) -> int:
    """Measure what is wanted, say it, and tell by the exit code whether it holds."""
    options = _options().parse_args(arguments)
    log_to_nowhere()
    try:
        if options.profile:
            return _profile(options)
        figures = _measure(options)
    except KeyboardInterrupt:
        print("\nStopped; nothing was written.", file=sys.stderr)
        return 130
    print_table(figures)
    print(f"\nWritten to {write_json(figures, arguments)}.")
    broken = [f"{figure.name} ({figure.on})" for figure in figures if figure.is_broken]
    if broken:
        print(f"Broken: {'; '.join(broken)}.")
    return 1 if broken else 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench BENCH_ARGS=...", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="half a minute: fewer rounds, no HTTP, no wait for the disk"
    )
    parser.add_argument("--large", action="store_true", help="also against 1,000,000 tokens; takes long")
    parser.add_argument("--only", action="append", default=[], choices=[*PATHS, *SECTIONS], help="may be repeated")
    parser.add_argument("--backend", choices=BACKENDS, help="one of the two databases only")
    parser.add_argument("--profile", choices=PATHS, help="print where that path spends its time, and nothing else")
    return parser


def _measure(options: argparse.Namespace) -> list[Figure]:
    figures = crypto.figures() if _wants(options, "crypto") else []
    for backend in _backends(options):
        say = partial(_say, backend)
        rounds = QUICK_ROUNDS if options.quick else ROUNDS
        with setting(backend, rounds, say, patience=0 if options.quick else PATIENCE_SECONDS) as scene:
            figures += _of_scene(scene, options)
        if _wants(options, "large", unasked=options.large):
            figures += large.figures(backend, say)
        if backend == "postgresql" and _wants(options, "lists", unasked=not options.quick):
            figures += lists.figures(say, lists.SIZES if options.large else lists.SIZES[:1])
    _say("", "")
    return figures


def _of_scene(scene: Scene, options: argparse.Namespace) -> list[Figure]:
    figures = counts.figures(scene) if _wants(options, "counts") else []
    if any(_wants(options, path) for path in PATHS):
        figures += ratios.figures(scene, options.only)
    if _wants(options, "rewrap"):
        figures += rewrap.figures(scene)
    if scene.backend == "postgresql" and _wants(options, "http", unasked=not options.quick):
        figures += http.figures(scene)
    if scene.backend == "postgresql" and _wants(options, "overload", unasked=not options.quick):
        figures += overload.figures(scene, LONG_STORM if "overload" in options.only else STORM)
    if _wants(options, "audit", unasked=not options.quick):
        figures += audit.figures(scene)
    return figures


def _wants(options: argparse.Namespace, name: str, *, unasked: bool = True) -> bool:
    return name in options.only or (not options.only and unasked)


def _backends(options: argparse.Namespace) -> Sequence[str]:
    return (options.backend,) if options.backend else BACKENDS


def _profile(options: argparse.Namespace) -> int:
    for backend in _backends(options):
        with setting(backend, 0, partial(_say, backend)) as scene:
            profile(scene, options.profile)
    return 0


def _say(backend: str, what: str) -> None:
    """One line of progress, over the last one where there is a terminal."""
    if sys.stderr.isatty():
        print(f"\r\033[K{backend} {what}".rstrip(), end="", file=sys.stderr, flush=True)
    elif what:
        print(f"{backend}: {what}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
