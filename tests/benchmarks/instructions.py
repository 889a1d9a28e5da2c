"""``instructions``: what a peer executes for a frame; the same on a busy machine, where a time is not.

Where `perf` can read the processor's counter, it counts those of all the peer's processes while they serve as
usual. Else the peer runs under valgrind, whose callgrind counts them one by one: thirty times as slow, so few
frames pass. Both count two loads, one with three times the frames of the other, and the difference is what
frames cost: without the program's start, and without the opening handshake. The kernel's are not counted.
"""

import contextlib
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.benchmarks.counting import load
from tests.benchmarks.measures import ALL_ROWS, OPENED, Place, Result, wait_rows
from tests.benchmarks.peers import Peer, Running
from tests.benchmarks.processes import BenchError, descendants

#: Frames of the smaller load, payloads, and the metric's name; the larger one has three times as many.
LOADS = (
    ("burst", 1_000, 64, "frame_instructions"),
    ("burst", 16, 65_536, "bulk_instructions"),
    ("echo", 100, 64, "echo_instructions"),
    ("open", 4, 64, "open_instructions"),
)
#: Rows of a load that are not its frames: the server's answer, and both CLOSE frames.
_MORE_ROWS = {"burst": 3, "echo": 2}
#: What an echo's load sends first, uncounted by itself.
_TIMES = 3
_START_S, _COMMAND_S = 300.0, 120.0
_SETTLE_S = 0.3
_CALLGRIND = ("valgrind", "-q", "--tool=callgrind", "--instr-atstart=no", "--trace-children=yes")
#: Since when everything was counted.
Take = Callable[[], int]


def measure(peer: Peer, place: Place, *, is_quick: bool) -> Result:
    """Instructions of a pipelined frame, a large one, a round trip and an opening handshake, in thousands.

    A quick run counts them where the processor does: callgrind takes a minute, however few frames there are.
    """
    if peer.only or peer.is_bounded:
        return {}
    with tempfile.TemporaryDirectory(prefix="instructions-", dir=place.folder) as name:
        if has_counter():
            served, counted = peer, _by_perf
        elif not is_quick and shutil.which("valgrind") and shutil.which("callgrind_control"):
            under = (*_CALLGRIND, f"--callgrind-out-file={name}/out.%p")
            served, counted = peer.under(under, _START_S), _by_callgrind
        else:
            return {}
        try:
            with served.serve(place.folder, place.target) as running:
                if running.pid is None:
                    return {}
                return _measured(running, counted, Path(name))
        finally:
            if served is not peer:
                served.stop()  # nobody else knows the one under callgrind


def has_counter() -> bool:
    """Whether `perf` counts instructions here: many virtual machines have no counter for it."""
    if shutil.which("perf") is None:
        return False
    command = ["perf", "stat", "-x", ",", "-e", "instructions:u", "true"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode == 0 and counted_by_perf(done.stderr) is not None


def _measured(
    running: Running,
    counted: Callable[[Running, Path], contextlib.AbstractContextManager[Take]],
    folder: Path,
) -> Result:
    result: Result = {}
    rows = openings = 0

    def pass_on(kind: str, payload: int, frames: int) -> None:
        nonlocal rows, openings
        found = load(running, kind, payload, frames)
        if kind == "open":
            openings += frames
            rows += 2 * frames
        else:
            openings += 1
            sent = int(found["frames"])
            rows += _MORE_ROWS[kind] + (2 * sent if kind == "echo" else sent)
            wait_rows(running, rows, ALL_ROWS)
        wait_rows(running, openings, OPENED)
        time.sleep(_SETTLE_S)  # what follows the last row: a commit's end, a look of the rules

    for kind, frames, payload, name in LOADS:
        pass_on(kind, payload, frames)  # what is loaded and made when it is first used
        spent = []
        for count in (frames, _TIMES * frames):
            with counted(running, folder) as take:
                pass_on(kind, payload, count)
                spent.append(take())
        result[name] = (spent[1] - spent[0]) / ((_TIMES - 1) * frames) / 1000
    return result


@contextlib.contextmanager
def _by_perf(running: Running, folder: Path) -> Iterator[Take]:
    assert running.pid is not None
    pids = ",".join(map(str, descendants(running.pid)))
    log = folder / "perf"
    command = ["perf", "stat", "-x", ",", "-e", "instructions:u", "-p", pids, "-o", str(log)]
    perf = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def take() -> int:
        perf.send_signal(signal.SIGINT)
        perf.wait(_COMMAND_S)
        found = counted_by_perf(log.read_text())
        if found is None:
            raise BenchError("perf: no count")
        return found

    try:
        time.sleep(_SETTLE_S)
        yield take
    finally:
        perf.kill()
        perf.wait(_COMMAND_S)


def counted_by_perf(text: str) -> int | None:
    """The count in a line of `perf stat -x ,`; None where there is none."""
    found = re.search(r"^(\d+),[^,]*,instructions", text, re.MULTILINE)
    return int(found[1]) if found else None


@contextlib.contextmanager
def _by_callgrind(running: Running, folder: Path) -> Iterator[Take]:
    assert running.pid is not None
    pids = descendants(running.pid)
    _control(pids, "-i", "on")
    _control(pids, "-d")  # nothing is counted twice

    def take() -> int:
        before = set(folder.iterdir())
        _control(pids, "-d")
        return sum(totals(path.read_text(errors="replace")) for path in set(folder.iterdir()) - before)

    try:
        yield take
    finally:
        _control(pids, "-i", "off")


def _control(pids: list[int], *words: str) -> None:
    """Tell callgrind in each process; a process that sleeps is woken for it."""
    command = ["callgrind_control", *words, *map(str, pids)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_COMMAND_S, check=False)
    if done.stdout.count("OK.") != len(pids):
        raise BenchError(f"callgrind_control: {(done.stdout + done.stderr).strip()[-200:]}")


def totals(text: str) -> int:
    """The instructions of callgrind's output."""
    found = re.search(r"^totals: (\d+)", text, re.MULTILINE)
    return int(found[1]) if found else 0
