"""What `wsinspect run` and `wsinspect faults` say of wrong faults: one line, exit code 2."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from wsinspect.cli.fault_options import make_board
from wsinspect.cli.faults import faults
from wsinspect.errors import UsageError
from wsinspect.faults.errors import FaultError


def board(
    *specs: str, preset: str | None = None, scenario: Path | None = None, said: list[str] | None = None
):
    heard = said if said is not None else []
    return make_board(scenario, specs, preset, None, 1.0, ["edge"], heard.append)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("latenzy,latency=1s", "unknown kind 'latenzy'"),
        ("latency,latency=-5s", "not a negative one"),
        ("drop,match=op:nothing", "match"),
        ("refuse,match=op:text", "acts on the handshake"),
        ("lifetime,after=1s,match=op:text", "looks at no frame"),
        ("lifetime,after=1s,nth=2", "counts nothing"),
        ("refuse_tcp,probability=0.5", "sees no connection"),
        ("refuse_tcp,nth=2", "sees no connection"),
        ("inject,payload=x,every=10s,match=op:text", "counts or matches frames"),
        ("inject,payload=x,every=10us", "from 1ms"),
        ("reset_on_accept,after=3frames", "sees no frames"),
    ],
)
def test_a_wrong_spec_is_one_line(spec: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        board(spec)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"--fault {spec}")


def test_a_preset_with_phases_plays_them_next_to_rules_of_the_command_line(tmp_path: Path) -> None:
    made = board("drop", "refuse,name=unavailable", preset="server-deploy")
    assert made.order == ["unavailable", "drop", "unavailable-2"]
    assert made.scenario is not None
    made.start(0)
    while made.due is not None:
        if made.phase == 2:
            assert made.get("unavailable").is_armed
        made.advance(made.due)
    path = tmp_path / "own.yaml"
    path.write_text(
        "version: 1\nrules: [{name: unavailable, kind: drop, armed: false}]\nphases: [{for: 1s}]\n"
    )
    with pytest.raises(FaultError, match="expected one"):
        board(preset="server-deploy", scenario=path)
    path.write_text("version: 1\nseed: 9\nrules: [{name: unavailable, kind: drop}]\n")
    both = board(preset="server-deploy", scenario=path)
    assert (both.order, both.seed) == (["unavailable", "unavailable-2"], 9)
    assert [phase.rules for phase in both.scenario.phases][-1] == ("unavailable-2",)


def test_a_rule_for_a_tap_that_is_not_there_is_a_warning() -> None:
    said: list[str] = []
    board("drop,tap=egde", said=said)
    assert said == ["fault rule drop can never act: unknown tap 'egde' (known: edge)"]


def test_validate_names_the_line_refuses_a_newer_version_and_warns_of_idle_rules(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("version: 1\nrules:\n  - {kind: drop}\n  - {kind: latency, latency: -5s}\n")
    done = CliRunner().invoke(faults, ["validate", str(path)])
    assert isinstance(done.exception, FaultError)
    assert str(done.exception).startswith(f"{path}:4:")
    path.write_text("version: 2\n")
    newer = CliRunner().invoke(faults, ["validate", str(path)])
    assert "newer than this wsinspect" in str(newer.exception)
    path.write_text("version: 1\nrules: [{kind: drop, probability: 0}]\n")
    idle = CliRunner().invoke(faults, ["validate", str(path)])
    assert idle.exit_code == 0
    assert "can never act" in idle.output + idle.stderr
