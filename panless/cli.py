"""The command line. Each command reads the settings, puts the parts together, and calls one function."""

import sys

import click

from panless import (
    cli_accounts,
    cli_audit,
    cli_audit_verify,
    cli_charges,
    cli_check,
    cli_clients,
    cli_custodians,
    cli_erasure,
    cli_key_check,
    cli_keys,
    cli_opendsr,
    cli_reseal,
    cli_rights,
    cli_running,
)
from panless.hardening import harden
from panless.trouble import EXPECTED, sentence


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def commands() -> None:
    """Panless: a payment-token vault that never keeps the card number."""


MODULES = (
    *(cli_running, cli_clients, cli_accounts, cli_charges, cli_keys, cli_erasure, cli_rights, cli_opendsr),
    *(cli_check, cli_audit),
)
for command in (cli_custodians.split, cli_custodians.join, cli_reseal.reseal, cli_key_check.check):
    cli_keys.keys_group.add_command(command)
cli_audit.audit_group.add_command(cli_audit_verify.verify_logs)
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
