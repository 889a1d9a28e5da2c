"""`wsinspect diagnose` of two taps in one capture, and of the captures of two engines: what is missing, what
there was not to look at, clients that send nothing, files that cannot be compared, and damaged ones.

What one tap says, two taps and two captures say as well, once.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.maker import C2S, S2C, CaptureMaker, diagnose, har
from wsinspect.wire.opcodes import Opcode

MINUTE_MS = 60_000.0


def _silence(maker: CaptureMaker, number: int, tap: str, gap: str | None) -> None:
    """A connection that the server's side cuts after a minute of silence; it may lack bytes of one side."""
    maker.attempt(number, tap=tap)
    maker.open(number)
    maker.frame(number, C2S, Opcode.TEXT, b"hello", 10)
    maker.frame(number, S2C, Opcode.TEXT, b"hello", 12)
    if gap is not None:
        lost = {"bytes": 100, "reason": "disk full"}
        maker.event(number, 20, event="gap", direction=gap, **lost)
        maker.event(0, 20, event="unstored", **lost)
    maker.closed(number, MINUTE_MS, side="server", how="fin")


def _captures(folder: Path, gaps: tuple[str | None, str | None], apart: bool) -> list[Any]:
    """The arguments of `diagnose` for one connection at both taps, each of which may lack bytes."""
    if apart:
        paths = []
        for name, gap in zip(("edge", "origin"), gaps, strict=True):
            maker = CaptureMaker(folder / f"{name}.db")
            _silence(maker, 1, name, gap)
            paths.append(maker.finish())
        return [paths[0], "--origin", paths[1]]
    maker = CaptureMaker(folder / "both.db")
    for number, (name, gap) in enumerate(zip(("edge", "origin"), gaps, strict=True), 1):
        _silence(maker, number, name, gap)
    return [maker.finish()]


def _found(folder: Path, arguments: list[Any], code: int) -> list[dict[str, Any]]:
    said = json.loads(diagnose(folder, *arguments, "--json", code=code)[0])
    return [*said["findings"], *said.get("origin_findings", ())]


@pytest.mark.parametrize("apart", [False, True], ids=["two taps", "two captures"])
@pytest.mark.parametrize("gaps", [("s2c", "s2c"), ("s2c", None), (None, "s2c")], ids=str)
def test_a_silence_with_a_gap_at_either_tap_blames_no_hop(tmp_path, gaps, apart):
    arguments = _captures(tmp_path, gaps, apart)
    whole = {"edge", "origin"} - {name for name, gap in zip(("edge", "origin"), gaps, strict=True) if gap}
    said = _found(tmp_path, arguments, code=1 if whole else 0)
    found = [one for one in said if one["fault_of"] != "tool"]
    assert [one["id"] for one in said if one not in found] == ["WS-TOOL-003"] * (
        2 - len(whole) if apart else 1
    )
    # The tap that has all of it may say how its side ended; nobody says what the hop did.
    assert not [one["id"] for one in found if one["id"] in ("WS-DROP-101", "WS-CL-101", "WS-MS-102")]
    assert {one["id"] for one in found if one["severity"] != "note"} <= {"WS-DROP-002", "WS-DROP-006"}
    assert bool(found) == bool(whole)
    assert "could not be stored" in "".join(diagnose(tmp_path, *arguments, code=1 if whole else 0))


@pytest.mark.parametrize("apart", [False, True], ids=["two taps", "two captures"])
def test_the_same_silence_without_a_gap_has_an_end_that_is_explained_once(tmp_path, apart):
    found = _found(tmp_path, _captures(tmp_path, (None, None), apart), code=1)
    assert len([one for one in found if one["severity"] == "error"]) == 1


# -- nothing to look at


def _listening(path: Path, *taps: str) -> CaptureMaker:
    maker = CaptureMaker(path)
    listeners = [
        {"tap": tap, "mode": "reverse:http://127.0.0.1:3000", "host": "127.0.0.1", "port": 8000 + number}
        for number, tap in enumerate(taps)
    ]
    maker.event(0, 5, event="listening", listeners=listeners)
    return maker


@pytest.mark.parametrize("apart", [False, True], ids=["two taps", "two captures"])
def test_two_taps_that_nobody_came_to_are_nothing_to_look_at(tmp_path, apart):
    taps = ("edge",) if apart else ("edge", "origin")
    arguments: list[Any] = [_listening(tmp_path / "a.db", *taps).finish()]
    if apart:
        arguments += ["--origin", _listening(tmp_path / "b.db", "origin").finish()]
    lines = diagnose(tmp_path, *arguments)[0].splitlines()
    assert lines[0] == "Nothing to diagnose: no WebSocket attempt has reached the proxy"
    assert "127.0.0.1:8000" in lines[1]
    assert json.loads(diagnose(tmp_path, *arguments, "--json")[0])["nothing_to_look_at"]


def test_a_failure_behind_the_hop_alone_is_something_to_look_at(tmp_path):
    edge = _listening(tmp_path / "a.db", "edge").finish()
    maker = CaptureMaker(tmp_path / "b.db")
    maker.attempt(1)
    maker.refuse(1, b"no seat for you")
    said = json.loads(diagnose(tmp_path, edge, "--origin", maker.finish(), "--json", code=1)[0])
    assert said["nothing_to_look_at"] is None
    assert [one["id"] for one in said["origin_findings"] if one["severity"] == "error"] == ["WS-HS-010"]


# -- clients without a byte


def _left(maker: CaptureMaker, tap: str) -> None:
    facts = {"tap": tap, "client": "127.0.0.1:4000", "how": "fin", "ms": 0.4}
    maker.event(0, 6, event="client_left", **facts)


@pytest.mark.parametrize("way", ["one tap", "two taps", "two captures"])
def test_a_client_without_a_byte_is_told_once_by_every_way(tmp_path, way):
    maker = _listening(tmp_path / "a.db", "edge", *(["origin"] if way == "two taps" else []))
    _left(maker, "edge")
    arguments: list[Any] = [maker.finish()]
    if way == "two captures":
        arguments += ["--origin", _listening(tmp_path / "b.db", "origin").finish()]
    said = json.loads(diagnose(tmp_path, *arguments, "--json")[0])
    found = [*said["findings"], *said.get("origin_findings", ())]
    assert [(one["id"], one["severity"]) for one in found] == [("WS-PAGE-006", "warning")]
    assert "Local Network Access" in found[0]["causes"][0]["cause"]


# -- files from others, and damaged ones


@pytest.mark.parametrize("is_edge", [True, False])
def test_a_har_is_no_side_of_a_hop(tmp_path, is_edge):
    """It has neither the handshake's key of the other side nor times that could be compared."""
    capture = CaptureMaker(tmp_path / "a.db").finish()
    files = [har(tmp_path / "page.har"), capture] if is_edge else [capture, har(tmp_path / "page.har")]
    _, err = diagnose(tmp_path, files[0], "--origin", files[1], code=2)
    assert "--origin compares captures and packet traces" in err
    assert "page.har is a har file" in err


@pytest.mark.parametrize("damaged", ["edge", "origin"])
def test_a_damaged_capture_on_either_side_is_said_and_what_was_read_is_kept(tmp_path, damaged):
    arguments = _captures(tmp_path, (None, None), apart=True)
    diagnose(tmp_path, *arguments, code=1)  # indexes both
    path = tmp_path / f"{damaged}.db"
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle:] = bytes(len(data) - middle)
    path.write_bytes(data)
    out, err = diagnose(tmp_path, *arguments, code=2)
    assert f"{path}" in out + err
    assert "damaged" in out + err
    assert "Traceback" not in err
