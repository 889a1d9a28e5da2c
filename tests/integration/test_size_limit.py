"""`--max-capture-size`: held at every moment, oldest data first, accounted for, whatever is killed."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine import ROOT, Engine
from tests.support.journals import START_NS, Script, index, is_sound, play, text
from tests.support.recorder_rig import Rig, wait_for
from tests.support.size_limit import (
    LIMIT,
    MIB,
    MOST,
    Size,
    Traffic,
    all_events,
    check_accounts,
    finish,
    footprint,
)
from wsinspect.capture import schema
from wsinspect.capture.reader import Capture
from wsinspect.journal.budget import Budget
from wsinspect.journal.format import journal_directory
from wsinspect.recorder.eviction import Evictor
from wsinspect.recorder.opening import open_capture


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.db"


@pytest.fixture
def rig(path: Path) -> Iterator[Rig]:
    rig = Rig(path, budget=Budget.of(LIMIT))
    yield rig
    rig.close()


def is_evicted_in_order(path: Path) -> bool:
    """Whether payloads have gone; if so, before rows, and the newest of them are there."""
    with Capture.open(path) as capture:
        ((rows, there, first, begin),) = capture.query(
            "SELECT count(*), count(payload), min(id), min(iif(payload IS NULL, NULL, id)) FROM frame"
        )
    if rows == there:
        return False
    newest = (begin, there) if there else (first + rows, 0)
    assert sum(newest) == first + rows, "what still has a payload is the newest"
    return True


@pytest.mark.slow
@pytest.mark.parametrize(("payload", "total"), [(100, 32 * MIB), (1500, 120 * MIB), (60_000, 200 * MIB)])
def test_the_limit_holds_at_every_moment(rig: Rig, path: Path, payload: int, total: int) -> None:
    rig.start()
    filler = random.Random(1).randbytes(payload - 8)
    traffic = Traffic(rig)
    traffic.open(1, 2, 3)
    with Size(path) as size:
        for number in range(total // payload):
            traffic.send(1 + number % 3, filler)
        # Of connections that have ended payloads go first: the order is seen while all of them are open.
        wait_for(lambda: is_evicted_in_order(path), "the first payloads to go")
        err = finish(rig, traffic)
    assert size.most <= MOST
    assert err.count("\n") == err.count("has reached its size limit: from now on") == 1
    check_accounts(path, traffic)
    with open_capture(path) as capture:
        ((rows, there),) = capture.query("SELECT count(*), count(payload) FROM frame")
        assert there * payload > LIMIT // 16
        assert rows > there


def test_ended_connections_are_deleted_before_open_ones(rig: Rig, path: Path) -> None:
    rig.start()
    filler = random.Random(1).randbytes(8000)
    traffic = Traffic(rig)
    traffic.open(1, 2)
    for _ in range(600):
        traffic.send(1, filler)
        traffic.send(2, filler)
    traffic.close(2)
    traffic.open(3)
    traffic.send(3, filler, 6000)
    finish(rig, traffic)
    check_accounts(path, traffic)
    with open_capture(path) as capture:
        evicted = {one.id: one.evicted_payloads for one in capture.connections()}
    assert evicted[2] == 600
    assert evicted[1] + evicted[3] > 0
    assert evicted[1] == 600 or evicted[3] == 0


@pytest.mark.slow
def test_readers_see_whole_rows_while_data_is_deleted(rig: Rig, path: Path) -> None:
    rig.start()
    filler = random.Random(1).randbytes(3000)
    traffic = Traffic(rig)
    traffic.open(1)
    slowest = 0.0
    seen = evicted = 0
    is_over = threading.Event()
    errors: list[Exception] = []

    def read() -> None:
        nonlocal slowest, seen, evicted
        try:
            with Capture.open(path) as capture:
                while not is_over.is_set():
                    after = 0
                    while not is_over.is_set():
                        begun = time.monotonic()
                        frames = capture.frames(after=after, limit=500)
                        slowest = max(slowest, time.monotonic() - begun)
                        if not frames:
                            break
                        after = frames[-1].id
                        for frame in frames:
                            seen += 1
                            evicted += frame.is_evicted
                            assert frame.length == 3008
                            assert len(frame.payload) == (0 if frame.is_evicted else 3008)
        except Exception as error:
            errors.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        with Size(path) as size:
            traffic.send(1, filler, 50_000)
            finish(rig, traffic)
    finally:
        is_over.set()
        reader.join()
    assert not errors
    assert seen > evicted > 0
    assert slowest < 2
    assert size.most <= MOST
    check_accounts(path, traffic)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_a_recorder_killed_while_it_evicts_keeps_its_accounts(rig: Rig, path: Path, seed: int) -> None:
    rng = random.Random(seed)
    rig.start()
    filler = rng.randbytes(4000)
    traffic = Traffic(rig)
    traffic.open(1, 2)
    traffic.send(1, filler, 10_000)
    killed = 0
    with Size(path) as size:
        for _ in range(8):
            traffic.send(2, filler, rng.randrange(500, 2500))
            time.sleep(rng.random() * 0.2)
            rig.kill_recorder()
            killed += 1
            assert is_sound(path)
            rig.start()
        finish(rig, traffic)
    assert killed == 8
    assert size.most <= MOST
    check_accounts(path, traffic)


@pytest.mark.slow
def test_a_compressed_stream_survives_eviction_and_a_restart(rig: Rig, path: Path) -> None:
    """Context takeover refers to what was inflated long ago: that much of an open stream stays."""
    rig.start()
    rng = random.Random(5)
    secret = rng.randbytes(30_000)
    deflate = zlib.compressobj(wbits=-15)

    def compressed(data: bytes) -> bytes:
        packed = deflate.compress(data) + deflate.flush(zlib.Z_SYNC_FLUSH)
        return text(packed[:-4], opcode=2, rsv=4)

    traffic = Traffic(rig)
    traffic.open(1, deflate=True)
    for _ in range(40):
        traffic.raw(1, compressed(rng.randbytes(20_000)))
    traffic.raw(1, compressed(secret))
    traffic.open(2)
    traffic.send(2, rng.randbytes(8000), 12_000)
    rig.writer.flush()
    wait_for(lambda: has_room(path), "the recorder to catch up")
    rig.kill_recorder()
    rig.start()
    again = compressed(secret)
    assert len(again) < 1000, "it says: the same once more"
    traffic.raw(1, again)
    finish(rig, traffic)
    with open_capture(path) as capture:
        messages = capture.messages(1)
        assert [message.problem for message in messages] == [None] * len(messages)
        assert messages[-1].data == secret
        assert sum(message.data is not None for message in messages) < 10
        assert capture.is_evicted(messages[0])
        assert not capture.is_evicted(messages[-1])


def has_room(path: Path) -> bool:
    return len(list(journal_directory(path).glob("*.seg"))) <= 1


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_many_short_attempts_stay_within_the_limit(rig: Rig, path: Path) -> None:
    """Connections without frames: in the end they are what has to go, the oldest first."""
    rig.start()
    traffic = Traffic(rig)
    total = 1_300
    with Size(path) as size:
        for number in range(1, total + 1):
            traffic.refuse(number, b"no" * (100 + number), words=60_000)
        finish(rig, traffic, patience=240)  # every attempt is diagnosed
    assert size.most <= MOST
    assert is_sound(path)
    with open_capture(path) as capture:
        ids = [one.id for one in capture.connections()]
        assert ids[-1] == total
        bodies = [
            row[0] for row in capture.query("SELECT connection_id FROM handshake WHERE body IS NOT NULL")
        ]
        assert bodies[-150:] == list(range(total - 149, total + 1))
        gone = sum(e.detail.get("connections", 0) for e in all_events(capture) if e.kind == "evicted")
        assert capture.query("SELECT count(DISTINCT connection_id) FROM event") == [(len(ids),)]
    assert gone == total - len(ids) > 0


@pytest.mark.slow
def test_a_larger_capture_that_is_appended_to_shrinks(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    first = Rig(path)
    first.start()
    script = Script()
    script.open(1)
    chunk = text(b"x" * 60_000, opcode=2)
    for _ in range(2500):
        script.data(1, 0, chunk)
    script.end(1)
    play(first.writer, script.stop())
    assert first.stop()[0] == 0
    assert path.stat().st_size > 2 * LIMIT

    rig = Rig(path, append=True, budget=Budget.of(LIMIT))
    rig.start()
    try:
        traffic = Traffic(rig)
        traffic.open(2)
        traffic.send(2, b"new")
        wait_for(lambda: footprint(path) <= LIMIT, "the file to shrink")
        finish(rig, traffic)
    finally:
        rig.close()
    assert is_sound(path)
    assert path.stat().st_size <= LIMIT
    with open_capture(path) as capture:
        assert capture.query("SELECT count(*), count(payload) FROM frame WHERE connection_id = 2") == [(1, 1)]


def test_a_recorder_that_is_gone_for_good_is_like_a_full_disk(path: Path, monkeypatch: Any) -> None:
    """The engine is not held up for ever: what does not fit is counted."""
    monkeypatch.setattr("wsinspect.journal.budget._PATIENCE_SECONDS", 0.2)
    reasons: list[str] = []
    rig = Rig(path, budget=Budget.of(LIMIT), on_unstored=lambda size, reason: reasons.append(reason))
    try:
        traffic = Traffic(rig)
        traffic.open(1)
        traffic.send(1, b"y" * 50_000, 1000)
        assert rig.writer.flush(30)
        assert footprint(path) < LIMIT * 9 // 16 + MIB
        assert reasons == ["the recorder is too far behind for --max-capture-size"]
        rig.start()
        wait_for(lambda: has_room(path), "the recorder to make room")
        finish(rig, traffic)
    finally:
        rig.close()
    with open_capture(path) as capture:
        (event,) = [each for each in all_events(capture) if each.kind == "unstored"]
        ((stored,),) = capture.query("SELECT sum(wire_length) FROM frame")
    assert stored + event.detail["bytes"] >= 1000 * 50_000


@pytest.mark.parametrize(("payload", "total"), [(92, 16 * MIB), (60_000, LIMIT * 2 // 5)])
def test_a_burst_of_two_fifths_of_the_limit_need_not_wait_for_the_recorder(
    rig: Rig, path: Path, payload: int, total: int
) -> None:
    traffic = Traffic(rig)
    traffic.open(1)
    count = total // (payload + 8)
    with Size(path) as size:
        traffic.send(1, b"z" * payload, count)
        assert rig.writer.flush(30), "nobody reads the journal yet"
        rig.start()
        finish(rig, traffic)
    assert size.most <= MOST
    with open_capture(path) as capture:
        assert capture.query("SELECT count(*), sum(length(payload)) FROM frame") == [
            (count, count * (payload + 8))
        ]
        assert not [each for each in all_events(capture) if each.kind in ("unstored", "evicted")]


def test_the_engine_is_given_the_limit(tmp_path: Path) -> None:
    target = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.target"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    try:
        assert target.stdout is not None
        port = json.loads(target.stdout.readline())["port"]
        tap = f"plain=0=http://127.0.0.1:{port}"
        with Engine.start("--max-capture-size", "64MiB", "--tap", tap, folder=tmp_path / "engine") as engine:
            with Size(engine.capture) as size:
                load = [sys.executable, "-m", "tests.benchmarks.load", "burst", str(engine.port("plain"))]
                burst = ["--payload", "65536", "--frames", "1300"]
                subprocess.run([*load, *burst], cwd=ROOT, check=True, stdout=subprocess.DEVNULL, timeout=60)
                assert engine.stop(60) == 0
            assert size.most <= MOST
            assert "has reached its size limit: from now on" in engine.stderr
    finally:
        target.communicate(timeout=20)
    with open_capture(engine.capture) as capture:
        assert capture.meta["max_capture_size"] == LIMIT
        (one,) = capture.connections()
        assert (one.c2s_frames, one.evicted_frames) == (1301, 0)
        ((there,),) = capture.query("SELECT count(payload) FROM frame WHERE NOT is_s2c")
        assert one.evicted_payloads + there == 1301
        assert one.evicted_payloads > 0


def test_eviction_that_cannot_write_now_is_made_up_for(path: Path) -> None:
    rig = Rig(path)
    traffic = Traffic(rig)
    traffic.open(1)
    traffic.send(1, b"z" * 8000, 7000)
    traffic.stop()
    rig.close()
    index(path)
    database, blocker = schema.open_for_writing(path), sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA busy_timeout = 0")
    evictor = Evictor(database, path)
    evictor.keep(None, START_NS)
    blocker.execute("BEGIN IMMEDIATE")
    for _ in range(2):
        with pytest.raises(sqlite3.OperationalError):
            evictor.keep(LIMIT, START_NS)
    blocker.close()
    evictor.keep(LIMIT, START_NS)
    while evictor.has_more:
        evictor.keep(LIMIT, START_NS)
    database.close()
    check_accounts(path, traffic)
