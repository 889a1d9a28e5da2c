"""Every key of the filter language, by frames that pass it and frames that do not."""

from __future__ import annotations

import pytest

from tests.support.filter_facts import AConnection, AFrame
from wsinspect.filters import FIELDS, parse

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
