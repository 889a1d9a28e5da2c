"""What was done on purpose is said wherever a capture is read: `show`, `diagnose`, JSON and in Python."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.unit.cli.maker import C2S, CaptureMaker
from wsinspect import open_capture
from wsinspect.cli.main import cli
from wsinspect.wire.opcodes import Opcode

SLOW = {"name": "slow", "kind": "latency", "direction": "s2c", "latency": "1ms", "armed": False}


def say(*arguments: object) -> tuple[str, str, int]:
    done = CliRunner().invoke(cli, [*map(str, arguments)], standalone_mode=False)
    assert done.exception is None, done.exception
    return done.stdout, done.stderr, done.return_value or 0


def rule(maker: CaptureMaker, at_ms: float, name: str, **facts: Any) -> None:
    settings = {"name": name, "kind": facts["kind"], **facts.pop("settings", {})}
    more = {"phase": None, "seed": 7341, "time_scale": 1.0, "settings": settings}
    maker.event(0, at_ms, event="rule", rule=name, **more, **facts)


def acted(maker: CaptureMaker, number: int, at_ms: float, name: str, kind: str, **facts: Any) -> None:
    more = {"seed": 7341, "direction": None, "frame": None}
    maker.event(number, at_ms, event="fault", rule=name, kind=kind, **{**more, "detail": {}, **facts})


def refused(path: Path) -> CaptureMaker:
    """A rule answered 503."""
    maker = CaptureMaker(path)
    rule(maker, 0, "outage", kind="refuse", armed=True, source="--fault", by="--fault")
    maker.attempt(1)
    acted(maker, 1, 3, "outage", "refuse", detail={"status": 503}, ends=True)
    maker.event(1, 4, event="refused", status=503, by="fault")
    maker.event(1, 5, event="closed")
    return maker


def aborted(path: Path, name: str = "abort") -> CaptureMaker:
    maker = CaptureMaker(path)
    maker.attempt(1)
    maker.open(1)
    maker.frame(1, C2S, Opcode.TEXT, b"x", 10)
    acted(maker, 1, 20, name, "abort", direction="c2s", detail={"how": "rst", "to": "both"}, ends=True)
    maker.event(1, 21, event="end", side="proxy", how="rst")
    maker.event(1, 22, event="closed")
    return maker


def test_the_rule_that_refused_is_named_everywhere(tmp_path):
    path = refused(tmp_path / "a.db").finish()
    listed, narrated, _ = say("show", path)
    assert "HTTP 503 (your rule `outage`)" in listed
    assert "done on purpose: rule `outage` (seed 7341)" in narrated
    assert re.search(
        r"^Ended by your rule `outage`( after \d+ ms)?: HTTP 503$", say("show", path, 1)[0], re.M
    )
    (one,) = json.loads(say("show", path, "--json")[0])["connections"]
    assert (one["ended_by"], one["rule"], one["status"]) == ("fault", "outage", 503)
    said, _, code = say("diagnose", path)
    first, *_ = said.splitlines()
    assert first == "Done on purpose, seed 7341"
    assert "`outage` (refuse) from --fault: armed" in said
    assert "`outage` acted 1 time on 1 connection" in said
    assert "WS-TOOL-010  HTTP 503 (your rule `outage`)" in said
    assert code == 0


def test_no_advice_about_an_application_that_a_rule_refused(tmp_path):
    path = refused(tmp_path / "a.db").finish()
    findings = json.loads(say("diagnose", path, "--json")[0])["findings"]
    assert [(one["id"], one["severity"], len(one["fixes"])) for one in findings] == [
        ("WS-TOOL-010", "note", 1)
    ]


def test_the_server_s_own_refusal_names_no_rule(tmp_path):
    maker = CaptureMaker(tmp_path / "a.db")
    rule(maker, 0, "outage", kind="refuse", armed=False, source="--fault", by="--fault")
    maker.attempt(1)
    maker.refuse(1, b"down")
    path = maker.finish()
    assert "your rule" not in say("show", path)[0]
    findings = json.loads(say("diagnose", path, "--json")[0])["findings"]
    assert findings[0]["fault_of"] != "tool"
    assert findings[0]["fixes"]


@pytest.mark.parametrize(
    ("name", "words"), [("abort", "your rule `abort`"), ("by-hand", "you, by hand")], ids=str
)
def test_the_rule_that_ended_a_connection_is_named(tmp_path, name, words):
    path = aborted(tmp_path / "a.db", name).finish()
    assert f"1006: RST by {words}, no CLOSE" in say("show", path)[0]
    shown = say("show", path, 1)[0]
    assert re.search(rf"^Ended by {words} after \d+ ms: RST$", shown, re.M)
    assert f"on purpose    {words} acted (abort)" in shown
    detail = json.loads(say("show", path, 1, "--json")[0])
    assert (detail["provenance"]["rule"], detail["provenance"]["rules"]) == (name, [name])
    findings = json.loads(say("diagnose", path, "--json")[0])["findings"]
    assert [(one["id"], one["title"]) for one in findings] == [("WS-TOOL-010", f"Ended by {words}")]


def test_a_rule_that_held_an_attempt_is_named_with_its_failure(tmp_path):
    maker = CaptureMaker(tmp_path / "a.db")
    maker.attempt(1)
    acted(maker, 1, 3, "stuck", "hang")
    maker.event(1, 900, event="end", side="client", how="fin")
    maker.event(1, 901, event="failed", where="client", error="the client gave up", status=None)
    maker.event(1, 901, event="closed")
    path = maker.finish()
    assert "the client gave up (your rule `stuck` acted)" in say("show", path)[0]


def test_phases_and_who_armed_a_rule_are_the_story(tmp_path):
    maker = CaptureMaker(tmp_path / "a.db")
    rule(maker, 0, "slow", kind="latency", settings=SLOW, armed=False, source="b.yaml", by="b.yaml")
    maker.event(0, 10, event="phase", phase=0, of=2, for_ms=100.0, rules=[], do=[])
    maker.event(0, 110, event="phase", phase=1, of=2, for_ms=200.0, rules=["slow"], do=["abort"])
    rule(maker, 110, "slow", kind="latency", settings=SLOW, armed=True, source="b.yaml", by="phase 2")
    rule(maker, 150, "slow", kind="latency", settings=SLOW, armed=False, source="b.yaml", by="timeline")
    rule(maker, 160, "gone", kind="drop", armed=True, source="API", by="API")
    maker.event(0, 310, event="phase", phase=None, of=2)
    path = maker.finish()
    said = [line[16:] for line in say("diagnose", path)[0].splitlines()[1:8]]
    assert said == [
        "`slow` (latency, direction=s2c, latency=1ms) from b.yaml: not armed yet",
        "phase 1 of 2, 100 ms",
        "phase 2 of 2, 200 ms: `slow`, abort",
        "`slow` armed by phase 2",
        "`slow` disarmed by the timeline",
        "`gone` (drop) from the API: armed",
        "the last phase is over",
    ]
    steps = json.loads(say("diagnose", path, "--json")[0])["on_purpose"]["steps"]
    assert [(step["event"], step.get("rule"), step.get("by")) for step in steps[3:5]] == [
        ("rule", "slow", "phase 2"),
        ("rule", "slow", "timeline"),
    ]
    with open_capture(path) as capture:
        assert capture.story is not None
        assert (capture.story.seed, len(capture.story.steps)) == (7341, 7)


def with_a_rule_each(folder: Path) -> list[Path]:
    """The captures of both sides of a hop, each with a rule of its own."""
    paths = []
    for name in ("edge", "origin"):
        maker = CaptureMaker(folder / f"{name}.db")
        rule(maker, 0, f"of-{name}", kind="latency", settings=SLOW, armed=True, source="b.yaml", by="b.yaml")
        maker.attempt(1)
        paths.append(maker.finish())
    return paths


def test_of_two_captures_each_has_its_story(tmp_path):
    paths = with_a_rule_each(tmp_path)
    text = say("diagnose", paths[0], "--origin", paths[1])[0]
    assert text.index("Done on purpose,") < text.index("`of-edge`") < text.index("`of-origin`")
    assert f"Done on purpose behind the hop ({paths[1]})" in text
    found = json.loads(say("diagnose", paths[0], "--origin", paths[1], "--json")[0])
    said = [found[name]["steps"][0]["rule"] for name in ("on_purpose", "origin_on_purpose")]
    assert said == ["of-edge", "of-origin"]
    assert found["origin_missing"] is None
    assert "origin_on_purpose" not in json.loads(say("diagnose", paths[0], "--json")[0])


def test_without_faults_there_is_no_story(tmp_path):
    maker = CaptureMaker(tmp_path / "a.db")
    maker.attempt(1)
    path = maker.finish()
    assert "purpose" not in say("diagnose", path)[0]
    assert json.loads(say("show", path, "--json")[0])["on_purpose"] is None
    with open_capture(path) as capture:
        assert capture.story is None


def test_a_rule_that_refused_all_before_an_attempt_is_the_reason(tmp_path):
    """Socket.IO's long-polling: nobody is sent to look for the client."""
    for times, words in (
        (0, "no WebSocket attempt has reached the proxy"),
        (2, "your rule `outage` acted 2 times"),
    ):
        maker = CaptureMaker(tmp_path / f"{times}.db")
        rule(maker, 0, "outage", kind="refuse", armed=True, source="--fault", by="--fault")
        for at in range(times):
            acted(maker, 0, at, "outage", "refuse", detail={"status": 503}, ends=True)
        maker.event(0, 9, event="client_left", tap="main", client="127.0.0.1:4000", how="fin", ms=900)
        said = say("diagnose", maker.finish())[0]
        assert (words in said) is bool(times)
        assert ("disarm the rule" in said) is bool(times)


def test_the_report_of_two_captures_has_both_stories(tmp_path):
    paths = with_a_rule_each(tmp_path)
    page = tmp_path / "page.html"
    say("report", paths[0], "--origin", paths[1], "-o", page)
    text = page.read_text()
    assert text.index("of-edge") < text.index("Done on purpose behind the hop") < text.rindex("of-origin")
