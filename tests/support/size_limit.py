"""Traffic under --max-capture-size: its footprint on the disk, watched, and its accounts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.journals import Script, is_sound, play, text
from tests.support.recorder_rig import PATIENCE, Rig, wait_for
from wsinspect.capture.reader import Capture
from wsinspect.journal.budget import LEAST_BYTES
from wsinspect.journal.format import journal_directory
from wsinspect.recorder.opening import open_capture
from wsinspect.vocabulary.events import Fault

MIB = 1 << 20
LIMIT = LEAST_BYTES
#: docs/capture-format.md: "the sum may pass the limit by a sixteenth for moments".
MOST = LIMIT + LIMIT // 16


def footprint(path: Path) -> int:
    """Bytes of the file, its WAL and its journal."""
    total = 0
    for each in (path, Path(f"{path}-wal"), *journal_directory(path).glob("*.seg")):
        try:
            total += each.stat().st_size
        except FileNotFoundError:
            continue  # deleted meanwhile
    return total


class Size:
    """Looks at the footprint all the time; `most` is the largest one seen."""

    def __init__(self, path: Path) -> None:
        self.most = 0
        self._path = path
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._is_over.wait(0.003):
            self.most = max(self.most, footprint(self._path))

    def __enter__(self) -> Size:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()


class Traffic:
    """Feeds a rig, as an engine would: it waits while the journal is full.

    Attributes:
        frames, bytes: data frames by connection, and their payload.
        last: the newest frame's payload.
    """

    def __init__(self, rig: Rig) -> None:
        self._writer = rig.writer
        self._script = Script(meta={"max_capture_size": LIMIT})
        self.frames: dict[int, int] = {}
        self.bytes: dict[int, int] = {}
        self.last = b""
        self._count = 0
        self._play()

    def _play(self) -> None:
        play(self._writer, self._script.steps)
        self._script.steps.clear()

    def open(self, *numbers: int, deflate: bool = False) -> None:
        for number in numbers:
            self._script.open(number, deflate=deflate)
            self.frames[number] = self.bytes[number] = 0
        self._play()

    def close(self, *numbers: int) -> None:
        for number in numbers:
            self._script.end(number)
        self._play()

    def refuse(self, number: int, body: bytes, words: int = 18_000) -> None:
        self._script.attempt(number)
        self._script.head(number, 2, b"HTTP/1.1 403 Forbidden\r\n\r\n")
        self._script.body(number, body)
        self._script.event(number, "refused", status=403, words="x" * words)
        self._script.event(number, "closed")
        self._play()
        self.wait()

    def send(self, number: int, payload: bytes, count: int = 1) -> None:
        """Frames of one connection, as many in a chunk as a socket gives at once."""
        for _ in range(count):
            self._count += 1
            self.last = self._count.to_bytes(8, "big") + payload
            self.frames[number] += 1
            self.bytes[number] += len(self.last)
            self.raw(number, text(self.last, opcode=2))

    def raw(self, number: int, chunk: bytes) -> None:
        self._script.data(number, 0, chunk)
        if len(self._script.steps) >= 200 or len(chunk) > 10_000:
            self._play()
            self.wait()

    def fault(self, number: int) -> None:
        """A fault that acted on the frame of this connection that was sent last."""
        fault = Fault(rule="slow", kind="latency", direction="c2s", frame=self.frames[number] - 1)
        self._play()
        self._writer.event(number, fault, self._script.now)

    def wait(self) -> None:
        wait_for(lambda: not self._writer.is_full, "room in the journal")

    def stop(self) -> None:
        self._script.stop()
        self._play()


def finish(rig: Rig, traffic: Traffic, patience: float = PATIENCE) -> str:
    """A clean end; what the recorder said on stderr."""
    traffic.stop()
    code, _, err = rig.stop(patience)
    assert code == 0, err
    return err


def check_accounts(path: Path, traffic: Traffic) -> None:
    """What is there and what is said to be evicted are together what was sent."""
    assert is_sound(path)
    assert path.stat().st_size <= LIMIT
    with open_capture(path) as capture:
        for one in capture.connections():
            if one.id not in traffic.frames:
                continue
            ((frames, there, size),) = capture.query(
                "SELECT count(*), count(payload), coalesce(sum(length(payload)), 0) FROM frame "
                "WHERE connection_id = ?",
                (one.id,),
            )
            assert one.c2s_frames == traffic.frames[one.id]
            assert frames + one.evicted_frames == one.c2s_frames
            assert there + one.evicted_payloads == one.c2s_frames
            assert size + one.evicted_bytes == traffic.bytes[one.id]
        check_events(capture)
        newest = capture.query("SELECT id, payload FROM frame ORDER BY id DESC LIMIT 1")
        assert newest == [(sum(traffic.frames.values()), traffic.last)]


def check_events(capture: Capture) -> None:
    """The events tell the same as the table, as long as neither had to be given up."""
    details = [event.detail for event in all_events(capture) if event.kind == "evicted"]
    assert details
    assert {detail["limit"] for detail in details} == {LIMIT}
    if any("connections" in detail or "events" in detail for detail in details):
        return
    told = tuple(sum(detail.get(name, 0) for detail in details) for name in ("payloads", "bytes", "frames"))
    assert capture.query("SELECT sum(payloads), sum(bytes), sum(frames) FROM evicted") == [told]


def all_events(capture: Capture) -> Iterator[Any]:
    after = 0
    while page := capture.events(after=after):
        yield from page
        after = page[-1].id
