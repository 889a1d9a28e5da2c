"""Socket.IO's own client, which reconnects, goes through an outage; the capture tells the same story."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.apps import NodeApp
from tests.support.echo_engine import OUTAGE
from tests.support.engine import Engine
from tests.support.threaded_loop import ThreadedLoop
from wsinspect.capture.reader import Capture

pytestmark = pytest.mark.lab

#: `OUTAGE` five times as fast.
SCALE = 0.2


def test_a_reconnecting_client_goes_through_an_outage(tmp_path: Path) -> None:
    scenario = tmp_path / "outage.yaml"
    scenario.write_text(OUTAGE)
    with ThreadedLoop() as loop:
        node = loop.run(NodeApp.start("socketio_reconnect.mjs"))
        try:
            port = loop.run(node.first_line())["port"]
            options = ("--faults", str(scenario), "--time-scale", str(SCALE))
            target = f"app=127.0.0.1:0=http://127.0.0.1:{port}"
            with Engine.start("--tap", target, *options, folder=tmp_path / "engine") as engine:
                url = f"http://127.0.0.1:{engine.port('app')}"
                told = loop.run(node.ask(url=url, slow_ms=300 * SCALE - 5), 100)
        finally:
            loop.run(node.stop())
    story = [one["event"] for one in told["story"]]
    assert [one for index, one in enumerate(story) if story[index - 1 : index] != [one]] == [
        *("connected", "lost", "refused", "connected", "slow"),
    ]
    assert story.count("refused") > 2
    with Capture.open(engine.capture) as capture:
        rows = capture.query("SELECT rule, connection_id FROM fault_event ORDER BY id")
        rules = [rule for rule, _ in rows]
        told_once = [rule for index, rule in enumerate(rules) if rules[index - 1 : index] != [rule]]
        assert told_once == ["phase-abort", "outage", "slow"]
        connections = capture.connections()
        states = [(one.state, one.status, one.ended_by) for one in connections]
        assert states[0] == ("closed", 101, "fault")
        assert (connections[0].how, connections[0].js_code) == ("rst", 1006)
        assert set(states[1:-1]) == {("refused", 503, "fault")}
        assert states[-1][:2] == ("closed", 101)
        assert rules.count("outage") == len(states) - 2
