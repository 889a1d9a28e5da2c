"""What tshark finds in a trace."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path
from typing import NamedTuple


class Dissected(NamedTuple):
    """A WebSocket frame, as tshark sees it."""

    time_ns: int
    opcode: int
    is_masked: bool
    is_final: bool


def rows(trace: Path, fields: tuple[str, ...], *options: str, only: str = "websocket") -> list[list[str]]:
    """The fields of each packet that a display filter lets pass; values of one field are joined by commas."""
    chosen = [part for name in fields for part in ("-e", name)]
    command = ["tshark", "-n", "-r", str(trace), "-Y", only, "-T", "fields", *chosen, *options]
    run = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    return [line.split("\t") for line in run.stdout.splitlines()]


def frames(trace: Path, *options: str) -> Counter[Dissected]:
    """All WebSocket frames of a trace; several in one packet are one each."""
    names = ("frame.time_epoch", "websocket.opcode", "websocket.mask", "websocket.fin")
    found: Counter[Dissected] = Counter()
    for time, *values in rows(trace, names, *options):
        seconds, _, fraction = time.partition(".")
        time_ns = int(seconds) * 10**9 + int(fraction.ljust(9, "0"))
        for opcode, mask, final in zip(*(value.split(",") for value in values), strict=True):
            found[Dissected(time_ns, int(opcode), mask in ("1", "True"), final in ("1", "True"))] += 1
    return found
