"""`panless check`: what is wrong with this deployment."""

import json
import sys
from dataclasses import asdict

import click

from panless.checks.examination import examine
from panless.checks.finding import Finding


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs: severity, what, mend.")
def check(*, as_json: bool) -> None:
    """Say what is wrong with this deployment and how to mend it; exit code 1 if anything is unsafe."""
    findings = examine()
    unsafe = sum(finding.is_unsafe for finding in findings)
    if as_json:
        click.echo(json.dumps([_plain(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            click.echo(_shown(finding))
        click.echo(f"{unsafe} unsafe." if unsafe else "Nothing unsafe was found.", err=unsafe > 0)
    sys.exit(unsafe > 0)


def _plain(finding: Finding) -> dict[str, str]:
    fields = asdict(finding)
    return {"severity": "unsafe" if fields.pop("is_unsafe") else "note", **fields}


def _shown(finding: Finding) -> str:
    return f"{'UNSAFE' if finding.is_unsafe else 'note  '}  {finding.what} {finding.mend}"


COMMANDS = (check,)
