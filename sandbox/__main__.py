"""The command line: ``python -m sandbox [--port 12111] [--state FILE]``."""

import argparse
import asyncio
import sys
from pathlib import Path

from sandbox import server, statefile
from sandbox.state import Sandbox

LOOPBACK = {"127.0.0.1": "127.0.0.1", "localhost": "127.0.0.1", "::1": "::1"}
HIGHEST_PORT = 65_535


def main(arguments: list[str] | None = None) -> int:
    """Run until told to stop. 0: stopped cleanly; 2: could not start; 1: the state could not be written at the end."""
    options = _options().parse_args(arguments)
    if options.host not in LOOPBACK:
        return _refuse(f"The sandbox listens on this machine only: 127.0.0.1, ::1 or localhost, not {options.host}.")
    if not 0 <= options.port <= HIGHEST_PORT:
        return _refuse(f"A port is from 0 to {HIGHEST_PORT}, not {options.port}.")
    try:
        sandbox = statefile.read(options.state) if options.state else Sandbox()
    except statefile.StateError as error:
        return _refuse(str(error))
    try:
        asyncio.run(server.serve(sandbox, host=LOOPBACK[options.host], port=options.port, path=options.state))
    except OSError as error:
        started = bool(sandbox.base_url)
        what = "write the state" if started else f"listen on {options.host}:{options.port}"
        _refuse(f"The sandbox cannot {what}: {error.strerror}.")
        return 1 if started else 2
    return 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sandbox", description="A processor that speaks Stripe's wire, for tests.")
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address (127.0.0.1)")
    parser.add_argument("--port", type=int, default=12111, help="0 picks a free one (12111)")
    parser.add_argument("--state", type=Path, metavar="FILE", help="keep the state between runs; no card numbers")
    return parser


def _refuse(sentence: str) -> int:
    sys.stderr.write(sentence + "\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
