"""The server as it would be without an audit log: what `bench/audit.py` holds ours against."""

from flask import Flask

from bench.ratios import without_audit
from panless import wsgi


def app() -> Flask:
    """The application of this process; it writes no entry."""
    without_audit().__enter__()  # for as long as the process lives
    return wsgi.app()
