"""Print line and branch coverage of packages from coverage.py's data; exit 1 where one is below the limit.

Branches have to reach it alone, and lines and branches together, as coverage.py counts them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

LEAST_PERCENT = 95.0


def main(packages: list[str]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "coverage.json"
        subprocess.run([sys.executable, "-m", "coverage", "json", "-q", "-i", "-o", report], check=True)
        files = json.loads(report.read_text("utf-8"))["files"]
    is_enough = True
    print(f"{'package':<12} {'lines':>14} {'branches':>21} {'together':>9}")
    for package in packages:
        mine = {name: each["summary"] for name, each in files.items() if f"wsinspect/{package}/" in name}
        total = {key: sum(each[key] for each in mine.values()) for key in _COUNTED}
        share = _percent(
            total["covered_lines"] + total["covered_branches"],
            total["num_statements"] + total["num_branches"],
        )
        branches = _percent(total["covered_branches"], total["num_branches"])
        least = min(share, branches)
        is_enough = is_enough and least >= LEAST_PERCENT
        print(
            f"{package:<12} {total['covered_lines']:>6} of {total['num_statements']:>5}"
            f" {total['covered_branches']:>6} of {total['num_branches']:>4} {branches:>5.1f} %"
            f" {share:>7.1f} %{'' if least >= LEAST_PERCENT else f'  below {LEAST_PERCENT:g} %'}"
        )
        for name, each in sorted(mine.items(), key=lambda item: _share(item[1])):
            if _share(each) < LEAST_PERCENT:
                print(f"    {_share(each):5.1f} %  {name}")
    return 0 if is_enough else 1


_COUNTED = ("covered_lines", "num_statements", "covered_branches", "num_branches")


def _share(summary: dict[str, int]) -> float:
    return _percent(
        summary["covered_lines"] + summary["covered_branches"],
        summary["num_statements"] + summary["num_branches"],
    )


def _percent(part: int, whole: int) -> float:
    return 100.0 * part / whole if whole else 100.0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
