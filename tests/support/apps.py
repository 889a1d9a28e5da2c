"""Real applications of the lab and what each was told: Python `websockets`, Node `ws`, a page in Chromium.

An application opens a URL, obeys `cmd:` messages, and gives an outcome: a plain dict of what its library
reports. Two outcomes of the same ending, with and without a proxy, must be equal.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import serve

from tests.support.certs import client_context
from tests.support.short_folder import ShortFolder

NODE = Path(__file__).resolve().parents[1] / "node"
Outcome = dict[str, Any]
MAX_SIZE = 100_000


class NodeApp:
    """A script of tests/node that answers one JSON line for each JSON line.

    What its browser leaves in the folder for temporary files is removed with it.
    """

    def __init__(self, process: asyncio.subprocess.Process, temporary: ShortFolder) -> None:
        self.process = process
        self._temporary = temporary
        self._answers: dict[int, asyncio.Future[Outcome]] = {}
        self._serial = 0
        self._reader: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, script: str, *arguments: str) -> NodeApp:
        environment = {
            name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")
        }
        temporary = ShortFolder()
        process = await asyncio.create_subprocess_exec(
            *("node", script, *arguments),
            cwd=NODE,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 24,
            env={**environment, "TMPDIR": str(temporary.path)},
        )
        return cls(process, temporary)

    async def first_line(self, timeout: float = 60) -> Outcome:
        """What the script says before it takes commands (its port, its version)."""
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), timeout)
        return dict(json.loads(line))

    async def ask(self, timeout: float = 60, **command: Any) -> Outcome:
        assert self.process.stdin is not None
        if self._reader is None:
            self._reader = asyncio.create_task(self._read())
        self._serial += 1
        answer = self._answers[self._serial] = asyncio.get_running_loop().create_future()
        self.process.stdin.write(json.dumps({"id": self._serial, **command}).encode() + b"\n")
        try:
            return await asyncio.wait_for(answer, timeout)
        except TimeoutError:
            return {"timeout": f"told nothing for {timeout} s"}

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            answer = json.loads(line)
            future = self._answers.pop(answer["id"], None)
            if future is not None and not future.done():
                future.set_result(answer.get("outcome") or {"failure": answer.get("failure")})

    async def stop(self) -> None:
        """Close its stdin, at which it ends."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        await self.process.stdin.wait_closed()
        try:
            await asyncio.wait_for(self.process.wait(), 20)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
        if self._reader is not None:
            await self._reader
        await asyncio.to_thread(self._temporary.remove)


async def _obey(connection: Connection, message: str) -> None:
    if not message.startswith("cmd:"):
        return
    command = json.loads(message[4:])
    match command["do"]:
        case "close":
            # Without a code an application sends 1000; the library has no empty close frame to offer.
            await connection.close(command.get("code", 1000), command.get("reason", ""))
        case "send":
            await connection.send(command["text"])
        case "ping":
            await connection.ping(b"lab")
        case "terminate":
            connection.transport.abort()


async def _listen(connection: Connection, seen: Outcome) -> None:
    """Take messages until the connection ends, and note what the library says about the end."""
    try:
        while True:
            message = await connection.recv()
            seen["messages"].append(message if isinstance(message, str) else "hex:" + message.hex())
            if isinstance(message, str):
                await _obey(connection, message)
    except websockets.exceptions.ConnectionClosed as closed:
        seen["end"] = str(closed)
        seen["kind"] = type(closed).__name__
    seen["code"] = None if connection.close_code is None else int(connection.close_code)
    seen["reason"] = connection.close_reason


async def python_client(url: str, *, proxy: int | None = None, timeout: float = 20) -> Outcome:
    """Open `url` with the library `websockets`; `proxy` is the port of a regular proxy."""
    seen: Outcome = {"opened": False, "messages": []}
    context: ssl.SSLContext | None = client_context() if url.startswith("wss:") else None
    try:
        async with asyncio.timeout(timeout):
            connection = await connect(
                url,
                ssl=context,
                proxy=f"http://127.0.0.1:{proxy}" if proxy else None,
                max_size=MAX_SIZE,
                open_timeout=timeout,
                close_timeout=3,
                ping_interval=None,
                process_exception=lambda error: error,
            )
            seen["opened"] = True
            seen["subprotocol"] = connection.subprotocol
            await _listen(connection, seen)
            await connection.close()
    except websockets.exceptions.InvalidStatus as error:
        seen["error"], seen["status"] = type(error).__name__, error.response.status_code
        seen["body"] = bytes(error.response.body or b"").decode("latin-1")
    except (websockets.exceptions.WebSocketException, OSError, EOFError) as error:
        seen["error"] = f"{type(error).__name__}: {error}"
    except TimeoutError:
        seen["timeout"] = f"told nothing for {timeout} s"
    return seen


class PythonServer:
    """A server of the library `websockets`; `outcome(path)` waits until that connection has ended."""

    def __init__(self) -> None:
        self._outcomes: dict[str, asyncio.Future[Outcome]] = {}
        self.port = 0

    async def __aenter__(self) -> PythonServer:
        self._server = await serve(
            self._handle, "127.0.0.1", 0, max_size=MAX_SIZE, close_timeout=3, ping_interval=None
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    def _future(self, path: str) -> asyncio.Future[Outcome]:
        if path not in self._outcomes:
            self._outcomes[path] = asyncio.get_running_loop().create_future()
        return self._outcomes[path]

    async def outcome(self, path: str, timeout: float = 20) -> Outcome:
        try:
            return await asyncio.wait_for(self._future(path), timeout)
        except TimeoutError:
            return {"timeout": f"told nothing for {timeout} s"}

    async def _handle(self, connection: Any) -> None:
        seen: Outcome = {"messages": []}
        await _listen(connection, seen)
        self._future(connection.request.path).set_result(seen)


def without(outcome: Outcome, names: Sequence[str]) -> Outcome:
    """The outcome less some of its fields."""
    return {name: value for name, value in outcome.items() if name not in names}
