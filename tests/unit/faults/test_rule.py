"""Rules: what is read, and what is refused with its field."""

from __future__ import annotations

from typing import Any

import pytest

from wsinspect.faults.errors import FaultError
from wsinspect.faults.rule import Rule


@pytest.mark.parametrize(
    ("raw", "field", "words"),
    [
        ({"kind": "latenzy"}, "kind", "did you mean latency?"),
        ({}, "kind", "is missing"),
        ({"kind": "latency"}, "", "needs `latency`"),
        ({"kind": "latency", "latency": "-5s"}, "latency", "not a negative one"),
        ({"kind": "latency", "latency": True}, "latency", "bare numbers are ms"),
        ({"kind": "latency", "latency": "5s", "jiter": "1s"}, "jiter", "did you mean jitter?"),
        ({"kind": "drop", "match": "op:"}, "match", "column"),
        ({"kind": "drop", "match": "rtt>5"}, "match", "not known yet"),
        ({"kind": "refuse", "match": "op:text"}, "match", "acts on the handshake"),
        ({"kind": "reset_on_accept", "match": "host:x"}, "match", "before there is a request"),
        ({"kind": "refuse", "direction": "s2c"}, "direction", "no direction"),
        ({"kind": "drop", "direction": "up"}, "direction", "c2s, s2c or both"),
        ({"kind": "drop", "probability": 2}, "probability", "from 0 to 1"),
        ({"kind": "drop", "when": {"nth": 0}}, "when.nth", "from 1"),
        ({"kind": "drop", "when": {"after": "5"}}, "when.after", "5 s, 100 frames or 64 KiB"),
        ({"kind": "drop", "when": {"every": "5s"}}, "when.every", "inject alone"),
        ({"kind": "drop", "when": {"between": ["5s", "1s"]}}, "when.between", "the second one longer"),
        ({"kind": "drop", "when": {"nht": 1}}, "when.nht", "unknown"),
        ({"kind": "drop", "name": "a b"}, "name", "letters"),
        ({"kind": "drop", "name": ""}, "name", "1 to 64 letters"),
        ({"kind": "hold"}, "", "one at least"),
        ({"kind": "bandwidth", "rate": "5"}, "rate", "64 KiB/s"),
        ({"kind": "close", "code": 70000}, "code", "65535"),
        ({"kind": "set_headers", "headers": {"X": "a\nb"}}, "headers", "Name: value"),
        ({"kind": "slicer", "size": 0}, "size", "at least 1"),
        ({"kind": "inject", "opcode": "ping", "payload": "x" * 126}, "payload", "125"),
        ("drop", "", "expected a mapping"),
        ({"kind": "refuse", "body": float("inf")}, "body", "expected a text of at most"),
        ({"kind": "close", "reason": float("nan")}, "reason", "expected a text of at most"),
        ({"kind": "refuse", "status": float("inf")}, "status", "a whole number"),
        ({"kind": "drop", "probability": float("nan")}, "probability", "from 0 to 1"),
        ({"kind": "latency", "latency": float("inf")}, "latency", "bare numbers are ms"),
        ({"kind": "latency", "latency": "5s", "jitter": float("nan")}, "jitter", "bare numbers are ms"),
        ({"kind": "max_message_size", "size": float("inf")}, "size", "64 KiB"),
        ({"kind": "drop", "when": {"nth": float("inf")}}, "when.nth", "a number from 1"),
        ({"kind": "drop", "when": {"after": float("nan")}}, "when.after", "5 s, 100 frames or 64 KiB"),
    ],
)
def test_a_mistake_names_the_field_and_what_was_expected(raw: Any, field: str, words: str) -> None:
    with pytest.raises(FaultError) as caught:
        Rule.parse(raw)
    assert caught.value.field == field
    assert words in str(caught.value)


def test_numbers_are_texts_too_however_large() -> None:
    assert Rule.parse({"kind": "refuse", "body": 1.5}).settings()["body"] == "1.5"
    assert Rule.parse({"kind": "refuse", "body": 10**400}).settings()["body"] == "1" + "0" * 400


def test_toxiproxy_words_are_aliases() -> None:
    reset = Rule.parse({"type": "reset_peer", "stream": "downstream", "toxicity": 0.5})
    assert (reset.kind, reset.direction, reset.probability) == ("abort", "s2c", 0.5)
    timeout = Rule.parse({"kind": "timeout", "attributes": {"timeout": "5s"}, "stream": "upstream"})
    assert timeout.settings()["for"] == "5s"
    assert timeout.settings()["then"] == "fin"


@pytest.mark.parametrize(
    ("raw", "field", "words"),
    [
        ({"kind": "reset_on_accept", "when": {"attempt": 1}}, "when", "it knows no client session"),
        (
            {"kind": "lifetime", "after": "5s", "match": "op:text"},
            "match",
            "looks at no frame, it has no `op`",
        ),
        (
            {"kind": "inject", "when": {"every": "5s", "nth": 1}},
            "when.every",
            "with nothing that counts",
        ),
        ({"kind": "inject", "match": "op:text", "when": {"every": "5s"}}, "when.every", "expected a number"),
        ({"kind": "lifetime", "after": "5s", "when": {"after": "2frames"}}, "when.after", "sees no frames"),
        ({"kind": "refuse", "status": 503, "when": {"after": "2KiB"}}, "when.after", "sees no bytes"),
        ({"kind": "lifetime", "after": "5s", "when": {"nth": 1}}, "when.nth", "counts nothing"),
        ({"kind": "idle_timeout", "after": "5s", "when": {"every": 2}}, "when.every", "counts nothing"),
        ({"kind": "refuse_tcp", "when": {"nth": 1}}, "when", "sees no connection"),
        ({"kind": "refuse_tcp", "probability": 0.5}, "probability", "sees no connection"),
        ({"kind": "drop", "armed": "yes"}, "armed", "expected true or false"),
        ({"kind": "drop", "armed": 1}, "armed", "expected true or false"),
        ({"kind": "drop", "match": 5}, "match", "expected a text"),
        ({"kind": "drop", "tap": None}, "tap", "has no value"),
        ({"kind": "drop", "when": 5}, "when", "expected a mapping"),
        ({"kind": "drop", "attributes": 5}, "attributes", "expected a mapping, found 5"),
        ({"kind": "drop", "type": "drop"}, "type", "given twice, also as `kind`"),
        ({"kind": "drop", 5: 5}, "", "expected names as keys, found 5"),
        ({"kind": "drop", "x" * 65: 5}, "", "there is no such field"),
        ({"kind": "timeout", "attributes": {"timeout": "soon"}}, "timeout", "expected"),
        ({"kind": ["drop"]}, "kind", "unknown kind ['drop']"),
    ],
)
def test_what_does_not_go_together_is_refused(raw: Any, field: str, words: str) -> None:
    with pytest.raises(FaultError) as caught:
        Rule.parse(raw)
    assert caught.value.field == field
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "raw",
    [
        {"kind": "reset_on_accept", "when": {"nth": 1}},
        {"kind": "lifetime", "after": "5s", "match": "path:/ws", "when": {"after": "2s"}},
        {"kind": "inject", "match": "path:/ws", "when": {"every": "5s"}},
        {"kind": "refuse_tcp", "when": {"after": "1s"}},
        {"kind": "drop", "match": "json:$.op=sub", "when": {"nth": 1, "every": 2, "after": "2KiB"}},
    ],
)
def test_what_comes_close_to_that_is_taken(raw: dict[str, Any]) -> None:
    rule = Rule.parse(raw)
    assert Rule.parse(rule.settings()) == rule


def test_words_stand_for_yes_and_no_on_a_command_line() -> None:
    assert Rule.parse({"kind": "drop", "armed": "true"}).armed
    assert not Rule.parse({"kind": "drop", "armed": "false"}).armed
    assert Rule.parse({"kind": "drop"}).armed


def test_a_timeout_of_0_is_forever_as_in_toxiproxy() -> None:
    forever = Rule.parse({"kind": "timeout", "attributes": {"timeout": 0}})
    assert "for" not in forever.settings()
    assert Rule.parse({"kind": "timeout", "timeout": 1500}).settings()["for"] == "1.5s"


def test_times_of_a_rule_are_multiplied() -> None:
    rule = Rule.parse({"kind": "latency", "latency": "2s", "jitter": "1s", "when": {"after": "4s", "nth": 2}})
    assert rule.scaled(1.0) is rule
    scaled = rule.scaled(0.5).settings()
    assert (scaled["latency"], scaled["jitter"], scaled["when"]) == ("1s", "500ms", {"nth": 2, "after": "2s"})
    silent = Rule.parse({"kind": "blackhole"})
    assert silent.scaled(0.5).settings() == silent.settings()
