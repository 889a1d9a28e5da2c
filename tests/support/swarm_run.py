"""`swarm` as processes around a real engine, and what the engine holds on to, seen from outside and inside.

`Swarm` starts the server, `load` a client; `Watch` samples memory and descriptors while it runs. `Probe` asks
a Python process how many tasks it has and how many objects of our classes and mitmproxy's: a module that
every Python with its folder on PYTHONPATH imports answers SIGUSR2 with a file.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.engine import ROOT, Engine
from tests.support.processes import children, family_bytes, resident_bytes

_COMMAND = (sys.executable, "-m", "tests.support.swarm")
_ANSWERING = """
import asyncio, gc, json, os, signal

def answer(number, frame):
    circles = gc.collect()
    counts = {}
    for each in gc.get_objects():
        kind = type(each)
        if (getattr(kind, "__module__", None) or "").startswith(("wsinspect.", "mitmproxy.", "asyncio.")):
            name = f"{kind.__module__}.{kind.__qualname__}"
            counts[name] = counts.get(name, 0) + 1
    try:
        tasks = len(asyncio.all_tasks())
    except RuntimeError:
        tasks = 0
    folder = os.path.dirname(__file__)
    with open(f"{folder}/{os.getpid()}.new", "w") as file:
        json.dump({"tasks": tasks, "objects": counts, "circles": circles}, file)
    os.rename(f"{folder}/{os.getpid()}.new", f"{folder}/{os.getpid()}.json")

signal.signal(signal.SIGUSR2, answer)
"""


class Probe:
    """Put `environment` into the engine's, then `ask`.

    Args:
        collects: whether the cycle collector runs by itself, too.
    """

    def __init__(self, folder: Path, *, collects: bool = True) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        (folder / "sitecustomize.py").write_text(_ANSWERING + ("" if collects else "gc.disable()\n"))
        self.environment = {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}

    def ask(self, pid: int, patience: float = 30) -> dict[str, Any]:
        """`{"tasks": 3, "objects": {"mitmproxy.http.HTTPFlow": 1}, "circles": 0}`.

        `circles`: how many objects only the cycle collector found to be unused, just now.
        """
        answer = self._folder / f"{pid}.json"
        answer.unlink(missing_ok=True)
        os.kill(pid, signal.SIGUSR2)
        deadline = time.monotonic() + patience
        while not answer.exists():
            assert time.monotonic() < deadline, f"process {pid} does not answer"
            time.sleep(0.01)
        found: dict[str, Any] = json.loads(answer.read_text())
        return found


class Watch:
    """Samples an engine and its recorder in a thread, four times a second.

    Attributes:
        samples: (seconds since the start, bytes of both, bytes of the engine, descriptors of the engine).
    """

    def __init__(self, engine: Engine) -> None:
        self.samples: list[tuple[float, int, int, int]] = []
        self._pid = engine.pid
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        start = time.monotonic()
        while not self._is_over.wait(0.25):
            now = time.monotonic() - start
            both, engine = family_bytes(self._pid), resident_bytes(self._pid)
            self.samples.append((now, both, engine, descriptors(self._pid)))

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    @property
    def peak_bytes(self) -> int:
        return max(sample[1] for sample in self.samples)

    def highest(self, begin: float, end: float) -> int:
        """The most that both held in a part of the time, 0 being its beginning and 1 its end."""
        last = self.samples[-1][0]
        return max(sample[1] for sample in self.samples if begin * last <= sample[0] <= end * last)


def descriptors(pid: int) -> int:
    """How many descriptors a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def settled(engine: Engine, count: int, patience: float = 20) -> int:
    """Descriptors of an engine, once they are down to `count` or patience has ended."""
    deadline = time.monotonic() + patience
    while descriptors(engine.pid) > count and time.monotonic() < deadline:
        time.sleep(0.05)
    return descriptors(engine.pid)


class Swarm:
    """The server's process; `result` is what it counted, once stopped."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [*_COMMAND, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
        )
        assert self._process.stdout is not None
        self.port: int = json.loads(self._process.stdout.readline())["port"]
        self.result: dict[str, Any] = {}

    def stop(self) -> dict[str, Any]:
        out, _ = self._process.communicate(timeout=30)
        if not self.result:
            self.result = json.loads(out)
        return self.result

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


@contextmanager
def swarm_and_engine(folder: Path, *options: str, **settings: Any) -> Iterator[tuple[Swarm, Engine]]:
    """A server with a real engine in front of it, as the tap `plain`."""
    swarm = Swarm()
    try:
        tap = f"plain=127.0.0.1:0=http://127.0.0.1:{swarm.port}"
        with Engine.start("--tap", tap, *options, folder=folder / "engine", **settings) as engine:
            yield swarm, engine
    finally:
        swarm.close()


def load(engine: Engine, what: str, *, timeout: float = 500, **options: float) -> dict[str, Any]:
    """Run a client of `swarm` against the tap `plain` to its end, and return what it counted."""
    arguments = [
        part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", f"{value:g}")
    ]
    command = [*_COMMAND, what, str(engine.port("plain")), *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, cwd=ROOT, timeout=timeout, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    return [pid, *(each for child in children(pid) for each in family(child))]
