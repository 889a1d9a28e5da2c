"""Replay, export and import: messages a second to an echo server, frames a second out and in, and memory.

Each export and import runs in a process of its own, whose peak of memory is read at its end; the rates count
from its first call to its last, without the start of Python. The echo server is a process, too.
"""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

from tests.benchmarks.processes import ROOT, BenchError
from tests.support.chats import Chat
from wsinspect.capture import schema
from wsinspect.capture.reader import Capture
from wsinspect.journal.format import DATA, EVENT, HEAD, Record
from wsinspect.recorder.indexer import Indexer
from wsinspect.replay.as_client.client import ClientOptions, replay_client
from wsinspect.replay.common.handshake import Target
from wsinspect.wire.frame import serialize_frame

SMALL = b"x" * 64
LARGE = bytes(range(256)) * 256
WORK = """
import re, sys, time
from pathlib import Path
from wsinspect.formats.har_writer import write_har
from wsinspect.formats.importing import import_file
from wsinspect.formats.jsonl_writer import write_jsonl
from wsinspect.capture.reader import Capture
what, source, target = sys.argv[1:]
began = time.monotonic()
if what == "import":
    import_file(Path(source), Path(target))
else:
    with Capture.open(source) as capture, open(target, "wb", 1 << 20) as out:
        {"har": write_har, "jsonl": write_jsonl}[what](capture, out)
seconds = time.monotonic() - began
print(seconds, re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


def measure(folder: Path, messages: int, large_bytes: int) -> dict[str, float]:
    """All of it; frames are two a message."""
    path = recording(folder / "small.db", SMALL, messages)
    result = {"messages": float(messages), "sent_per_s": _replayed(path, messages)}
    for name, (seconds, _) in _formats(path).items():
        result[f"{name}_per_s"] = 2 * messages / seconds
    path.unlink()
    path = recording(folder / "large.db", LARGE, max(1, large_bytes // (2 * len(LARGE))))
    result["capture_mb"] = path.stat().st_size / 1e6
    peaks = {name: peak for name, (_, peak) in _formats(path).items()}
    path.unlink()
    return result | {"peak_mb": max(peaks.values())}


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
            indexer.add(Record(EVENT, 0, connection, now, 0, json.dumps(event.as_json()).encode()))
        else:
            connection, part, raw, now = arguments
            indexer.add(Record(HEAD, part, connection, now, 0, raw))
    frames = [(payload, 1)] * count + [(b"\x03\xe8", 8)]
    for number, (body, opcode) in enumerate(frames):
        at_ns = script.now + number * 1000
        opcode = 2 if len(body) > len(SMALL) else opcode
        indexer.add(Record(DATA, 0, 1, at_ns, 0, serialize_frame(opcode, body, key=b"abcd")))
        indexer.add(Record(DATA, 1, 1, at_ns, 0, serialize_frame(opcode, body)))
        if indexer.weight > 1 << 22:
            indexer.commit()
    indexer.add(Record(EVENT, 0, 1, script.now + len(frames) * 1000, 0, b'{"event":"closed"}'))
    indexer.commit()
    database.execute("PRAGMA journal_mode = DELETE")
    database.close()
    return path


def _replayed(path: Path, messages: int) -> float:
    """Messages a second at `max`, each answered and compared."""
    command = [sys.executable, "-m", "tests.support.replay_echo"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
    try:
        assert server.stdout is not None
        target = Target("ws", "127.0.0.1", int(server.stdout.readline()), None)
        with Capture.open(path) as capture:
            began = time.monotonic()
            (report,) = replay_client(
                capture, capture.connections(), ClientOptions(target=target, gated=False)
            )
            seconds = time.monotonic() - began
    finally:
        server.kill()
        server.communicate()
    if (report.is_equal, report.sent) != (True, messages):
        raise BenchError(f"the replay diverged: {report.sent} sent, {report.problems}, {report.tally.counts}")
    return messages / seconds


def _formats(path: Path) -> dict[str, tuple[float, float]]:
    """Seconds and peak MB of each export and import."""
    found = {}
    for kind in ("jsonl", "har"):
        exported, imported = path.with_suffix(f".{kind}"), path.with_name(f"{path.stem}-{kind}.db")
        found[f"{kind}_out"] = _worked(kind, path, exported)
        found[f"{kind}_in"] = _worked("import", exported, imported)
        exported.unlink()
        imported.unlink()
    return found


def _worked(what: str, source: Path, target: Path) -> tuple[float, float]:
    command = [sys.executable, "-c", WORK, what, str(source), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode != 0 or not re.fullmatch(r"[\d.]+ \d+\n", done.stdout):
        raise BenchError(f"{what} of {source.name}: {done.stderr[-300:]}")
    seconds, kilobytes = done.stdout.split()
    return float(seconds), int(kilobytes) / 1000
