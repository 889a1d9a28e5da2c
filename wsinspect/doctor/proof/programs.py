"""A hop's program as a child of ours, on loopback, which ends when we do, however we end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

from wsinspect.net import Address
from wsinspect.units import SECOND, format_duration

_SECONDS_TO_START: Final = 10.0
_SECONDS_TO_END: Final = 3.0
_PATH: Final = (
    "/usr/sbin:/sbin:/usr/local/sbin:/usr/local/bin:/opt/homebrew/bin:/usr/local/openresty/nginx/sbin"
)
_MAX_SAID: Final = 64 * 1024
#: Asks the kernel (prctl, PR_SET_PDEATHSIG) to end what it becomes when the one who started it dies.
_LAUNCHER: Final = """
import ctypes, os, sys
parent, program, *arguments = sys.argv[1:]
try:
    ctypes.CDLL(None).prctl(1, 15, 0, 0, 0)
except (AttributeError, OSError):
    pass
if os.getppid() != int(parent):
    sys.exit(1)
os.execv(program, [program, *arguments])
"""


class RefusedError(Exception):
    """The program did not start; the message is what it said."""


def find_program(names: Sequence[str]) -> str | None:
    """The first of these programs that is on this machine."""
    # Programs that come as wheels are next to Python.
    path = os.pathsep.join((os.environ.get("PATH", ""), _PATH, str(Path(sys.executable).parent)))
    return next((found for name in names if (found := shutil.which(name, path=path))), None)


def _environment(folder: Path) -> dict[str, str]:
    """Nothing of ours: no credentials, no proxy, and a home that is thrown away."""
    home = str(folder)
    return {
        "PATH": os.pathsep.join((os.environ.get("PATH", ""), _PATH)),
        "HOME": home,
        "TMPDIR": home,
        "XDG_CONFIG_HOME": home,
        "XDG_DATA_HOME": home,
        "LC_ALL": "C",
    }


async def output_of(program: str, arguments: Sequence[str], folder: Path) -> tuple[int, str]:
    """Run it to its end, within limits; its exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *_command(program, arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=folder,
        env=_environment(folder),
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(_SECONDS_TO_START):
            said, _ = await process.communicate()
    except TimeoutError:
        waited = format_duration(round(_SECONDS_TO_START * SECOND))
        return 1, f"{Path(program).name} did not end within {waited}"
    finally:
        await _end(process)
    return process.returncode or 0, said[:_MAX_SAID].decode("utf-8", "replace")


def _command(program: str, arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), program, *arguments]


@contextlib.asynccontextmanager
async def running(
    program: str, arguments: Sequence[str], folder: Path, address: Address
) -> AsyncIterator[None]:
    """The program, from when it accepts connections.

    Raises:
        RefusedError: it accepts none in time, or has ended at the end of the block.
    """
    log = folder / "said.log"
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *_command(program, arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd=folder,
            env=_environment(folder),
            start_new_session=True,
        )
    try:
        is_ready = await _is_listening(process, address)
        if is_ready:
            yield
        if not is_ready or process.returncode is not None:
            with log.open("rb") as stream:
                words = stream.read(_MAX_SAID).decode("utf-8", "replace")
            raise RefusedError(words or "it did not start")
    finally:
        await _end(process)


async def _is_listening(process: asyncio.subprocess.Process, address: Address) -> bool:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _SECONDS_TO_START
    while process.returncode is None and loop.time() < deadline:
        try:
            _, writer = await asyncio.open_connection(address.host, address.port)
        except OSError:
            await asyncio.sleep(0.02)  # the kernel does not report when a program starts to listen
            continue
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return process.returncode is None
    return False


async def _end(process: asyncio.subprocess.Process) -> None:
    """End it and what it started: all are in a session of their own."""
    if process.returncode is not None:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            async with asyncio.timeout(_SECONDS_TO_END):
                await process.wait()
            return
        except TimeoutError:
            continue
