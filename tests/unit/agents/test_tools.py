"""The tools that read a capture, on one made up."""

from typing import Any

import pytest

from tests.support.chats import Chat, chat_capture, store
from wsinspect.agents import tools
from wsinspect.errors import UsageError, WsinspectError


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    return str(chat_capture(tmp_path_factory.mktemp("agents") / "chat.db"))


@pytest.fixture(scope="module")
def talk(tmp_path_factory):
    """Three connections, 120 messages on the first, a long one among them."""
    script = Chat()
    for connection in (1, 2, 3):
        script.accept(connection)
    for number in range(120):
        script.server(1, b'{"n":%d}' % number if number else b"x" * 9000)
    return str(store(tmp_path_factory.mktemp("agents") / "talk.db", script))


def test_connections_come_newest_first(chat):
    answer = tools.connections(chat)
    assert [one["id"] for one in answer["connections"]] == [2, 1]
    assert answer["connections"][0]["status"] == 403
    assert answer["live"] is False
    assert "abc123" not in str(answer)


def test_connections_when_there_are_more_the_next_call_goes_on(talk):
    first = tools.connections(talk, limit=2)
    assert [one["id"] for one in first["connections"]] == [3, 2]
    assert first["left_out"] == 1
    rest = tools.connections(talk, limit=2, **first["more"])
    assert [one["id"] for one in rest["connections"]] == [1]
    assert "left_out" not in rest


def test_connections_when_a_filter_is_given_only_those_that_pass(chat):
    assert [one["id"] for one in tools.connections(chat, filter="close:refused")["connections"]] == [2]


def test_connections_when_the_filter_is_about_frames_it_is_said(chat):
    with pytest.raises(WsinspectError, match="ask frames"):
        tools.connections(chat, filter="op:ping")


def test_frames_have_what_was_said(chat):
    found = tools.frames(1, chat)["frames"]
    assert [(one["direction"], one["op"]) for one in found] == [
        ("c2s", "TEXT"),
        ("s2c", "TEXT"),
        ("s2c", "PING"),
        ("c2s", "PONG"),
        ("s2c", "BINARY"),
        ("c2s", "CLOSE"),
        ("s2c", "CLOSE"),
    ]
    assert found[0]["untrusted"] == '{"op":"join","room":7}'
    assert found[4]["untrusted"] == "3 B of binary, base64: AAEC"
    assert found[5]["close_code"] == 1000
    assert found[3]["rtt_ms"] == 1.0


def test_what_peers_say_has_no_secrets_of_theirs(tmp_path):
    script = Chat()
    script.accept(1)
    script.client(1, b'{"op":"auth","password":"hunter2"}')
    script.client(1, b"the cookie was s3cr3t, the token abc123")
    script.server(1, b'{"op":"join","room":7}')
    script.server(1, (1008).to_bytes(2, "big") + b"t0k3n has expired", opcode=8)
    script.end(1, "server", "fin")
    capture = str(store(tmp_path / "a.db", script))
    assert [one["untrusted"] for one in tools.frames(1, capture)["frames"]] == [
        '{"op":"auth","password":***}',
        "the cookie was ***, the token ***",
        '{"op":"join","room":7}',
        "*** has expired",
    ]
    assert tools.connections(capture)["connections"][0]["untrusted"] == {"server": "*** has expired"}


def test_frames_when_there_are_more_the_next_call_goes_on(talk):
    seen = []
    more: dict[str, Any] = {}
    while True:
        answer = tools.frames(1, talk, limit=50, **more)
        seen += [one["id"] for one in answer["frames"]]
        if "more" not in answer:
            break
        more = answer["more"]
    assert len(seen) == len(set(seen)) == 120


def test_frames_when_a_payload_is_long_it_is_cut_and_counted(talk):
    one = tools.frames(1, talk, limit=1, characters=10)["frames"][0]
    assert one["untrusted"].startswith("xxxxxxxxxx...")
    assert len(one["untrusted"]) < 60
    assert one["bytes"] == 9000


def test_frames_when_fields_are_named_only_those(talk):
    assert tools.frames(1, talk, limit=1, fields=["id", "op"])["frames"] == [{"id": 1, "op": "TEXT"}]


def test_frames_when_the_connection_is_unknown_it_is_said(chat):
    with pytest.raises(WsinspectError, match="has no connection 9"):
        tools.frames(9, chat)


def test_a_limit_is_bounded_whatever_is_asked_for(talk):
    assert len(tools.frames(1, talk, limit=10**9)["frames"]) == 120
    with pytest.raises(UsageError, match="expected 1 or more"):
        tools.frames(1, talk, limit=-5)


def test_explained_when_a_close_code_is_given_its_causes_are(chat):
    answer = tools.explained("1006")
    assert answer["recognised"]
    assert answer["explanations"][0]["causes"]


@pytest.mark.parametrize(
    ("kind", "filter", "key", "number"),
    [
        ("close", "", "connection", 1),
        ("connection", "close:refused", "connection", 2),
        ("frame", "op:close", "frame", 6),
    ],
)
def test_wait_for_when_it_has_come_it_is_given(chat, kind, filter, key, number):
    answer = tools.wait_for(kind, filter, "1s", capture=chat)
    assert answer["came"]
    assert answer[key]["id"] == number
    assert answer["capture"] == chat


def test_wait_for_when_it_does_not_come_that_is_said(chat):
    answer = tools.wait_for("frame", "op:text", "0s", after=10**6, capture=chat)
    assert answer["came"] is False
    assert "client" in answer["hint"]
    assert answer["capture"] == chat


def test_fault_when_the_rule_is_wrong_the_error_names_the_tool_s_argument():
    with pytest.raises(WsinspectError, match=r"^rule latncy") as found:
        tools.fault("add", "latncy")
    assert "--fault" not in str(found.value)


def test_inject_when_text_and_hex_are_given_it_is_refused():
    with pytest.raises(WsinspectError, match="either text or hex"):
        tools.inject(1, "s2c", text="a", hex="00")
