"""The running program: it listens, answers, settles refunds, writes the state behind, and stops when told."""

import asyncio
import signal
import sys
import time
from pathlib import Path

from sandbox import breakage, commit, connection, delivery, dispatch, errors, hooks, refunds, statefile, wire
from sandbox.connection import Cut, Request, Response
from sandbox.state import Sandbox

WRITE_EVERY = 1.0
WRITING_SHARE = 10
BACKLOG = 256


async def serve(sandbox: Sandbox, *, host: str, port: int, path: Path | None) -> None:
    """Listen until SIGTERM or SIGINT; raises OSError when the port is taken or the last state cannot be written."""

    async def answer(request: Request) -> Response | Cut:
        try:
            if request.path.startswith("/_"):
                return hooks.answer(sandbox, request)
            return await dispatch.answer(sandbox, request)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets JSON
            breakage.report(error)
            return Response(500, wire.encode({"error": errors.broken().error}))

    talks: set[asyncio.Task[None]] = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(connection.converse(reader, writer, answer))
        talks.add(task)
        task.add_done_callback(talks.discard)
        await asyncio.wait([task])  # ends in peace even when the task is cancelled, which asyncio's streams cannot take

    server = await asyncio.start_server(converse, host, port, backlog=BACKLOG)
    sandbox.base_url = _url(server, host)
    stopped = _stop_signal()
    sys.stdout.write(f"sandbox listening on {sandbox.base_url}\n")
    sys.stdout.flush()
    work = [asyncio.create_task(_settle(sandbox))]
    if path:
        work.append(asyncio.create_task(_write_behind(sandbox, path)))
    await stopped.wait()
    server.close()
    await _end([*work, *talks])
    delivery.stop(sandbox.queues)
    if path:
        statefile.write(path, statefile.rendered(sandbox))


def _url(server: asyncio.Server, host: str) -> str:
    port = server.sockets[0].getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _stop_signal() -> asyncio.Event:
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    return stopped


async def _settle(sandbox: Sandbox) -> None:
    while True:
        await asyncio.sleep(1)
        refunds.settle(sandbox)
        commit.commit(sandbox)


async def _write_behind(sandbox: Sandbox, path: Path) -> None:
    """Write what changed, about every second; a write that takes long makes the next one wait in proportion."""
    pause = WRITE_EVERY
    while True:
        await asyncio.sleep(pause)
        if sandbox.is_unsaved:
            start, sandbox.is_unsaved = time.monotonic(), False
            try:
                await asyncio.to_thread(statefile.write, path, statefile.rendered(sandbox))
            except OSError:
                sandbox.is_unsaved = True  # the disk may have room again; the last write, at the end, says so
            pause = max(WRITE_EVERY, WRITING_SHARE * (time.monotonic() - start))


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
