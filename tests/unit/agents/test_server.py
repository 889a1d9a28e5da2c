"""The server of tools, asked by the SDK's own client in this process."""

import asyncio
import json
from importlib.util import find_spec

import pytest

from tests.support.chats import Chat, chat_capture, store

if find_spec("mcp") is None:
    pytest.skip("the SDK of the Model Context Protocol is not installed", allow_module_level=True)

READING = ["doctor", "diagnose", "connections", "frames", "explain", "wait_for"]


def asked(function, *, allows_faults=False, mode="auto"):
    from mcp.client.client import Client  # takes longer than collecting a hundred files

    from wsinspect.agents.server import make_server

    async def run():
        async with Client(make_server(allows_faults=allows_faults), mode=mode) as client:
            return await function(client)

    return asyncio.run(run())


def test_tools_when_faults_are_not_allowed_all_only_read():
    found = asked(lambda client: client.list_tools()).tools
    assert [one.name for one in found] == READING
    assert all(one.annotations.read_only_hint for one in found)


def test_tools_when_faults_are_allowed_there_are_eight_at_most():
    found = asked(lambda client: client.list_tools(), allows_faults=True).tools
    assert [one.name for one in found] == [*READING, "fault", "inject"]
    assert not found[-1].annotations.read_only_hint


def test_descriptions_and_schemas_cost_a_client_little():
    found = asked(lambda client: client.list_tools(), allows_faults=True).tools
    assert len(json.dumps([one.model_dump(mode="json", exclude_none=True) for one in found])) < 8000


def test_what_cannot_be_seen_is_escaped_and_the_same_to_who_reads_json(tmp_path):
    hidden = "a\x1b[31m\x7f\x9b\u202eb\u2028\U000e0041"
    hidden += "\U000e0168\U000e0169\ufe01\u3164\uffa0\u2800\u034f\u180b\ue000\u0378"
    shown = "\u00e9e\u0301\u4e2d\u3163\u2801\u180a\ufe10\u00a0\U0001f600"
    script = Chat()
    script.accept(1)
    script.client(1, (hidden + shown).encode())
    capture = str(store(tmp_path / "a.db", script))
    result = asked(lambda client: client.call_tool("frames", {"capture": capture}))
    text = result.content[0].text
    assert not set(hidden) - set("a[31mb") & set(text)
    assert shown in text
    assert json.loads(text)["frames"][0]["untrusted"] == hidden + shown


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_call_is_answered_in_either_protocol(tmp_path, mode):
    capture = str(chat_capture(tmp_path / "chat.db"))
    result = asked(lambda client: client.call_tool("connections", {"capture": capture}), mode=mode)
    assert not result.is_error
    assert [one["id"] for one in json.loads(result.content[0].text)["connections"]] == [2, 1]


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("connections", {"capture": "no-such-capture"}, "there is no capture"),
        ("frames", {"filter": "len>>3"}, "filter, column 5"),
        ("frames", {"connection": "many"}, "integer"),
        ("frames", {"connection_id": 1}, "Extra inputs are not permitted"),
        ("frames", {"fields": ["opcode"]}, "'op', 'seconds'"),
        ("frames", {"limit": 0}, "limit 0: expected 1 or more"),
        ("connections", {"limit": -1}, "limit -1: expected 1 or more"),
        ("wait_for", {"kind": "frame", "within": "soon"}, "within: expected a duration"),
        ("wait_for", {"kind": "frame", "within": "99999d"}, "within: expected a duration"),
        ("connections", {"capture": "a" * 300}, "File name too long"),
        ("inject", {"connection": 1, "direction": "s2c", "text": "x"}, "Unknown tool"),
    ],
)
def test_a_wrong_call_is_one_line_that_says_what(tmp_path, monkeypatch, tool, arguments, words):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    chat_capture(tmp_path / "chat.db")
    result = asked(lambda client: client.call_tool(tool, {"capture": str(tmp_path / "chat.db"), **arguments}))
    assert result.is_error
    [text] = [one.text for one in result.content]
    assert words in text
    assert "\n" not in text
    assert "pydantic" not in text
