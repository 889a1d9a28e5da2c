"""``calls``: what a peer asks the kernel for; numbers that stay the same on a busy machine.

strace counts the system calls of all the peer's processes, from before the load until the last row is in the
capture, and how many bytes went through them. Each byte that a plain relay passes on goes through two of
them, a read and a write; what goes beyond that is a copy more.
"""

import contextlib
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.measures import ALL_ROWS, OPENED, Place, Result, Sizes, wait_rows
from tests.benchmarks.peers import Peer, Running
from tests.benchmarks.processes import Load, descendants, wait_for

#: `1234 sendto(8, ""..., 70, 0, NULL, 0) = 70`, `1234 <... epoll_wait resumed>[...], 8, 3) = 1`.
_CALL = re.compile(r"^\d+ +(?:<\.\.\. )?(\w+)(?: resumed>|\().*\) *= (-?\d+)")
#: Calls that copy as many bytes as they return.
_COPIES = frozenset(
    f"{name}{kind}"
    for name in ("read", "write", "pread", "pwrite", "send", "recv")
    for kind in ("", "v", "64", "to", "from", "msg")
)
_ATTACH_S = 10.0
_SETTLE_S = 0.5
_BURST_BYTES = 64


def measure(peer: Peer, place: Place, sizes: Sizes) -> Result:
    """System calls of a pipelined frame, a round trip and an opening handshake; copies of a byte of bulk."""
    if shutil.which("strace") is None or peer.only or peer.is_bounded:
        return {}
    with peer.serve(place.folder, place.target) as running:
        if running.pid is None:
            return {}
        load(running, "open", 64, 20)  # what is loaded and made when it is first used
        small, bulk, echoes, openings = (
            max(64, size // 20)
            for size in (sizes.small_frames, sizes.bulk_frames // 4, sizes.echoes, sizes.openings)
        )
        result: Result = {}
        with _traced(running) as seen:
            load(running, "burst", _BURST_BYTES, small)
            wait_rows(running, 2 * 20 + small + 3, ALL_ROWS)
        result["frame_calls"] = _sum(seen) / small
        with _traced(running) as seen:
            load(running, "burst", 65_536, bulk)
            wait_rows(running, 2 * 20 + small + bulk + 6, ALL_ROWS)
        result["byte_copies"] = sum(copied for _, copied in seen.values()) / (bulk * 65_536)
        result["bulk_calls"] = _sum(seen) / bulk
        with _traced(running) as seen:
            measured = load(running, "echo", 64, echoes)
            rows = 2 * 20 + small + bulk + 6 + 2 * int(measured["frames"]) + 2
            wait_rows(running, rows, ALL_ROWS)
        result["echo_calls"] = _sum(seen) / measured["frames"]
        with _traced(running) as seen:
            load(running, "open", 64, openings)
            wait_rows(running, 20 + 3 + openings, OPENED)
        result["open_calls"] = _sum(seen) / openings
        return result


def load(running: Running, kind: str, payload: int, frames: int) -> dict[str, float]:
    """One load; what its client measured."""
    client = Load(kind, running.port, payload=payload, frames=frames)
    try:
        return client.result()
    finally:
        client.finish()


def _sum(seen: dict[str, tuple[int, int]]) -> int:
    return sum(count for count, _ in seen.values())


@contextlib.contextmanager
def _traced(running: Running) -> Iterator[dict[str, tuple[int, int]]]:
    """By name, how often each call was made in the body, and the bytes that it copied; filled at the end."""
    assert running.pid is not None
    pids = descendants(running.pid)
    result: dict[str, tuple[int, int]] = {}
    with tempfile.TemporaryDirectory(prefix="strace-") as folder:
        log = Path(folder) / "log"
        command = ["strace", "-f", "-qq", "-s", "0", "-o", str(log)]
        for pid in pids:
            command += ["-p", str(pid)]
        strace = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _until_attached(strace, pids)
            yield result
            time.sleep(_SETTLE_S)
        finally:
            strace.send_signal(signal.SIGINT)
            strace.wait(30)
        result.update(counts(log.read_text(errors="replace")))


def _until_attached(strace: "subprocess.Popen[bytes]", pids: list[int]) -> None:
    def probe() -> bool | None:
        tracers = [_tracer(task) for pid in pids for task in Path(f"/proc/{pid}/task").iterdir()]
        return True if all(tracer == strace.pid for tracer in tracers) else None

    wait_for("strace", probe, seconds=_ATTACH_S, alive=lambda: strace.poll() is None)


def _tracer(task: Path) -> int:
    found = re.search(r"TracerPid:\s*(\d+)", (task / "status").read_text())
    return int(found[1]) if found else 0


def counts(log: str) -> dict[str, tuple[int, int]]:
    """What `_traced` gives, of strace's lines; a call whose line was interrupted counts once."""
    made: Counter[str] = Counter()
    copied: Counter[str] = Counter()
    for line in log.splitlines():
        found = _CALL.match(line)
        if found is None:
            continue
        name, returned = found[1], int(found[2])
        made[name] += 1
        if name in _COPIES and returned > 0:
            copied[name] += returned
    return {name: (count, copied[name]) for name, count in made.items()}
