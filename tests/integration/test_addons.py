"""The scripts in addons/, each in a stock mitmdump with real traffic: the demo's server, hop and clients."""

import asyncio
import os
import re

import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from tests.support.stock_addons import (
    ADDONS,
    MITMDUMP,
    mitmdump,
    start,
    talk,
)
from wsinspect.demo.hop import Hop
from wsinspect.demo.listener import LOOPBACK
from wsinspect.demo.server import ChatServer
from wsinspect.recorder.opening import open_capture

pytestmark = pytest.mark.asyncio


@pytest.fixture
def told():
    return []


@pytest.mark.slow
async def test_handshake_log_when_clients_connect_and_one_is_refused(tmp_path, told):
    log = await talk(tmp_path, "handshake_log.py", told)
    assert "relay seams installed" in log
    for line in (
        "Upgrade: websocket",
        "Sec-WebSocket-Extensions: permessage-deflate",
        "User-Agent: wsinspect-demo/bob",
    ):
        assert f"    {line}" in log
    for part in (
        "request from the client",
        "request to the server",
        "response from the server",
        "response to the client",
    ):
        assert len(re.findall(rf"websocket \d: {part}", log)) == 3, part
    assert log.count("    HTTP/1.1 101 Switching Protocols") == 4
    assert log.count("    HTTP/1.1 426 Upgrade Required") == 2
    assert "refused status 426" in log
    assert "body of the refusal: This is a WebSocket endpoint" in log
    assert "ended side server, how fin" in log


async def test_capture_when_clients_connect_and_one_is_refused(tmp_path, told):
    path = tmp_path / "addon.db"
    log = await talk(tmp_path, "capture.py", told, "--set", f"wsinspect_capture={path}")
    assert "relay seams installed" in log
    assert str(path) in log
    with open_capture(path) as capture:
        connections = capture.connections()
        assert sorted((one.state, one.status) for one in connections) == [
            ("closed", 101),
            ("closed", 101),
            ("refused", 426),
        ]
        assert {(one.js_code, bool(one.js_was_clean)) for one in connections if one.status == 101} == {
            (1000, True),
            (1006, False),
        }
        ada = next(one for one in connections if one.js_code == 1000)
        texts = [capture.message_payload(message) for message in capture.messages(ada.id)]
        assert b"I speak in three fragments" in texts
        assert capture.meta["closed_cleanly"] is True
    assert not path.with_name("addon.db.journal").exists()


@pytest.mark.slow
async def test_capture_when_the_file_is_there_already(tmp_path):
    path = tmp_path / "addon.db"
    path.write_bytes(b"mine")
    options = ["--set", f"confdir={tmp_path}", "--set", f"wsinspect_capture={path}"]
    child = await start([MITMDUMP, "-s", ADDONS / "capture.py", "-p", "0", *options])
    output, _ = await asyncio.wait_for(child.communicate(), 30)
    assert child.returncode == 1
    assert str(path) in output.decode()
    assert "Traceback" not in output.decode()
    assert path.read_bytes() == b"mine"


@pytest.mark.slow
async def test_faults_in_a_stock_mitmdump(tmp_path, told):
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text(
        "version: 1\nrules: [{name: mine, kind: replace, direction: s2c, match: 'op:text', with: broken}]\n"
    )
    options = [
        "--set",
        f"wsinspect_faults={scenario}",
        "--set",
        "wsinspect_fault=refuse,status=418,attempt=2",
    ]
    async with (
        ChatServer(0.05) as server,
        Hop(server.port) as hop,
        mitmdump(tmp_path, "faults.py", [server.port, hop.port], *options) as proxy,
    ):
        url = f"ws://{LOOPBACK}:{proxy.ports[0]}/chat"
        async with connect(url, subprotocols=[Subprotocol("chat.v2")]) as client:
            await client.send("hello")
            assert await asyncio.wait_for(client.recv(), 20) == "broken"
        with pytest.raises(Exception, match="HTTP 418"):
            async with connect(url, subprotocols=[Subprotocol("chat.v2")]):
                pass
    assert proxy.exit_code == 0, proxy.text
    assert "faults: mine, refuse" in proxy.text
    assert "fault mine (replace)" in proxy.text
    assert "fault refuse (refuse)" in proxy.text
    assert "Traceback" not in proxy.text


HIDING = """
import sys
class Hiding:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "wsinspect":
            raise ModuleNotFoundError("No module named 'wsinspect'", name="wsinspect")
sys.meta_path.insert(0, Hiding())
"""


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(name, marks=[] if number == 0 else pytest.mark.slow)
        for number, name in enumerate(sorted(path.name for path in ADDONS.glob("*.py")))
    ],
)
async def test_a_mitmproxy_without_wsinspect_says_in_one_line_what_to_do(tmp_path, script):
    (tmp_path / "sitecustomize.py").write_text(HIDING)
    child = await asyncio.create_subprocess_exec(
        *(MITMDUMP, "-s", ADDONS / script, "--set", f"confdir={tmp_path}", "--listen-port", "0"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    out, _ = await asyncio.wait_for(child.communicate(), 60)
    log = out.decode()
    assert child.returncode == 1
    assert f"{script} cannot import wsinspect" in log
    assert "pipx inject mitmproxy wsinspect" in log
    assert "Traceback" not in log
