"""Nothing about a call is printed, logged or written, whatever the log levels say."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from stub_stripe import Stub

LOUD = """
import logging, logging.config, sys
import stripe
logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
stripe.log = "debug"
"""
OURS = """
from vault.personal import Card, Secret
from vault.processing.answers import Marks
from vault.processors.stripe.adapter import StripeProcessor
processor = StripeProcessor(base_url=sys.argv[1])
logging.config.dictConfig({"version": 1, "disable_existing_loggers": False, "loggers": {"stripe": {"level": "DEBUG"}}})
logging.getLogger("urllib3").setLevel(logging.DEBUG)
card = Card(number="4242424242424242", exp_month=12, exp_year=2035, cvc="987")
stored = processor.store(Secret("sk_test_secret"), source=card, contact=None, customer_reference="cus_secret",
                         usage="off_session", marks=Marks(tag="t", id="i"), key="k")
processor.read_charge(Secret("sk_test_secret"), reference="pi_secret")
processor.forget(Secret("sk_test_secret"), reference="pm_1", key="k")
print(type(stored).__name__)
"""
THEIRS = """
client = stripe.StripeClient("sk_test_secret", base_addresses={"api": sys.argv[1]})
client.raw_request("post", "/v1/payment_methods", card={"number": "4242424242424242"})
"""
SECRETS = ("4242424242424242", "987", "card[", "cus_secret", "pm_1", "sk_test_secret")


def run(program: str, url: str, home: Path) -> str:
    """The output of a program with every log turned up, and a home of its own."""
    environment = {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "STRIPE_LOG": "debug",
        "TMPDIR": str(home),
    }
    command = [sys.executable, "-c", LOUD + program, url]
    done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


def test_no_log_level_prints_a_card(stub: Stub, tmp_path: Path) -> None:
    """With STRIPE_LOG=debug, stripe.log, every logger at DEBUG and logging configured anew: not a word of the call."""
    output = run(OURS, stub.url, tmp_path)
    assert "Stored" in output
    assert [secret for secret in SECRETS if secret in output] == []


def test_no_file_is_written(stub: Stub, tmp_path: Path) -> None:
    """Telemetry would leave an id in the user's configuration."""
    run(OURS, stub.url, tmp_path)
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("secret", ["4242424242424242", "card["])
def test_the_sdk_by_itself_would_print_it(stub: Stub, tmp_path: Path, secret: str) -> None:
    """What the tests above would find, were the log not silenced."""
    assert secret in run(THEIRS, stub.url, tmp_path)
