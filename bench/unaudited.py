"""The server as it would be without an audit log: what `bench/audit.py` holds ours against."""

from contextlib import ExitStack

from flask import Flask

from bench.without_audit import without_audit
from panless import wsgi

_PROCESS = ExitStack()
"""What holds for as long as the process lives; let go of, it would end at once."""


def app() -> Flask:
    """The application of this process; it writes no entry."""
    _PROCESS.enter_context(without_audit())
    return wsgi.app()
