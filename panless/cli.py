"""The command line. Each command reads the settings, puts the parts together, and calls one function."""

import sys

import click

from panless.commands import (
    accounts,
    audit,
    audit_verify,
    charges,
    check,
    clients,
    custodians,
    doubt,
    erasure,
    intents,
    key_check,
    keys,
    opendsr,
    reseal,
    rights,
    running,
    webhooks,
)
from panless.process.hardening import harden
from panless.shown.trouble import EXPECTED, sentence


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def commands() -> None:
    """Panless: a payment-token vault that never keeps the card number."""


MODULES = (
    running,
    clients,
    accounts,
    charges,
    intents,
    doubt,
    keys,
    erasure,
    rights,
    opendsr,
    webhooks,
    check,
    audit,
)
for command in (custodians.split, custodians.join, reseal.reseal, key_check.check):
    keys.keys_group.add_command(command)
audit.audit_group.add_command(audit_verify.verify_logs)
for module in MODULES:
    for command in module.COMMANDS:
        commands.add_command(command)


def main() -> None:
    """Run the command line. Expected trouble is one sentence on standard error and exit code 1."""
    harden()
    try:
        commands()
    except EXPECTED as error:
        click.echo(sentence(error), err=True)
        sys.exit(1)
