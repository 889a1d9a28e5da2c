"""The recorder as a process: fed by a journal, killed at random, and never a frame more or less."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support.journals import Script, dump, index, is_sound, play, random_script, text
from tests.support.recorder_rig import PATIENCE, Rig, wait_for
from wsinspect.capture.reader import Capture
from wsinspect.journal.format import is_locked, journal_directory
from wsinspect.recorder.opening import open_capture
from wsinspect.recorder.prepare import prepare_capture, recover


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.db"


@pytest.fixture
def rig(path: Path) -> Iterator[Rig]:
    rig = Rig(path)
    yield rig
    rig.close()


def count_frames(path: Path) -> int:
    with Capture.open(path) as capture:
        return capture.query("SELECT count(*) FROM frame")[0][0]


def has_frames(path: Path, count: int) -> bool:
    return count_frames(path) >= count


def test_a_clean_end_leaves_one_file(rig, path):
    rig.start()
    steps = random_script(1)
    play(rig.writer, steps)
    code, out, err = rig.stop()
    assert (code, out, err) == (0, "", "")
    assert sorted(path.parent.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o600
    assert is_sound(path)
    with open_capture(path) as capture:
        assert capture.meta["closed_cleanly"] is True
        assert not capture.is_live
        assert capture.query("PRAGMA journal_mode") == [("delete",)]


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2, 3))])
def test_a_recorder_killed_at_random_moments_loses_and_doubles_nothing(tmp_path, seed):
    steps = random_script(seed, connections=5, chunks=400)
    plain = tmp_path / "plain.db"
    rig = Rig(plain)
    play(rig.writer, steps)
    rig.close()
    index(plain)

    rng = random.Random(seed)
    path = tmp_path / "killed.db"
    rig = Rig(path, segment_bytes=20_000)
    rig.start()
    try:
        done = 0
        while done < len(steps):
            count = rng.randrange(1, 80)
            play(rig.writer, steps[done : done + count])
            done += count
            if rng.random() < 0.7:
                rig.writer.flush()
                time.sleep(rng.random() * 0.15)
                rig.kill_recorder()
                assert is_sound(path)
                rig.start()
        code, _, err = rig.stop()
        assert (code, err) == (0, "")
    finally:
        rig.close()
    assert is_sound(path)
    assert dump(path) == dump(plain)


@pytest.mark.parametrize(
    "seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (2, 3, 4, 5))]
)
def test_a_recorder_killed_while_it_closes_the_file_is_made_up_for(tmp_path, seed):
    steps = random_script(seed, connections=3, chunks=200)
    plain = tmp_path / "plain.db"
    rig = Rig(plain)
    play(rig.writer, steps)
    rig.close()
    index(plain)

    path = tmp_path / "killed.db"
    rig = Rig(path)
    rig.start()
    try:
        wait_for(lambda: is_locked(journal_directory(path), "recorder.lock"), "the recorder")
        play(rig.writer, steps)
        rig.writer.close()
        time.sleep(random.Random(seed).random() * 0.08)
    finally:
        rig.close()
    assert is_sound(path)
    with open_capture(path) as capture:
        assert capture.meta["closed_cleanly"] is True
    assert dump(path) == dump(plain)
    assert not journal_directory(path).exists()


@pytest.mark.parametrize(
    ("seed", "chunks"), [(0, 800), *(pytest.param(seed, 3000, marks=pytest.mark.slow) for seed in (1, 2))]
)
def test_engine_and_recorder_killed_the_next_reader_indexes_the_rest(tmp_path, seed, chunks):
    path = tmp_path / "x.db"
    prepare_capture(path)
    rng = random.Random(seed)
    code = f"""
import sys
from pathlib import Path
from typing import Any
from tests.support.journals import play, random_script
from wsinspect.journal.writer import JournalWriter
from wsinspect.journal.format import journal_directory
writer = JournalWriter(journal_directory(Path(sys.argv[1])), segment_bytes=20_000, wake_fd=1)
steps = random_script({seed}, chunks={chunks})[:-1]
for start in range(0, len(steps), 20):
    play(writer, steps[start:start + 20])
    writer.flush()
print("all", flush=True)
sys.stdin.read()
"""
    read, write = os.pipe()
    engine = subprocess.Popen([sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=write)
    os.close(write)
    journal = journal_directory(path)
    wait_for(lambda: is_locked(journal, "engine.lock"), "the engine's lock")
    recorder = subprocess.Popen([sys.executable, "-m", "wsinspect.recorder.process", path], stdin=read)
    os.close(read)
    wait_for(lambda: count_frames(path) > 0, "the first frames")
    time.sleep(rng.random() * 0.1)
    for process in rng.sample([engine, recorder], 2):
        process.send_signal(signal.SIGKILL)
    engine.communicate()
    recorder.wait()

    assert is_sound(path)
    copy = tmp_path / "copy.db"
    shutil.copytree(journal, journal_directory(copy))
    for suffix in ("", "-wal", "-shm"):
        if Path(f"{path}{suffix}").exists():
            shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")
    with open_capture(path) as capture:
        assert capture.meta["closed_cleanly"] is False
        assert {connection.state for connection in capture.connections()} <= {"lost", "closed"}
    assert not journal.exists()
    assert is_sound(path)
    # The same rows as one indexer makes of the same journal, from its first record to the one that was torn.
    index(copy)
    assert dump(copy) == dump(path)
    steps = random_script(seed, chunks=chunks)
    sent = [step.arguments for step in steps if step.method == "data"]
    with open_capture(path) as capture:
        total = sum(connection.c2s_bytes + connection.s2c_bytes for connection in capture.connections())
    sizes = [0]
    for arguments in sent:
        sizes.append(sizes[-1] + len(arguments[2]))
    assert total in sizes, "what was stored is the beginning of what was sent"


def test_an_engine_that_dies_is_noticed_and_its_journal_drained(rig, path):
    recorder = rig.start()
    script = Script()
    script.open(1)
    script.data(1, 0, text(b"x"))
    play(rig.writer, script.steps)
    code, _, err = rig.stop()
    assert (code, err) == (0, "")
    assert recorder.poll() == 0
    with open_capture(path) as capture:
        assert [connection.state for connection in capture.connections()] == ["lost"]
        assert capture.meta["closed_cleanly"] is False


def test_a_frame_is_mostly_readable_a_quarter_second_after_it_was_journalled(rig, path):
    rig.start()
    script = Script()
    script.open(1)
    play(rig.writer, script.steps)
    wait_for(lambda: bool(dump(path)["connection"]), "the connection")
    waits = []
    for number in range(20):
        began = time.monotonic()
        rig.writer.data(1, 0, text(b"%d" % number), script.now)
        wait_for(partial(has_frames, path, number + 1), "the frame")
        waits.append(time.monotonic() - began)
    # On a busy machine one may be late; usually each takes some 60 ms.
    assert sorted(waits)[len(waits) // 2] < 0.25


def test_an_idle_recorder_sleeps(rig, path):
    recorder = rig.start()
    wait_for(lambda: is_locked(journal_directory(path), "recorder.lock"), "the recorder")
    stat = Path(f"/proc/{recorder.pid}/stat")
    if not stat.exists():
        pytest.skip("no /proc")
    time.sleep(0.5)

    def used() -> int:
        fields = stat.read_text().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    before = used()
    time.sleep(1.5)
    assert used() - before <= 3, "ticks of 10 ms"


def test_signals_for_the_whole_group_do_not_end_it(rig, path):
    recorder = rig.start()
    wait_for(lambda: is_locked(journal_directory(path), "recorder.lock"), "the recorder")
    script = Script()
    script.open(1)
    play(rig.writer, script.steps)
    wait_for(lambda: bool(dump(path)["connection"]), "the connection")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        recorder.send_signal(number)
    rig.writer.data(1, 0, text(b"x"), script.now)
    wait_for(lambda: count_frames(path) == 1, "the frame")
    assert rig.stop()[0] == 0


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="scheduling policies are Linux's")
def test_the_relay_has_its_turn_before_it(rig, path):
    recorder = rig.start()
    wait_for(lambda: os.sched_getscheduler(recorder.pid) == os.SCHED_BATCH, "the policy")
    own = os.getpriority(os.PRIO_PROCESS, 0)
    wait_for(lambda: os.getpriority(os.PRIO_PROCESS, recorder.pid) == min(own + 5, 19), "its niceness")
    assert rig.stop()[0] == 0


def test_events_are_narrated_as_ndjson(rig):
    rig.start("--narrate", "json", "--frames")
    script = Script()
    script.open(1)
    script.data(1, 0, text(b"hello"))
    script.data(1, 1, text(b"\x03\xe8bye", opcode=8, masked=False))
    script.end(1, "server")
    play(rig.writer, script.stop())
    code, out, err = rig.stop()
    assert (code, err) == (0, "")
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["event"] for line in lines] == ["attempt", "open", "frame", "frame", "close"]
    assert {line["schema"] for line in lines} == {1}
    assert lines[2] == {
        "schema": 1,
        "event": "frame",
        "time_ns": lines[2]["time_ns"],
        "connection": 1,
        "id": 1,
        "direction": "c2s",
        "opcode": 1,
        "op": "TEXT",
        "fin": True,
        "length": 5,
        "compressed": False,
        "problem": None,
        "message_length": 5,
        "payload": {"text": "hello"},
        "summary": None,
    }
    assert lines[4]["js"] == {"code": 1000, "wasClean": True}


def test_a_stdout_that_nobody_reads_stops_nothing(rig, path):
    rig.start("--narrate", "json", "--frames")
    script = Script()
    script.open(1)
    for _ in range(200):
        script.data(1, 0, text(b"x") * 100)
    play(rig.writer, script.steps)
    wait_for(lambda: count_frames(path) == 20_000, "all frames")
    assert rig.recorder is not None
    rig.recorder.stdout.close()
    rig.writer.data(1, 0, text(b"y"), script.now)
    wait_for(lambda: count_frames(path) == 20_001, "one more")


def test_appending_continues_after_the_largest_id(tmp_path):
    path = tmp_path / "x.db"
    for run in (1, 2):
        rig = Rig(path, append=run > 1)
        try:
            assert rig.prepared.first_connection == run
            rig.start()
            script = Script(meta={"argv": [f"run {run}"]})
            script.open(run)
            script.data(run, 0, text(b"x"))
            script.end(run)
            play(rig.writer, script.stop())
            assert rig.stop()[0] == 0
        finally:
            rig.close()
    with open_capture(path) as capture:
        assert [connection.id for connection in capture.connections()] == [1, 2]
        assert [frame.id for frame in capture.frames()] == [1, 2]
        assert capture.meta["argv"] == ["run 2"]
        assert capture.query("SELECT run, value FROM meta WHERE key = 'closed_cleanly'") == [
            (1, "true"),
            (2, "true"),
        ]


def test_appending_recovers_a_dead_run_first(tmp_path):
    path = tmp_path / "x.db"
    rig = Rig(path)
    script = Script()
    script.open(1)
    script.data(1, 0, text(b"x"))
    play(rig.writer, script.steps)
    rig.close()
    rig = Rig(path, append=True)
    try:
        assert rig.prepared.first_connection == 2
        assert count_frames(path) == 1
    finally:
        rig.close()


def test_a_second_recorder_waits_for_the_first_ones_end(rig, path):
    first = rig.start()
    wait_for(lambda: is_locked(journal_directory(path), "recorder.lock"), "the recorder")
    assert not recover(path), "nobody recovers what is alive"
    second = rig.start()
    first.kill()
    first.communicate()
    rig.recorder = second
    script = Script()
    script.open(1)
    script.data(1, 0, text(b"x"))
    play(rig.writer, script.stop())
    assert rig.stop()[0] == 0
    assert count_frames(path) == 1


def test_a_full_disk_is_said_once_and_waited_out(rig, path):
    script = Script()
    script.open(1)
    for _ in range(50):
        script.data(1, 0, text(b"z" * 60_000))
    recorder = rig.start(preexec_fn=lambda: limit_file_size(200_000))
    play(rig.writer, script.stop())
    rig.writer.flush()
    assert recorder.stderr is not None
    assert "cannot write the capture" in recorder.stderr.readline()
    assert recorder.poll() is None, "it waits"
    resource_unlimited(recorder.pid)
    assert "can be written again" in recorder.stderr.readline()
    code, _, err = rig.stop()
    assert (code, err) == (0, "")
    assert count_frames(path) == 50
    assert is_sound(path)


def test_a_disk_that_stays_full_keeps_the_journal_for_the_next_reader(rig, path):
    script = Script()
    script.open(1)
    for _ in range(50):
        script.data(1, 0, text(b"z" * 60_000))
    rig.start(preexec_fn=lambda: limit_file_size(200_000))
    play(rig.writer, script.stop())
    code, _, err = rig.stop()
    assert code == 3
    assert "is kept, to try again later" in err
    assert journal_directory(path).exists()
    with open_capture(path) as capture:
        assert len(capture.frames(1)) == 50
        assert capture.meta["closed_cleanly"] is True
    assert not journal_directory(path).exists()


def limit_file_size(size: int) -> None:
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def resource_unlimited(pid: int) -> None:
    import resource

    resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def test_a_file_that_is_not_a_capture_is_one_line_and_exit_code_2(tmp_path):
    path = tmp_path / "x.db"
    sqlite3.connect(path).close()
    path.write_bytes(b"not a database, and long enough to be looked at as one" * 100)
    journal_directory(path).mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "wsinspect.recorder.process", path],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "is not a capture" in done.stderr


@pytest.mark.slow
def test_memory_stays_bounded_in_a_burst(rig, path):
    recorder = rig.start(is_forked=False)
    script = Script()
    script.open(1)
    play(rig.writer, script.steps)
    small = text(b"x" * 64) * 900
    for _ in range(100):
        rig.writer.data(1, 0, small, script.now)
    wait_for(lambda: count_frames(path) == 90_000, "all frames")
    status = Path(f"/proc/{recorder.pid}/status")
    if not status.exists():
        pytest.skip("no /proc")
    peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    assert int(peak.split()[1]) < 80_000


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read from /proc")
def test_memory_of_many_connections_is_given_back_when_they_have_closed(rig, path):
    count = 3_000
    process = rig.start(is_forked=False)
    script = Script()
    for number in range(1, count + 1):
        script.open(number)
        script.data(number, 0, text(b"hello"))
    play(rig.writer, script.steps)
    wait_for(lambda: has_frames(path, count), "all are open")
    while_open = resident_bytes(process.pid)
    script = Script()
    for number in range(1, count + 1):
        script.event(number, "closed")
    play(rig.writer, script.steps[1:])
    # Without it the memory stays what it was: 3 MB of 20 are given back by themselves.
    wait_for(lambda: resident_bytes(process.pid) < while_open - 5_000_000, "memory is given back")
