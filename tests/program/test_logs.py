import json
import subprocess
import sys

import pytest
from commands import PLAIN

PAN = "4242424242424242"
WAYS = """
import logging, sys, threading, types, warnings
import structlog
from panless.process import logs
logs.start("DEBUG")
log, pan = structlog.get_logger(), "4242424242424242"
number = int(pan)
structlog.contextvars.bind_contextvars(request_id="req_1", note=f"spaced 4242 4242 4242 4242")

class Thing:
    def __repr__(self): return f"Thing({pan})"

log.info(pan)
log.debug("value", card=pan, full="\\uff14242424242424242", hidden="4242\\u200b424242424242")
log.info("nested", a={"b": [{"c": (f"x={pan}", Thing())}]}, **{pan: "key"})
log.info("keys", inner={pan: {pan: 1}}, numbers=[number, float(number)], raw=pan.encode())
log.info("deep", a={"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": pan}}}}}}}}})
log.info("lines", text="4242 4242\\n4242 4242", harmless="first\\nsecond")
def fails(card):
    local = card
    raise ValueError(f"bad card {card}")
try:
    fails(pan)
except ValueError:
    log.exception("caught")
    logging.getLogger("somewhere").exception("caught %s", pan)
    logging.getLogger("gunicorn.error").error("Error handling %s", pan, exc_info=True)
for name in ("stripe", "urllib3.connectionpool", "sqlalchemy.engine.Engine", "psycopg", "botocore.auth", "plain"):
    logging.getLogger(name).debug("body card[number]=%s&card[cvc]=123", pan)
    logging.getLogger(name).warning("%s", pan, extra={"card": pan})
logging.getLogger("plain").warning("%s %s", pan)
warnings.warn(f"about {pan}")
thread = threading.Thread(target=fails, args=(pan,))
thread.start(); thread.join()
fails(pan)
"""


@pytest.fixture(scope="module")
def lines() -> list[str]:
    """What a program writes that logs a card number in every way there is, and dies of one."""
    done = subprocess.run([sys.executable, "-c", WAYS], env=PLAIN, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_no_card_number_is_logged_in_any_way(lines: list[str]) -> None:
    """As event, value, key, number, bytes, repr, in tracebacks; from structlog and from the standard library."""
    written = "\n".join(lines)
    for form in (PAN, "4242 4242", "424242424242", "\uff14"):
        assert form not in written
    assert written.count("[card number removed]") > 25


def test_every_line_is_one_json_object(lines: list[str]) -> None:
    """Uncaught errors, of threads too, and warnings are events like any other."""
    events = [json.loads(line) for line in lines]
    assert [event["kind"] for event in events if event["event"] == "uncaught_error"] == ["ValueError", "ValueError"]
    assert {"py.warnings", "gunicorn.error"} <= {event.get("logger") for event in events}


def test_what_is_harmless_stays(lines: list[str]) -> None:
    """Only the line that holds a card number is masked; request ids and places in the code are kept."""
    events = [json.loads(line) for line in lines]
    assert all(event["request_id"] == "req_1" for event in events if event["event"] in {"nested", "keys", "lines"})
    assert next(event["harmless"] for event in events if event["event"] == "lines") == "first\nsecond"
    caught = next(event["exception"] for event in events if event["event"] == "caught")
    assert "in fails" in caught
    assert caught.endswith("[card number removed]")


def test_libraries_that_print_bodies_are_not_heard(lines: list[str]) -> None:
    """At DEBUG too, stripe, urllib3, sqlalchemy, psycopg, botocore start at WARNING: a CVC could not be recognized."""
    assert [line for line in lines if "cvc" in line and "plain" not in line] == []


def test_no_locals_in_tracebacks(lines: list[str]) -> None:
    """A traceback shows code, not the values that it worked on."""
    assert not [line for line in lines if "local = " in line and PAN in line]
