from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.chats import Chat, chat_capture, random_capture, store
from wsinspect.capture.reader import Capture
from wsinspect.formats.masking import Masker
from wsinspect.report.content import FAULTED, Content, heads_of, read


def made(path: Path, first: tuple[int, ...] = (), *, with_payload: bool = True) -> Content:
    with Capture.open(path) as capture:
        return read(capture, Masker(heads_of(capture)), first, with_payload=with_payload)


def test_all_frames_of_all_connections(tmp_path: Path) -> None:
    path = random_capture(tmp_path / "a.db")
    found = made(path)
    with Capture.open(path) as capture:
        frames = capture.frames(limit=1 << 30)
    assert sum(len(lane.times) for lane in found.lanes.values()) == len(frames) == found.frames
    for number, lane in found.lanes.items():
        its = [one for one in frames if one.connection_id == number]
        assert sum(lane.ids) == its[-1].id
        assert lane.lengths == [one.length for one in its]
        assert sum(lane.times) == (its[-1].time_ns - found.start_ns) // 1000
    assert found.frames_left_out == 0


def test_equal_texts_are_kept_once(tmp_path: Path) -> None:
    script = Chat()
    script.accept(1)
    for _ in range(50):
        script.server(1, b"tick")
    found = made(store(tmp_path / "a.db", script))
    assert found.texts == ["tick"]
    assert made(tmp_path / "a.db", with_payload=False).texts == [""]


def test_what_a_decoder_found_is_counted(tmp_path: Path) -> None:
    script = Chat()
    script.accept(1, path="/socket.io/?EIO=4&transport=websocket")
    for _ in range(3):
        script.server(1, b'42["news",{"n":1}]')
    script.server(1, b"2")
    found = made(store(tmp_path / "a.db", script))
    assert sum(count for _, count in found.protocols[1]) == 4
    assert found.protocols[1][0][1] == 3


def test_what_a_fault_did(tmp_path: Path) -> None:
    script = Chat()
    script.accept(1)
    script.server(1, b"tick")
    script.fault(1, "slow", "latency", direction="s2c", frame=0, detail={"ms": 5})
    found = made(store(tmp_path / "a.db", script))
    assert [one[1:] for one in found.faults] == [(1, 1, "slow", "latency", "ms=5, direction=s2c")]
    assert found.lanes[1].bits[0] & FAULTED


@pytest.mark.parametrize(
    ("detail", "words"),
    [
        ({"match": 17, "planned_ns": 100_000_000}, "match=17, planned=100 ms"),
        ({"payload": b'{"token":"s3cr3t","a":"\x1b"}'.hex()}, 'payload={"token":***,"a":"\u241b"}'),
        ({"code": 1013, "reason": ""}, "code=1013, reason="),
    ],
)  # fmt: skip
def test_what_a_fault_did_is_in_words_and_masked(tmp_path: Path, detail: Any, words: str) -> None:
    """Contents are in the ledger as hex, in which no secret would be found."""
    script = Chat()
    script.accept(1)
    script.server(1, b"tick")
    script.fault(1, "rule", "replace", direction="s2c", frame=0, detail=detail)
    assert [one[5] for one in made(store(tmp_path / "a.db", script)).faults] == [f"{words}, direction=s2c"]


def test_connections_with_findings_come_first(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("wsinspect.report.content.MAX_HANDSHAKES", 1)
    assert [*made(chat_capture(tmp_path / "a.db"), (2,)).handshakes] == [2]


@pytest.mark.parametrize("query", ["", "q=it's&"])
def test_requests_near_an_attempt_are_listed_without_secrets(tmp_path: Path, query: str) -> None:
    script = Chat()
    script.accept(1)
    url = f"http://a.example/t?{query}token=s3cret"
    script.event(1, "http", number=1, method="POST", url=url, status=401, ms=2.0)
    script.event(1, "http", number=2, method="GET", url="ws.js", status=None, error="refused <b>")
    lines = [
        "".join(text for text, _ in line) for line in made(store(tmp_path / "a.db", script)).handshakes[1]
    ]
    text = "\n".join(lines)
    assert "HTTP requests from the same client soon after it" in text
    assert f"POST http://a.example/t?{query}token=*** " in text
    assert "401 in 2 ms" in text
    assert "refused <b>" in text
    assert "s3cret" not in text
