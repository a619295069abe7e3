"""The fuzzer as a program: schemathesis against `panless serve`, by our own OpenAPI document."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

from house import ROOT, House, Tenant

from vault.errors import CallbackFailed
from vault.outgoing import NotPosted

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "ignored_auth",
)


def fuzz(tenant: Tenant, url: str, home: Path, *, seconds: int, seed: int) -> dict[str, Any]:
    """Run it for so long; its report. Raises AssertionError with what it found."""
    report = home / "fuzz.json"
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json"]
    command += ["--header", f"Authorization: Bearer {tenant.keys['all']}", "--checks", ",".join(CHECKS)]
    command += ["--max-time", str(seconds), "--seed", str(seed), "--continue-on-failure", "--warnings", "off"]
    command += ["--report", "json", "--report-json-path", str(report), "--generation-database", "none"]
    paths = [str(ROOT / "tests" / "security"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    known = {"FUZZ_ACCOUNT": tenant.account, "FUZZ_TOKEN": tenant.token()["id"]}
    environment |= {"SCHEMATHESIS_HOOKS": "fuzz_hooks", **known}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=home)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found: dict[str, Any] = json.loads(report.read_text())
    return found


@contextmanager
def worker(house: House) -> Iterator[list[Exception]]:
    """The worker beside it, round after round, whom nobody outside answers; what it reports besides that."""
    over, reported = Event(), list[Exception]()
    components = replace(house.components, post=_nobody, post_anywhere=_nobody)
    working = replace(house, components=components)

    def work() -> None:
        while not over.wait(2):
            reported.extend(error for _, error in working.work()[1] if not isinstance(error, CallbackFailed))

    thread = Thread(target=work)
    thread.start()
    try:
        yield reported
    finally:
        over.set()
        thread.join()


def _nobody(*_: object) -> NotPosted:
    return NotPosted("no_answer")


def answered(log: Path) -> set[tuple[str, str, int]]:
    """(method, route, status) of every answer in a server's log. What it logs as an error fails the test."""
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    assert [line for line in lines if line["level"] in {"error", "critical"}] == []
    return {(line["method"], line["route"], line["status"]) for line in lines if line["event"] == "request"}


def body_fields(document: Mapping[str, Any], operation: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """The path to every value and every free key that an operation's body may have; `0` for items, `<key>` for keys."""
    content = operation.get("requestBody", {}).get("content", {})
    return [where for media in content.values() for where in _fields(document, media["schema"])]


def _fields(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    for inner in [*schema.get("anyOf", ()), *schema.get("oneOf", ())]:
        yield from _fields(document, inner)
    for name, inner in schema.get("properties", {}).items():
        yield from ((name, *rest) for rest in _fields(document, inner))
    if "items" in schema:
        yield from ((0, *rest) for rest in _fields(document, schema["items"]))
    if isinstance(schema.get("additionalProperties"), dict):
        yield ("<key>",)
        yield from (("note", *rest) for rest in _fields(document, schema["additionalProperties"]))
    if not {"properties", "items", "anyOf", "oneOf", "additionalProperties"} & schema.keys():
        yield ()
