"""The sandbox as its users have it: a program, its address, and the official SDK before it."""

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import sandbox_contract
import stripe

ROOT = Path(__file__).parents[2]


class Checked(stripe.RequestsClient):
    """The SDK's own HTTP client; every answer is held against the SDK's types, and its headers are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.headers: Mapping[str, str] = {}
        self.status = 0

    def request(
        self, method: str, url: str, headers: Mapping[str, str], post_data: str | None = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        body, self.status, self.headers = super().request(method, url, headers, post_data)
        assert sandbox_contract.breaches(json.loads(body)) == []
        assert self.headers["Request-Id"].startswith("req_")
        assert self.headers["Stripe-Version"] == headers["Stripe-Version"]
        return body, self.status, self.headers


@dataclass
class Running:
    """A sandbox, running as a program of its own."""

    program: subprocess.Popen[str]
    url: str
    http: Checked = field(default_factory=Checked)

    def client(self, key: str | None = None) -> stripe.StripeClient:
        name = key or f"sk_test_{uuid4().hex}"
        return stripe.StripeClient(name, base_addresses={"api": self.url}, http_client=self.http, max_network_retries=0)

    def hook(self, method: str, path: str, content: object = None) -> dict[str, Any]:
        body = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(self.url + path, body, method=method)
        with suppress(urllib.error.HTTPError), urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())
        return self.refusal(request)

    def refusal(self, request: urllib.request.Request) -> dict[str, Any]:
        try:
            urllib.request.urlopen(request, timeout=10)
        except urllib.error.HTTPError as error:
            return json.loads(error.read()) | {"status": error.code}
        raise AssertionError

    def faults(self, **fault: object) -> None:
        self.hook("POST", "/_faults", {"faults": [{"path": "/v1/payment_intents", **fault}]})

    def stop(self, number: int = signal.SIGTERM) -> int:
        """The exit code, once it has stopped."""
        self.program.send_signal(number)
        with self.program:
            self.http.close()
            return self.program.wait(10)


def start(home: Path, *options: str) -> Running:
    """A sandbox on a free port, as soon as it says that it listens; what it complains about is in stderr.txt."""
    with (home / "stderr.txt").open("a") as stderr:
        program = subprocess.Popen(
            [sys.executable, "-m", "sandbox", "--port", "0", *options],
            cwd=home,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    assert program.stdout
    line = program.stdout.readline()
    assert line.startswith("sandbox listening on http://127.0.0.1:")
    return Running(program, line.split()[-1])
