"""The whole door under a fuzzer that reads our OpenAPI document, on a real server with the sandbox as processor."""

import os
from pathlib import Path

import pytest
from fuzzing import answered, fuzz, worker
from house import House, Sandbox, build_house, serve

from panless.settings import opendsr_files
from panless.wiring import utc_now

SECONDS = int(os.environ.get("FUZZ_SECONDS", "45"))
SEED = int(os.environ.get("FUZZ_SEED", "6"))
DOMAIN = "vault.example.com"
REACHED = {
    ("POST", "/v1/tokens", 201),
    ("POST", "/v1/charges", 201),
    ("POST", "/v1/customers", 201),
    ("GET", "/v1/customers/<customer_id>/export", 200),
    ("DELETE", "/v1/customers/<customer_id>", 202),
    ("POST", "/v1/rights-requests", 201),
    ("POST", "/v1/webhook-endpoints", 201),
    ("POST", "/opendsr/v2/requests", 201),
    ("POST", "/fides/pre-execution", 200),
}
"""How far it must come for its findings to mean something."""


@pytest.fixture
def deployment(tmp_path: Path, sandbox: Sandbox) -> House:
    """A house on SQLite that speaks OpenDSR and knows a Fides."""
    home = tmp_path / "house"
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    opendsr_files.create(DOMAIN, key, certificate, utc_now())
    house = build_house(home, f"sqlite:///{tmp_path}/records.db", f"sqlite:///{tmp_path}/keystore.db", sandbox)
    house.environment |= {
        "PANLESS_OPENDSR_DOMAIN": DOMAIN,
        "PANLESS_OPENDSR_KEY_FILE": str(key),
        "PANLESS_OPENDSR_CERTIFICATE_FILE": str(certificate),
        "PANLESS_CALLBACK_HOSTS": "controller.example.com",
        "PANLESS_FIDES_URL": "https://fides.example.com/api/v1",
    }
    return house


@pytest.mark.timeout(SECONDS + 300)
def test_every_answer_is_one_that_the_document_has(deployment: House, free_port: int, tmp_path: Path) -> None:
    """Calls made up from the document, alone and in chains: never a server error, never an answer that is not in it.

    Beside it goes the worker, which breaks on nothing that they leave.
    """
    tenant = deployment.tenant()
    with serve(deployment, free_port) as (_, url), worker(deployment) as reported:
        report = fuzz(tenant, url, tmp_path, seconds=SECONDS, seed=SEED)
    print(report["test_cases"], report["running_time"])  # noqa: T201  # `make fuzz` shows it
    assert report["operations"]["tested"] == report["operations"]["total"] > 60
    assert report["test_cases"]["generated"] > 500  # some thousands, where nothing else runs
    assert answered(deployment.home / "server.log") >= REACHED
    assert reported == []
