"""Days of running, scaled: a limit that is turned over many times, and neither disk nor memory grows."""

from __future__ import annotations

import random
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.journals import START_NS, Script, index, is_sound, text, write_journal
from tests.support.recorder_rig import Rig
from tests.support.size_limit import LIMIT, MIB, MOST, Size, Traffic, check_accounts, finish
from wsinspect.capture import schema
from wsinspect.capture.reader import Capture
from wsinspect.journal.budget import Budget
from wsinspect.recorder.eviction import Evictor

# They fill a file system and a core for as long as it takes, and bound no time.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
#: For the recorder to empty its journal at the end.
_PATIENCE = 120.0

#: How often the limit is turned over, and what one turn is.
_TURNS = 4
_LONG_FRAMES = 4_000
_SHORT_CONNECTIONS = 300


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.db"


@pytest.fixture
def rig(path: Path) -> Iterator[Rig]:
    rig = Rig(path, budget=Budget.of(LIMIT))
    yield rig
    rig.close()


class Memory:
    """The recorder's peak of resident memory, from one look to the next."""

    def __init__(self, pid: int) -> None:
        self._process = Path(f"/proc/{pid}")

    def peak(self) -> int:
        """Bytes, the highest since the last call."""
        found = re.search(r"VmHWM:\s+(\d+) kB", (self._process / "status").read_text())
        assert found is not None
        (self._process / "clear_refs").write_text("5")
        return int(found[1]) * 1024


def test_a_limit_turned_over_many_times_leaves_disk_and_memory_as_they_were(rig: Rig, path: Path) -> None:
    """A connection that never ends, short ones, refused ones and faults, three times the limit."""
    memory = Memory(rig.start(is_forked=False).pid)
    rng = random.Random(3)
    filler = rng.randbytes(9_000)
    traffic = Traffic(rig)
    traffic.open(1)
    number = 1
    peaks: list[int] = []
    sizes: list[int] = []
    for _ in range(_TURNS):
        with Size(path) as size:
            for _ in range(_SHORT_CONNECTIONS):
                number += 1
                traffic.open(number)
                traffic.send(number, filler, 6)
                traffic.close(number)
                number += 1
                traffic.refuse(number, filler)
                traffic.send(1, filler, _LONG_FRAMES // _SHORT_CONNECTIONS)
                traffic.fault(1)
        peaks.append(memory.peak())
        sizes.append(size.most)
    finish(rig, traffic, _PATIENCE)
    assert sum(traffic.bytes.values()) > 3 * LIMIT
    assert max(sizes) <= MOST
    # The first turn fills the file; from then on nothing grows.
    assert max(peaks[2:]) <= max(peaks[:2]) * 1.1 + 4 * MIB
    assert max(peaks) < 120 * MIB
    check_accounts(path, traffic)
    with Capture.open(path) as capture:
        ((faults, dangling),) = capture.query(
            "SELECT count(*), coalesce(sum(frame_id NOT IN (SELECT id FROM frame)), 0) FROM fault_event"
        )
    assert faults > 0
    assert dangling == 0, "what faults did to a frame goes with its row"


def test_many_short_connections_stay_within_the_limit(rig: Rig, path: Path) -> None:
    rig.start()
    filler = random.Random(1).randbytes(10_000)
    traffic = Traffic(rig)
    with Size(path) as size:
        for number in range(1, 2001):
            traffic.open(number)
            traffic.send(number, filler, 5)
            traffic.close(number)
        finish(rig, traffic, _PATIENCE)
    assert size.most <= MOST
    check_accounts(path, traffic)
    with Capture.open(path) as capture:
        counts = [one.evicted_payloads for one in capture.connections()]
    assert counts == sorted(counts, reverse=True), "the oldest go first"
    assert (counts[0], counts[-1]) == (5, 0)


def test_a_capture_below_its_limit_costs_a_look_only(path: Path) -> None:
    """What `keep` does after each commit is two numbers that SQLite has in memory: nothing is written."""
    script = Script(meta={"max_capture_size": LIMIT})
    script.open(1)
    for _ in range(300):
        script.data(1, 0, text(b"x" * 1000))
    write_journal(path, script.stop())
    index(path)
    database = schema.open_for_writing(path)
    evictor = Evictor(database, path)
    evictor.keep(LIMIT, START_NS)
    statements: list[str] = []
    database.set_trace_callback(statements.append)
    for _ in range(100):
        evictor.keep(LIMIT, START_NS)
    database.set_trace_callback(None)
    assert {statement for statement in statements if not re.fullmatch(r"PRAGMA \w+", statement)} == set()
    assert len(statements) <= 300
    assert not evictor.has_more
    assert not evictor.has_evicted
    database.close()
    assert is_sound(path)


def test_a_reader_that_never_ends_costs_room_and_no_data(rig: Rig, path: Path) -> None:
    """While a transaction is held open SQLite cannot empty the WAL; afterwards the limit holds again."""
    rig.start()
    filler = random.Random(1).randbytes(4000)
    traffic = Traffic(rig)
    traffic.open(1)
    traffic.send(1, filler, 100)
    rig.writer.flush()
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN")
    holder.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    traffic.send(1, filler, 12_000)
    holder.execute("COMMIT")
    holder.close()
    traffic.send(1, filler, 8_000)
    with Size(path) as size:
        traffic.send(1, filler, 4_000)
        finish(rig, traffic, _PATIENCE)
    assert size.most <= MOST
    check_accounts(path, traffic)
