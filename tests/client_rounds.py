"""The clients of the laboratory, judged again and again: each has to have the same grade in every round.

    python -m tests.client_rounds --rounds 20 [--busy 2] [--keep FOLDER]

A round is an outage, and then a connection that is half-open for longer than a minute: some 90 s. With
`--busy` as many busy processes run beside it. The exit code is 0 if every client had its grade in each round,
else 1. With `--keep` the captures of the rounds that differ stay.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.support.client_lab import ITERATOR, KINDS, judged, lab
from tests.support.processes import busy
from wsinspect.clients.grading import Client

SCENARIO = """\
version: 1
seed: 7
rules:
  - {name: outage, kind: refuse, status: 503, armed: false}
  - {name: hole, kind: blackhole, armed: false}
phases:
  - {for: 3s}
  - {do: {kind: abort, how: rst}}
  - {for: 5s, rules: [outage]}
  - {for: 6s}
  - {for: 62s, rules: [hole]}
  - {for: 8s}
"""
#: What each is to have. The deaf ones get C at best, who storms D, and who does not come back E.
GRADES = {
    "perfect": "A",
    "socketio": "A",
    "phoenix": "A",
    "signalr": "A",
    "iterator": "A",
    "reconnecting-websocket": "C",
    "graphql-ws": "C",
    "naive": "C",
    "storm": "D",
    "gives-up": "E",
}
ROUND = {**KINDS, f"/{ITERATOR}": ITERATOR}


def one_round(folder: Path) -> dict[str, Client]:
    """Play the scenario with one client of each kind."""
    with lab(folder, SCENARIO, ROUND.values(), patience_s=200.0) as engine:
        pass
    return judged(engine, kinds=ROUND)


def main() -> int:
    """Play the rounds, and print what each brought."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--busy", type=int, default=0)
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    right: Counter[str] = Counter()
    with busy(arguments.busy):
        for number in range(1, arguments.rounds + 1):
            with tempfile.TemporaryDirectory(prefix="rounds-") as name:
                found = one_round(Path(name))
                letters = {kind: one.grade.letter for kind, one in found.items()}
                right.update(kind for kind, letter in letters.items() if letter == GRADES[kind])
                print(f"round {number}: {letters}", flush=True)
                wrong = [kind for kind, letter in letters.items() if letter != GRADES[kind]]
                for kind in wrong:
                    grade = found[kind].grade
                    print(f"  {kind}: {grade.points:.1f} of {grade.tested}, not {GRADES[kind]}")
                    for reason in grade.reasons:
                        if reason.points is not None:
                            print(
                                f"    {reason.points:g}/{reason.most} {reason.title}: {reason.seen}",
                                flush=True,
                            )
                if wrong and arguments.keep is not None:
                    shutil.copytree(name, arguments.keep / f"round-{number}", dirs_exist_ok=True)
    for kind in GRADES:
        print(f"{kind}: {GRADES[kind]} in {right[kind]} of {arguments.rounds}")
    return 0 if all(right[kind] == arguments.rounds for kind in GRADES) else 1


if __name__ == "__main__":
    sys.exit(main())
