"""Traces as files, as pipes, and while they grow."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.packets import CLIENT, REQUEST, SERVER, Tcp, Wire, said
from wsinspect.capture.reader import Capture
from wsinspect.capture.records import Note
from wsinspect.diagnosis.facts import diagnose
from wsinspect.errors import CaptureError
from wsinspect.formats.importing import PacketOptions, import_file, sniff
from wsinspect.formats.packets.trace import KeyLogFile
from wsinspect.formats.staging import Feed
from wsinspect.journal.format import is_in_use, journal_directory


def chat() -> Wire:
    wire = Wire()
    tcp = Tcp(wire).upgrade()
    tcp.send(SERVER, said(b"hello"))
    tcp.send(CLIENT, said(b"hi", masked=True))
    return wire


def count(path: Path) -> int:
    with Capture.open(path) as capture:
        return capture.count("frame")


def test_they_are_recognised(tmp_path: Path) -> None:
    for name, data in (("a.pcap", chat().pcap()), ("a.bin", chat().pcapng(order=">"))):
        (tmp_path / name).write_bytes(data)
        assert sniff(tmp_path / name) == "packets"
    (tmp_path / "a.gz").write_bytes(b"\x1f\x8b\x08\0")
    with pytest.raises(CaptureError, match="is compressed") as caught:
        sniff(tmp_path / "a.gz")
    assert caught.value.hint == f"gunzip -c {tmp_path / 'a.gz'} | wsinspect import -"


def test_a_trace_that_is_cut_off_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    (tmp_path / "a.pcap").write_bytes(chat().pcap()[:-5])
    notes = import_file(tmp_path / "a.pcap", tmp_path / "a.db")
    assert [*notes.lines()] == ["the trace is cut off in the middle of a packet: read as far as it goes"]
    assert count(tmp_path / "a.db") == 1
    assert not journal_directory(tmp_path / "a.db").exists()


def test_nothing_is_left_of_a_damaged_one(tmp_path: Path) -> None:
    (tmp_path / "a.pcapng").write_bytes(chat().pcapng()[:200] + b"\xff" * 400)
    with pytest.raises(CaptureError, match="is damaged"):
        import_file(tmp_path / "a.pcapng", tmp_path / "a.db")
    assert [one.name for one in tmp_path.iterdir()] == ["a.pcapng"]


def test_a_trace_without_packets(tmp_path: Path) -> None:
    (tmp_path / "a.pcap").write_bytes(Wire().pcap())
    assert import_file(tmp_path / "a.pcap", tmp_path / "a.db").connections == 0


@pytest.fixture
def growing(tmp_path: Path) -> Iterator[tuple[Path, list[int], threading.Thread]]:
    """An import that follows a file, and what ends it."""
    trace, asked = tmp_path / "a.pcapng", [0]
    trace.write_bytes(chat().pcapng())
    options = PacketOptions(follow=True, stop=lambda: asked[0])
    thread = threading.Thread(
        target=import_file, args=(trace, tmp_path / "a.db"), kwargs={"packets": options}, daemon=True
    )
    thread.start()
    yield trace, asked, thread
    asked[0] = 2
    thread.join(20)


def until(path: Path, frames: int) -> None:
    """Wait until the capture has so many frames."""
    waited = threading.Event()
    for _ in range(400):
        if path.exists() and path.stat().st_size and is_in_use(path) and count(path) == frames:
            return
        waited.wait(0.05)
    raise AssertionError(f"the capture never had {frames} frames")


def test_a_file_that_grows_is_followed(
    tmp_path: Path, growing: tuple[Path, list[int], threading.Thread]
) -> None:
    trace, asked, thread = growing
    until(tmp_path / "a.db", 2)
    wire = chat()
    tcp = Tcp(wire, client=("10.0.0.7", 7)).upgrade()
    tcp.send(SERVER, said(b"more"))
    old, new = chat().pcapng(), wire.pcapng()
    with trace.open("ab") as file:
        file.write(new[len(old) : -30])
        file.flush()
        file.write(new[-30:])
    until(tmp_path / "a.db", 3)
    asked[0] = 1
    thread.join(20)
    assert count(tmp_path / "a.db") == 3
    assert not journal_directory(tmp_path / "a.db").exists()
    with Capture.open(tmp_path / "a.db") as capture:
        assert not capture.is_live
        assert capture.meta["closed_cleanly"]


def refusals() -> Wire:
    """A WebSocket that is reset, and one that is refused."""
    wire = chat()
    tcp = Tcp(wire, client=("10.0.0.1", 5001))
    tcp.send(CLIENT, REQUEST)
    tcp.send(SERVER, b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
    tcp.fin(SERVER)
    return wire


def stored(path: Path) -> list[str]:
    with Capture.open(path) as capture:
        return [rule for (rule,) in capture.query("SELECT rule FROM finding ORDER BY rule")]


def test_findings_are_stored_and_are_those_of_diagnose(tmp_path: Path) -> None:
    (tmp_path / "a.pcap").write_bytes(refusals().pcap())
    told: list[Note] = []
    import_file(tmp_path / "a.pcap", tmp_path / "a.db", found=told.extend)
    with Capture.open(tmp_path / "a.db") as capture:
        expected = sorted(one.id for one in diagnose(capture.query))
    assert expected
    assert stored(tmp_path / "a.db") == sorted(one["id"] for one in told) == expected
    assert [path.name for path in tmp_path.glob("a.db*")] == ["a.db"]
    import_file(tmp_path / "a.pcap", tmp_path / "b.db")
    assert stored(tmp_path / "b.db") == []


def test_the_same_trace_gives_the_same_findings_in_the_same_order(tmp_path: Path) -> None:
    wire = Wire()
    for port in range(5001, 5011):
        tcp = Tcp(wire, client=("10.0.0.1", port))
        tcp.upgrade()
        tcp.fin(CLIENT)
        tcp.fin(SERVER)
    (tmp_path / "a.pcap").write_bytes(wire.pcap())
    import_file(tmp_path / "a.pcap", tmp_path / "a.db", found=lambda _: None)
    with Capture.open(tmp_path / "a.db") as capture:
        places = capture.query("SELECT connection_id, rule FROM finding ORDER BY id")
    assert len({connection for connection, _ in places}) == 10
    assert places == sorted(places)


def test_findings_come_while_packets_come_in(tmp_path: Path) -> None:
    trace, asked, told = tmp_path / "a.pcap", [0], threading.Event()
    trace.write_bytes(refusals().pcap())
    options = PacketOptions(follow=True, stop=lambda: asked[0])
    settings: dict[str, Any] = {"packets": options, "found": lambda notes: told.set()}
    thread = threading.Thread(
        target=import_file, args=(trace, tmp_path / "a.db"), kwargs=settings, daemon=True
    )
    thread.start()
    try:
        assert told.wait(20)
        assert is_in_use(tmp_path / "a.db")
        assert stored(tmp_path / "a.db")
    finally:
        asked[0] = 2
        thread.join(20)


def test_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    data = chat().pcap()

    def write() -> None:
        with (tmp_path / "pipe").open("wb", 0) as pipe:
            for place in range(0, len(data), 13):
                pipe.write(data[place : place + 13])

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    notes = import_file(tmp_path / "pipe", tmp_path / "a.db", packets=PacketOptions(stop=lambda: 1))
    thread.join(20)
    assert (notes.connections, notes.frames) == (1, 2)


def test_a_pipe_on_stdin_that_is_followed_ends_with_its_writer(tmp_path: Path) -> None:
    """`ssh web1 tcpdump -U -w - | wsinspect import - --follow`, and ssh is gone."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as pipe:
        pipe.write(chat().pcap())
    options = PacketOptions(follow=True, stop=lambda: 0)
    with os.fdopen(reading, "rb") as stdin, pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", SimpleNamespace(buffer=stdin))
        notes = import_file(Path("-"), tmp_path / "a.db", packets=options)
    assert (notes.connections, notes.frames) == (1, 2)


@pytest.mark.parametrize("taps", [{}, {"80": "edge", "3000": "origin"}])
def test_both_sides_of_a_hop_are_one_finding_while_packets_come_in(
    tmp_path: Path, taps: dict[str, str]
) -> None:
    """`tcpdump -i any` next to nginx, which takes Upgrade away: nobody had told which taps there are."""
    wire = Wire()
    edge = Tcp(wire, server=("10.0.0.2", 80)).open()
    origin = Tcp(wire, client=("10.0.0.2", 60000), server=("10.0.0.3", 3000)).open()
    edge.send(CLIENT, REQUEST)
    origin.send(CLIENT, REQUEST.replace(b"Upgrade: websocket\r\nConnection: Upgrade", b"Connection: close"))
    for one in (origin, edge):
        one.send(SERVER, b"HTTP/1.1 426 Upgrade Required\r\nServer: nginx\r\nContent-Length: 0\r\n\r\n")
        one.fin(SERVER)
        one.fin(CLIENT)
    trace, asked, told = tmp_path / "a.pcap", [0], threading.Event()
    trace.write_bytes(wire.pcap())
    said: list[str] = []

    def found(notes: list[Note]) -> None:
        said.extend(one["id"] for one in notes)
        told.set()

    options = PacketOptions(taps=taps, follow=True, stop=lambda: asked[0])
    thread = threading.Thread(
        target=import_file,
        args=(trace, tmp_path / "a.db"),
        kwargs={"packets": options, "found": found},
        daemon=True,
    )
    thread.start()
    try:
        assert told.wait(20)
        assert said == ["WS-HS-101"]
    finally:
        asked[0] = 2
        thread.join(20)


def test_a_second_request_to_stop_ends_the_reading_of_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    descriptor = os.open(tmp_path / "pipe", os.O_RDWR)
    os.write(descriptor, chat().pcap())
    asked = [0]

    def stop() -> int:
        asked[0] += 1
        return 2 if asked[0] > 3 else 0

    try:
        notes = import_file(tmp_path / "pipe", tmp_path / "a.db", packets=PacketOptions(stop=stop))
    finally:
        os.close(descriptor)
    assert (notes.connections, notes.frames) == (1, 2)


def test_secrets_that_are_written_while_it_runs(tmp_path: Path) -> None:
    path = tmp_path / "keys.log"
    line = f"CLIENT_RANDOM {'ab' * 32} {'cd' * 48}\n"
    path.write_text("# a comment\n" + line)
    log = KeyLogFile(path)
    assert log.get(b"\xab" * 32) == {"master": b"\xcd" * 48}
    assert log.get(b"\x12" * 32) is None
    with path.open("a") as file:
        file.write(line.replace("ab", "12")[:-20])
        file.flush()
        assert log.get(b"\x12" * 32) is None
        file.write(line[-20:])
    assert log.get(b"\x12" * 32) == {"master": b"\xcd" * 48}


def test_a_file_without_secrets_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("hello\n")
    with pytest.raises(CaptureError, match="has no TLS secrets"):
        KeyLogFile(tmp_path / "a")
    with pytest.raises(CaptureError, match="cannot read"):
        KeyLogFile(tmp_path / "b")


class Weighed:
    """An indexer that notes what it gets at once, and when it is to commit."""

    is_restartable = True
    weight = 0

    def __init__(self) -> None:
        self.done: list[int | str] = []

    def add_data(self, _connection: int, _side: int, _time_ns: int, data: bytes) -> None:
        self.done.append(len(data))
        self.weight += len(data) * 1000  # what DEFLATE makes of it at most

    def commit(self) -> None:
        self.done.append("commit")
        self.weight = 0


def test_what_a_huge_packet_becomes_is_committed_in_between() -> None:
    """Segmentation offloading makes packets beyond 64 KiB; of 64 MiB, gigabytes waited in memory."""
    indexer: Any = Weighed()
    Feed(indexer).data(1, 0, 5, bytes(200_000))
    assert indexer.done == [65536, "commit", 65536, "commit", 65536, "commit", 3392]
    indexer.done.clear()
    indexer.weight = 0
    Feed(indexer).data(1, 0, 5, b"usual")
    assert indexer.done == [5]
