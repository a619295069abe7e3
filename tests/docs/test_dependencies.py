import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from house import ROOT

ENVIRONMENT = {"PATH": os.environ["PATH"], "BIN": str(Path(sys.executable).parent), "HOME": "/nonexistent"}
_DYNAMIC = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["dynamic"]
SHIPPED = ("run", *_DYNAMIC["optional-dependencies"])
PIN = re.compile(r"^([a-z0-9-]+)(?:\[[a-z,]+\])?==(\S+)", re.MULTILINE)
ADVISORY = {
    "id": "PYSEC-0000-1",
    "summary": "Made up for this test.",
    "details": "Made up.",
    "affected": [{"package": {"ecosystem": "PyPI", "name": "flask"}, "ranges": []}],
}


def pins() -> set[tuple[str, ...]]:
    return {pin for part in SHIPPED for pin in PIN.findall((ROOT / f"requirements/{part}.txt").read_text())}


class Advisories(BaseHTTPRequestHandler):
    """Answers as OSV does, and knows a weakness of what its server says."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = asked["package"]["name"]
        self.server.asked.add((name, asked["version"]))  # type: ignore[attr-defined]  # ours
        body = json.dumps({"vulns": [ADVISORY]} if name == self.server.weak else {}).encode()  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def advisories() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Advisories)
    server.weak, server.asked = "", set()  # type: ignore[attr-defined]
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def audit(port: int) -> subprocess.CompletedProcess[str]:
    command = [ROOT / ".ci/audit", "--osv-url", f"http://127.0.0.1:{port}/v1/query"]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)


def test_the_audit_asks_about_all_that_is_shipped(advisories: ThreadingHTTPServer) -> None:
    """Every locked version, once nothing is known of any: exit code 0."""
    done = audit(advisories.server_port)
    assert done.returncode == 0, done.stderr
    assert "No known vulnerabilities found" in done.stderr
    asked = advisories.asked  # type: ignore[attr-defined]
    on_this_machine = {(name, version) for name, version in pins() if name not in ELSEWHERE}
    assert on_this_machine <= asked <= pins()


ELSEWHERE = {
    name
    for part in SHIPPED
    for name in re.findall(r"^([a-z0-9-]+)==\S+ ;", (ROOT / f"requirements/{part}.txt").read_text(), re.MULTILINE)
}
"""What only some platforms install."""


def test_a_known_weakness_fails_the_audit(advisories: ThreadingHTTPServer) -> None:
    """It is named, with its package: exit code 1."""
    advisories.weak = "flask"  # type: ignore[attr-defined]
    done = audit(advisories.server_port)
    assert done.returncode == 1, done.stderr
    (weak,) = [each for each in json.loads(done.stdout)["dependencies"] if each["vulns"]]
    assert (weak["name"], weak["vulns"][0]["id"]) == ("flask", "PYSEC-0000-1")


def test_an_audit_that_nobody_answers_says_so(free_port: int) -> None:
    """Neither a pass nor a weakness: exit code 2, and that nothing was audited."""
    done = audit(free_port)
    assert done.returncode == 2
    assert done.stderr.startswith("The dependencies were NOT audited: ")
    assert len(done.stderr.splitlines()) == 1


def test_the_bill_of_materials_is_what_is_locked(tmp_path: Path) -> None:
    """CycloneDX: every pin once, with its hashes, under Panless itself; the same file each time."""
    for name in ("one", "two"):
        subprocess.run([ROOT / ".ci/sbom", tmp_path / name], env=ENVIRONMENT, check=True)
    text = (tmp_path / "one").read_text()
    assert text == (tmp_path / "two").read_text()
    bill = json.loads(text)
    assert (bill["bomFormat"], bill["metadata"]["component"]["name"]) == ("CycloneDX", "panless")
    assert sorted((one["name"], one["version"]) for one in bill["components"]) == sorted(pins())
    for one in bill["components"]:
        assert one["externalReferences"][0]["hashes"][0]["alg"] == "SHA-256", one["name"]
