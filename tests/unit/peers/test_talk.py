"""A client played by hand and a server made of steps, talking over loopback without a proxy between them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from wsinspect.errors import UsageError
from wsinspect.net import Address
from wsinspect.peers.client import (
    Opened,
    Proxy,
    Refused,
    Request,
    open_socket,
    parse_cookie,
    parse_header,
    parse_subprotocols,
    parse_url,
)
from wsinspect.peers.mock.script import load_text
from wsinspect.peers.mock.server import MockServer, Watcher
from wsinspect.peers.printing import (
    Printer,
    ending_object,
    ending_words,
    expected_object,
    expected_words,
    frame_object,
)
from wsinspect.peers.socket import Seen
from wsinspect.peers.talk import Ending, Expected, Talk, UnmetError, ending
from wsinspect.peers.templates import Values
from wsinspect.peers.typed import parse_line
from wsinspect.present.terminal import Palette

SECOND = 10**9


class Seeing(Watcher):
    """What the server saw."""

    def __init__(self) -> None:
        self.said: list[tuple[Any, ...]] = []

    def opened(self, number: int, path: str, subprotocol: str | None) -> None:
        self.said.append(("open", path, subprotocol))

    def refused(self, number: int, path: str, status: int) -> None:
        self.said.append(("refused", path, status))

    def failed(self, number: int, problem: str) -> None:
        self.said.append(("failed", problem))

    def ended(self, number: int, how: str | None) -> None:
        self.said.append(("ended", how))


class Client:
    """A client and what came of it."""

    def __init__(self, port: int, **facts: Any) -> None:
        self.port = port
        self.facts = {"target": parse_url(f"ws://127.0.0.1:{port}/chat")} | facts
        self.frames: list[Seen] = []
        self.expected: list[Expected] = []
        self.end: Ending | None = None
        self.opened: Opened | Refused | None = None

    async def run(self, *lines: str, within: float = 20.0, fills: bool = True) -> Client:
        opened = self.opened = await open_socket(
            Proxy(Address("127.0.0.1", self.port)),
            Request(**self.facts),
            octets=os.urandom,
            now_ns=time.time_ns,
            on_frame=self.frames.append,
        )
        if isinstance(opened, Refused):
            return self
        talk = Talk(
            opened.socket,
            Values(time.time_ns, os.urandom),
            within_ns=round(within * SECOND),
            fills=fills,
            on_expected=self.expected.append,
        )
        opened.socket.begin()
        try:
            await talk.run(command for line in lines if (command := parse_line(line)) is not None)
        finally:
            await talk.finish()
            self.end = ending(opened.socket)
        return self

    @property
    def heard(self) -> list[bytes]:
        """What the server said in messages."""
        return [one.frame.body for one in self.frames if not one.is_ours and not one.frame.is_control]

    def shown(self) -> list[str]:
        """What a person sees, without the times."""
        lines: list[str] = []
        printer = Printer(lines.append, Palette())
        for one in self.frames:
            printer.frame(one)
        return [line[14:] for line in lines]


def play(script: str, work: Callable[[int], Coroutine[Any, Any, None]]) -> list[tuple[Any, ...]]:
    """Serve a script, do something with its port, and give what the server saw."""
    watcher = Seeing()

    async def run() -> None:
        server = MockServer(
            load_text(f"version: 1\n{script}"), watcher, octets=os.urandom, now_ns=time.time_ns
        )
        port = await server.start("127.0.0.1", 0)
        try:
            async with asyncio.timeout(60):
                await work(port)
        finally:
            await server.close()

    asyncio.run(run())
    return watcher.said


def talk_to(script: str, *lines: str, **facts: Any) -> Client:
    """One client of a script, which ends well."""
    clients: list[Client] = []

    async def work(port: int) -> None:
        clients.append(await Client(port, **facts).run(*lines))

    play(script, work)
    return clients[0]


def test_a_rule_answers_with_a_part_of_the_question():
    client = talk_to(
        "rules: [{on: 'json:$.type=ping', send: {type: pong, id: '{{$.id}}', n: '{{seq}}'}}]",
        '{"type":"ping","id":7}',
        '{"type":"other"}',
        '{"type":"ping","id":{"a":"b"}}',
        '/expect json:$.id.a="b"',
    )
    assert client.heard == [b'{"type":"pong","id":7,"n":1}', b'{"type":"pong","id":{"a":"b"},"n":2}']
    assert client.end == Ending(True, (1000, ""), (1000, ""), "fin")


def test_a_script_in_order_and_its_close():
    script = """\
subprotocols: [v2, v1]
script:
  - send: hello
  - expect: 'json:$.type=login'
  - send: 'welcome {{$.user}}'
  - binary: '00 ff'
  - close: {code: 4001, reason: over}
"""
    client = talk_to(
        script,
        "/expect hello",
        "too early",
        '{"type":"login","user":"jo"}',
        "/expect op:close",
        subprotocols=["v1"],
    )
    assert client.heard == [b"hello", b"welcome jo", b"\0\xff"]
    assert client.end == Ending(False, (4001, "over"), (4001, ""), "fin")
    assert isinstance(client.opened, Opened)
    assert client.opened.agreed.subprotocol == "v1"
    assert ending_words(client.end) == 'closed by the server: 4001 private to the application "over"'
    assert client.shown() == [
        "<  hello",
        ">  too early",
        '>  {"type":"login","user":"jo"}',
        "<  welcome jo",
        "<  BINARY 2 B  00 ff",
        '<  CLOSE 4001 private to the application "over"',
        ">  CLOSE 4001 private to the application",
    ]


def test_the_tenth_message_is_the_last():
    client = talk_to(
        "rules: [{after: 10, close: {code: 1012, reason: bye}}]", *["x"] * 10, "/expect op:close"
    )
    assert client.end is not None
    assert client.end.server == (1012, "bye")


def test_every_and_times_and_after_a_while():
    script = """\
rules:
  - {every: 5ms, send: 'tick {{seq}}', times: 3}
  - {after: 60ms, do: [{send: last}, {abort: fin}]}
"""
    client = talk_to(script, "/expect last", "/wait 10s")
    assert client.heard == [b"tick 1", b"tick 2", b"tick 3", b"last"]
    assert client.end == Ending(False, None, None, "fin")
    assert client.end.is_abnormal
    assert "without a CLOSE frame (FIN)" in ending_words(client.end)


def test_a_reset():
    client = talk_to("rules: [{on: 'die', abort: rst}]", "die", "/wait 10s")
    assert client.end is not None
    assert client.end.how == "rst"
    assert ending_words(client.end).startswith("the server ended the connection without a CLOSE frame (RST)")


def test_our_own_reset_is_not_blamed_on_the_server():
    client = talk_to("rules: [{on: open, send: hello}]", "/expect hello", "/abort")
    assert client.end is not None
    assert ending_words(client.end) == "you ended the connection with an RST, without a closing handshake"
    assert ending_object(client.end) == {
        "event": "close",
        "ended_by": "client",
        "how": "rst",
        "client": None,
        "server": None,
    }


def test_pings_are_answered_and_timed():
    client = talk_to("rules: [{on: open, ping: p1}]", "/expect op:ping", "/ping x", "/expect op:pong")
    shown = client.shown()
    assert any(line.startswith("<  PONG x  rtt ") for line in shown)
    assert {"<  PING p1", ">  PONG p1", ">  PING x"} <= set(shown)
    [pong] = [one for one in client.frames if one.rtt_ns is not None]
    assert frame_object(pong)["rtt_ns"] == pong.rtt_ns


def test_a_server_that_has_hung_answers_no_ping():
    clients: list[Client] = []

    async def work(port: int) -> None:
        client = Client(port)
        clients.append(client)
        with pytest.raises(UnmetError):
            await client.run("/ping x", "/expect op:pong", within=0.1)

    play("answers_pings: false\nscript: [{expect: message}]", work)
    [expected] = clients[0].expected
    assert expected.frame is None
    assert expected_words(expected).startswith("expected op:pong: not within ")
    assert expected_object(expected)["held"] is False


def test_compressed_messages_are_read_and_sent():
    client = talk_to(
        "compress: true\nrules: [{on: 'op:text', send: 'aaaa {{$.n}} aaaa'}]",
        '{"n":"' + "b" * 500 + '"}',
        "/expect bbbb",
        '{"n":"' + "b" * 500 + '"}',
        "/expect bbbb",
        compress=True,
    )
    assert client.heard == [b"aaaa " + b"b" * 500 + b" aaaa"] * 2
    assert all(one.frame.length < 100 for one in client.frames)


def test_messages_of_several_kinds_and_files(tmp_path: Path):
    (tmp_path / "a.json").write_text('{"a":\n1}')
    (tmp_path / "a.bin").write_bytes(b"\xff\xfe")
    client = talk_to(
        "rules: [{on: 'op:binary', binary: 'aa'}, {on: 'op:text', send: ok}]",
        f"@{tmp_path}/a.json",
        f"@{tmp_path}/a.bin",
        f"/binary @{tmp_path}/a.json",
        '/json {"n": {{seq}}}',
        "/expect op:binary",
        "/expect op:binary",
        "/expect ok",
    )
    ours = [(one.frame.opcode, one.frame.body) for one in client.frames if one.is_ours][:4]
    assert ours == [(1, b'{"a":\n1}'), (2, b"\xff\xfe"), (2, b'{"a":\n1}'), (1, b'{"n": 1}')]
    assert client.shown()[:2] == ['>  {"a":', "   1}"]


def test_without_filling_text_is_sent_as_it_is():
    clients: list[Client] = []

    async def work(port: int) -> None:
        clients.append(await Client(port).run("{{what}}", fills=False))

    play("script: [{expect: message}]", work)
    assert clients[0].frames[0].frame.body == b"{{what}}"


@pytest.mark.parametrize("line", ["{{what}}", "@/no/such/file", "/json {", f"/ping {'x' * 126}"])
def test_what_cannot_be_sent_is_said_and_closes(line):
    clients: list[Client] = []

    async def work(port: int) -> None:
        client = Client(port)
        clients.append(client)
        with pytest.raises(UsageError):
            await client.run(line)

    play("script: [{expect: message}]", work)
    assert clients[0].end is not None
    assert clients[0].end.client == (1000, "")


def test_refusals_first_and_delays():
    said: list[object] = []

    async def work(port: int) -> None:
        for _ in range(3):
            opened = (await Client(port).run()).opened
            if isinstance(opened, Refused):
                assert opened.response is not None
                said.append((opened.response.status, opened.response.get("retry-after"), opened.body))
            else:
                said.append("open")

    refuse = "refuse: {status: 503, headers: {Retry-After: 5}, body: later, first: 2}"
    seen = play(f"{refuse}\ndelay: 1ms\nscript: [{{send: a}}]", work)
    assert said == [(503, b"5", b"later"), (503, b"5", b"later"), "open"]
    assert [one[0] for one in seen] == ["refused", "refused", "open", "ended"]


def test_other_paths_and_plain_requests_are_refused():
    async def work(port: int) -> None:
        opened = (await Client(port).run()).opened
        assert isinstance(opened, Refused)
        assert opened.response is not None
        assert opened.response.status == 404
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 426 ")
        writer.close()

    play("path: /other\nscript: [{send: a}]", work)


def test_a_placeholder_without_value_is_reported_and_not_sent():
    async def work(port: int) -> None:
        client = await Client(port).run("no json", "/expect done")
        assert client.heard == [b"done"]

    seen = play("rules: [{on: 'no', do: [{send: '{{$.id}}'}, {send: done}]}]", work)
    assert any(one[0] == "failed" and "$.id" in one[1] for one in seen)


def test_an_end_that_comes_before_what_was_expected():
    clients: list[Client] = []

    async def work(port: int) -> None:
        client = Client(port)
        clients.append(client)
        with pytest.raises(UnmetError):
            await client.run("/expect never")

    play("rules: [{on: open, close: 1001}]", work)
    assert clients[0].expected[0].has_ended
    assert "the connection ended without it" in expected_words(clients[0].expected[0])


def test_an_ending_as_an_object():
    assert ending_object(Ending(False, (1012, "bye"), (1012, ""), "fin")) == {
        "event": "close",
        "ended_by": "server",
        "how": "fin",
        "client": {"code": 1012, "reason": ""},
        "server": {"code": 1012, "reason": "bye"},
    }
    assert "did not answer" in ending_words(Ending(True, None, (1000, ""), None))


def test_a_request_has_what_was_asked_for():
    request = Request(
        target=parse_url("wss://host.example/a b?c=d".replace(" ", "%20")),
        headers=[parse_header("Origin: https://site.example"), parse_header("host: other")],
        subprotocols=parse_subprotocols(["a, b", "c"]),
        cookies=[parse_cookie("a=1"), parse_cookie("b=2=3")],
        compress=True,
    )
    lines = request.raw(b"KEY").decode().split("\r\n")
    assert lines[0] == "GET /a%20b?c=d HTTP/1.1"
    assert {
        "host: other",
        "Origin: https://site.example",
        "Sec-WebSocket-Protocol: a, b, c",
        "Cookie: a=1; b=2=3",
        "Sec-WebSocket-Key: KEY",
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
    } <= set(lines)
    assert not any(line.startswith("Host:") for line in lines)


def test_a_request_through_an_http_proxy_names_its_server():
    request = Request(target=parse_url("ws://h.example:3000/chat?a=b"))
    assert request.raw(b"KEY", is_absolute=True).startswith(
        b"GET http://h.example:3000/chat?a=b HTTP/1.1\r\n"
    )


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("localhost:3000/chat", ("ws", "localhost", 3000, "/chat")),
        ("localhost", ("ws", "localhost", 80, "/")),
        ("https://h.example", ("wss", "h.example", 443, "/")),
        ("ws://[::1]:8/?a=b", ("ws", "::1", 8, "/?a=b")),
    ],
)
def test_urls(text, url):
    assert tuple(parse_url(text)) == url


@pytest.mark.parametrize(
    "text", ["", " ", "ftp://h", "ws://", "ws://h/#a", "ws://h/a b", "ws://h:0/", "ws://h:99999/"]
)
def test_wrong_urls(text):
    with pytest.raises(UsageError):
        parse_url(text)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_header, "no colon"),
        (parse_header, "a b: c"),
        (parse_header, "Upgrade: h2c"),
        (parse_header, "Sec-WebSocket-Protocol: a"),
        (parse_header, "Sec-WebSocket-Extensions: a"),
        (parse_header, "A: b\r\nC: d"),
        (parse_cookie, "a"),
        (parse_cookie, "a=1; b=2"),
        (lambda text: parse_subprotocols([text]), "a, a"),
        (lambda text: parse_subprotocols([text]), "a b"),
        (lambda text: parse_subprotocols([text]), ""),
    ],
)
def test_what_does_not_go_into_a_request(parse, text):
    with pytest.raises(UsageError):
        parse(text)
