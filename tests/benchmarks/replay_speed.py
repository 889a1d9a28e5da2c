"""Replay, export and import: 20,000 messages a second to an echo server, 50,000 frames a second out and in.

Run by hand: python -m pytest tests/benchmarks/replay_speed.py

Export and import are measured in processor time, because other tests share the machine; each runs in a
process of its own, whose peak of memory is looked at.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.unit.formats.made import Chat
from wsinspect.capture import schema
from wsinspect.capture.journal import DATA, EVENT, HEAD, Record
from wsinspect.capture.reader import Capture
from wsinspect.capture.writer import Indexer
from wsinspect.replay.client import ClientOptions, replay_client
from wsinspect.replay.handshake import Target
from wsinspect.wire.frame import serialize_frame

pytestmark = pytest.mark.slow

MESSAGES = 20_000
MEASURE = """
import re, sys, time
from pathlib import Path
from wsinspect.capture.formats.har_writer import write_har
from wsinspect.capture.formats.importing import import_file
from wsinspect.capture.formats.jsonl_writer import write_jsonl
from wsinspect.capture.reader import Capture
what, source, target = sys.argv[1:]
began = time.process_time()
if what == "import":
    import_file(Path(source), Path(target))
else:
    with Capture.open(source) as capture, open(target, "wb", 1 << 20) as out:
        {"har": write_har, "jsonl": write_jsonl}[what](capture, out)
peak = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]
print(time.process_time() - began, peak)
"""


def recording(path: Path, payload: bytes, count: int) -> Path:
    """Messages that are answered by themselves."""
    script = Chat()
    script.accept(1)
    schema.create(path)
    database = schema.open_for_writing(path)
    indexer = Indexer(database)
    for method, arguments in script.steps:
        if method == "event":
            connection, event, now = arguments
            indexer.add(Record(EVENT, 0, connection, now, 0, json.dumps(event).encode()))
        else:
            connection, part, raw, now = arguments
            indexer.add(Record(HEAD, part, connection, now, 0, raw))
    frames = [(payload, 1)] * count + [(b"\x03\xe8", 8)]
    for number, (body, opcode) in enumerate(frames):
        at_ns = script.now + number * 1000
        indexer.add(Record(DATA, 0, 1, at_ns, 0, serialize_frame(opcode, body, key=b"abcd")))
        indexer.add(Record(DATA, 1, 1, at_ns, 0, serialize_frame(opcode, body)))
        if indexer.weight > 1 << 22:
            indexer.commit()
    indexer.add(Record(EVENT, 0, 1, script.now + len(frames) * 1000, 0, b'{"event":"closed"}'))
    indexer.commit()
    database.execute("PRAGMA journal_mode = DELETE")
    database.close()
    return path


def test_a_client_at_max_sends_20000_messages_a_second(tmp_path):
    path = recording(tmp_path / "a.db", b"x" * 64, MESSAGES)
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.support.replay_echo"],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    try:
        assert server.stdout is not None
        target = Target("ws", "127.0.0.1", int(server.stdout.readline()), None)
        best = 0.0
        for _ in range(3):
            with Capture.open(path) as capture:
                began = time.monotonic()
                (report,) = replay_client(
                    capture, capture.connections(), ClientOptions(target=target, gated=False)
                )
                best = max(best, MESSAGES / (time.monotonic() - began))
            assert (report.is_equal, report.sent) == (True, MESSAGES)
            if best > 20_000:
                break
    finally:
        server.kill()
        server.communicate()
    assert best > 20_000


@pytest.mark.parametrize("kind", ["jsonl", "har"])
def test_export_and_import_at_50000_frames_a_second_in_little_memory(tmp_path, kind):
    path = recording(tmp_path / "a.db", b"x" * 64, MESSAGES)
    for what, source, target in [(kind, "a.db", f"a.{kind}"), ("import", f"a.{kind}", "b.db")]:
        seconds, kilobytes = measured(what, path.parent / source, path.parent / target)
        assert 2 * MESSAGES / seconds > 50_000, what
        assert kilobytes < 150_000


@pytest.mark.parametrize("kind", ["jsonl", "har"])
def test_memory_does_not_grow_with_the_capture(tmp_path, kind):
    path = recording(tmp_path / "a.db", b"x" * (1 << 20), 60)
    for what, source, target in [(kind, "a.db", f"a.{kind}"), ("import", f"a.{kind}", "b.db")]:
        _, kilobytes = measured(what, path.parent / source, path.parent / target)
        assert kilobytes < 120_000, what


def measured(what: str, source: Path, target: Path) -> tuple[float, int]:
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, what, str(source), str(target)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    seconds, kilobytes = done.stdout.split()
    return float(seconds), int(kilobytes)
