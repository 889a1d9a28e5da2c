"""`wsinspect check` around real clients: what held, exit codes, and that nothing is left running."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve

from tests.support import warm, warm_command
from tests.support.certs import make_certificates
from tests.support.engine import private_environment
from tests.support.schemas import fits
from tests.support.threaded_loop import ThreadedLoop

SCENARIO = """\
version: 1
seed: 3
rules:
  - {name: outage, kind: refuse, status: 503, armed: false}
phases:
  - {for: 300ms}
  - {do: {kind: abort, how: rst}}
  - {for: 600ms, rules: [outage]}
  - {for: 200ms}
expect:
  - {reconnects_within: 3s}
  - {transport: websocket}
  - {resumes_with: 'json:$.type=join'}
  - {no_findings: error}
"""
CLIENT = """\
import asyncio, os, sys
from websockets.asyncio.client import connect

async def main(url, tries):
    for _ in range(tries):
        try:
            async with connect(url + "/chat?user=1", close_timeout=0.2, open_timeout=1) as socket:
                await socket.send('{"type":"join"}')
                async for _ in socket:
                    pass
        except Exception as error:
            print(type(error).__name__, flush=True)
        await asyncio.sleep(0.25)
    await asyncio.Event().wait()

assert sys.argv[1] == os.environ["WSINSPECT_URL"], sys.argv
asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


class Lab:
    """A folder with a scenario and a client, and an echo server."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.scenario(SCENARIO)
        (folder / "client.py").write_text(CLIENT)
        self.environment = private_environment(folder)

    def scenario(self, text: str) -> None:
        (self.folder / "s.yaml").write_text(textwrap.dedent(text))

    def check(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        words = ["check", "s.yaml", f"--reverse=http://127.0.0.1:{self.port}", *arguments]
        return warm.run(words, folder=self.folder, environment=self.environment)

    def client(self, tries: int = 99) -> list[str]:
        return ["--", sys.executable, "client.py", "{url}", str(tries)]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    loop = asyncio.new_event_loop()
    ports: list[int] = []
    ready = threading.Event()
    over = asyncio.Event()

    async def echo(socket: ServerConnection) -> None:
        async for message in socket:
            await socket.send(message)

    async def run() -> None:
        async with serve(echo, "127.0.0.1", 0) as server:
            ports.append(next(iter(server.sockets)).getsockname()[1])
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    ready.wait(10)
    yield Lab(tmp_path, ports[0])
    loop.call_soon_threadsafe(over.set)
    thread.join(10)
    loop.close()


def test_a_client_that_copes(lab: Lab) -> None:
    done = lab.check("--json", "--junit", "report.xml", "--capture", "kept.db", *lab.client())
    assert done.returncode == 0, done.stderr + done.stdout
    [found] = fits("check", done.stdout)
    assert found["held"] is True
    assert {one["result"] for one in found["results"]} == {"held"}
    [session] = found["sessions"]
    assert session["outages"][0]["ended"] == "resumed"
    assert Path(found["capture"]) == lab.folder / "kept.db"
    assert (lab.folder / "kept.db").exists()
    suite = ElementTree.parse(lab.folder / "report.xml").getroot().find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures")) == ("4", "0")
    assert "Invalid" in done.stderr, "what the command prints goes to stderr"


def test_a_client_that_gives_up_and_what_is_said(lab: Lab) -> None:
    done = lab.check("--format", "github", "--settle", "500ms", "--repeat", "3", *lab.client(2))
    assert done.returncode == 1
    assert "failed     transport: websocket" in done.stdout
    assert "Client 1" in done.stdout
    assert "::error file=s.yaml,line=12,title=failed%3A transport%3A websocket::" in done.stdout
    kept = next(line for line in done.stderr.splitlines() if "capture kept: " in line).partition(": ")[2]
    assert Path(kept.partition(": ")[2]).exists()
    again = next(line for line in done.stderr.splitlines() if "to repeat: " in line)
    assert "--seed 3 -- " in again
    assert "--repeat" not in again


def test_no_client_came(lab: Lab) -> None:
    done = lab.check("--junit", "report.xml", "--", sys.executable, "-c", "pass")
    assert done.returncode == 1
    assert "no client came" in done.stderr
    assert "no client came" in (lab.folder / "report.xml").read_text()


@pytest.mark.slow
def test_a_command_that_never_connects(lab: Lab) -> None:
    done = lab.check("--wait", "300ms", "--", sys.executable, "-c", "import time; time.sleep(60)")
    assert done.returncode == 1
    assert "no client came" in done.stderr


@pytest.mark.slow
def test_by_hand_the_url_is_said(lab: Lab) -> None:
    done = lab.check("--wait", "100ms")
    assert "waiting for a client: ws://127.0.0.1:" in done.stderr
    assert done.returncode == 1


@pytest.mark.slow
def test_a_command_that_fails_by_itself(lab: Lab) -> None:
    code = "import sys, websockets.sync.client as c; c.connect(sys.argv[1]).close(); sys.exit(7)"
    done = lab.check("--", sys.executable, "-c", code, "{url}")
    assert done.returncode == 1
    assert "the command exited with 7" in done.stderr


@pytest.mark.parametrize(
    ("change", "arguments", "code", "words"),
    [
        ("", ["--", "no-such-command"], 3, "command not found: no-such-command"),
        ("", ["--", "/etc/passwd"], 3, "not an executable file: /etc/passwd"),
        ("version: 2\n", ["--", "true"], 2, "is newer than this wsinspect knows"),
        (
            "version: 1\nexpect:\n  - {jitter: 1}\n",
            ["--", "true"],
            2,
            "s.yaml:3:1: expect[0].jitter: expected true",
        ),
        ("version: 1\nexpect:\n  - {backoff: fixed}\n", ["--", "true"], 2, "can never be judged"),
        ("", ["--env-proxy", "--", "true"], 2, "either --reverse URL or --env-proxy"),
    ],
)
def test_bad_input(lab: Lab, change: str, arguments: list[str], code: int, words: str) -> None:
    if change:
        lab.scenario(change)
    done = lab.check(*arguments)
    assert (done.returncode, words in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_through_a_regular_proxy(lab: Lab) -> None:
    code = (
        "import sys, time, websockets.sync.client as c\n"
        "for _ in range(40):\n"
        "    try:\n"
        f"        socket = c.connect('ws://127.0.0.1:{lab.port}/chat')\n"
        '        socket.send(\'{"type":"join"}\')\n'
        "        for _ in socket: pass\n"
        "    except Exception as error: print(error)\n"
        "    time.sleep(.2)\n"
    )
    command = [
        str(warm_command.program()),
        "check",
        "s.yaml",
        "--env-proxy",
        "--",
        sys.executable,
        "-c",
        code,
    ]
    done = subprocess.run(
        command, cwd=lab.folder, env=lab.environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing_behind(lab: Lab, number: int) -> None:
    command = [str(warm_command.program()), "check", "s.yaml", f"--reverse=http://127.0.0.1:{lab.port}"]
    with subprocess.Popen(
        [
            *command,
            "--",
            sys.executable,
            "-c",
            "import os, time; print(os.getpid(), flush=True); time.sleep(60)",
        ],
        cwd=lab.folder,
        env=lab.environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        client = int(process.stderr.readline())
        process.send_signal(number)
        assert process.wait(30) == 128 + number
    with pytest.raises(ProcessLookupError):
        os.kill(client, 0)


def test_a_ready_scenario_is_played_by_name(lab: Lab) -> None:
    target = f"--reverse=http://127.0.0.1:{lab.port}"
    words = ["check", "token-expired", "--time-scale=0.05", target, *lab.client(1)]
    done = warm.run(words, folder=lab.folder, environment=lab.environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "held       attempts_at_most: 3, phase: 3" in done.stdout


def test_ready_scenarios_are_listed(lab: Lab) -> None:
    done = warm.run(["check", "--list"], folder=lab.folder, environment=lab.environment)
    assert done.returncode == 0
    assert "server-deploy" in done.stdout
    listed = warm.run(["check", "--list", "--json"], folder=lab.folder, environment=lab.environment)
    fits("check", listed.stdout)
    unknown = warm.run(["check", "nope"], folder=lab.folder, environment=lab.environment)
    assert unknown.returncode == 2
    assert "no ready scenario 'nope'" in unknown.stderr
    assert "server-deploy" in unknown.stderr


QUIET = """\
version: 1
phases:
  - {for: 400ms}
expect:
  - {no_findings: error}
"""


@pytest.mark.parametrize("is_trusted", [True, False])
def test_a_private_authority_of_the_server(tmp_path: Path, is_trusted: bool) -> None:
    """`--ca` is all that it needs; without it the certificate is wrong, and the check fails for that."""
    certificates = make_certificates(tmp_path / "certificates")

    async def echo(socket: ServerConnection) -> None:
        async for message in socket:
            await socket.send(message)

    async def start() -> Server:
        return await serve(echo, "127.0.0.1", 0, ssl=certificates.server_context())

    async def stop(server: Server) -> None:
        server.close()
        await server.wait_closed()

    with ThreadedLoop() as loop:
        server = loop.run(start())
        port = next(iter(server.sockets)).getsockname()[1]
        lab = Lab(tmp_path, port)
        lab.scenario(QUIET)
        trust = [f"--ca={certificates.ca}"] if is_trusted else []
        words = ["check", "s.yaml", f"--reverse=https://localhost:{port}", "--json", *trust, *lab.client()]
        done = warm.run(words, folder=tmp_path, environment=lab.environment)
        loop.run(stop(server))
    assert done.returncode == (0 if is_trusted else 1), done.stderr + done.stdout
    assert json.loads(done.stdout)["held"] is is_trusted
    assert ("certificate" in done.stdout) is not is_trusted
