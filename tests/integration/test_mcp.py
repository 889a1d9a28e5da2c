"""`wsinspect mcp` as a client starts it, over stdin and stdout: a broken nginx, and a running engine."""

from __future__ import annotations

import asyncio
import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from websockets.asyncio.client import connect

from tests.support.engine import ROOT, Engine, private_environment
from tests.support.hops import LOOPBACK, nginx
from tests.support.sandwich_lab import echo_server

if find_spec("mcp") is None:
    pytest.skip("the SDK of the Model Context Protocol is not installed", allow_module_level=True)
if TYPE_CHECKING:  # its import takes longer than collecting a hundred files; where it is used, it is imported
    from mcp.client.client import Client

#: What a model pays for an answer, roughly: four characters are a token.
CHARACTERS_A_TOKEN = 4


class Agent:
    """A client of the SDK that counts what it is told."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.calls = 0
        self.characters = 0

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        from mcp.types import TextContent

        result = await self.client.call_tool(tool, arguments)
        (said,) = result.content
        assert isinstance(said, TextContent)
        assert not result.is_error, said.text
        self.calls += 1
        self.characters += len(said.text)
        found: dict[str, Any] = json.loads(said.text)
        return found


def served(folder: Path, *options: str) -> Client:
    """A client of the SDK that starts `wsinspect mcp`."""
    from mcp.client.client import Client
    from mcp.client.stdio import StdioServerParameters

    return Client(
        StdioServerParameters(
            command=sys.executable,
            args=["-m", "wsinspect", "mcp", *options],
            env=private_environment(folder),
            cwd=ROOT,
        )
    )


@pytest.mark.lab
def test_the_cause_of_a_broken_nginx_takes_four_calls_and_4000_tokens_at_most(tmp_path: Path) -> None:
    async def run() -> None:
        async with echo_server() as (_, app):
            location = f"location /chat {{\n    proxy_pass http://{LOOPBACK}:{app};\n}}"
            with await asyncio.to_thread(nginx, tmp_path / "hop", location) as hop:
                async with served(tmp_path / "home") as client:
                    agent = Agent(client)
                    console = (
                        f"WebSocket connection to 'ws://{LOOPBACK}:{hop.port}/chat' failed: "
                        "Error during WebSocket handshake: Unexpected response code: 426"
                    )
                    explained = await agent.call("explain", text=console)
                    assert explained["recognised"]
                    told = await agent.call(
                        "doctor", url=f"ws://{LOOPBACK}:{hop.port}/chat", config=[str(tmp_path / "hop")]
                    )
        assert told["verdict"] == "failing"
        assert "location /chat" in told["headline"]
        finding = told["findings"][0]
        assert (finding["hop"], finding["fix"]["file"]) == ("nginx", str(tmp_path / "hop" / "nginx.conf"))
        assert "+    proxy_set_header Upgrade $http_upgrade;" in finding["fix"]["diff"]
        assert agent.calls <= 4
        assert agent.characters <= 4000 * CHARACTERS_A_TOKEN

    asyncio.run(run())


def test_a_running_engine_is_watched_and_changed(tmp_path: Path) -> None:
    async def run() -> None:
        async with echo_server() as (_, app):
            with Engine.start(
                "--reverse", f"http://{LOOPBACK}:{app}", "--listen", "127.0.0.1:0", folder=tmp_path
            ) as engine:
                async with served(tmp_path, "--allow-faults") as client:
                    await watch_and_change(Agent(client), int(engine.ready["listeners"][0]["port"]))

    asyncio.run(run())


async def watch_and_change(agent: Agent, port: int) -> None:
    waiting = asyncio.create_task(agent.call("wait_for", kind="frame", filter="op:text body:hello"))
    async with connect(f"ws://{LOOPBACK}:{port}/room?token=s3cr3t") as socket:
        await socket.send("hello")
        assert await socket.recv() == "hello"
        came = await waiting
        assert came["came"]
        number = came["frame"]["connection"]
        sent = await agent.call("inject", connection=number, direction="s2c", text="from the agent")
        assert sent == {"sent": {"connection": number, "done": "inject"}}
        assert await socket.recv() == "from the agent"
        added = await agent.call("fault", action="add", rule="drop,match=op:text,name=hole")
        assert added["added"]["name"] == "hole"
        listed = await agent.call("fault", action="remove", rule="hole")
        assert listed["rules"]["faults"] == []
        shown = await agent.call("connections")
        assert shown["live"]
        assert "s3cr3t" not in json.dumps(shown)
    ended = await agent.call("wait_for", kind="close")
    assert ended["connection"]["close_codes"] == {"client": 1000, "server": 1000}


@pytest.mark.slow
def test_an_end_of_stdin_ends_it(tmp_path: Path) -> None:
    async def run() -> int:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "wsinspect",
            "mcp",
            cwd=ROOT,
            env=private_environment(tmp_path),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), 60)
        assert (out, err) == (b"", b"")
        return process.returncode or 0

    assert asyncio.run(run()) == 0
