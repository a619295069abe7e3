"""`panless keys split` and `join`: a key file in the hands of several people."""

from pathlib import Path

import click

from panless.settings.root_keys import need

SENTENCE = "Splitting a key file needs shamir-mnemonic"


@click.command("split")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--shares", type=click.IntRange(2, 16), default=3, show_default=True, help="How many people get one.")
@click.option("--threshold", type=click.IntRange(2, 16), default=2, show_default=True, help="How many make it again.")
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path),
    required=True,
    help="The folder for the shares; made if it is not there.",
)
def split(file: Path, shares: int, threshold: int, folder: Path) -> None:
    """Split the key file FILE into shares, of which some together make it again."""
    if threshold > shares:
        raise click.UsageError("--threshold can't be more than --shares.")
    need("shamir_mnemonic", SENTENCE, "custodians")
    from keys.providers import custodians  # noqa: PLC0415  # an extra

    folder.mkdir(mode=0o700, exist_ok=True)
    for path in custodians.split(file, shares=shares, threshold=threshold, to=folder):
        click.echo(path)
    click.echo(f"Any {threshold} of these make the key file again. Give each to another person; keep none here.")


@click.command("join")
@click.argument("shares", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option(
    "--to", "file", type=click.Path(path_type=Path), required=True, help="The key file, which must not exist."
)
def join(shares: tuple[Path, ...], file: Path) -> None:
    """Make a key file again from SHARES of it."""
    need("shamir_mnemonic", SENTENCE, "custodians")
    from keys.providers import custodians  # noqa: PLC0415  # an extra

    key_id = custodians.join(shares, to=file)
    click.echo(f"{file} holds the root key {key_id}.")
