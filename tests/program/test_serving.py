import http.client
import json
import re
import resource
import socket
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from commands import ROOT, panless
from ports import free_port
from program_scene import answers, ask, folder_of_figures, refusal, until
from serving_scene import Server

from panless.commands.running import APPLICATION, gunicorn_command
from panless.settings.environment import read_settings

Deployment = dict[str, str]
Serve = Callable[..., Server]


@pytest.fixture
def serve_probed(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Callable[[Mapping[str, str], str], Server]:
    """Start what `panless serve` becomes, without its look beforehand, with another application."""

    def begin(env: Mapping[str, str], application: str = "probed_application:app()") -> Server:
        place = {"PYTHONPATH": f"{ROOT}:{Path(__file__).parent}", "PANLESS_BIND": f"127.0.0.1:{free_port()}"}
        for name, value in (place | dict(env)).items():
            monkeypatch.setenv(name, value)
        return serve(place | dict(env), gunicorn_command(read_settings(), application))

    return begin


def test_postgresql_is_waited_for_by_greenlets(serve_probed: Callable[..., Server], on_postgresql: Deployment) -> None:
    """Ten queries of half a second through one worker take the time of one: the driver waits through gevent.

    Nothing was too late for gevent to replace it, as it would say in a warning.
    """
    server = serve_probed(on_postgresql | {"PANLESS_WORKERS": "1"})
    assert len(server.workers) == 1
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda _: ask(f"{server.url}/slow"), range(10)))  # opens the connections
        start = time.monotonic()
        assert {one.status for one in pool.map(lambda _: ask(f"{server.url}/slow"), range(10))} == {200}
    assert time.monotonic() - start < 2.5
    assert "Using worker: panless.serving.greenlets.Greenlets" in server.log
    assert '"level": "warning"' not in server.log


def test_sqlite_is_served_by_one_process(serve: Serve, deployment: Deployment) -> None:
    """One process with threads, however many workers were asked for; ready at once; stopped by SIGTERM with 0."""
    server = serve(deployment | {"PANLESS_WORKERS": "4"})
    assert "Using worker: panless.serving.slow_clients.Threads" in server.log
    assert len(server.workers) == 1
    assert ask(f"{server.url}/readyz").status == 200
    server.process.terminate()
    assert server.process.wait(20) == 0


def test_its_processes_leave_no_core(serve_probed: Callable[..., Server], deployment: Deployment) -> None:
    """No core file, in master and worker; and not dumpable, so that a core pattern that is a pipe gets nothing."""
    server = serve_probed(deployment)
    assert ask(f"{server.url}/dumpable").body == {"dumpable": 0, "core": [0, 0]}
    assert psutil.Process(server.process.pid).rlimit(resource.RLIMIT_CORE) == (0, 0)


def test_a_verdict_that_is_not_good_is_served_as_503(serve: Serve, deployment: Deployment) -> None:
    """Without its ledger it lives, is not ready, and says why."""
    Path(deployment["PANLESS_LEDGER"]).rmdir()
    server = serve(deployment)
    found = ask(f"{server.url}/readyz")
    assert (found.status, found.body["code"]) == (503, "ledger_unavailable")


def test_what_clients_send_is_not_in_the_log(serve: Serve, deployment: Deployment) -> None:
    """Neither queries nor paths nor headers, of good and of broken requests, at DEBUG."""
    server = serve(deployment | {"PANLESS_LOG_LEVEL": "DEBUG"})
    ask(f"{server.url}/v1/charges?email=jo@example.com&n=4242424242424242")
    ask(f"{server.url}/jo@example.com")
    server.raw(b"GET /jo@example.com?x=4242424242424242 HTTP/9.9\r\n\r\n")
    server.raw(b"GET / HTTP/1.1\r\nX jo@example.com: 4242424242424242\r\n\r\n")
    server.raw(b"jo@example.com 4242424242424242\r\n\r\n")
    until(lambda: server.log.count("Invalid request from ip=127.0.0.1") == 3)
    assert "jo@example" not in server.log
    assert "424242" not in server.log  # fewer digits are in a moment of a log now and then
    assert all(json.loads(line) for line in server.log.splitlines())


def test_what_is_no_http_has_a_request_id_too(serve: Serve, deployment: Deployment) -> None:
    """Each its own, also in the log: never that of the request before it on the same thread."""
    server = serve(deployment)
    assert ask(f"{server.url}/livez").status == 200
    answered = [server.raw(b"GET / HTTP/9.9\r\n\r\n") for _ in range(3)]
    found = [re.findall(rb"\r\nRequest-Id: (req_[0-9a-f]{32})\r\n", answer) for answer in answered]
    ids = {ident.decode() for [ident] in found}
    until(lambda: server.log.count("Invalid request from ip=127.0.0.1") == 3)
    lines = [json.loads(line) for line in server.log.splitlines()]
    assert {line["request_id"] for line in lines if line["event"].startswith("Invalid request")} == ids
    assert len(ids) == 3
    assert not ids & {line["request_id"] for line in lines if line["event"] == "request"}


def test_long_headers_are_refused(serve: Serve, deployment: Deployment) -> None:
    """A line beyond 4 KiB, a header beyond 8 KiB, more than 64 headers: 4xx, and the server goes on."""
    server = serve(deployment)
    assert server.raw(b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 414")
    assert server.raw(b"GET / HTTP/1.1\r\nA: " + b"a" * 9000 + b"\r\n\r\n").startswith(b"HTTP/1.1 431")
    assert server.raw(b"GET / HTTP/1.1\r\n" + b"A: a\r\n" * 70 + b"\r\n").startswith(b"HTTP/1.1 431")
    assert answers(f"{server.url}/livez")


def test_figures_have_an_address_of_their_own(serve: Serve, on_postgresql: Deployment) -> None:
    """Requests by method, route template and status from all workers, times, and the verdict; nothing clients sent."""
    metrics = f"127.0.0.1:{free_port()}"
    server = serve(on_postgresql | {"PANLESS_METRICS_BIND": metrics, "PANLESS_WORKERS": "2"})
    for path in ("/livez", "/v1/charges/jo@example.com", "/nowhere/jo"):
        ask(server.url + path)
    for _ in range(4):  # whichever worker answers
        figures = text_of(metrics)
        assert 'panless_requests_total{method="GET",route="none",status="404"} 1.0' in figures
        assert 'route="/v1/charges/<charge_id>",status="401"} 1.0' in figures
        assert 'panless_request_seconds_bucket{le="5.0",method="GET",route="none"} 1.0' in figures
        assert 'panless_guard_verdict{verdict="good"} 1.0' in figures
        assert 'panless_rights_requests{which="overdue"} 0.0' in figures
        assert "panless_rate_limits_uncounted_total 0.0" in figures
        assert 'panless_intents{which="manual"} 0.0' in figures
        assert 'panless_intents_oldest_seconds{state="pending"} 0.0' in figures
        assert 'panless_intents_oldest_seconds{state="manual"} 0.0' in figures
        assert "panless_doubts 0.0" in figures
        assert "panless_waiting_requests 0.0" in figures
        assert "panless_overloaded_total 0.0" in figures
    assert "jo" not in figures
    folder = folder_of_figures(server.workers[0].pid)
    assert folder.is_dir()
    server.process.terminate()
    server.process.wait(20)
    assert not folder.exists()


def text_of(metrics: str) -> str:
    connection = http.client.HTTPConnection(metrics, timeout=10)
    connection.request("GET", "/metrics")
    try:
        return connection.getresponse().read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize("name", ["PANLESS_BIND", "PANLESS_METRICS_BIND"])
def test_a_taken_port_is_one_sentence(name: str, deployment: Deployment) -> None:
    """Before anything starts."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        free = {"PANLESS_BIND": f"127.0.0.1:{free_port()}"}
        said = refusal(panless("serve", env=deployment | free | {name: address}))
    assert said == f"{address} is in use. Stop what listens there, or set {name}."


def test_a_worker_that_can_not_start_ends_the_server(
    serve_probed: Callable[..., Server], deployment: Deployment
) -> None:
    """Should the deployment break between the look and the start: one line with the reason, exit code 3."""
    Path(deployment["PANLESS_KEYFILE"]).chmod(0o644)
    server = serve_probed(deployment, APPLICATION)
    assert server.process.wait(20) == 3
    assert '"event": "not_started"' in server.log
    assert "Traceback" not in server.log


def test_only_a_proxy_that_is_named_is_believed(serve: Serve, deployment: Deployment) -> None:
    """A server that is told of its proxy takes its word for the address and the certificate, in that very header."""
    terms = ("--network", "192.0.2.0/24", "--certificate", "ab" * 32)
    made = panless("clients", "create", "--name", "x", "--role", "admin", *terms, env=deployment)
    key = made.stdout.split()[1]
    headers = {"X_Forwarded_For": "192.0.2.1", "X_Client": "ab" * 32}
    told = {"PANLESS_PROXY_HOPS": "1", "PANLESS_CLIENT_CERTIFICATE_HEADER": "X-Client"}
    with_proxy = serve(deployment | told | {"PANLESS_TRUSTED_PROXIES": "127.0.0.0/8,::1/128"})
    url = f"{with_proxy.url}/v1/processor-accounts"
    assert ask(url, key, **headers).status == 200
    for left_out in headers:
        assert ask(url, key, **{name: value for name, value in headers.items() if name != left_out}).status == 401
    underscored = (
        f"GET /v1/processor-accounts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
        f"X-Forwarded-For: 192.0.2.1\r\nX_Client: {'ab' * 32}\r\n\r\n"
    )
    assert with_proxy.raw(underscored.encode()).startswith(b"HTTP/1.1 4")
    without = serve(deployment | told | {"PANLESS_TRUSTED_PROXIES": "10.0.0.0/8"})
    assert ask(f"{without.url}/v1/processor-accounts", key, **headers).status == 401


OAUTH = {"PANLESS_OAUTH_ISSUER": "https://x", "PANLESS_OAUTH_AUDIENCE": "x", "PANLESS_OAUTH_TENANT": "tenant"}


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"PANLESS_PROXY_HOPS": "1"}, "PANLESS_TRUSTED_PROXIES is not set."),
        ({"PANLESS_CLIENT_CERTIFICATE_HEADER": "X-Client"}, "PANLESS_TRUSTED_PROXIES is not set."),
        ({"PANLESS_TRUSTED_PROXIES": "10.0.0.1/8"}, "PANLESS_TRUSTED_PROXIES must be networks"),
        (
            {"PANLESS_TRUSTED_PROXIES": "10.0.0.0/8", "PANLESS_PROXY_HOPS": "-1"},
            "PANLESS_PROXY_HOPS must be 0 or more.",
        ),
        (
            {"PANLESS_TRUSTED_PROXIES": "10.0.0.0/8", "PANLESS_CLIENT_CERTIFICATE_HEADER": "X_C"},
            "PANLESS_CLIENT_CERTIFICATE_HEADER must be a header's name",
        ),
        ({"PANLESS_RATE_LIMIT": "often"}, "PANLESS_RATE_LIMIT must be like 6000/minute or 100/second."),
        ({"PANLESS_RATE_LIMIT_FAILURES": "7"}, "PANLESS_RATE_LIMIT_FAILURES must be like"),
        ({"PANLESS_RATE_LIMIT_STORE": "memcached://x"}, "PANLESS_RATE_LIMIT_STORE must be a redis or rediss URL."),
        ({"PANLESS_RATE_LIMIT_STORE": "redis://:hidden@far:1"}, "PANLESS_RATE_LIMIT_STORE must be rediss"),
        ({"PANLESS_OAUTH_ISSUER": "https://x"}, "PANLESS_OAUTH_AUDIENCE is not set. Tokens need an issuer"),
        ({**OAUTH, "PANLESS_OAUTH_JWKS": "http://far/"}, "PANLESS_OAUTH_JWKS must be https"),
        ({**OAUTH, "PANLESS_OAUTH_JWKS": "/dev/null"}, "PANLESS_OAUTH_JWKS names a file without a key"),
        ({"PANLESS_CLIENT_CONNECTIONS": "1"}, "PANLESS_CLIENT_CONNECTIONS must be 2 or more."),
        ({"PANLESS_CLIENT_TIMEOUT": "0"}, "PANLESS_CLIENT_TIMEOUT must be more than 0."),
    ],
)
def test_wrong_settings_of_the_door(changed: dict[str, str], sentence: str, deployment: Deployment) -> None:
    """Each is refused at the start, with its name and what it must be."""
    assert refusal(panless("serve", env=deployment | changed)).startswith(sentence)
