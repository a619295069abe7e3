"""TLS that the server speaks itself, with real certificates."""

import http.client
import socket
import ssl
import warnings
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest
from certificates import write_pair
from commands import panless
from ports import free_port
from program_scene import refusal
from serving_scene import Server

Serve = Callable[..., Server]
Deployment = dict[str, str]


def _settings(folder: Path) -> dict[str, str]:
    certificate, key = write_pair(folder)
    return {"PANLESS_TLS_CERTIFICATE_FILE": str(certificate), "PANLESS_TLS_KEY_FILE": str(key)}


def _client(
    settings: dict[str, str], version: ssl.TLSVersion | None = None, ciphers: str | None = None
) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings["PANLESS_TLS_CERTIFICATE_FILE"])
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if ciphers is not None:
        context.set_ciphers(ciphers)
    return context


def _get(server: Server, context: ssl.SSLContext) -> tuple[int, str | None]:
    """The status of an answer over TLS, and what it says of asking again."""
    with closing(http.client.HTTPSConnection(*server.address, timeout=10, context=context)) as connection:
        connection.request("GET", "/livez")
        answer = connection.getresponse()
        return answer.status, answer.headers["Strict-Transport-Security"]


@pytest.mark.parametrize("backend", ["deployment", "on_postgresql"])
def test_the_server_speaks_tls(serve: Serve, request: pytest.FixtureRequest, tmp_path: Path, backend: str) -> None:
    """TLS 1.2 and 1.3 with the certificate that is set, from threads and from greenlets, which says HSTS."""
    settings = _settings(tmp_path)
    server = serve(request.getfixturevalue(backend) | settings)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        assert _get(server, _client(settings, version)) == (200, "max-age=63072000; includeSubDomains")


def _heard(connection: socket.socket) -> bytes:
    """The answer to what is no HTTP."""
    heard = b""
    with connection, suppress(ConnectionError):
        connection.sendall(b"GARBAGE\r\n\r\n")
        while piece := connection.recv(65536):
            heard += piece
    return heard


@pytest.mark.parametrize("backend", ["deployment", "on_postgresql"])
def test_what_is_no_http_is_told_too(
    serve: Serve, request: pytest.FixtureRequest, tmp_path: Path, backend: str
) -> None:
    """The answer that the application never sees says HSTS over TLS, and without TLS does not."""
    env, settings = request.getfixturevalue(backend), _settings(tmp_path)
    server = serve(env | settings)
    secured = _client(settings).wrap_socket(socket.create_connection(server.address, 10), server_hostname="127.0.0.1")
    heard = _heard(secured)
    assert heard.startswith(b"HTTP/1.1 400 ")
    assert b"\r\nStrict-Transport-Security: max-age=63072000; includeSubDomains\r\n" in heard
    plain = _heard(socket.create_connection(serve(env).address, 10))
    assert plain.startswith(b"HTTP/1.1 400 ")
    assert b"Strict-Transport-Security" not in plain


@pytest.mark.parametrize("backend", ["deployment", "on_postgresql"])
def test_nothing_weaker_is_spoken(serve: Serve, request: pytest.FixtureRequest, tmp_path: Path, backend: str) -> None:
    """TLS 1.1, a unauthenticated cipher, plain HTTP: none is answered; it goes on, and logs no traceback."""
    settings = _settings(tmp_path)
    server = serve(request.getfixturevalue(backend) | settings)
    with warnings.catch_warnings(action="ignore"):  # that TLS 1.1 is deprecated is the point
        old = _client(settings, ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0")
    unauthenticated = _client(settings, ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-SHA256")
    for context in (old, unauthenticated):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            _get(server, context)
    heard = b""
    with socket.create_connection(server.address, 10) as plain, suppress(ConnectionError):
        plain.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        heard = plain.recv(1000)
    assert b" 200 " not in heard
    assert _get(server, _client(settings))[0] == 200
    assert "Traceback" not in server.log


def test_what_is_no_pair_is_one_sentence(deployment: Deployment, tmp_path: Path) -> None:
    """Another key, a key that others can read, a key alone: before anything starts, with what to do."""
    settings = _settings(tmp_path)
    (tmp_path / "other").mkdir()
    other = write_pair(tmp_path / "other")[1]
    env = deployment | settings | {"PANLESS_BIND": f"127.0.0.1:{free_port()}"}
    said = refusal(panless("serve", env=env | {"PANLESS_TLS_KEY_FILE": str(other)}))
    assert said.startswith("PANLESS_TLS_CERTIFICATE_FILE and PANLESS_TLS_KEY_FILE must be a certificate and its key")
    other.chmod(0o644)
    assert refusal(panless("serve", env=env | {"PANLESS_TLS_KEY_FILE": str(other)})).endswith(
        f"Run: chmod 600 {other}."
    )
    alone = {name: value for name, value in env.items() if name != "PANLESS_TLS_CERTIFICATE_FILE"}
    assert refusal(panless("serve", env=alone)).startswith("PANLESS_TLS_CERTIFICATE_FILE is not set.")
