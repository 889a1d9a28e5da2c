"""`wsinspect ls`: the captures in the default directory, the newest first."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wsinspect.cli.options import examples, json_option

if TYPE_CHECKING:
    from wsinspect.capture.reader import Capture


@click.command(epilog=examples("wsinspect ls", "wsinspect ls --json | jq '.captures[].name'"))
@json_option
def ls(as_json: bool) -> None:
    """List captures: how old and how large they are, and what is in them.

    Names are for show, open, diagnose, export and rm: `wsinspect show NAME`.
    """
    from wsinspect.cli.output import echo, echo_json, note, prose_columns
    from wsinspect.launch.captures import newest_first
    from wsinspect.launch.paths import captures_dir
    from wsinspect.present.terminal import table
    from wsinspect.text import truncate

    now_ns = time.time_ns()
    found = [facts for path in newest_first() if (facts := _facts(path)) is not None]
    if as_json:
        echo_json({"directory": str(captures_dir()), "captures": found})
        return
    if not found:
        note("no captures yet; record one with: wsinspect run")
        return
    header = ["NAME", "AGE", "SIZE", "CONNECTIONS", "FRAMES", "ERRORS", "STATE"]
    right = frozenset({"AGE", "SIZE", "CONNECTIONS", "FRAMES", "ERRORS"})
    columns = prose_columns()
    for line in table(header, [_cells(one, now_ns) for one in found], right):
        echo(line if columns is None else truncate(line, columns))


def _facts(path: Path) -> dict[str, Any] | None:
    """What is known of a capture; counts are null in one that cannot be read.

    Returns:
        None if it is gone meanwhile: a run that nobody used leaves none.
    """
    from wsinspect.capture.reader import Capture
    from wsinspect.errors import CaptureError
    from wsinspect.journal.format import is_in_use, journal_directory
    from wsinspect.launch.captures import size_of

    facts: dict[str, Any] = {
        "name": path.stem,
        "file": str(path),
        "size": size_of(path),
        "started_ns": None,
        "connections": None,
        "frames": None,
        "findings": None,
        "state": "damaged",
    }
    try:
        with Capture.open(path) as capture:
            is_left = journal_directory(path).is_dir()
            state = "recording" if capture.is_live else "not indexed yet" if is_left else _ended(capture)
            facts |= {"started_ns": capture.start_ns, **_counts(capture), "state": state}
    except CaptureError:
        if is_in_use(path):  # its engine has just started
            facts["state"] = "recording"
        elif not path.exists():
            return None
    return facts


def _counts(capture: Capture) -> dict[str, Any]:
    from wsinspect.capture.queries import findings_by_severity, totals_by_state

    totals = totals_by_state(capture)
    by_severity = {str(severity): count for severity, count in findings_by_severity(capture)}
    return {
        "connections": sum(row[1] for row in totals),
        "frames": sum((row[2] or 0) + (row[3] or 0) for row in totals),
        "findings": by_severity,
    }


def _ended(capture: Capture) -> str:
    from wsinspect.capture.queries import has_content

    if not capture.meta.get("closed_cleanly"):
        return "did not exit cleanly"
    return "complete" if has_content(capture) else "empty"


def _age(interval_ns: int) -> str:
    """To the unit that matters: nobody looks for the capture of 3 d 4 h 12 min ago."""
    from wsinspect.units import format_duration

    for unit in (86_400, 3600, 60):
        if interval_ns >= 2 * unit * 10**9:
            return format_duration(interval_ns // (unit * 10**9) * unit * 10**9)
    return format_duration(max(0, interval_ns) // 10**9 * 10**9)


def _cells(facts: dict[str, Any], now_ns: int) -> list[str]:
    from wsinspect.text import escape, grouped
    from wsinspect.units import format_size

    def count(value: int | None) -> str:
        return "-" if value is None else grouped(value)

    errors = None if facts["findings"] is None else facts["findings"].get("error", 0)
    started_ns = facts["started_ns"]
    return [
        escape(facts["name"]),
        "-" if started_ns is None else _age(now_ns - started_ns),
        format_size(facts["size"]),
        count(facts["connections"]),
        count(facts["frames"]),
        count(errors),
        facts["state"],
    ]
