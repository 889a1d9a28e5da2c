"""Scripts of mocks: what is read, and what is refused with which words."""

from __future__ import annotations

import re
from pathlib import Path

import jsonschema_rs
import pytest

from wsinspect.faults.errors import FaultError
from wsinspect.peers.mock.schema import schema
from wsinspect.peers.mock.script import Abort, Close, Expect, Refusal, Rule, Script, Send, Wait, load_text
from wsinspect.wire.opcodes import Opcode

ROOT = Path(__file__).parents[4]
VALIDATOR = jsonschema_rs.validator_for(schema())


def read(text: str) -> Script:
    return load_text(f"version: 1\n{text}", "s.yaml")


def test_a_whole_script():
    script = read(
        """\
path: /chat
subprotocols: [chat.v2, chat.v1]
compress: true
headers: {X-Server: mock}
delay: 200ms
refuse: {status: 503, headers: {Retry-After: 5}, body: later, first: 2}
script:
  - send: welcome
  - expect: message
  - {wait: 1s}
  - expect: 'json:$.type=login'
  - send: {type: ok, id: '{{$.id}}'}
  - binary: '00 ff'
  - close: {code: 1012, reason: restart}
rules:
  - {on: open, ping: p}
  - {on: 'op:text', send: again, times: 3}
  - {every: 5s, do: [{send: tick}, {wait: 10ms}, {ping: }]}
  - {after: 10, close: 1012}
  - {after: 30s, abort: rst}
"""
    )
    assert (script.path, script.subprotocols, script.compress) == ("/chat", ("chat.v2", "chat.v1"), True)
    assert script.headers == (("X-Server", "mock"),)
    assert script.delay_ns == 200_000_000
    assert script.refuse == Refusal(status=503, headers=(("Retry-After", "5"),), body="later", first=2)
    first, second, third, fourth, *rest = script.script
    assert (first, second, third) == (Send(Opcode.TEXT, "welcome"), Expect(None), Wait(10**9))
    assert isinstance(fourth, Expect)
    assert fourth.filter is not None
    assert rest == [
        Send(Opcode.TEXT, {"type": "ok", "id": "{{$.id}}"}),
        Send(Opcode.BINARY, data=b"\0\xff"),
        Close(1012, "restart"),
    ]
    opened, on_text, every, after, last = script.rules
    assert opened == Rule(do=(Send(Opcode.PING, "p"),), is_on_open=True)
    assert (on_text.times, on_text.do) == (3, (Send(Opcode.TEXT, "again"),))
    assert every.every_ns == 5 * 10**9
    assert every.do == (Send(Opcode.TEXT, "tick"), Wait(10_000_000), Send(Opcode.PING, ""))
    assert (after.after_messages, after.do) == (10, (Close(1012),))
    assert (last.after_ns, last.do) == (30 * 10**9, (Abort("rst"),))


WRONG = [
    ("scrpt: []", "s.yaml:2:1: scrpt: unknown", "did you mean script"),
    ("path: chat\nscript: [{send: a}]", "path:", "such as /chat"),
    ("script: [{sned: a}]", "script[0].sned:", "did you mean send"),
    ("script: [{send: a, ping: b}]", "script[0]:", "exactly one of"),
    ("script: [{expect: message, send: a}]", "script[0]:", "`expect` alone"),
    ("script: [{expect: 'op:nope'}]", "script[0].expect:", "nope"),
    ("script: [{expect: 5}]", "script[0].expect:", "message or a filter"),
    ("script: [{send: '{{what}}'}]", "script[0].send:", "unknown placeholder {{what}}"),
    ("script: [{send: .nan}]", "script[0].send:", "JSON"),
    ("script: [{send: 2026-11-29}]", "script[0].send:", "JSON"),
    ("script: [{binary: 12}]", "script[0].binary:", "hexadecimal"),
    ("script: [{close: 1006}]", "script[0].close:", "close code"),
    ("script: [{close: {cod: 1000}}]", "script[0].close.cod:", "did you mean code"),
    ("script: [{wait: 25h}]", "script[0].wait:", "at most 24 h"),
    ("script: [{wait: soon}]", "script[0].wait:", "duration"),
    ("script: [{abort: now}]", "script[0].abort:", "rst or fin"),
    (f"script: [{{ping: {'x' * 126}}}]", "script[0].ping:", "125 bytes"),
    ("script: {send: a}", "script:", "expected a list"),
    ("rules: [{send: a}]", "rules[0]:", "exactly one of on, every and after"),
    ("rules: [{on: open, every: 1s, send: a}]", "rules[0]:", "exactly one of on, every and after"),
    ("rules: [{on: open}]", "rules[0]:", "exactly one of send"),
    ("rules: [{on: open, do: []}]", "rules[0].do:", "at least"),
    ("rules: [{on: open, do: [{send: a}], send: b}]", "rules[0].send:", "inside of `do`"),
    ("rules: [{every: 1us, send: a}]", "rules[0].every:", "at least 1 ms"),
    ("rules: [{after: 0, send: a}]", "rules[0].after:", "whole number"),
    ("rules: [{on: open, times: 0, send: a}]", "rules[0].times:", "whole number"),
    ("refuse: {status: 99}", "refuse.status:", "200 to 599"),
    ("refuse: {stats: 503}", "refuse.stats:", "did you mean status"),
    ("refuse: 503\nscript: [{send: a}]", "refuse:", "nothing is ever open"),
    ("subprotocols: [a, a]\nscript: [{send: a}]", "subprotocols:", "twice"),
    ("headers: {'a b': c}\nscript: [{send: a}]", "headers:", "header fields"),
    ("compress: maybe\nscript: [{send: a}]", "compress:", "true or false"),
    ("name: x", "s.yaml:", "it does nothing"),
    ("script: [send: a", "s.yaml:", "not YAML"),
    ("script: &a [{send: *a}]", "s.yaml:", ""),
]


@pytest.mark.parametrize(("text", "place", "words"), WRONG, ids=[text[:40] for text, *_ in WRONG])
def test_a_mistake_is_one_line_with_its_place(text, place, words):
    with pytest.raises(FaultError) as caught:
        read(text)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("s.yaml:")
    assert place in message
    assert words in message


@pytest.mark.parametrize("text", ["", "version: 2\nscript: [{send: a}]", "version: true", "- a"])
def test_a_file_that_is_no_script_is_refused(text):
    with pytest.raises(FaultError):
        load_text(text)


def examples() -> list[str]:
    page = (ROOT / "docs/mock.md").read_text()
    return re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)


def test_the_page_has_examples():
    assert len(examples()) >= 4


@pytest.mark.parametrize("text", examples(), ids=range(len(examples())))
def test_each_example_of_the_page_is_a_script(text):
    load_text(text)
    VALIDATOR.validate(plain(text))


def plain(text: str) -> object:
    from ruamel.yaml import YAML

    return YAML(typ="safe", pure=True).load(text)


#: What the schema cannot say: filters, placeholders, dates, and what goes together.
ONLY_READ = (
    "op:nope",
    "{{what}}",
    "nan",
    "2026",
    "1us",
    "twice",
    "25h",
    "a, a",
    "refuse: 503",
    "name: x",
    "[send",
    "&a",
    "send: a\n",
)


@pytest.mark.parametrize("text", [text for text, *_ in WRONG if not any(word in text for word in ONLY_READ)])
def test_the_schema_refuses_the_same(text):
    assert not VALIDATOR.is_valid(plain(f"version: 1\n{text}"))
