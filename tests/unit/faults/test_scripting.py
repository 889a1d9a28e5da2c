"""Scripts of `run -s`: the page's examples do what they say, and errors of a script stop nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.faulted import C2S, KEY, S2C, Facts, Faulted, text
from wsinspect.faults.deflater import Deflater
from wsinspect.faults.rule import Rule
from wsinspect.faults.scripting import Connection, Handshake, OverdueError, Script, sendable
from wsinspect.faults.stages.scripted import Scripted
from wsinspect.wire.deflate import DeflateParams
from wsinspect.wire.frame import serialize_frame

PAGE = Path(__file__).parents[3] / "docs/scripts.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


def script(source: str) -> tuple[Script, list[str]]:
    said: list[str] = []
    namespace: dict = {}
    exec(compile(source, "script.py", "exec"), namespace)
    hooks = {name: value for name, value in namespace.items() if name.startswith("on_")}
    return Script("script.py", hooks, said.append), said


def scripted(source: str, **more) -> tuple[Faulted, Script, list[str]]:
    made, said = script(source)
    book = Faulted(**more)
    book.arm(Rule(name="script", fault=Scripted(runner=made)))
    return book, made, said


def handshake(path: str = "/chat") -> Handshake:
    return Handshake(Connection(Facts()), path, [("Host", "h"), ("X-Debug", "0"), ("x-debug", "2")])


def test_the_page_has_five_examples_behind_the_hooks():
    assert len(EXAMPLES) == 6


def test_hooks_that_do_nothing_leave_every_byte():
    book, _, _ = scripted(EXAMPLES[0])
    chunks = [text("a"), serialize_frame(9, b"p"), text("bc", fin=False), text("d", opcode=0)]
    book.s2c(*chunks)
    assert bytes(book.got[S2C]) == b"".join(chunks)
    assert not book.ledger


def test_what_the_server_says_is_changed():
    book, _, _ = scripted(EXAMPLES[1])
    book.s2c(text('{"type":"price","value":21}'), text('{"type":"other"}')).c2s(
        text('{"type":"price","value":1}', C2S)
    )
    assert book.payloads() == [b'{"type":"price","value":42}', b'{"type":"other"}']
    assert book.payloads(C2S) == [b'{"type":"price","value":1}']
    assert [(one["kind"], one["frame"], one["detail"]["did"]) for one in book.ledger] == [
        ("script", 0, "change")
    ]


def test_messages_are_dropped():
    book, _, _ = scripted(EXAMPLES[2])
    book.c2s(text('{"type":"typing"}', C2S), text("hello", C2S))
    assert book.payloads(C2S) == [b"hello"]
    assert book.ledger[0]["dropped"]


def test_the_client_is_answered_instead():
    book, _, _ = scripted(EXAMPLES[3])
    book.c2s(text('{"id":5,"method":"getUser"}', C2S), text('{"id":6,"method":"list"}', C2S))
    assert book.payloads(C2S) == [b'{"id":6,"method":"list"}']
    assert book.payloads() == [b'{"id":5,"result":{"name":"Jo","plan":"expired"}}']


def test_every_third_message_comes_twice():
    book, _, _ = scripted(EXAMPLES[4])
    book.s2c(*[text(str(number)) for number in range(4)])
    assert book.payloads() == [b"0", b"1", b"2", b"2", b"3"]


def test_handshakes_are_refused_and_changed():
    made, said = script(EXAMPLES[5])
    refused = made.handshake(handshake())
    assert refused is not None
    assert refused.refusal == (401, "token missing", (("WWW-Authenticate", "Bearer"),))
    passed = made.handshake(handshake("/chat?token=1"))
    assert passed is not None
    assert passed.refusal is None
    assert passed.headers == [("Host", "h"), ("X-Debug", "1")]
    made.end(Facts(), was_open=True, seconds=1.5)
    assert not said


@pytest.mark.parametrize("takeover", [False, True])
def test_compressed_and_fragmented_messages_are_seen_whole(takeover):
    params = DeflateParams(server_no_context_takeover=not takeover)
    deflater = Deflater(params, S2C)
    book, _, _ = scripted("def on_message(m):\n    return m.text.upper()", deflate=params)
    first = deflater.piece(b"quick ", first=True, fin=False)
    second = deflater.piece(b"brown", first=False, fin=True)
    whole = deflater.piece(b"quick brown fox", first=True, fin=True)
    book.s2c(
        serialize_frame(1, first, fin=False, rsv=4),
        serialize_frame(0, second),
        serialize_frame(1, whole, rsv=4),
    )
    _, messages = book.decoded(S2C, params)
    assert [one.data for one in messages] == [b"QUICK BROWN", b"QUICK BROWN FOX"]


@pytest.mark.parametrize(
    "body",
    [
        "raise KeyError('x')",
        "return 5",
        "return {'a': float('nan')}",
        "m.text = 5",
        "m.data = 'text'",
        "m.reply(object())",
        "m.nothing()",
        "1/0",
        "import sys; sys.exit(3)",
        "raise KeyboardInterrupt",
        "import asyncio; raise asyncio.CancelledError",
        "def again(): again()\n    again()",
    ],
)
def test_an_error_leaves_the_message_is_said_once_and_counted(body):
    book, made, said = scripted(f"def on_message(m):\n    m.drop()\n    {body}\n")
    book.s2c(text("a"), text("b"), text("c"))
    assert book.payloads() == [b"a", b"b", b"c"]
    assert not book.ledger
    [line] = said
    assert line.startswith("script.py")
    assert "passed as it came (said once)" in line
    assert "\n" not in line
    assert made.errors == {"on_message": 3}
    assert made.summary() == "script.py: hooks failed 3 times (on_message 3)"


@pytest.mark.parametrize(
    "body",
    [
        "h.headers.append('x')",
        "h.set_header('A', 'b\\r\\nC: d')",
        "h.path = 'x'",
        "h.refuse(99)",
        "raise OSError",
        "raise SystemExit",
    ],
)
def test_an_error_leaves_the_handshake(body):
    made, said = script(f"def on_handshake(h):\n    {body}\n")
    assert made.handshake(handshake()) is None
    assert len(said) == 1
    made, said = script("def on_end(e):\n    e.nothing")
    made.end(Facts(), was_open=False, seconds=0.0)
    assert len(said) == 1
    made, said = script("def on_end(e):\n    raise SystemExit")
    made.end(Facts(), was_open=False, seconds=0.0)
    assert len(said) == 1


def test_what_can_be_sent():
    assert sendable("a") == ("text", b"a")
    assert sendable(b"\xff") == ("binary", b"\xff")
    assert sendable({"a": ["€"]}) == ("text", '{"a":["€"]}'.encode())
    with pytest.raises(TypeError):
        sendable(5)


def test_a_reply_is_masked_as_its_receiver_needs_it():
    book, _, _ = scripted("def on_message(m):\n    m.reply('r')")
    book.s2c(text("a")).c2s(text("b", C2S))
    assert [frame.masked for frame in book.frames(C2S)] == [True, True]
    assert [frame.masked for frame in book.frames(S2C)] == [False, False]
    assert book.payloads(S2C) == [b"a", b"r"]
    assert KEY


def test_a_hook_that_does_not_return_in_time_is_said_and_not_called_again():
    def overdue(hook, argument):
        calls.append(hook.__name__)
        hook(argument)
        raise OverdueError("did not return within 5 s")

    calls: list[str] = []
    namespace: dict = {}
    exec("def on_message(m): m.drop()\ndef on_end(e): 1/0", namespace)
    hooks = {name: value for name, value in namespace.items() if name.startswith("on_")}
    said: list[str] = []
    made = Script("script.py", hooks, said.append, overdue)
    book = Faulted()
    book.arm(Rule(name="script", fault=Scripted(runner=made)))
    book.s2c(text("a"), text("b"))
    assert book.payloads() == [b"a", b"b"]
    assert not book.ledger
    [line] = said
    assert "on_message: did not return within 5 s; the message passed as it came, and on_message" in line
    assert line.endswith("is not called again")
    made.end(Facts(), was_open=True, seconds=1.5)  # the other hooks stay
    assert calls == ["on_message", "on_end"]
    assert "on_end: ZeroDivisionError" in said[1]
