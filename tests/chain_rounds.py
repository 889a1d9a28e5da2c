"""Every ordered pair of the lab's hops as a chain of three taps, with every oddity and cause, whoever did it.

    python -m tests.chain_rounds [--seconds 900] [--hops nginx,caddy ...] [--only odds] [--busy 2]

`make test-all` plays the oddities in each pair and the causes in some; this plays both in all of them: what a
hop does by itself is done once by the first of the two, once by the second. A line for each chain, below it
what was told wrongly. No chain is begun after `--seconds`. The exit code is 0 if every cell that was played
was told rightly, else 1.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import permutations
from pathlib import Path

from tests.support import warm
from tests.support.hops import envoy_program
from tests.support.matrix_causes import causes_of, judged
from tests.support.matrix_hops import KINDS
from tests.support.matrix_lab import disagreements, play
from tests.support.matrix_odd import play as play_odds
from tests.support.matrix_odds import judged_odds, odds_of
from tests.support.processes import busy

Chain = tuple[str, str]


def wrong_odds(hops: Chain, guilty: int, folder: Path) -> tuple[int, list[str]]:
    """How many oddities were played, and what is told wrongly."""
    odds = odds_of(hops, guilty)
    engine, seen = play_odds(hops, guilty, odds, folder)
    return len(odds), [*judged_odds(odds, guilty, engine, seen), *disagreements(engine)]


def wrong_causes(hops: Chain, guilty: int, folder: Path) -> tuple[int, list[str]]:
    """The same for causes."""
    causes = causes_of(hops, guilty)
    engine, seen = play(hops, guilty, causes, folder)
    wrong = [line for one in causes for line in judged(one, seen.get(one.name), hops, guilty)]
    return len(causes), [*wrong, *disagreements(engine)]


MATRICES: dict[str, Callable[[Chain, int, Path], tuple[int, list[str]]]] = {
    "odds": wrong_odds,
    "causes": wrong_causes,
}


def pair_of(text: str) -> Chain:
    """`nginx,caddy`, from the client on."""
    first, _, second = text.partition(",")
    if first not in KINDS or second not in KINDS:
        raise argparse.ArgumentTypeError(f"two of {', '.join(KINDS)}, with a comma between")
    return first, second


def one_chain(name: str, hops: Chain, guilty: int) -> tuple[int, list[str]]:
    """Play one chain in a folder of its own, and print how it was told."""
    begun = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="chains-") as folder:
            count, wrong = MATRICES[name](hops, guilty, Path(folder))
    except (AssertionError, subprocess.TimeoutExpired, TimeoutError) as error:
        count, wrong = 0, [f"not played: {error!r}"[:500]]
    took = time.monotonic() - begun
    print(f"{name} {'-'.join(hops)}-{guilty}: {count} cells, {len(wrong)} wrong, {took:.1f} s", flush=True)
    for line in wrong:
        print(f"  {line}", flush=True)
    return count, wrong


def main(arguments: Sequence[str] | None = None) -> int:
    """Play the chains, and print what each brought."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=1800.0)
    parser.add_argument("--hops", type=pair_of, nargs="+")
    parser.add_argument("--only", choices=MATRICES)
    parser.add_argument("--guilty", type=int, choices=(0, 1))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--busy", type=int, default=0)
    chosen = parser.parse_args(arguments)
    kinds = [one for one in KINDS if one != "envoy" or envoy_program() is not None]
    chains = [
        (name, hops, guilty)
        for _ in range(chosen.rounds)
        for hops in chosen.hops or permutations(kinds, 2)
        for name in ([chosen.only] if chosen.only else MATRICES)
        for guilty in ((0, 1) if chosen.guilty is None else (chosen.guilty,))
    ]
    begun = time.monotonic()
    cells = wrong = played = 0
    try:
        with busy(chosen.busy):
            for name, hops, guilty in chains:
                if time.monotonic() - begun > chosen.seconds:
                    print(f"{len(chains) - played} of {len(chains)} chains were not begun in time")
                    break
                count, lines = one_chain(name, hops, guilty)
                cells, wrong, played = cells + count, wrong + len(lines), played + 1
    finally:
        warm.stop()
    print(f"{played} chains, {cells} cells, {wrong} wrong, {time.monotonic() - begun:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
