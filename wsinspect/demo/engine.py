"""A real engine for the demo: `wsinspect run --headless --json`, a child process that is ended by SIGINT."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from wsinspect.demo.listener import LOOPBACK
from wsinspect.errors import LocalError

START_SECONDS = 20.0
STOP_SECONDS = 10.0


@contextlib.asynccontextmanager
async def running_engine(capture: Path, targets: Mapping[str, int]) -> AsyncIterator[dict[str, int]]:
    """An engine with one tap for each target; after the context it has ended and its capture is whole.

    Args:
        capture: the file to record into.
        targets: tap name to the loopback port behind it.

    Yields:
        Tap name to the port where the proxy listens.

    Raises:
        LocalError: it did not start.
    """
    taps = [f"--tap={name}={LOOPBACK}:0=http://{LOOPBACK}:{port}" for name, port in targets.items()]
    command = [
        sys.executable,
        "-m",
        "wsinspect",
        "run",
        "--headless",
        "--json",
        f"--capture={capture}",
        *taps,
    ]
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe, start_new_session=True
    )
    errors = asyncio.create_task(_last_line(child.stderr))
    events: asyncio.Task[None] | None = None
    try:
        ports = await _ready(child, errors)
        events = asyncio.create_task(_read_on(child.stdout))
        yield ports
    finally:
        await _stop(child)
        await asyncio.gather(errors, *([] if events is None else [events]), return_exceptions=True)


async def _ready(child: asyncio.subprocess.Process, errors: asyncio.Task[str]) -> dict[str, int]:
    """The ports of the event `ready`."""
    try:
        async with asyncio.timeout(START_SECONDS):
            while child.stdout is not None and (line := await child.stdout.readline()):
                event = json.loads(line)
                if event.get("event") == "ready":
                    return {one["tap"]: one["port"] for one in event["listeners"]}
            reason = await errors
    except TimeoutError:
        reason = f"no word from it within {START_SECONDS:g} s"
    raise LocalError(f"the demo's engine did not start: {reason.removeprefix('wsinspect: ') or 'it ended'}")


async def _read_on(stream: asyncio.StreamReader | None) -> None:
    """Keep the pipe empty; what the events say is read from the capture."""
    while stream is not None and await stream.read(65536):
        pass


async def _last_line(stream: asyncio.StreamReader | None) -> str:
    last = ""
    while stream is not None and (line := await stream.readline()):
        last = line.decode("utf-8", "replace").strip() or last
    return last


async def _stop(child: asyncio.subprocess.Process) -> None:
    """SIGINT and a bounded wait; an engine that does not end is killed, its capture stays readable."""
    _signal(child, signal.SIGINT)
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await child.wait()
    except TimeoutError:
        _signal(child, signal.SIGKILL)
        await child.wait()


def _signal(child: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Not `child.send_signal`: on Python 3.11 that may reap the child before asyncio's watcher does."""
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, number)
