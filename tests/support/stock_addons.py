"""The scripts in addons/, each in a stock mitmdump in front of the demo's server and hop."""

import asyncio
import contextlib
import os
import re
import signal
import sys
from pathlib import Path

from tests.support.small_servers import free_ports
from wsinspect.demo.clients import Ports, converse
from wsinspect.demo.hop import Hop
from wsinspect.demo.listener import LOOPBACK
from wsinspect.demo.server import ChatServer

ADDONS = Path(__file__).parents[2] / "addons"
MITMDUMP = Path(sys.executable).with_name("mitmdump")
LISTENING = re.compile(rb"listening at [^\n]*?:(\d+)")


class Mitmdump:
    """A stock mitmdump in front of the chat server and of the hop; `log` is all it printed."""

    def __init__(self) -> None:
        self.log = b""
        self.ports: list[int] = []
        self.exit_code: int | None = None

    async def read(self, stream):
        """Collect the log; the ports are in the order of the modes."""
        while line := await stream.readline():
            self.log += line
            if found := LISTENING.search(line):
                self.ports.append(int(found[1]))
                if len(self.ports) == 2:
                    return

    @property
    def text(self):
        return self.log.decode()


async def start(command):
    """A child that finds this checkout also where it is not installed, and prints each line at once."""
    environment = {**os.environ, "PYTHONPATH": str(ADDONS.parent), "PYTHONUNBUFFERED": "1"}
    pipe, out = asyncio.subprocess.PIPE, asyncio.subprocess.STDOUT
    return await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=out, env=environment)


@contextlib.asynccontextmanager
async def mitmdump(tmp_path, script, targets, *options):
    command = [MITMDUMP, "-s", ADDONS / script, "--set", f"confdir={tmp_path}", *options]
    for target, port in zip(targets, free_ports(len(targets)), strict=True):
        command += ["--mode", f"reverse:http://{LOOPBACK}:{target}@{LOOPBACK}:{port}"]
    child = await start(command)
    result = Mitmdump()
    try:
        await asyncio.wait_for(result.read(child.stdout), 30)
        assert len(result.ports) == 2, result.text
        yield result
        child.send_signal(signal.SIGINT)
        result.log += await asyncio.wait_for(child.stdout.read(), 30)
        result.exit_code = await child.wait()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


async def talk(tmp_path, script, told, *options):
    """The demo's conversation through a stock mitmdump with a script; what it printed."""
    async with (
        ChatServer(0.05) as server,
        Hop(server.port) as hop,
        mitmdump(tmp_path, script, [server.port, hop.port], *options) as proxy,
    ):
        await converse(Ports(*proxy.ports), 0, told.append, beat=0.02)
    assert "bob: the connection ended without a CLOSE frame, 1006" in told
    assert "ada: closed with 1000, the server answered 1000" in told
    assert proxy.exit_code == 0, proxy.text
    assert "Traceback" not in proxy.text
    assert "crashed" not in proxy.text
    return proxy.text
