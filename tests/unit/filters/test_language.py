"""The filter language: every key from its own examples, precedence, errors with columns, completion."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from wsinspect.filters import FIELDS, FilterError, complete, help_lines, parse
from wsinspect.filters.documentation import page
from wsinspect.filters.regex import Pattern, _compiled


@dataclass
class AConnection:
    id: int = 3
    tap: str | None = "edge"
    host: str | None = "Example.org"
    port: int | None = 443
    path: str | None = "/chat?room=7"
    subprotocol: str | None = "chat.v2"
    is_closed: bool = True
    client_close_code: int | None = 4001
    server_close_code: int | None = None
    js_code: int | None = 1006
    js_was_clean: bool | None = False
    how: str | None = "rst"
    ended_by: str | None = "server"
    faults: list[str] = field(default_factory=lambda: ["lose-pongs", "drop"])
    findings: list[tuple[str, str]] = field(default_factory=lambda: [("WS-FR-003", "error")])
    headers: dict[str, list[str]] = field(
        default_factory=lambda: {
            "origin": ["https://a.example"],
            "server": ["nginx/1.22"],
            "upgrade": ["websocket"],
        }
    )

    def header_values(self, name: str) -> list[str]:
        return self.headers.get(name.lower(), [])


@dataclass
class AFrame:
    connection: AConnection = field(default_factory=AConnection)
    direction: int = 0
    opcode: int = 1
    fin: bool = True
    rsv1: bool = False
    rsv2: bool = False
    rsv3: bool = False
    masked: bool = True
    length: int = 2048
    wire_length: int = 2056
    message_id: int | None = 12
    fragment: int | None = None
    payload: bytes = b""
    body: bytes = b'{"op": "sub", "n": 5, "name": "Ada", "items": [{"id": 7}], "error": null}'
    rtt_ns: int | None = None
    gap_ns: int | None = None
    delta_ns: int | None = None
    t_ns: int | None = 13_000_000_000
    faults: list[str] = field(default_factory=list)
    findings: list[tuple[str, str]] = field(default_factory=list)


#: For each key: filters, and a frame that passes them and one that does not.
FITS: dict[str, tuple[AFrame, AFrame, list[str]]] = {
    "dir": (AFrame(), AFrame(direction=1), ["dir:c2s", "dir=upstream", "!dir:s2c"]),
    "op": (AFrame(), AFrame(opcode=9), ["op:text", "op:1", "op:data", "op:0x1,bin", "!op:ctl"]),
    "fin": (AFrame(), AFrame(fin=False), ["fin:1", "fin:yes", "!fin:0"]),
    "rsv1": (AFrame(rsv1=True), AFrame(), ["rsv1:1"]),
    "rsv2": (AFrame(rsv2=True), AFrame(), ["rsv2:1"]),
    "rsv3": (AFrame(rsv3=True), AFrame(), ["rsv3:1"]),
    "masked": (AFrame(), AFrame(masked=False), ["masked:1"]),
    "len": (AFrame(), AFrame(length=10), ["len>1KiB", "len=2048", "len:2KiB", "len>=2048B", "!len<2048"]),
    "wire": (AFrame(), AFrame(wire_length=10), ["wire>2KiB"]),
    "msg": (AFrame(), AFrame(message_id=None), ["msg:12", "msg:11,12", "msg:*", "msg>11"]),
    "frag": (AFrame(fragment=2), AFrame(), ["frag:*", "frag:2", "frag>1"]),
    "code": (
        AFrame(opcode=8, payload=b"\x03\xeebye"),
        AFrame(payload=b"\x03\xee"),
        ["code:1006", "code>=1000", "code:*"],
    ),
    "reason": (
        AFrame(opcode=8, payload=b"\x03\xe8go away"),
        AFrame(),
        ["reason:away", "reason~/^GO/i", "reason:*"],
    ),
    "body": (AFrame(), AFrame(body=b"\xff\x00"), ["body:sub", "sub", '"op"', 'body~/"n": ?\\d/', "'\"op\"'"]),
    "json": (
        AFrame(),
        AFrame(body=b"no json"),
        [
            "json:$.op=sub",
            "json:op=sub",
            "json:$.n>4",
            "json:$.n=5",
            "json:$.n=5.0",
            "json:$.items[0].id=7",
            "json:$.items[*].id=7",
            "json:error",
            "json:$.error=null",
            "json:$.name~/^A/",
            "json:$.name:da",
            "!json:$.nothing",
        ],
    ),
    "rtt": (AFrame(rtt_ns=60_000_000), AFrame(), ["rtt>50ms", "rtt>50", "rtt:*"]),
    "gap": (AFrame(gap_ns=11_000_000_000), AFrame(gap_ns=1), ["gap>10s", "gap>10"]),
    "delta": (AFrame(delta_ns=200_000_000), AFrame(delta_ns=1), ["delta>100ms", "delta>100"]),
    "t": (AFrame(), AFrame(t_ns=1), ["t>12 t<20", "t>12s", "t=13"]),
    "conn": (AFrame(), AFrame(connection=AConnection(id=4)), ["conn:3", "conn:1,3", "conn<4"]),
    "tap": (AFrame(), AFrame(connection=AConnection(tap=None)), ["tap=edge", "tap:ed", "tap:*"]),
    "host": (
        AFrame(),
        AFrame(connection=AConnection(host="other")),
        ["host=example.org", "host:EXAMPLE", "host=example.org:443"],
    ),
    "path": (AFrame(), AFrame(connection=AConnection(path="/")), ["path:/chat", "path~/room=\\d/"]),
    "proto": (AFrame(), AFrame(connection=AConnection(subprotocol=None)), ["proto=chat.v2", "proto:*"]),
    "header": (
        AFrame(),
        AFrame(connection=AConnection(headers={})),
        ["header:Origin", "header:server:NGINX", "header:Upgrade=WebSocket", "header:origin~/^https/"],
    ),
    "close": (
        AFrame(),
        AFrame(connection=AConnection(is_closed=False)),
        [
            "close:1006",
            "close:4001",
            "close:rst",
            "close>=4000",
            "close:unclean",
            "close:server",
            "!close:clean",
        ],
    ),
    "fault": (AFrame(faults=["lose-pongs", "drop"]), AFrame(), ["fault:*", "fault:drop", "fault=lose-pongs"]),
    "finding": (AFrame(findings=[("WS-FR-003", "error")]), AFrame(), ["finding:WS-FR", "finding:*"]),
    "sev": (AFrame(findings=[("WS-FR-003", "error")]), AFrame(), ["sev:error", "sev>=warning", "!sev<error"]),
}


def test_every_key_is_tested_and_has_help_and_examples() -> None:
    assert set(FITS) == set(FIELDS)
    for key in FIELDS.values():
        assert key.help
        assert key.examples
        assert any(key.name in parse(example).keys for example in key.examples)


@pytest.mark.parametrize("name", FITS)
def test_a_key_lets_pass_what_fits_and_nothing_else(name: str) -> None:
    fitting, other, filters = FITS[name]
    for source in filters:
        flt = parse(source)
        assert flt.frame_predicate()(fitting), source
        if not source.startswith("!"):
            assert not flt.frame_predicate()(other), source
        assert parse(str(flt)).root == flt.root, source


@pytest.mark.parametrize("example", [example for key in FIELDS.values() for example in key.examples])
def test_examples_are_read_and_written_back(example: str) -> None:
    flt = parse(example)
    assert parse(str(flt)).root == flt.root


@pytest.mark.parametrize(
    ("source", "canonical"),
    [
        ("op:text len>5 | dir:s2c", "op:text len>5B | dir:s2c"),
        ("op:text & (len>5 | dir:s2c)", "op:text (len>5B | dir:s2c)"),
        ("!op:text dir:c2s", "!op:text dir:c2s"),
        ("!(op:text dir:c2s)", "!(op:text dir:c2s)"),
        ("op!=text", "!op:text"),
        ("", ""),
        ("'a b'", 'body:"a b"'),
    ],
)
def test_precedence(source: str, canonical: str) -> None:
    assert str(parse(source)) == canonical


@pytest.mark.parametrize(
    ("source", "column", "words"),
    [
        ("opp:text", 1, "did you mean 'op'"),
        ("op:txt", 4, "did you mean 'text'"),
        ("len>5q", 6, "one of the units"),
        ("len>", 5, "a size such as 64 KiB"),
        ("(op:text", 9, "')' for the '(' at column 1"),
        ("op:text)", 8, "the end"),
        ("op>3", 3, "one of : ="),
        ("body~x", 6, "between slashes"),
        ("body~/(/", 6, "regular expression"),
        ("body~/a/q", 9, "flags"),
        ('"abc', 5, "the one at column 1"),
        ("json:", 6, "a path"),
        ("header:", 8, "name of a header"),
        ("a & | b", 5, "a key"),
        ("http://x", 1, "quotes"),
        ("op:text |", 10, "a key"),
    ],
)
def test_errors_say_where_and_what(source: str, column: int, words: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse(source)
    assert caught.value.column == column
    assert words in str(caught.value)
    assert caught.value.caret() == " " * (column - 1) + "^"
    assert "\n" not in str(caught.value)


def test_what_lists_connections() -> None:
    assert parse("host:x close:1006").lists_connections
    assert parse("finding:* tap:a").lists_connections
    assert not parse("host:x op:text").lists_connections
    with pytest.raises(ValueError, match="frames"):
        parse("op:text").connection_predicate()
    assert parse("close:rst").connection_predicate()(AConnection())


@pytest.mark.parametrize(
    ("source", "column"),
    [
        ("foo(bar)", 4),
        ("op:text(a)", 8),
        ('a"b"', 2),
        ('"a"(b)', 4),
        ("body~/x/(y)", 9),
        ("json:$.a(b)", 9),
        ("len>5 header:Origin(x)", 20),
    ],
)
def test_what_looks_like_a_call_is_refused_where_it_begins(source: str, column: int) -> None:
    with pytest.raises(FilterError) as caught:
        parse(source)
    assert caught.value.column == column
    assert caught.value.expected == "a blank, '&', '|' or the end"
    spaced = parse(f"{source[: column - 1]} {source[column - 1 :]}")
    assert len(spaced.root.operands) >= 2  # type: ignore[union-attr]


@pytest.mark.parametrize("length", [0, 1, 255, 256, 257, 5000])
@pytest.mark.parametrize("source", ["x", "^x", "x$", "^x{3,}y?$", "(?i)X.Y", "\\bxy\\b", "a|b|", "."])
def test_short_and_long_texts_are_searched_alike(source: str, length: int) -> None:
    """Two ways of RE2, by length: `search` is the one that counts."""
    holds = Pattern(source, "s").bytes_searcher()
    search = _compiled(source, "s").search
    for data in (b"x" * length, b" " * length + b"xy", b"xy" + b"\n" * length, b"\xff" * length, b"\0x y"):
        assert holds(data) == (search(data) is not None)


def test_hostile_payloads_do_not_hang_a_pattern() -> None:
    passes = parse("body~/(a+)+$/").frame_predicate()
    assert not passes(AFrame(body=b"a" * 100_000 + b"b"))


def test_completion() -> None:
    assert [c.text for c in complete("op:p", 4).candidates] == ["ping", "pong"]
    assert [c.text for c in complete("rs", 2).candidates] == ["rsv1:", "rsv2:", "rsv3:"]
    assert complete("op:text,pi", 10).start == 8
    assert complete("(dir:", 5).candidates[0].text == "c2s"
    assert {c.kind for c in complete("len", 3).candidates} == {"operator"}
    assert complete("nonsense:", 9).candidates == []
    assert complete("", 0).candidates


def test_the_page_of_the_docs_is_whole() -> None:
    written = Path(__file__).parents[3] / "docs" / "filters.md"
    assert written.read_text("utf-8") == page(), "python -m wsinspect.filters.documentation > docs/filters.md"
    assert len(help_lines()) > len(FIELDS)
