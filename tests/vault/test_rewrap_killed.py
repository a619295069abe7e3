"""Many DEKs move to a new KEK while clients are served, and the command that moves them is killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from random import Random

from depth import chance, deep
from house import ROOT, House, serve
from http_calls import served
from sqlalchemy import func, select

from bench.rewrap import fill
from keys import keks
from keys.keystore import DEKS
from rows.engine import reading

DEKS_MADE = {"postgresql": deep(100_000, at_least=30_000), "sqlite": deep(30_000, at_least=15_000)}
"""Enough that each rewrap is killed before it is through."""

KILLS = {"postgresql": deep(10, at_least=2), "sqlite": deep(3, at_least=2)}
MANY = 200
REWRAP = [sys.executable, "-m", "panless", "keys", "rewrap"]


def on_kek(house: House, kek_id: bytes) -> int:
    with reading(house.components.keystore) as connection:
        return int(
            connection.scalar(select(func.count()).where(DEKS.c.kek_id == kek_id, DEKS.c.wrapped.is_not(None))) or 0
        )


def killed(house: House, draw: Random, has_begun: Callable[[], bool]) -> int:
    """Start rewrapping, let it do something, kill it at a moment of chance; its exit code."""
    with subprocess.Popen(REWRAP, env=environment(house), stderr=subprocess.DEVNULL) as program:
        while not has_begun() and program.poll() is None:
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 0.1))
        program.kill()
    return program.returncode


def environment(house: House) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **house.environment}


def test_killed_and_resumed_under_load(own_house: House, free_port: int) -> None:
    """Killed again and again under load, without an error; then nothing is left on the old KEK, everybody readable."""
    tenant, ring, draw = own_house.tenant(), own_house.components.keyring, chance("rewrapping")
    people = [tenant.token(customer={"billing_contact": {"name": f"Person {n}"}}) for n in range(20)]
    old = ring.keks.newest(tenant.id)
    backend = own_house.components.keystore.dialect.name
    made = DEKS_MADE[backend]
    fill(ring, tenant.id, made)
    with serve(own_house, free_port) as (_, url), served(url, tenant, people) as answers:
        assert keks.rotate(ring, tenant.id)
        for _ in range(KILLS[backend]):
            left = on_kek(own_house, old)
            assert killed(own_house, draw, lambda before=left: on_kek(own_house, old) < before) == -signal.SIGKILL
            assert on_kek(own_house, old) > 0
        while len(answers) <= MANY:  # half of it moved, and served on
            time.sleep(0.05)
        done = subprocess.run(REWRAP, env=environment(own_house), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
    assert {*answers} <= {200, 201}, sorted({*answers})
    assert on_kek(own_house, old) == 0
    own_house.components.keyring.forget_cached()
    with reading(own_house.components.keystore) as connection:
        everybody = connection.scalars(select(DEKS.c.dek_id).where(DEKS.c.tenant_id == tenant.id)).all()
    assert len(everybody) > made
    for start in range(0, len(everybody), 10_000):
        some = everybody[start : start + 10_000]
        assert len(ring.deks(tenant.id, some)) == len(some)
