"""Files from a stranger in other formats: damaged, and given to every importer and to what writes them.

    python -m tests.fuzz_imports --seconds 3600 [--seed N] [--keep FOLDER]

Sound HAR, JSONL, flow, pcap and pcapng files are damaged (bytes, lengths, pieces exchanged, cut, repeated).
`import` then has to end in time with exit code 0 or 2 and one line for what is wrong, and leave a whole
capture or none; what was imported is diagnosed, exported in every format and reported on. A case is made of
its number alone, so `--seed N` repeats it; with `--keep` the files that failed stay.
"""

from __future__ import annotations

import contextlib
import io
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.support.busy import busy_capture
from tests.support.fuzzing import EndlessError, Kind, limited, main
from tests.support.packets import CLIENT, REQUEST, RESPONSE, SERVER, Tcp, Wire, said
from wsinspect.capture.reader import Capture
from wsinspect.cli.main import cli, execute
from wsinspect.formats.choice import EVERYTHING
from wsinspect.formats.exporting import EXPORTERS
from wsinspect.formats.progress import nobody

#: How long one command may take, and how much larger than its file a capture may be.
LIMIT_SECONDS: Final = 20.0
_FACTOR: Final = 60
_SLACK_BYTES: Final = 4 * 1024 * 1024
#: What a client and its SOCKS proxy say, and the options of Multipath TCP in both SYNs.
_SOCKS: Final = (b"\5\1\2", b"\5\2", b"\1\1u\1p", b"\1\0", b"\5\1\0\3\1h\0\x50", b"\5\0\0\1" + bytes(6))
_MULTIPATH: Final = (b"\x1e\x04\x01\x81", b"\x1e\x0c\x01\x81key-of-8")
_IMPORTED: Final = ("har", "jsonl", "flows", "pcapng")
_BYTES: Final = (
    b"\0",
    b"\xff",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"{",
    b'"',
    b"99999999:",
    b"\\ud800",
)


def sound_files(folder: Path) -> list[Path]:
    """One of each format, and packets made by hand."""
    paths = []
    source = busy_capture(folder / "sound.db", 2)
    for name in _IMPORTED:
        path = folder / f"sound.{name}"
        with Capture.open(source) as capture, path.open("wb") as out:
            EXPORTERS[name].write(capture, out, choice=EVERYTHING, include_secrets=True, progress=nobody)
        paths.append(path)
    wire = Wire()
    tcps = [
        Tcp(wire, client=("10.0.0.1", 5000 + number), segment=100).open(_MULTIPATH) for number in range(3)
    ]
    for number, word in enumerate(_SOCKS):
        tcps[2].send(number % 2, word)
    for tcp in tcps:
        tcp.send(CLIENT, REQUEST)
        tcp.send(SERVER, RESPONSE)
    for number in range(60):
        tcps[number % 3].send(number % 2, said(b"x" * (number * 7), masked=number % 2 == CLIENT))
    tcps[0].fin(SERVER)
    tcps[1].rst(CLIENT)
    for name, data in (("little", wire.pcap()), ("big", wire.pcap(order=">", is_nano=True))):
        paths.append(folder / f"{name}.pcap")
        paths[-1].write_bytes(data)
    return paths


def damage(data: bytearray, chance: random.Random) -> str:
    """Change some of a file; what was done."""
    done = []
    for _ in range(chance.choice((1, 1, 1, 2, 5, 40))):
        if not data:
            break
        place, size = chance.randrange(len(data)), chance.choice((1, 2, 4, 8, 100, 3000))
        kind = chance.choice(("bytes", "bytes", "bytes", "noise", "cut", "move", "repeat", "remove"))
        done.append(f"{kind} {place}")
        if kind == "bytes":
            new = chance.choice(_BYTES)
            data[place : place + len(new)] = new
        elif kind == "noise":
            data[place : place + size] = chance.randbytes(size)
        elif kind == "cut":
            del data[max(place, len(data) // 3) :]
        elif kind == "move":
            piece = bytes(data[place : place + size])
            del data[place : place + size]
            other = chance.randrange(len(data) + 1)
            data[other:other] = piece
        elif kind == "repeat":
            data[place:place] = data[place : place + size] * chance.choice((1, 3))
        else:
            del data[place : place + size]
    return ", ".join(done)


def make_case(number: int, sound: list[Path], folder: Path) -> tuple[Path, str]:
    """The file of a case, made of its number; what was done to it."""
    chance = random.Random(number)
    source = chance.choice(sound)
    data = bytearray(source.read_bytes())
    done = damage(data, chance)
    path = folder / f"case-{number}{source.suffix}"
    path.write_bytes(data)
    return path, f"{source.name}: {done}"


def check(path: Path, folder: Path) -> Iterator[str]:
    """What went wrong with a file."""
    target = folder / "imported.db"
    code, errors, seconds = _run("import", str(path), "-o", str(target))
    lines = [line for line in errors.splitlines() if line.strip()]
    if code not in (0, 2) or seconds > LIMIT_SECONDS:
        yield f"import: exit code {code} after {seconds:.1f} s: {errors.strip()[-500:]}"
    elif code == 2 and (len(lines) != 1 or target.exists()):
        yield f"import: {len(lines)} lines, capture {'left' if target.exists() else 'removed'}: {errors}"
    if target.exists():
        if target.stat().st_size > path.stat().st_size * _FACTOR + _SLACK_BYTES:
            yield f"import: {target.stat().st_size} bytes made of {path.stat().st_size}"
        yield from _use(target, folder)
    for leftover in folder.glob("imported.db*"):
        if leftover != target:
            yield f"import: {leftover.name} left"
        leftover.unlink()


def _use(target: Path, folder: Path) -> Iterator[str]:
    commands = [
        ("diagnose", str(target)),
        ("report", str(target), "-o", str(folder / "page.html"), "--force"),
    ]
    for name in EXPORTERS:
        commands.append(("export", str(target), "--format", name, "-o", str(folder / "out"), "--force"))
    data_set = ("--format", "parquet", "-o", str(folder / "data"), "--force")
    commands.append(("export", str(target), *data_set))
    for command in commands:
        code, errors, seconds = _run(*command)
        # A script for a mock needs a connection that was open; findings are exit code 1.
        if code not in (0, 1, 2) or seconds > LIMIT_SECONDS or "internal error" in errors:
            yield f"{' '.join(command)}: exit code {code} after {seconds:.1f} s: {errors.strip()[-500:]}"


def _run(*arguments: str) -> tuple[int, str, float]:
    """Exit code, stderr, and seconds of the processor."""
    out, errors = io.TextIOWrapper(io.BytesIO()), io.StringIO()
    begun = time.process_time()
    try:
        with (
            limited(2 * LIMIT_SECONDS),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(errors),
        ):
            code = execute(lambda: cli.main([*arguments], prog_name="wsinspect", standalone_mode=False))
    except EndlessError:
        code = -1
    return code, errors.getvalue(), time.process_time() - begun


if __name__ == "__main__":
    sys.exit(main(Kind("tests.fuzz_imports", sound_files, make_case, check), __doc__))
