"""The fault `loss` beside the kernel's own TCP on a line that loses the same transmissions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest

from tests.support import lossy_tcp
from wsinspect.faults.lossy import LossyLine, Segment
from wsinspect.units import MS, SECOND

ROOT = Path(__file__).parents[2]
RTT_MS = 60


def delays(number: int, loss: float, correlation: float, sent: list[float]) -> list[float]:
    """How late the model has each message there, in ms beyond the line's own time."""
    line = LossyLine(loss, correlation, RTT_MS * MS, 200 * MS, lambda nth: lossy_tcp.uniform(number, nth))
    segments: list[Segment] = []
    arrived: list[int] = []

    def take(now: int) -> None:
        while len(arrived) < len(segments) and segments[len(arrived)].is_here:
            arrived.append(now)

    for time in (int(at * SECOND) for at in sent):
        while (due := line.due) is not None and due <= time:
            line.wake(due)
            take(due)
        segments.append(line.send(time))
        take(time)
    while (due := line.due) is not None:
        line.wake(due)
        take(due)
    return [(at - time * SECOND) / MS for at, time in zip(arrived, sent, strict=True)]


@pytest.mark.lab
@pytest.mark.alone
@pytest.mark.skipif(os.geteuid() != 0 or not Path("/dev/net/tun").exists(), reason="needs root and TUN")
@pytest.mark.parametrize(("loss", "correlation"), [(0.05, 0.5), (0.02, 0.0)])
def test_what_is_lost_arrives_when_linux_has_it_there(loss: float, correlation: float) -> None:
    command = [sys.executable, "-m", "tests.support.lossy_tcp", str(loss), str(correlation), str(RTT_MS)]
    done = subprocess.run(["unshare", "-n", *command], cwd=ROOT, capture_output=True, text=True, timeout=100)
    if "unshare" in done.stderr:
        pytest.skip(f"no network namespace: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    kernel = json.loads(done.stdout)
    differences, usual = [], []
    for number, (sent, got) in enumerate(zip(kernel["sent"], kernel["got"], strict=True)):
        assert len(got) == len(sent) == lossy_tcp.MESSAGES  # nothing is missing
        assert all(before <= after for before, after in pairwise(got))
        model = delays(number, loss, correlation, sent)
        # Later bursts depend on what was sent again before; the first one is the same for both.
        first = next(at for at, late in enumerate(model) if late > RTT_MS / 2)
        late = [(there - at) * 1000 - RTT_MS / 2 for at, there in zip(sent, got, strict=True)]
        usual += [one for one, delay in zip(late, model, strict=True) if delay < 1]
        differences += [late[at] - model[at] for at in range(first, first + 3)]
    # What this process and the machine add, on each of the three ways of a recovery.
    noise = 3 * median(usual)
    assert abs(median(differences)) <= 15 + noise, (differences, noise)
    assert min(differences) > -15
