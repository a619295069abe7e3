"""Commands about OpenDSR."""

from pathlib import Path

import click

from panless.settings import opendsr_files
from panless.settings.environment import DOMAIN
from panless.shown.trouble import Refused
from panless.wiring import utc_now


@click.group("opendsr")
def opendsr_group() -> None:
    """OpenDSR: the protocol by which controllers pass rights requests on."""


@opendsr_group.command("certificate")
@click.option("--domain", required=True, help="The name that controllers reach this deployment by.")
@click.option("--key", type=click.Path(path_type=Path), default=Path("opendsr-key.pem"), show_default=True)
@click.option(
    "--certificate", type=click.Path(path_type=Path), default=Path("opendsr-certificate.pem"), show_default=True
)
def certificate(domain: str, key: Path, certificate: Path) -> None:
    """Make a key and a certificate that it signs itself: for trying out. Controllers want an authority's."""
    if not DOMAIN.fullmatch(domain):
        raise Refused("A domain is in lower case, for example vault.example.com.")
    opendsr_files.create(domain, key, certificate, utc_now())
    click.echo(f"PANLESS_OPENDSR_DOMAIN={domain}")
    click.echo(f"PANLESS_OPENDSR_KEY_FILE={key.absolute()}")
    click.echo(f"PANLESS_OPENDSR_CERTIFICATE_FILE={certificate.absolute()}")
    click.echo(
        "The specification forbids self-signed certificates to processors: have an authority sign one.", err=True
    )


COMMANDS = (opendsr_group,)
