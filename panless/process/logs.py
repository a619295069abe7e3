"""Logging: one JSON object a line on standard error (for people, where that is a terminal), free of card numbers.

structlog's events and the standard library's records take the same last steps, so that no library writes past the
scrubber. Tracebacks carry no local variables.
"""

import logging
import sys
import threading
from types import TracebackType

import structlog
from structlog.typing import Processor

from panless.process.scrubbing import scrub

TALKATIVE = (
    *("stripe", "urllib3", "sqlalchemy", "psycopg", "alembic", "gunicorn.access", "asyncio"),
    *("boto3", "botocore", "hvac", "requests", "pkcs11"),
)
"""Loggers that may print bodies, parameters or addresses below WARNING. They never get below it."""


def start(level: str) -> None:
    """Log from `level` on, from here on, whatever was set up before."""
    number = logging.getLevelNamesMapping()[level]
    shown = _shown()
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.add_log_level, *shown],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    _take_over_standard_logging(number, shown)
    sys.excepthook = _report_uncaught
    threading.excepthook = lambda args: _report_uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def _shown() -> list[Processor]:
    """From an event to a line."""
    for_people = sys.stderr.isatty()
    return [
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        scrub,
        structlog.dev.ConsoleRenderer() if for_people else structlog.processors.JSONRenderer(),
    ]


def _take_over_standard_logging(level: int, shown: list[Processor]) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.contextvars.merge_contextvars,
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
            ],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *shown],
        )
    )
    logging.root.handlers = [handler]
    logging.root.setLevel(level)
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    logging.captureWarnings(capture=True)
    logging.raiseExceptions = False  # a record that can't be formatted would be printed raw, arguments and all


def _report_uncaught(kind: type[BaseException], error: BaseException | None, traceback: TracebackType | None) -> None:
    if error is None or isinstance(error, KeyboardInterrupt):
        return
    structlog.get_logger().critical("uncaught_error", kind=kind.__name__, exc_info=(kind, error, traceback))
