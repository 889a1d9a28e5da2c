"""The terminal program, measured in a pseudo-terminal and in its own event loop.

A capture of a million frames is opened (first paint, memory, a filter's first screen); one that grows by
1,000 frames a second is watched (from a key to what it draws); the app's event loop is timed with 1,000 and
with 20,000 frames a second arriving, and its rows are counted. The last one is the proxy's: the echo's p50
with the screens open next to that of `--headless`.
"""

import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks.processes import ROOT, BenchError
from tests.support.engine import private_environment
from tests.support.terminal import Terminal
from tests.support.tui_captures import KEY, START_NS, CaptureBuilder, hold_engine_lock, many_frames

FILTERS = ("op:ping", "len>10 dir:s2c")
KEYS = 60
BEAT_S = 0.005
RATES = (1_000, 20_000)


def open_command(capture: Path) -> list[str]:
    """The screens on a capture."""
    return [sys.executable, "-m", "wsinspect", "open", str(capture)]


def measure(folder: Path, frames: int, watch_s: float) -> dict[str, float]:
    """Everything but the proxy's echo; a capture that grows is watched for so many seconds."""
    environment = private_environment(folder / "home")
    capture = many_frames(folder / "screens.db", frames)
    result = _opened(capture, frames, environment)
    capture.unlink()
    result |= _keys(folder, environment, watch_s)
    for rate in RATES:
        result |= _live(folder, rate, watch_s)
    return result


@contextlib.contextmanager
def looking_on(capture: Path, folder: Path) -> Iterator[None]:
    """The screens are open on a capture while the body runs."""
    terminal = Terminal(open_command(capture), environment=private_environment(folder / "home"))
    try:
        terminal.wait_for("FOLLOW")
        yield
    finally:
        terminal.press(b"q")
        terminal.end()


def _opened(capture: Path, frames: int, environment: dict[str, str]) -> dict[str, float]:
    """First paint, memory, and a filter's first screen."""
    paints: list[float] = []
    for _ in range(3):
        terminal = Terminal(open_command(capture), environment=environment)
        try:
            paints.append(terminal.wait_for("├") - terminal.started)
        finally:
            terminal.press(b"q")
            terminal.end()
    terminal = Terminal(open_command(capture), environment=environment)
    try:
        terminal.wait_for("├")
        _wait_until_read(terminal, frames)
        resident = _resident_bytes(terminal.pid)
        answers = [_filter_s(terminal, text) for text in FILTERS]
    finally:
        terminal.press(b"q")
        terminal.end()
    return {
        "frames": frames,
        "first_paint_ms": statistics.median(paints) * 1e3,
        "resident_mb": resident / 1e6,
        "resident_allowed_mb": 60 + 48 * frames / 1e6,
        "filter_ms": max(answers) * 1e3,
    }


def _wait_until_read(terminal: Terminal, frames: int) -> None:
    """End goes to the last frame once it was read."""
    deadline = time.monotonic() + 60
    while True:
        at = terminal.press(b"\x1b[F")
        try:
            terminal.wait_for(f"{frames} ", since=at, timeout=1)
        except TimeoutError:
            if time.monotonic() > deadline:
                raise
            continue
        terminal.press(b"g")
        return


def _filter_s(terminal: Terminal, text: str) -> float:
    """From Enter to the first rows that pass."""
    for _ in range(2):  # ends the scan of the filter before, then clears it
        terminal.press(b"\x1b")
        time.sleep(0.5)
    terminal.forget()
    terminal.press(b"/" + text.encode() + b"\r")
    at = time.monotonic()
    return terminal.wait_for("✓", since=at) - at


def _resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _keys(folder: Path, environment: dict[str, str], watch_s: float) -> dict[str, float]:
    """From a key to what it draws, while frames arrive."""
    capture = folder / "keys.db"
    writer = _writer(capture, RATES[0], watch_s + 4)
    terminal = Terminal(open_command(capture), environment=environment)
    waits = []
    try:
        terminal.wait_for("FOLLOW")
        for number in range(KEYS):
            key, word = ((b"'", "no marks yet"), (b"{", "no gap before"))[number % 2]
            at = terminal.press(key)
            waits.append(terminal.wait_for(word, since=at, timeout=5) - at)
            time.sleep(watch_s / KEYS)
    finally:
        terminal.press(b"q")
        terminal.end()
        writer.wait(30)
        capture.unlink()
    return {"key_p95_ms": sorted(waits)[int(len(waits) * 0.95)] * 1e3}


def _writer(capture: Path, rate: int, seconds: float) -> subprocess.Popen[bytes]:
    """Another process that records frames at a rate; returns once the capture is there."""
    command = [
        sys.executable,
        "-m",
        "tests.benchmarks.screens",
        "write",
        str(capture),
        str(rate),
        str(seconds),
    ]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    if not process.stdout.readline():
        raise BenchError("the writer of the capture ended")
    return process


def _live(folder: Path, rate: int, watch_s: float) -> dict[str, float]:
    """Stalls of the event loop, and rows, while frames arrive."""
    capture = folder / f"live-{rate}.db"
    writer = _writer(capture, rate, watch_s)
    command = [sys.executable, "-m", "tests.benchmarks.screens", "watch", str(capture)]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    writer.wait(30)
    capture.unlink()
    if answer.returncode:
        raise BenchError(f"the screens ended: {answer.stderr.strip()[-300:]}")
    seen = json.loads(answer.stdout)
    return {
        f"stall_p99_ms_{rate}": seen["stall_p99_ms"],
        f"lost_rows_{rate}": int(rate * watch_s) - seen["rows"],
    }


# -- in processes of their own


def write(capture: Path, rate: int, seconds: float) -> None:
    """Record frames at a rate, committed every 50 ms as the recorder does."""
    builder = CaptureBuilder(capture)
    builder.connection(1)
    builder.commit()
    lock = hold_engine_lock(capture)
    print("ready", flush=True)
    payload = b'{"op":"tick","n":1234567}'
    rows = 0
    begun = time.monotonic()
    while rows < rate * seconds:
        due = min(int((time.monotonic() - begun) * rate), int(rate * seconds))
        builder.database.executemany(
            "INSERT INTO frame (id, connection_id, is_s2c, bits, time_ns, span_ns, sent_after_ns, header, "
            "wire_length, payload) VALUES (?, 1, ?, 33153, ?, 0, 0, ?, ?, ?)",
            (
                (number, number & 1, START_NS + number * 10**9 // rate, b"\x81\x99" + KEY, 31, payload)
                for number in range(rows + 1, due + 1)
            ),
        )
        builder.commit()
        rows = due
        time.sleep(0.05)
    time.sleep(1.0)
    builder.close()
    lock.release()


async def watch(capture: Path) -> dict[str, Any]:
    """The app on a growing capture: how late its event loop was, and how many rows it has at the end."""
    from wsinspect.tui.app import InspectApp

    app = InspectApp(capture)
    late: list[float] = []
    async with app.run_test(size=(120, 36)):
        loop = asyncio.get_running_loop()
        model, selection = app.workspace.model, app.workspace.selection
        while model.is_live or not model.has_begun or not selection.view.is_complete:
            due = loop.time() + BEAT_S
            await asyncio.sleep(BEAT_S)
            late.append(loop.time() - due)
        rows = app.workspace.selection.view.matched
    return {"stall_p99_ms": sorted(late)[int(len(late) * 0.99)] * 1e3, "rows": rows}


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
    else:
        print(json.dumps(asyncio.run(watch(Path(sys.argv[2])))))
