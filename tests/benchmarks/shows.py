"""``show --filter`` over a large capture: when its first screen is there, and when it is done.

The capture has twenty connections at once: JSON texts of 60 to 180 B, one frame in fifty binary, one in fifty
a PING or its PONG, one in five hundred a fragment. Each filter is timed as a user's command, from its start;
its output goes to a pipe whose other end only counts.
"""

import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tests.benchmarks.processes import ROOT, BenchError
from tests.support.engine import private_environment
from tests.support.tui_captures import KEY, START_NS, CaptureBuilder

#: Name of the metric, filter, and what share of the frames it lets pass, about.
FILTERS = (
    ("sparse", "len>1KiB", 0.0),
    ("regex", r"body~/room-1\d.*7,/", 0.05),
    ("half", "dir:s2c", 0.5),
    ("half_regex", r'body~/"n":\d*[02468],/', 0.47),
    ("all", "len>=0", 1.0),
)
#: Lines of a screen.
SCREEN = 40
#: No command runs again that has taken so long already.
ENOUGH_S = 3.0
_CONNECTIONS = 20
_BATCH = 50_000
_INSERT = (
    "INSERT INTO frame (id, connection_id, is_s2c, bits, time_ns, span_ns, sent_after_ns, header, "
    "wire_length, payload, message_id) VALUES (?, ?, ?, ?, ?, 0, 20000, ?, ?, ?, ?)"
)
_PING = (
    "INSERT INTO ping (ping_frame, connection_id, leg, pong_frame, rtt_ns) "
    "VALUES (?, ?, 'client', ?, 1000000)"
)
_TEXT, _BINARY, _PING_BITS, _PONG_BITS = 0x8100, 0x8200, 0x8900, 0x8A00
_FIRST, _LAST = 0x0100, 0x8000
_MASKED = 0x80


def million(path: Path, frames: int = 1_000_000) -> Path:
    """A capture of so many frames of all ordinary kinds."""
    rng = random.Random(7)
    with CaptureBuilder(path) as builder:
        for number in range(1, _CONNECTIONS + 1):
            builder.connection(number)
            builder.handshake(number)
        rows = _rows(rng, frames)
        while batch := [row for _, row in zip(range(_BATCH), rows, strict=False)]:
            builder.database.executemany(_INSERT, batch)
            pings = [(row[0], row[1], row[0] + 1) for row in batch if row[3] & 0xFF00 == _PING_BITS]
            builder.database.executemany(_PING, pings)
            builder.commit()
    return path


def _rows(rng: random.Random, frames: int) -> Iterator[tuple[Any, ...]]:
    """Rows of frames; a PING is followed by its PONG, a first fragment by the last one."""
    number = 0
    while number < frames:
        number += 1
        connection, side = rng.randrange(1, _CONNECTIONS + 1), rng.randrange(2)
        kind = rng.random()
        if kind < 0.01:
            yield _row(number, connection, 1, _PING_BITS, b"%d" % number, None)
            number += 1
            yield _row(number, connection, 0, _PONG_BITS, b"%d" % (number - 1), None)
        elif kind < 0.03:
            yield _row(number, connection, side, _BINARY, rng.randbytes(rng.randrange(16, 600)), number)
        elif kind < 0.031:
            yield _row(number, connection, side, _FIRST, b'{"half":', number)
            number += 1
            yield _row(number, connection, side, _LAST, b"true}", number - 1)
        else:
            size = 2000 if kind > 0.9999 else rng.randrange(120)
            words = b'{"op":"tick","room":"room-%d","n":%d,"price":%d,"note":"%s"}'
            payload = words % (rng.randrange(40), number, rng.randrange(10**6), b"x" * size)
            yield _row(number, connection, side, _TEXT, payload, number)


def _row(
    number: int, connection: int, side: int, bits: int, payload: bytes, message: int | None
) -> tuple[Any, ...]:
    length = len(payload)
    second = 126 if length > 125 else length
    head = bytes((bits >> 8, second | (0 if side else _MASKED)))
    header = head + (length.to_bytes(2, "big") if second == 126 else b"") + (b"" if side else KEY)
    bits |= header[1]
    time_ns = START_NS + number * 50_000
    return number, connection, side, bits, time_ns, header, len(header) + length, payload, message


def measure(folder: Path, frames: int, repeats: int) -> dict[str, float]:
    """The medians of so many runs of each filter, as text; of the one that lets half pass also as JSON."""
    environment = private_environment(folder / "home")
    capture = million(folder / "show.db", frames)
    result: dict[str, float] = {"frames": frames}
    timed = partial(_timed, capture, environment, repeats)
    # Without a filter: the list of connections, and the frames of one.
    result["plain_ms"] = max(timed(*which)[0] for which in ((), ("1",))) * 1e3
    firsts: list[float] = []
    for name, flt, _ in FILTERS:
        first, whole = timed("--filter", flt)
        result[f"{name}_s"] = whole
        firsts.append(first)
    result["json_s"] = timed("--filter", FILTERS[2][1], "--json")[1]
    result["first_ms"] = max(firsts) * 1e3
    capture.unlink()
    return result


def _timed(capture: Path, environment: dict[str, str], repeats: int, *arguments: str) -> tuple[float, float]:
    """Seconds until a screen of lines, or all, was there; and until the end."""
    runs: list[tuple[float, float]] = []
    while len(runs) < repeats and sum(whole for _, whole in runs) < ENOUGH_S:
        runs.append(_run(capture, environment, *arguments))
    firsts, wholes = zip(*runs, strict=True)
    return statistics.median(firsts), statistics.median(wholes)


def _run(capture: Path, environment: dict[str, str], *arguments: str) -> tuple[float, float]:
    begun = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "wsinspect", "show", str(capture), *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    lines, first = 0, 0.0
    while piece := os.read(process.stdout.fileno(), 1 << 20):
        # Less than a screen is there with its last line: a check of the file comes after that.
        if lines < SCREEN:
            first = time.monotonic() - begun
        lines += piece.count(b"\n")
    process.stdout.close()
    if process.wait(60):
        raise BenchError(f"show {' '.join(arguments)} ended with {process.returncode}")
    whole = time.monotonic() - begun
    return first, whole
