"""Recordings to be served again, and `wsinspect replay --serve` as a process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

import websockets

from tests.support import warm
from tests.support.chats import SECRET_REQUEST, Chat, store
from tests.support.engine import private_environment

ENGINE_PATH = "/socket.io/?EIO=4&transport=websocket"


class Serving:
    """`wsinspect replay --serve` as a process."""

    def __init__(self, path: Path, *options: str) -> None:
        handle, name = tempfile.mkstemp(".stderr", dir=path.parent)
        self._stderr = Path(name)
        with os.fdopen(handle, "wb") as stderr:
            self.process = warm.start(
                ["replay", str(path), "--serve", "0", "--json", *options],
                folder=path.parent,
                environment=private_environment(path.parent),
                stderr=stderr,
            )
        assert self.process.stdout is not None
        self._stdout = self.process.stdout
        line = self._stdout.readline()
        if not line:
            raise AssertionError(self.end()[1])
        self.ready = json.loads(line)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.ready['port']}"

    def finish(self, *, stop: bool = False) -> tuple[int, list[dict]]:
        """Its exit code and what it printed after the first line; with `stop` it is interrupted."""
        if stop:
            self.process.send_signal(signal.SIGINT)
        out, err = self.end()
        assert "Traceback" not in err
        return self.process.wait(), [json.loads(line) for line in out.splitlines()]

    def end(self) -> tuple[str, str]:
        """Wait until it has ended; the rest of its stdout, and its stderr."""
        guard = threading.Timer(20, self.process.kill)
        guard.start()
        out = self._stdout.read()
        self.process.wait(20)
        guard.cancel()
        return out.decode(), self._stderr.read_text()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(20)
        self._stdout.close()


@contextmanager
def serving(path, *options):
    running = Serving(path, *options)
    try:
        yield running
    finally:
        running.close()


def asking(count=3, *, pushes=1, connections=1, request=SECRET_REQUEST, path="/room?id=7"):
    script = Chat()
    for connection in range(1, connections + 1):
        script.accept(connection, request, path)
        for number in range(count):
            script.tick(5)
            script.client(connection, b'{"op":"get","n":%d}' % number)
            script.server(connection, b'{"n":%d}' % number)
            for _ in range(pushes):
                script.server(connection, b'{"push":1}')
        script.client(connection, b"\x03\xe8bye", opcode=8)
        script.server(connection, b"\x03\xe8bye", opcode=8)
        script.end(connection, "server")
        script.tick()
    return script


async def converse(url, says, *, expects=2, code=1000, reason="bye", **options):
    got = []
    async with websockets.connect(url, **options) as client:
        for one in says:
            await client.send(one)
            for _ in range(expects):
                got.append(await asyncio.wait_for(client.recv(), 20))
        await client.close(code, reason)
    return got


ASKS = [f'{{"op":"get","n":{number}}}' for number in range(3)]


def engine_io(path):
    script = Chat()
    script.accept(1, SECRET_REQUEST, ENGINE_PATH)
    script.server(1, b'0{"sid":"recorded-sid","upgrades":[],"pingInterval":200,"pingTimeout":200}')
    script.client(1, b"40")
    script.server(1, b'40{"sid":"recorded-ns-sid"}')
    script.server(1, b"2")
    script.client(1, b"3")
    script.client(1, b'42["join",{"me":"recorded-ns-sid"}]')
    script.server(1, b'42["joined",{"you":"recorded-ns-sid"}]')
    script.server(1, b"2")
    script.client(1, b"3")
    script.client(1, b"\x03\xe8", opcode=8)
    script.server(1, b"\x03\xe8", opcode=8)
    script.end(1, "server")
    return store(path, script)
