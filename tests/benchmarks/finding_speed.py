"""What the rules cost: the recorder on the same journal with and without them; `diagnose` of a large capture.

The journals are written by the engine's own writer, before the clock runs: few connections with many frames,
many short connections, and the same connections at both taps around a hop. The recorder is the product's
process; without rules its `LiveFindings.look` finds nothing.
"""

import base64
import hashlib
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.processes import ROOT, BenchError
from tests.support.engine import private_environment
from tests.support.journals import Script, Step, play, text
from tests.support.tui_captures import many_frames
from wsinspect.capture import schema
from wsinspect.journal.format import journal_directory
from wsinspect.journal.writer import JournalWriter

ROUNDS = 3
#: Frames in one chunk, as a busy connection delivers them, and the pause between chunks of one that is not.
BATCH = 64
FEW, PAUSE_NS = 2, 100_000_000
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_WITHOUT = (
    "import sys; from wsinspect.recorder import process as r; "
    "r.LiveFindings.look = lambda self, *a, **k: []; sys.exit(r.main(sys.argv[1:]))"
)
_WITH = "import sys; from wsinspect.recorder import process as r; sys.exit(r.main(sys.argv[1:]))"
#: (connections, frames of each, taps) for a million frames, scaled down by `--quick`.
SHAPES = {"busy": (4, 250_000, 1), "short": (20_000, 4, 1), "pairs": (5_000, 40, 2)}


def measure(folder: Path, frames: int, large: int) -> dict[str, float]:
    """The rules with `frames` frames in each journal, and `diagnose` of a capture with `large` ones."""
    result: dict[str, float] = {"frames": frames}
    for name, (connections, each, taps) in SHAPES.items():
        count = max(4, connections * frames // 1_000_000) if each < 1000 else connections
        each = each if each < 1000 else frames // connections
        capture = folder / f"{name}.db"
        _write(capture, count, each, taps)
        with_rules, without = _recorded(capture)
        result[f"{name}_per_s"] = count * taps * (each + 2) / with_rules
        result[f"{name}_with"] = with_rules / without
        shutil.rmtree(journal_directory(capture))
    capture = many_frames(folder / "large.db", large)
    result["diagnose_s"] = _diagnosed(capture, folder)
    capture.unlink()
    return result


def _recorded(capture: Path) -> tuple[float, float]:
    """Medians of the CPU seconds that indexing the journal takes, with rules and without, in turns."""
    times: dict[str, list[float]] = {_WITH: [], _WITHOUT: []}
    for _ in range(ROUNDS):
        for program in times:
            copy = capture.with_name("copy.db")
            shutil.copytree(journal_directory(capture), journal_directory(copy))
            schema.create(copy)
            command = [sys.executable, "-c", program, str(copy)]
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            done = subprocess.run(command, stdin=subprocess.DEVNULL, cwd=ROOT, capture_output=True, text=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            times[program].append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
            if done.returncode:
                raise BenchError(f"the recorder failed: {done.stderr[-300:]}")
            copy.unlink()
            shutil.rmtree(journal_directory(copy), ignore_errors=True)
    return statistics.median(times[_WITH]), statistics.median(times[_WITHOUT])


def _diagnosed(capture: Path, folder: Path) -> float:
    command = [sys.executable, "-m", "wsinspect", "diagnose", str(capture), "--json"]
    begun = time.perf_counter()
    done = subprocess.run(
        command, cwd=ROOT, env=private_environment(folder / "home"), capture_output=True, text=True
    )
    if done.returncode not in (0, 1):
        raise BenchError(f"diagnose failed: {done.stderr[-300:]}")
    return time.perf_counter() - begun


def _write(capture: Path, connections: int, frames: int, taps: int) -> None:
    """A journal of healthy connections, each at every tap."""
    names = ["edge", "origin"][:taps] if taps > 1 else ["main"]
    writer = JournalWriter(journal_directory(capture))
    script = Script(meta={"taps": [{"tap": name} for name in names]})
    play(writer, script.steps)
    for number in range(connections):
        script.steps.clear()
        _connection(script, number * taps + 1, names, frames)
        play(writer, _paced(writer, script.steps))
    script.steps.clear()
    play(writer, script.stop())
    writer.close()


def _paced(writer: JournalWriter, steps: list[Step]) -> Iterator[Step]:
    """The steps, waiting where the writer's thread has to catch up: nothing may be left out."""
    for step in steps:
        while writer.is_full:
            time.sleep(0.001)
        yield step


def _connection(script: Script, first: int, names: list[str], frames: int) -> None:
    key = base64.b64encode(first.to_bytes(16, "big"))
    accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
    request = (
        b"GET /chat HTTP/1.1\r\nHost: example.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Origin: http://example.test\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + b"\r\n\r\n"
    )
    response = (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    ids = range(first, first + len(names))
    for number, tap in zip(ids, names, strict=True):
        script.event(
            number,
            "attempt",
            **{"tap": tap, "client": "127.0.0.1:5", "listener": "127.0.0.1:8080", "scheme": "ws"},
            **{"host": "example.test", "port": 8080, "path": "/chat", "http_version": "HTTP/1.1"},
        )
        script.head(number, 0, request)
        script.head(number, 1, request)
    for number in reversed(ids):
        script.head(number, 2, response)
        script.head(number, 3, response)
        script.event(number, "open")
    to_server, to_client = text(b"c" * 64), text(b"s" * 64, masked=False)
    batch = BATCH if frames > 1000 else FEW
    for begun in range(0, frames, 2 * batch):
        half = min(batch, (frames - begun) // 2)
        script.now += PAUSE_NS if batch == FEW else 0
        for number in ids:
            script.data(number, 0, to_server * half)
        for number in reversed(ids):
            script.data(number, 1, to_client * half)
    for number in ids:
        script.data(number, 0, text(b"\x03\xe8", opcode=8))
    for number in reversed(ids):
        script.data(number, 1, text(b"\x03\xe8", opcode=8, masked=False))
        script.end(number)
