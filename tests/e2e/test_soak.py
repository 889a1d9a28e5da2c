"""A long day: 2,000 frames a second for a while, connections opening and closing all the time, a clean stop.

`make test-all` runs 40 seconds. The full 20 minutes, or any other length:

    WSINSPECT_SOAK_SECONDS=1200 make test-all ARGS="-k soak -s"

With `-s` it prints what it measured.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.support import swarm
from tests.support.swarm_run import Probe, Watch, family, load, settled, swarm_and_engine
from wsinspect.capture.reader import Capture

SECONDS = float(os.environ.get("WSINSPECT_SOAK_SECONDS", "40"))
FRAMES_PER_S = 2000
CONNECTIONS = 50
#: A connection is closed after so many frames, five seconds of its life; ten of them a second.
FRAMES_EACH = 200
MIB = 1 << 20
#: What memory may differ by between the second and the last quarter of the time.
FLAT_BYTES = 10 * MIB


@pytest.mark.lab
@pytest.mark.alone
@pytest.mark.timeout(SECONDS * 1.5 + 120)
def test_soak(tmp_path: Path) -> None:
    """Every frame accounted for, flat memory, no process, file, descriptor or task left over."""
    probe = Probe(tmp_path / "probe")
    with swarm_and_engine(tmp_path, environment=probe.environment) as (server, engine):
        load(engine, "churn", total=200, connections=5)
        at_rest, tasks = settled(engine, 11), probe.ask(engine.pid)["tasks"]
        with Watch(engine) as watch:
            result = load(
                engine,
                "hold",
                timeout=SECONDS * 1.5 + 60,
                connections=CONNECTIONS,
                rate=FRAMES_PER_S / CONNECTIONS,
                seconds=SECONDS,
                frames_each=FRAMES_EACH,
            )
        assert settled(engine, at_rest) <= at_rest
        assert probe.ask(engine.pid)["tasks"] <= tasks
        processes = family(engine.pid)
        begun = time.monotonic()
        assert engine.stop(60) == 0
        stopping = time.monotonic() - begun
        counted = server.stop()
    early, late = watch.highest(0.25, 0.5), watch.highest(0.75, 1)
    print(
        f"\n{SECONDS:g} s: {result['frames']} frames and {result['answers']} answers on "
        f"{result['connections']} connections; memory of engine and recorder {early / MIB:.1f} MiB in the "
        f"second quarter, {late / MIB:.1f} MiB in the last, peak {watch.peak_bytes / MIB:.1f} MiB; most "
        f"descriptors {max(sample[3] for sample in watch.samples)}; sender late by {result['late_ms']} ms "
        f"at most; capture {engine.capture.stat().st_size / MIB:.0f} MiB; stopped in {stopping:.2f} s"
    )
    assert result["disorder"] == counted["disorder"] == 0
    assert result["frames"] == round(FRAMES_PER_S * SECONDS)
    assert late - early < FLAT_BYTES
    assert not [pid for pid in processes if Path(f"/proc/{pid}").exists()]
    assert sorted(each.name for each in engine.capture.parent.iterdir()) == [engine.capture.name]
    check_capture(engine.capture, result["sent"], result["answers"])


def check_capture(path: Path, sent: dict[str, int], answers: int) -> None:
    """All frames of each connection of the load are there; the first 200 are those of the warm-up."""
    with Capture.open(path) as capture:
        rows = capture.query(
            "SELECT path, state, c2s_frames, s2c_frames, "
            "(SELECT count(*) FROM frame WHERE connection_id = connection.id AND NOT is_s2c AND opcode = 2), "
            "(SELECT count(*) FROM frame WHERE connection_id = connection.id AND is_s2c AND opcode = 2) "
            "FROM connection WHERE id > 200"
        )
        assert {row[0]: row[4] for row in rows} == sent
        assert sum(row[5] for row in rows) == answers
        assert all(row[1] == "closed" for row in rows)
        assert all((c2s, s2c) == (data + 1, back + 1) for _, _, c2s, s2c, data, back in rows)
        expected = capture.query("SELECT id, path FROM connection WHERE id > 200 ORDER BY id DESC LIMIT 20")
        for connection, name in expected:
            payloads = capture.query(
                "SELECT payload FROM frame WHERE connection_id = ? AND NOT is_s2c AND opcode = 2 ORDER BY id",
                (connection,),
            )
            number = int(name[1:])
            assert [each for (each,) in payloads] == [swarm.payload(number, i) for i in range(sent[name])]
        assert capture.query("PRAGMA integrity_check") == [("ok",)]
        assert not capture.query("SELECT 1 FROM event WHERE kind IN ('unstored', 'recorder_error')")
        assert capture.meta["closed_cleanly"] is True
