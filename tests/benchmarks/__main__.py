"""``python -m tests.benchmarks``: measure every installed peer, print the tables, write them where asked.

Exit code 0: measured, whatever the goals say (``--check``: 1 when one is missed); 1: a frame was lost or
wsinspect failed; 2: wrong usage.
"""

import argparse
import compileall
import datetime
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks import peers as peers_module
from tests.benchmarks import tables
from tests.benchmarks.measures import MEASURES, Place, Result, Sizes
from tests.benchmarks.peers import Peer
from tests.benchmarks.processes import ROOT, BenchError, Child
from tests.support.certs import make_certificates

CORES = 2
#: What is measured in each round; the others have rounds of their own, or counters that need none.
REPEATED = ("small", "bulk", "echo", "open", "tls", "writes")
#: What slow peers take part in when it is quick: where a goal or a ratio is about them.
ABOUT_SLOW = ("small", "bulk", "echo", "open")
IDLE_LOAD = 0.7


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description="Measure wsinspect and its peers."
    )
    parser.add_argument("--rounds", type=int, help="interleaved rounds (3; with --quick 1)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the frames, in one round")
    parser.add_argument(
        "--only",
        action="append",
        choices=list(MEASURES),
        default=[],
        help="only this measurement (repeatable)",
    )
    parser.add_argument(
        "--peer", action="append", default=[], metavar="NAME", help="only this peer (repeatable)"
    )
    parser.add_argument(
        "--dir", type=Path, help="where captures are written while measuring (about 6 GB free)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round and the medians")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the page docs/benchmarks.md")
    parser.add_argument(
        "--beside",
        dest="checkout",
        type=Path,
        metavar="FOLDER",
        help="also another version of wsinspect, from its working tree (git worktree add FOLDER COMMIT)",
    )
    parser.add_argument(
        "--against",
        type=Path,
        metavar="FILE",
        help="an earlier page of as many frames: ratios that are more than 15 %% worse are named "
        "(docs/benchmarks.md; with --quick tests/benchmarks/quick.md)",
    )
    parser.add_argument("--check", action="store_true", help="exit 1 when a goal is missed")
    args = parser.parse_args(argv)
    args.rounds = args.rounds or (1 if args.quick else 3)
    args.against = args.against or (tables.QUICK_PAGE if args.quick else ROOT / "docs" / "benchmarks.md")
    return args


def say(line: str) -> None:
    """Narration."""
    print(line, file=sys.stderr, flush=True)


def run(
    chosen: list[Peer], measures: list[str], rounds: int, sizes: Sizes, folder: Path
) -> tuple[tables.Rounds, list[str]]:
    """All rounds; a peer that fails in a measurement is not asked again in it."""
    begun = time.monotonic()
    results: tables.Rounds = {measure: {peer.name: [] for peer in chosen} for measure in measures}
    failures: dict[tuple[str, str], str] = {}
    took: dict[str, float] = {}
    certificates = make_certificates(folder / "certificates")
    command = [sys.executable, "-m", "tests.benchmarks.target", certificates.chain, certificates.key]
    target = Child(list(map(str, command)), folder, "target")
    try:
        ports = target.wait_line(10, "port")
        place = Place(folder, int(ports["port"]), int(ports["tls_port"]), certificates)
        for number in range(1, rounds + 1):
            for measure in measures:
                if number > 1 and measure not in REPEATED:
                    continue
                for peer in chosen:
                    if number > 1 and peer.is_bounded:  # no goal turns on how a slow one does exactly
                        continue
                    if (peer.only and measure not in peer.only) or (peer.name, measure) in failures:
                        continue
                    if peer.is_bounded and sizes.is_quick and measure not in ABOUT_SLOW:
                        continue
                    started = time.monotonic()
                    try:
                        result = MEASURES[measure](peer, place, sizes)
                    except BenchError as error:
                        failures[peer.name, measure] = str(error)
                        say(f"round {number}  {measure:7} {peer.name}: {error}")
                        continue
                    if result:
                        results[measure][peer.name].append(result)
                        passed = time.monotonic() - begun
                        took[measure] = took.get(measure, 0.0) + time.monotonic() - started
                        say(f"{passed:5.0f} s  round {number}  {measure:7} {peer.name}: {brief(result)}")
    finally:
        for peer in chosen:
            peer.stop()
        target.stop(seconds=5)
    slowest = sorted(took, key=took.__getitem__, reverse=True)
    say("took, in seconds: " + ", ".join(f"{measure} {took[measure]:.0f}" for measure in slowest))
    return results, [f"{name}, {measure}: {error}" for (name, measure), error in failures.items()]


def brief(result: Result) -> str:
    """A result in one line of narration."""
    return "  ".join(
        f"{key}={value:,.2f}" if value < 100 else f"{key}={value:,.0f}" for key, value in result.items()
    )


def facts(rounds: int, chosen: list[Peer], *, is_quick: bool) -> dict[str, Any]:
    """The machine and the versions."""
    model = platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    try:
        system = platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        system = platform.system()
    return {
        "date": datetime.date.today().isoformat(),
        "machine": model,
        "system": f"{system}, {platform.machine()}",
        "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)),
        "rounds": f"{rounds} interleaved rounds" if rounds > 1 else "one round",
        "sizes": tables.SIZES[is_quick],
        "versions": {peer.name: peer.version for peer in chosen},
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and report."""
    args = parse(argv)
    try:
        chosen = peers_module.choose(args.peer, args.checkout)
    except BenchError as error:
        say(str(error))
        return 2
    for peer in chosen:
        if peer.missing:
            say(f"left out: {peer.name} ({peer.missing})")
    chosen = [peer for peer in chosen if not peer.missing]
    earlier = args.against.read_text("utf-8") if args.against.is_file() else ""
    if (load := os.getloadavg()[0]) > IDLE_LOAD:
        say(f"this machine is busy (load {load:.1f}): the numbers, p99 above all, will say so")
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    for tree in (ROOT, args.checkout):
        if tree is not None:  # as an installation is: a checkout under PYTHONDONTWRITEBYTECODE never would be
            compileall.compile_dir(tree / "wsinspect", quiet=2)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="wsinspect-bench-", dir=args.dir) as name:
        sizes = Sizes.quick() if args.quick else Sizes()
        rounds, failures = run(chosen, args.only or list(MEASURES), args.rounds, sizes, Path(name))
    found = tables.medians(rounds)
    about = {**facts(args.rounds, chosen, is_quick=args.quick), "load": f"{load:.1f}"}
    about["minutes"] = f"{(time.monotonic() - begun) / 60:.1f}"
    print(tables.text(found, about["versions"]))
    if earlier:
        print(tables.comparison(found, about, args.against.name, earlier))
    if args.json:
        args.json.write_text(
            json.dumps({"schema": 1, **about, "medians": found, "results": rounds}, indent=1) + "\n"
        )
    if args.markdown:
        args.markdown.write_text(tables.markdown(found, about))
    say(f"measured in {about['minutes']} minutes")
    for failure in failures:
        say(f"failed: {failure}")
    results = tables.goals(found)
    is_lost = any(not goal.is_met for goal in results if "missing" in goal.promise)
    is_missed = args.check and not all(goal.is_met for goal in results)
    return 1 if is_lost or is_missed or any(failure.startswith("wsinspect") for failure in failures) else 0


if __name__ == "__main__":
    sys.exit(main())
