"""What commands say of payloads deleted for `--max-capture-size`: words, never an empty payload."""

from __future__ import annotations

import json
import os
import subprocess
import zlib
from pathlib import Path
from typing import Any

import pytest

from tests.support import warm
from tests.support.journals import Script, index, text, write_journal
from wsinspect.capture import schema
from wsinspect.capture.missing import lacks, missing
from wsinspect.capture.reader import Capture
from wsinspect.journal.budget import LEAST_BYTES
from wsinspect.recorder.eviction import Evictor

BIG = b"x" * 60_000
#: 122 and 80 of the first two connections; 669 of the third, to have room for a while.
GONE = "payload deleted to make room (size limit)"
TOTAL = "871 payloads (40.6 MiB) deleted to make room (size limit 64.0 MiB)"


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Connections 1 (fragments, empty ones, a ping) and 2 (compressed) are evicted, 3 in part."""
    path: Path = tmp_path_factory.mktemp("evicted") / "x.db"
    script = Script(meta={"max_capture_size": LEAST_BYTES})
    script.open(1)
    script.open(2, deflate=True)
    deflate = zlib.compressobj(wbits=-15)
    for number in range(40):
        script.data(1, 0, text(b"%d " % number + BIG, opcode=2))
        script.data(1, 0, text(b""))
        packed = deflate.compress(b'{"n":%d}' % number) + deflate.flush(zlib.Z_SYNC_FLUSH)
        script.data(2, 0, text(packed[:-4], rsv=4))
        script.data(1, 0, text(b"frag", fin=False))
        script.data(1, 0, text(b"ment", opcode=0))
    script.data(1, 0, text(b"q", opcode=9))
    script.data(1, 1, text(b"q", opcode=10, masked=False))
    script.data(2, 1, b"\x82\x7f" + b"\xff" * 8 + b"rest")
    script.data(1, 0, text(b"\x03\xe8one", opcode=8))
    script.end(1)
    script.end(2)
    script.open(3)
    for number in range(1300):
        script.data(3, 0, text(b"%d " % number + BIG, opcode=2))
    script.end(3)
    write_journal(path, script.stop())
    index(path)
    database = schema.open_for_writing(path)
    evictor = Evictor(database, path)
    evictor.keep(LEAST_BYTES, script.now)
    while evictor.has_more:
        evictor.keep(LEAST_BYTES, script.now)
    database.execute("PRAGMA journal_mode = DELETE").fetchall()
    database.close()
    return path


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return warm.run([*map(str, arguments)], folder=Path.cwd(), environment=os.environ)


def objects(*arguments: str | Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(*arguments).stdout)
    return found


def test_the_python_api_says_what_is_missing(capture: Path) -> None:
    with Capture.open(capture) as opened:
        whole = missing(opened)
        assert whole is not None
        assert whole.words == TOTAL
        first, second, third = opened.connections()
        gone = lacks(first)
        assert gone is not None
        assert gone.words == "122 payloads (2.3 MiB) deleted to make room (size limit)"
        assert second.evicted_payloads == 80, "deflated payloads, and what they inflate to"
        assert 0 < third.evicted_payloads < 1300
        compressed = opened.messages(2)[0]
        assert opened.is_evicted(compressed)
        assert opened.message_payload(compressed) == b""


def test_nothing_is_said_of_a_whole_capture(tmp_path: Path) -> None:
    script = Script()
    script.open(1)
    script.data(1, 0, text(b""))
    script.end(1)
    write_journal(tmp_path / "x.db", script.stop())
    index(tmp_path / "x.db")
    done = run("show", tmp_path / "x.db", "1", "--payload")
    assert GONE not in done.stdout
    assert "(0 bytes)" in done.stdout
    assert "incomplete" not in done.stderr
    assert objects("show", tmp_path / "x.db", "--json")["evicted"] is None


def test_show_says_what_is_missing(capture: Path) -> None:
    done = run("show", capture)
    assert done.stderr.rstrip().endswith(f": incomplete; {TOTAL}")
    assert objects("show", capture, "--json")["evicted"]["payloads"] == 871
    lines = run("show", capture, "1").stdout.splitlines()
    assert "  missing       122 payloads (2.3 MiB) deleted to make room (size limit)" in lines
    (ping,) = [line for line in lines if " PING " in line]
    assert ping.endswith(GONE)
    assert not [line for line in lines if " TEXT " in line and " 0" in line[-3:] and GONE in line]
    whole = run("show", capture, "1", "--payload").stdout
    assert whole.count(f"{GONE}\n") == 122
    assert whole.count("    (0 bytes)\n") == 40


def test_show_filter_and_json_distinguish_evicted_from_empty(capture: Path) -> None:
    assert run("show", capture, "--filter", "conn:1 op:bin").stdout.count(GONE) == 40
    frames = objects("show", capture, "1", "--json", "--payload")["frames"]
    gone = [frame for frame in frames if frame.get("evicted")]
    assert len(gone) == 122
    assert all(frame["payload"] is None for frame in gone)
    empty = [frame for frame in frames if frame["length"] == 0]
    assert [frame["payload"] for frame in empty] == [{"text": ""}] * 40


def test_a_close_frame_keeps_its_code(capture: Path) -> None:
    (close,) = objects("show", capture, "--filter", "conn:1 code:1000", "--json")["frames"]
    assert close["close"] == {"code": 1000, "reason": "one"}


def test_exports_mark_what_is_missing(capture: Path, tmp_path: Path) -> None:
    done = run("export", capture, "-o", tmp_path / "x.har")
    assert TOTAL in done.stderr
    assert "messages cut or missing" in done.stderr
    first, second, _ = json.loads((tmp_path / "x.har").read_text())["log"]["entries"]
    for message in second["_webSocketMessages"]:
        assert (message["data"], message["_truncated"], message["_length"] > 0) == ("", True, True)
    kinds = {(m["data"], m.get("_truncated", False)) for m in first["_webSocketMessages"]}
    assert kinds == {("", True), ("", False)}
    assert sum(not m.get("_truncated") for m in first["_webSocketMessages"]) == 40, "the empty ones"
    ping, pong, close = first["_wsinspect"]["control"]
    assert (ping["_truncated"], pong["_length"], "_truncated" in close) == (True, 1, False)

    assert run("export", capture, "-o", tmp_path / "x.jsonl").returncode == 0
    rows = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    frames = [row for row in rows if row["type"] == "frame" and row["connection_id"] == 1]
    assert sum(row["payload"] is None for row in frames) == 122
    assert [row["payloads"] for row in rows if row["type"] == "evicted"][:2] == [122, 80]


def test_diagnose_says_what_the_rules_did_not_see(capture: Path) -> None:
    done = run("diagnose", capture, "--json")
    assert TOTAL in done.stderr
    assert json.loads(done.stdout)["evicted"]["bytes"] > 40 << 20


def test_replay_says_what_it_cannot_send(capture: Path) -> None:
    done = run("replay", capture, "--to", "ws://127.0.0.1:1", "-c", "1", "--timeout", "100ms")
    assert "121 frames to send were cut in the recording (--snaplen, --max-capture-size)" in done.stderr
    assert "1 frames to expect were cut in the recording" in done.stderr
