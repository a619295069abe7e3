"""HTTP/1.1 over one kept-alive connection: requests in, answers out, or the wire cut where a fault asks for it."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus
from urllib.parse import unquote

LARGEST_BODY = 1 << 20


@dataclass(frozen=True, slots=True)
class Request:
    """One request; header names are in lower case, the path is decoded."""

    method: str
    path: str
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Response:
    """One answer."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


class Cut(Enum):
    """No answer at all."""

    CLOSE = "close"
    RESET = "reset"


class Malformed(Exception):
    """A request that cannot be read: the connection ends with this status."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


Answer = Callable[[Request], Awaitable[Response | Cut]]


async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer) -> None:
    """Answer one request after another until either side ends the connection."""
    try:
        while await _answer_next(reader, writer, answer):
            pass
    except Malformed as error:
        body = b'{"error":{"type":"invalid_request_error","message":"The request is not HTTP/1.1 that can be read."}}'
        writer.write(_written(Response(error.status, body), keeps=False))
    except (ConnectionError, asyncio.IncompleteReadError):
        pass  # the client went away; what it asked for was done
    finally:
        writer.close()


async def _answer_next(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer) -> bool:
    """Whether the connection goes on. The request, which may hold a card, ends with this function."""
    request = await _read(reader)
    if request is None:
        return False
    response = await answer(request)
    if isinstance(response, Cut):
        _cut(writer, response)
        return False
    keeps = request.headers.get("connection", "").lower() != "close"
    writer.write(_written(response, keeps=keeps))
    await writer.drain()
    return keeps


async def _read(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError as error:
        raise Malformed(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE) from error
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise Malformed(HTTPStatus.BAD_REQUEST) from error
        return None
    first, *rest = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, target, version = _first_line(first)
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
    if version == "HTTP/1.0":
        headers["connection"] = "close"
    path, _, query = target.partition("?")
    return Request(method, unquote(path), query, headers, await _body(reader, headers))


def _first_line(line: str) -> tuple[str, str, str]:
    words = line.split(" ")
    if len(words) != 3 or words[2] not in ("HTTP/1.1", "HTTP/1.0"):  # noqa: PLR2004 - method, target, version
        raise Malformed(HTTPStatus.BAD_REQUEST)
    return words[0], words[1], words[2]


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    length = headers.get("content-length", "0")
    if "transfer-encoding" in headers:
        raise Malformed(HTTPStatus.LENGTH_REQUIRED)
    if not (length.isascii() and length.isdecimal()):
        raise Malformed(HTTPStatus.BAD_REQUEST)
    if int(length) > LARGEST_BODY:
        raise Malformed(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    return await reader.readexactly(int(length))


def _written(response: Response, *, keeps: bool) -> bytes:
    headers = {
        "Content-Type": "application/json",
        "Content-Length": str(len(response.body)),
        "Connection": "keep-alive" if keeps else "close",
    } | response.headers
    lines = [f"HTTP/1.1 {response.status} {_phrase(response.status)}", *(f"{n}: {v}" for n, v in headers.items())]
    return "\r\n".join((*lines, "", "")).encode("latin-1") + response.body


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in HTTPStatus.__members__.values() else "Status"


def _cut(writer: asyncio.StreamWriter, how: Cut) -> None:
    if how is Cut.RESET:
        # lingering for zero seconds makes close() send RST instead of FIN
        wire = writer.get_extra_info("socket")
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
