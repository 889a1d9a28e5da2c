"""The journal: whole records only, in order, whatever the disk or the end of a process does to the files."""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support.journals import START_NS, Foreign, read_all
from wsinspect.journal import reader as journal_reader
from wsinspect.journal import writer as journal_writer
from wsinspect.journal.format import (
    DATA,
    EVENT,
    HEADER,
    JournalInUseError,
    JournalLock,
    Position,
    is_locked,
    journal_directory,
    segment_numbers,
    segment_path,
)
from wsinspect.journal.reader import JournalReader
from wsinspect.journal.writer import JournalWriter
from wsinspect.vocabulary.events import Attempt, Closed


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "x.db.journal"


def records_of(directory: Path) -> list:
    reader = JournalReader(directory)
    records = []
    while more := reader.read():
        records += more
    reader.close()
    return records


def events_of(directory: Path, kind: str) -> list[dict]:
    events = [json.loads(record.payload) for record in records_of(directory) if record.kind == EVENT]
    return [event for event in events if event["event"] == kind]


def fill(fd: int) -> None:
    """Write to a non-blocking pipe until it takes no more."""
    while True:
        try:
            os.write(fd, b"\0" * 4096)
        except BlockingIOError:
            return


def test_journal_directory_is_next_to_the_capture():
    assert journal_directory("a/x.db") == Path("a/x.db.journal")


def test_records_come_back_in_order_with_all_their_facts(directory):
    writer = JournalWriter(directory)
    writer.event(0, Foreign({"event": "engine", "name": "\ud800é"}), START_NS)
    writer.head(7, 4, b"HTTP/1.1 103 Early Hints\r\n\r\n", START_NS + 1, 9)
    writer.data(7, 1, b"abc", START_NS + 2, 1 << 40)
    writer.data(7, 0, b"", START_NS + 3)
    writer.body(7, b"body", START_NS + 4)
    writer.close()

    engine, *rest = records_of(directory)
    assert json.loads(engine.payload) == {"event": "engine", "name": "\ud800é"}
    assert [tuple(record) for record in rest] == [
        (2, 4, 7, START_NS + 1, 9, b"HTTP/1.1 103 Early Hints\r\n\r\n"),
        (1, 1, 7, START_NS + 2, 0xFFFFFFFF, b"abc"),
        (1, 0, 7, START_NS + 3, 0, b""),
        (3, 0, 7, START_NS + 4, 0, b"body"),
    ]


def test_files_are_private(directory):
    JournalWriter(directory).close()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}


def test_records_are_written_without_being_asked(directory):
    drained, wake = os.pipe()
    writer = JournalWriter(directory, wake_fd=wake)
    try:
        for number in range(3):
            writer.data(1, 0, b"x" * number, START_NS)
            assert os.read(drained, 100) == b"\0"
            assert len(records_of(directory)) == number + 1
    finally:
        writer.close()
        os.close(wake)
        os.close(drained)


def test_a_full_or_broken_wake_pipe_does_no_harm(directory):
    drained, wake = os.pipe()
    os.set_blocking(wake, False)
    fill(wake)
    writer = JournalWriter(directory, wake_fd=wake)
    writer.data(1, 0, b"a", START_NS)
    assert writer.flush()
    os.close(drained)
    writer.data(1, 0, b"b", START_NS)
    assert writer.flush()
    writer.set_wake_fd(None)
    os.close(wake)
    writer.data(1, 0, b"c", START_NS)
    writer.close()
    assert [record.payload for record in records_of(directory)] == [b"a", b"b", b"c"]


def test_a_new_segment_begins_when_one_is_full(directory):
    writer = JournalWriter(directory, segment_bytes=1000)
    for number in range(50):
        writer.data(1, 0, bytes([number]) * 100, START_NS)
        writer.flush()
    writer.close()
    assert len(segment_numbers(directory)) == 6
    assert [record.payload[0] for record in records_of(directory)] == list(range(50))


def test_a_second_run_continues_after_the_segments_there_are(directory):
    for payload, first in ((b"one", 1), (b"two", 1), (b"three", 9)):
        writer = JournalWriter(directory, first_segment=first)
        writer.data(1, 0, payload, START_NS)
        writer.close()
    assert segment_numbers(directory) == [1, 2, 9]
    assert [record.payload for record in records_of(directory)] == [b"one", b"two", b"three"]


def test_only_one_engine_writes_and_its_lock_shows_that_it_runs(directory):
    writer = JournalWriter(directory)
    assert is_locked(directory, "engine.lock")
    with pytest.raises(JournalInUseError, match="held by another process"):
        JournalWriter(directory)
    writer.close()
    writer.close()
    assert not is_locked(directory, "engine.lock")
    assert not is_locked(directory / "nowhere", "engine.lock")
    lock = JournalLock(directory, "engine.lock")
    lock.release()
    lock.release()


def test_a_segment_that_cannot_be_created_gives_the_lock_back(directory, monkeypatch):
    directory.mkdir()
    segment_path(directory, 1).mkdir()
    monkeypatch.setattr(journal_writer, "segment_numbers", lambda directory: [])
    with pytest.raises(FileExistsError):
        JournalWriter(directory)
    assert not is_locked(directory, "engine.lock")


# -- torn tails


def test_reader_stops_at_the_last_whole_record_for_every_length_of_the_tail(directory):
    writer = JournalWriter(directory)
    payloads = [b"a" * 5, b"", b"c" * 40, b"dd"]
    for payload in payloads:
        writer.data(1, 0, payload, START_NS)
    writer.close()
    path = segment_path(directory, 1)
    whole = path.read_bytes()
    ends = [sum(24 + len(p) for p in payloads[: n + 1]) for n in range(len(payloads))]
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        reader = JournalReader(directory)
        records = reader.read()
        complete = sum(end <= length for end in ends)
        assert [record.payload for record in records] == payloads[:complete], length
        assert reader.read() == []
        assert reader.position == Position(1, ends[complete - 1] if complete else 0)
        assert reader.skip_rest() == length - reader.position.offset
        # The rest arrives: the reader goes on as if nothing had been.
        path.write_bytes(whole)
        assert [record.payload for record in reader.read()] == payloads[complete:]
        reader.close()


def test_a_torn_tail_is_skipped_once_there_is_a_later_segment(directory):
    for payload in (b"first", b"second"):
        writer = JournalWriter(directory)
        writer.data(1, 0, payload, START_NS)
        writer.close()
    with segment_path(directory, 1).open("ab") as file:
        file.write(HEADER.pack(100, DATA, 0, 0, 1, START_NS, 0) + b"torn")
    reader = JournalReader(directory)
    assert [record.payload for record in reader.read()] == [b"first"]
    assert [record.payload for record in reader.read()] == [b"second"]
    assert reader.damaged_bytes == 28
    reader.close()


def test_a_record_completed_just_before_the_next_segment_is_not_lost(directory, monkeypatch):
    writer = JournalWriter(directory)
    writer.data(1, 0, b"first", START_NS)
    writer.close()
    reader = JournalReader(directory)
    assert len(reader.read()) == 1
    late = HEADER.pack(4, DATA, 0, 0, 1, START_NS, 0) + b"late"
    original = reader._read_segment
    seen: list[bool] = []

    def read_then_write(limit: int) -> list:
        records = original(limit)
        if not seen:
            seen.append(True)
            with segment_path(directory, 1).open("ab") as file:
                file.write(late)
            segment_path(directory, 2).write_bytes(late)
        return records

    monkeypatch.setattr(reader, "_read_segment", read_then_write)
    assert [record.payload for record in reader.read()] == [b"late"]
    assert [record.payload for record in reader.read()] == [b"late"]
    assert reader.position.segment == 2
    reader.close()


@pytest.mark.parametrize("garbage", [b"\0" * 100, b"\xff" * 100, HEADER.pack(1 << 31, DATA, 0, 0, 1, 0, 0)])
def test_bytes_that_are_not_a_record_end_a_segment(directory, garbage):
    writer = JournalWriter(directory)
    writer.data(1, 0, b"good", START_NS)
    writer.close()
    with segment_path(directory, 1).open("ab") as file:
        file.write(garbage)
    reader = JournalReader(directory)
    assert [record.payload for record in reader.read()] == [b"good"]
    assert reader.read() == []
    writer = JournalWriter(directory)
    writer.data(1, 0, b"after", START_NS)
    writer.close()
    assert [record.payload for record in reader.read()] == [b"after"]
    assert reader.damaged_bytes == len(garbage)
    reader.close()


def test_a_record_larger_than_a_read_is_read_whole(directory):
    writer = JournalWriter(directory)
    writer.data(1, 0, b"big" * 1000, START_NS)
    writer.data(1, 0, b"small", START_NS)
    writer.close()
    reader = JournalReader(directory)
    assert reader.read(100)[0].payload == b"big" * 1000
    assert reader.read(100)[0].payload == b"small"
    assert reader.read(100) == []
    reader.close()


def test_a_header_block_too_large_for_a_record_is_cut_and_costs_nothing_else(directory, monkeypatch):
    monkeypatch.setattr(journal_writer, "MAX_RECORD_BYTES", 1000)
    monkeypatch.setattr(journal_reader, "MAX_RECORD_BYTES", 1000)
    writer = JournalWriter(directory)
    writer.head(1, 0, b"a" * 1001, START_NS)
    writer.data(2, 0, b"another's", START_NS)
    writer.close()
    assert [record.payload for record in records_of(directory)] == [b"a" * 1000, b"another's"]


def test_reader_continues_at_a_position_and_deletes_what_is_done(directory):
    writer = JournalWriter(directory, segment_bytes=1)
    for number in range(4):
        writer.data(1, 0, b"%d" % number, START_NS)
        writer.flush()
    writer.close()
    reader = JournalReader(directory, Position(2, 0))
    assert [record.payload for record in reader.read()] == [b"1"]
    assert reader.start == Position(2, 0)
    assert reader.delete_finished() == 1
    assert segment_numbers(directory) == [2, 3, 4]
    assert reader.read()[0].payload == b"2"
    assert reader.delete_finished(before=3) == 1
    reader.close()
    # A position in a segment that is gone means the next one.
    late = JournalReader(directory, Position(2, 999))
    assert late.read()[0].payload == b"2"
    late.close()


def test_an_absent_journal_has_nothing_to_read(tmp_path):
    reader = JournalReader(tmp_path / "none")
    assert reader.read() == []
    assert reader.skip_rest() == 0
    assert reader.delete_finished() == 0
    reader.close()


# -- a disk that does not take it


class Disk:
    """Stands between the writer and the kernel: takes so many bytes, then fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int, error: int = errno.ENOSPC) -> None:
        self.room = room
        self.error = error
        self.can_truncate = True
        self._writev, self._write, self._truncate = os.writev, os.write, os.ftruncate
        monkeypatch.setattr(os, "writev", self.writev)
        monkeypatch.setattr(os, "write", self.write)
        monkeypatch.setattr(os, "ftruncate", self.ftruncate)

    def writev(self, fd: int, buffers: list) -> int:
        return self.write(fd, b"".join(buffers))

    def write(self, fd: int, data: bytes) -> int:
        if data and self.room <= 0:
            raise OSError(self.error, os.strerror(self.error))
        done = self._write(fd, bytes(data[: self.room]))
        self.room -= done
        return done

    def ftruncate(self, fd: int, length: int) -> None:
        if not self.can_truncate:
            raise OSError(errno.EIO, "truncate")
        self._truncate(fd, length)


@pytest.mark.parametrize("room", range(0, 130, 7))
def test_a_full_disk_costs_whole_records_and_is_said(directory, monkeypatch, room):
    said: list = []
    writer = JournalWriter(directory, on_unstored=lambda size, reason: said.append((size, reason)))
    disk = Disk(monkeypatch, room)
    for number in range(5):
        writer.data(3, number % 2, bytes([number]) * 10, START_NS)
    assert writer.flush()
    assert writer.backlog_bytes == 0
    stored = min(5, room // 34)
    assert [record.payload[0] for record in records_of(directory)] == list(range(stored))
    assert segment_path(directory, 1).stat().st_size == stored * 34
    assert said == [((5 - stored) * 10, os.strerror(errno.ENOSPC))]
    assert writer.unstored_bytes == (5 - stored) * 10

    disk.room = 1 << 30
    writer.data(3, 0, b"again", START_NS)
    writer.close()
    (event,) = events_of(directory, "unstored")
    lost = sorted({(3, number % 2) for number in range(stored, 5)})
    assert event == {
        "event": "unstored",
        "bytes": (5 - stored) * 10,
        "records": 5 - stored,
        "reason": os.strerror(errno.ENOSPC),
        "streams": [list(stream) for stream in lost],
        "stream_bytes": [10 * sum(n % 2 == side for n in range(stored, 5)) for _, side in lost],
        "connections": [],
    }
    assert records_of(directory)[-1].payload == b"again"
    assert len(said) == 1


def test_header_blocks_and_events_are_kept_for_later_while_the_disk_is_full(directory, monkeypatch):
    writer = JournalWriter(directory)
    disk = Disk(monkeypatch, 0, errno.EIO)
    writer.event(1, Attempt(), START_NS)
    writer.data(1, 0, b"lost", START_NS)
    assert writer.flush()
    writer.head(1, 0, b"HEAD", START_NS)
    writer.event(1, Closed(), START_NS)
    writer.body(1, b"lost too", START_NS)
    assert writer.flush()
    disk.room = 1 << 30
    writer.data(2, 0, b"new", START_NS)
    writer.close()
    records = records_of(directory)
    assert json.loads(records[0].payload)["event"] == "unstored"
    assert json.loads(records[0].payload)["bytes"] == 12
    assert [record.payload for record in records[2:3]] == [b"HEAD"]
    assert [json.loads(record.payload)["event"] for record in (records[1], records[3])] == [
        "attempt",
        "closed",
    ]
    assert records[4].payload == b"new"


def test_a_report_that_fails_half_way_is_finished_later(directory, monkeypatch):
    writer = JournalWriter(directory)
    disk = Disk(monkeypatch, 0)
    writer.data(1, 0, b"lost", START_NS)
    writer.head(1, 0, b"first head", START_NS)
    writer.head(1, 1, b"second head", START_NS)
    assert writer.flush()
    disk.room = 170  # enough for the report and the first head
    writer.data(1, 0, b"lost as well", START_NS)
    assert writer.flush()
    disk.room = 1 << 30
    writer.data(1, 0, b"new", START_NS)
    writer.close()
    payloads = [record.payload for record in records_of(directory)]
    assert [payload for payload in payloads if b"head" in payload] == [b"first head", b"second head"]
    assert [event["bytes"] for event in events_of(directory, "unstored")] == [4, 12]
    assert payloads[-1] == b"new"


def test_kept_records_are_bounded(directory, monkeypatch):
    monkeypatch.setattr(journal_writer, "KEPT_BYTES", 100)
    writer = JournalWriter(directory)
    disk = Disk(monkeypatch, 0)
    for number in range(10):
        writer.head(1, 0, b"%d" % number * 10, START_NS)
    assert writer.flush()
    disk.room = 1 << 30
    writer.close()
    assert [record.payload[:1] for record in records_of(directory)[1:]] == [b"0", b"1"]
    assert events_of(directory, "unstored")[0]["records"] == 8


def test_a_tail_that_cannot_be_cut_off_ends_its_segment(directory, monkeypatch):
    writer = JournalWriter(directory)
    writer.data(1, 0, b"whole", START_NS)
    writer.flush()
    disk = Disk(monkeypatch, 30)
    disk.can_truncate = False
    writer.data(1, 0, b"torn record", START_NS)
    assert writer.flush()
    disk.room = 1 << 30
    writer.data(1, 0, b"next", START_NS)
    writer.close()
    assert segment_numbers(directory) == [1, 2]
    assert [record.payload for record in records_of(directory) if record.kind == DATA] == [b"whole", b"next"]


def test_a_segment_that_cannot_be_begun_is_tried_again(directory, monkeypatch):
    writer = JournalWriter(directory, segment_bytes=1)
    writer.data(1, 0, b"one", START_NS)
    assert writer.flush()
    real = os.open

    def refuse(path, *arguments, **options):
        if str(path).endswith(".seg"):
            raise OSError(errno.ENOSPC, "no room")
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)
    writer.data(1, 0, b"lost", START_NS)
    assert writer.flush()
    monkeypatch.setattr(os, "open", real)
    writer.data(1, 0, b"two", START_NS)
    writer.close()
    assert [record.payload for record in records_of(directory) if record.kind == DATA] == [b"one", b"two"]


def test_a_real_limit_on_file_size_behaves_like_a_full_disk(directory):
    code = """
import resource, signal, sys
from wsinspect.journal.writer import JournalWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
writer = JournalWriter(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
for number in range(100):
    writer.data(1, 0, b"x" * 200, 1)
assert writer.flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
writer.data(1, 0, b"y" * 200, 1)
writer.close()
"""
    subprocess.run([sys.executable, "-c", code, directory], check=True, timeout=60)
    records = records_of(directory)
    (event,) = events_of(directory, "unstored")
    kept = sum(record.kind == DATA for record in records)
    assert kept == 10_000 // 224 + 1
    assert event["records"] == 101 - kept
    assert event["bytes"] == 200 * event["records"]


# -- pressure


def test_a_backlog_is_reported_full_and_then_drained(directory, monkeypatch):
    gate = threading.Event()
    drained = threading.Event()
    real = os.writev

    def slow(fd, buffers):
        assert gate.wait(30)
        return real(fd, buffers)

    monkeypatch.setattr(os, "writev", slow)
    writer = JournalWriter(directory, backlog_limit=10_000, on_drained=drained.set)
    seen = [writer.is_full]
    for _ in range(11):
        writer.data(1, 0, b"x" * 1000, START_NS)
    seen.append(writer.is_full)
    assert writer.backlog_bytes == 11 * 1024
    assert not drained.is_set()
    gate.set()
    assert drained.wait(30)
    seen.append(writer.is_full)
    writer.close()
    assert seen == [False, True, False]
    assert len(records_of(directory)) == 11


class Chunk(bytes):
    """A chunk that counts how many there are."""

    alive = 0

    def __init__(self, _: bytes) -> None:
        Chunk.alive += 1

    def __del__(self) -> None:
        Chunk.alive -= 1


def test_what_is_written_of_a_backlog_is_in_memory_no_longer(directory, monkeypatch):
    gate, real = threading.Event(), os.writev
    alive = []

    def watched(fd, buffers):
        assert gate.wait(30)
        alive.append(Chunk.alive)
        return real(fd, buffers)

    monkeypatch.setattr(os, "writev", watched)
    writer = JournalWriter(directory, segment_bytes=40_000)
    writer.data(1, 0, b"the thread is busy with this one", START_NS)
    while writer._buffers:
        threading.Event().wait(0.001)
    for number in range(100):
        writer.data(1, 0, Chunk(number.to_bytes(1000, "big")), START_NS)
    gate.set()
    writer.close()
    # Of each group that is written the one before it is let go last.
    assert alive[1:] == sorted(alive[1:], reverse=True)
    assert alive[1] == 100
    assert alive[-1] <= 40
    chunks = [record.payload for record in records_of(directory)][1:]
    assert chunks == [number.to_bytes(1000, "big") for number in range(100)]


def test_a_disk_slower_than_close_keeps_the_lock(directory, monkeypatch):
    gate = threading.Event()
    real = os.writev

    def slow(fd, buffers):
        assert gate.wait(30)
        return real(fd, buffers)

    monkeypatch.setattr(os, "writev", slow)
    writer = JournalWriter(directory)
    writer.data(1, 0, b"x", START_NS)
    assert not writer.close(timeout=0.01)
    assert is_locked(directory, "engine.lock")
    gate.set()
    writer._thread.join(30)
    assert not is_locked(directory, "engine.lock"), "given back by the thread: nobody has to call close again"
    assert writer.close()
    assert len(records_of(directory)) == 1


def test_close_waits_as_long_as_something_is_written(directory, monkeypatch):
    real, ticks = os.writev, threading.Semaphore(0)

    def slow(fd, buffers):
        assert ticks.acquire(timeout=30)
        return real(fd, buffers)

    monkeypatch.setattr(os, "writev", slow)
    monkeypatch.setattr(journal_writer, "_BUFFERS_A_WRITE", 2)
    writer = JournalWriter(directory)
    monkeypatch.setattr(writer, "_thread", Joined(writer._thread, ticks.release))
    for _ in range(5):
        writer.data(1, 0, b"x", START_NS)
    assert writer.close(timeout=0.05)
    assert not is_locked(directory, "engine.lock")
    assert len(records_of(directory)) == 5


class Joined:
    """A thread, each join of which lets it write once more."""

    def __init__(self, thread, release):
        self._thread, self._release = thread, release
        self.is_alive = thread.is_alive

    def join(self, timeout):
        self._release()
        self._thread.join(timeout)


def test_an_event_loop_that_is_closed_already_does_no_harm(directory, monkeypatch):
    def gone(*facts):
        raise RuntimeError("Event loop is closed")

    writer = JournalWriter(directory, backlog_limit=0, on_unstored=gone, on_drained=gone)
    disk = Disk(monkeypatch, 0)
    writer.data(1, 0, b"x", START_NS)
    assert writer.is_full
    assert writer.flush()
    disk.room = 1 << 30
    writer.data(1, 0, b"y", START_NS)
    assert writer.close()
    assert records_of(directory)[-1].payload == b"y"


def test_a_backlog_in_memory_only_writes_all_of_it(directory):
    writer = JournalWriter(directory)
    for number in range(5000):
        writer.data(number, 0, b"%d" % number, START_NS)
    writer.close()
    assert [record.connection for record in records_of(directory)] == list(range(5000))


def test_a_writer_killed_at_any_moment_leaves_whole_records(directory):
    code = """
import sys
from wsinspect.journal.writer import JournalWriter
writer = JournalWriter(sys.argv[1], segment_bytes=100_000)
print("ready", flush=True)
number = 0
while True:
    writer.data(1, 0, number.to_bytes(8, "big") * 50, 1)
    number += 1
    if number % 500 == 0:
        writer.flush()
        if number == 2000:
            print("going", flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", code, directory], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    assert process.stdout.readline() == "going\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not is_locked(directory, "engine.lock")
    numbers = [int.from_bytes(record.payload[:8], "big") for record in records_of(directory)]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= 2000


def test_read_all_helper_reads_what_belongs_to_a_capture(tmp_path):
    writer = JournalWriter(journal_directory(tmp_path / "c.db"))
    writer.data(1, 0, b"x", START_NS)
    writer.close()
    assert len(read_all(tmp_path / "c.db")) == 1


def test_the_journal_needs_the_standard_library_only():
    code = (
        "import sys; import wsinspect.journal.reader, wsinspect.journal.writer; "
        "print([m for m in sys.modules if m.split('.')[0] in ('mitmproxy', 'wsproto', 'h11', 'sqlite3')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
    assert HEADER.size == 24
