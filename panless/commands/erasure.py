"""Commands about the erasure ledger: replay it into restored databases, verify a certificate."""

import json
import sys
from typing import BinaryIO

import click

from panless.settings.environment import read_settings
from panless.shown.trouble import Refused
from panless.wiring import build
from vault.ledger import entries, keys
from vault.recovering.replay import replay


@click.group("erasure")
def erasure_group() -> None:
    """Erasures: the ledger that survives a restored backup, and its certificates."""


@erasure_group.command("replay")
def replay_ledger() -> None:
    """Apply the ledger to restored databases: erased stays erased. Safe to stop and to start again."""
    house = build(read_settings())
    done = replay(house.ledger, house.records, _say)
    for customer in done.keyless:
        click.echo(f"{customer} has no key in this keystore: what was sealed for it can't be read.", err=True)
    for tenant in done.unrecorded:
        click.echo(f"The audit key of {tenant} does not open: its log does not tell of this replay.", err=True)
    verdict = house.guard.check()
    if not verdict.is_good:
        raise Refused(verdict.message)
    click.echo(f"{done.entries} entries replayed. These databases may serve.")


@erasure_group.command("public-key")
def public_key() -> None:
    """Print the key that certificates are verified with, in hex; below it those that it replaced. Publish them all."""
    for public in keys.public_keys(build(read_settings()).keyring):
        click.echo(public.hex())


@erasure_group.command("verify")
@click.argument("file", type=click.File("rb"))
@click.option("--key", required=True, help="The deployment's public key in hex, from `panless erasure public-key`.")
def verify(file: BinaryIO, key: str) -> None:
    """Verify the certificate in FILE, offline: nothing of the deployment is needed but its public key."""
    try:
        entry = entries.genuine(file.read(), bytes.fromhex(key))
    except ValueError as error:
        raise Refused(f"This is not a genuine certificate: {error}") from None
    click.echo(json.dumps(entry["certificate"], indent=2))
    click.echo(f"Genuine: entry {entry['seq']} of the ledger of {entry['deployment']}, signed {entry['at']}.", err=True)


def _say(done: int, total: int) -> None:
    """One line that is drawn over on a terminal; elsewhere one line each thousandth entry and at the end."""
    if sys.stderr.isatty():
        click.echo(f"\r{done} of {total} entries", nl=done == total, err=True)
    elif done == total or done % 1000 == 0:
        click.echo(f"{done} of {total} entries", err=True)


COMMANDS = (erasure_group,)
