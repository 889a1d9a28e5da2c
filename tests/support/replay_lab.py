"""Recordings to be served again, and `wsinspect replay --serve` as a process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import websockets

from tests.support.chats import SECRET_REQUEST, Chat, store
from tests.support.engine import private_environment

ENGINE_PATH = "/socket.io/?EIO=4&transport=websocket"


class Serving:
    """`wsinspect replay --serve` as a process."""

    def __init__(self, path: Path, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "wsinspect", "replay", str(path), "--serve", "0", "--json", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=private_environment(path.parent),
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(self.process.communicate()[1])
        self.ready = json.loads(line)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.ready['port']}"

    def finish(self, *, stop: bool = False) -> tuple[int, list[dict]]:
        if stop:
            self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=20)
        assert "Traceback" not in err
        return self.process.returncode, [json.loads(line) for line in out.splitlines()]


@contextmanager
def serving(path, *options):
    running = Serving(path, *options)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            os.kill(running.process.pid, signal.SIGKILL)
        running.process.communicate()


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
                got.append(await asyncio.wait_for(client.recv(), 10))
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
