"""`panless keys reseal`: the answer to a compromise, where the DEKs themselves may have got out."""

import time
from dataclasses import replace
from datetime import UTC, datetime

import click
from sqlalchemy import select

from keys import keks, renewal
from keys.errors import KeyMissing
from keys.renewal import Doomed
from panless.settings.environment import read_settings
from panless.shown.progress import progress
from panless.shown.trouble import Refused
from panless.wiring import Components, build
from rows.engine import reading
from vault import audit
from vault.processing.intents import LEASE_SECONDS
from vault.resealing import key_rotation, runs
from vault.resealing.runs import Run
from vault.tables import customers
from vault.tlog.watched import LogWatch
from vault.workshop import caller_of

MOMENT = "%Y-%m-%dT%H:%M:%S.%f%z"


@click.command("reseal")
@click.option("--kek", metavar="ID", help="All DEKs that were ever wrapped by this KEK (see `keys status`).")
@click.option("--customer", metavar="ID", help="This customer's DEK.")
@click.option("--all", "everything", is_flag=True, help="Every DEK of every tenant.")
@click.option(
    "--before", metavar="MOMENT", help="With --all: go on with a run that was stopped. It printed its moment."
)
@click.option("--unproven", is_flag=True, help="Even while the audit log is not anchored; the log will say so.")
@click.option("--wait", type=click.FloatRange(min=0), help="Seconds for others to let go of old keys. 0: nothing runs.")
def reseal(
    *,
    kek: str | None,
    customer: str | None,
    everything: bool,
    before: str | None,
    wait: float | None,
    unproven: bool,
) -> None:
    """Make new DEKs, encrypt everything under them, destroy the old ones. Traffic goes on. Safe to stop and repeat."""
    if sum((kek is not None, customer is not None, everything)) != 1:
        raise Refused("Say what to reseal: one of --kek, --customer and --all.")
    if before is not None and not everything:
        raise Refused("--before goes with --all.")
    house = build(read_settings())
    if unproven:
        house = _unproven(house)
    chosen = _chosen(house, kek, customer, before)
    key_rotation.require_proofs(house.workshop, (doomed.tenant_id for doomed in chosen))
    own = customer is None
    seconds = LEASE_SECONDS + (house.settings.kek_ttl if own else 0) if wait is None else wait
    it = Run(shop=house.workshop, chosen=chosen, own=own, wait=seconds, pause=_pause, progress=progress)
    closed = runs.run(it)
    if closed:
        raise Refused(f"{closed} times something does not open; its old DEK stays. `panless keys check` names it.")
    click.echo("Done. The old DEKs are destroyed: make new backups of both databases, older ones open only as a pair.")


def _unproven(house: Components) -> Components:
    """The parts for what can't wait for a proof, after a compromise; it is on the record that it did not."""
    deployment = house.keyring.deployment
    with audit.transaction(house.records) as tx:
        audit.record(house.desk(caller_of(house.workshop, deployment, live=True)), tx, "keys.unproven")
    return replace(house, logs=LogWatch())


def _chosen(house: Components, kek: str | None, customer: str | None, before: str | None) -> list[Doomed]:
    if kek is not None:
        return [_of_kek(house, kek)]
    if customer is not None:
        return [_of_customer(house, customer)]
    return _all(house, _moment(house, before))


def _of_kek(house: Components, named: str) -> Doomed:
    found = next((each for each in keks.status(house.keyring) if each.kek_id.hex() == named), None)
    if found is None:
        raise Refused(f"There is no KEK {named}. `panless keys status` shows them.")
    if found.state == "active":
        key_rotation.rotate(house.workshop, found.tenant_id)
    try:
        return renewal.of_kek(house.keyring, found.kek_id)
    except KeyMissing as error:
        raise Refused(str(error)) from None


def _of_customer(house: Components, customer: str) -> Doomed:
    with reading(house.records) as connection:
        row = connection.execute(
            select(customers.c.tenant_id, customers.c.state).where(customers.c.customer_id == customer)
        ).one_or_none()
    if row is None or (
        row.state != "active" and not renewal.living(house.keyring, row.tenant_id, "customer", customer)
    ):
        raise Refused(f"There is no customer {customer}, or it was erased.")
    return Doomed(tenant_id=row.tenant_id, before=house.keyring.now(), subject_id=customer)


def _all(house: Components, before: datetime) -> list[Doomed]:
    """Everybody's, with new KEKs first: a DEK under a KEK that got out would be worth nothing."""
    click.echo(f"To go on after a stop: panless keys reseal --all --before {before.strftime(MOMENT)}", err=True)
    for tenant in keks.due(house.keyring, before):
        key_rotation.rotate(house.workshop, tenant)
    return [Doomed(tenant_id=tenant, before=before) for tenant in keks.tenants(house.keyring)]


def _moment(house: Components, before: str | None) -> datetime:
    if before is None:
        return house.keyring.now()
    try:
        moment = datetime.strptime(before, MOMENT).astimezone(UTC)
    except ValueError:
        raise Refused("--before takes the moment that the stopped run printed.") from None
    if moment > house.keyring.now():
        raise Refused("--before is a moment that has not come yet, by this machine's clock.")
    return moment


def _pause(seconds: float, until: str) -> None:
    if seconds:
        click.echo(f"Waiting {seconds:.0f} s, until {until}.", err=True)
        time.sleep(seconds)
