"""Damaged files one after the other: what tests/fuzz_captures.py and tests/fuzz_imports.py have in common."""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import NamedTuple


class EndlessError(Exception):
    """A reader took too long or wrote too much."""


class Kind(NamedTuple):
    """What is damaged and who reads it.

    Attributes:
        name: of the module that is run.
        sound: makes files without damage in a folder.
        make_case: of (number, sound files, folder): the damaged file, and what was done to it.
        check: of (file, folder): what is wrong with how it is read; nothing where all is well.
    """

    name: str
    sound: Callable[[Path], list[Path]]
    make_case: Callable[[int, list[Path], Path], tuple[Path, str]]
    check: Callable[[Path, Path], Iterator[str]]


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Ends what takes longer with an EndlessError.

    Args:
        seconds: of this process' own time: on a busy machine a sound file takes long, too.
    """
    signal.signal(signal.SIGPROF, _on_alarm)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _on_alarm(_number: int, _frame: FrameType | None) -> None:
    raise EndlessError("it does not end")


def fuzz(kind: Kind, seconds: float, first: int, keep: Path | None = None) -> list[str]:
    """Cases one after the other, for so long; what failed.

    Args:
        first: the number of the first case.
        keep: a folder for files that failed.
    """
    failures: list[str] = []
    count = 0
    with tempfile.TemporaryDirectory(prefix="wsinspect-fuzz-") as name:
        folder = Path(name)
        os.environ.update(HOME=name, XDG_DATA_HOME=name, XDG_STATE_HOME=name, XDG_RUNTIME_DIR=name)
        sound = kind.sound(folder)
        until = time.monotonic() + seconds
        while time.monotonic() < until or not count:
            path, done = kind.make_case(first + count, sound, folder)
            for problem in kind.check(path, folder):
                line = f"case {first + count} ({done}): {problem}"
                print(line, flush=True)
                failures.append(line)
                if keep is not None:
                    keep.mkdir(parents=True, exist_ok=True)
                    (keep / path.name).write_bytes(path.read_bytes())
            path.unlink()
            count += 1
    print(f"{count} damaged files, {len(failures)} failures", flush=True)
    return failures


def main(kind: Kind, description: str | None) -> int:
    """Run it from the command line; 1 where something failed."""
    parser = argparse.ArgumentParser(prog=f"python -m {kind.name}", description=description)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (60)")
    parser.add_argument("--seed", type=int, default=None, help="the number of the first case")
    parser.add_argument("--keep", type=Path, help="keep files that failed in this folder")
    options = parser.parse_args()
    first = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 31)
    return 1 if fuzz(kind, options.seconds, first, options.keep) else 0
