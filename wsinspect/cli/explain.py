"""`wsinspect explain`: what a line of a console or a log means."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from wsinspect.cli.completion import complete_capture
from wsinspect.cli.options import color_option, examples, json_option
from wsinspect.cli.output import say

if TYPE_CHECKING:
    from pathlib import Path

    from wsinspect.explain.explaining import Account, Explanation
    from wsinspect.findings.model import Finding


@click.command(
    epilog=examples(
        "wsinspect explain \"WebSocket connection to 'wss://example.com/ws' failed: ...\"",
        "wsinspect explain 1006",
        "wsinspect explain 1006 --capture last            and what the last capture shows of it",
        "tail -n 100 /var/log/nginx/error.log | wsinspect explain",
        "curl -v --http1.1 ... 2>&1 | wsinspect explain",
        "journalctl -u haproxy -n 50 | wsinspect explain --json | jq '.explanations[].title'",
        failed="nothing in the text was recognised",
    )
)
@click.argument("text", nargs=-1)
@click.option(
    "--capture",
    metavar="FILE",
    shell_complete=complete_capture,
    help="Also find the connection in this capture (or 'last'), and print its findings.",
)
@json_option
@color_option
def explain(text: tuple[str, ...], capture: str | None, as_json: bool, color: str) -> int:
    """Say what TEXT means: its causes in order, how to tell them apart, and the fix.

    TEXT is a line from a browser's console, an error of a WebSocket client, a close code, a status, a log
    line of a proxy or application server, or output of curl or openssl. Without TEXT, or with -, lines are
    read from stdin. Colours, timestamps and prefixes do not matter. Nothing is sent anywhere.
    """
    from wsinspect.cli.output import echo, echo_json, prose_columns
    from wsinspect.explain.explaining import explain as explained
    from wsinspect.explain.reading import MAX_BYTES, read_lines
    from wsinspect.present.explanation import account_lines, unknown_lines
    from wsinspect.present.terminal import Palette

    data = (
        " ".join(text).encode("utf-8", "surrogateescape")
        if text and text != ("-",)
        else _read_stdin(MAX_BYTES)
    )
    if not data.strip():
        raise click.UsageError("no text to explain: give a line, or pipe some in")
    reading = read_lines(data)
    if not reading.lines:
        raise click.UsageError("no text to explain: what was given has only control characters and blanks")
    account = explained(reading)
    for note in account.notes:
        say(note)
    found = _in_capture(account, capture)
    if as_json:
        content = account.as_json()
        content["capture"] = None if capture is None else [one.as_json() for one in found]
        echo_json(content)
    elif not account.is_recognised:
        for line in unknown_lines(account):
            echo(line)
    else:
        palette = Palette.choose(color)
        for line in account_lines(account, palette, prose_columns()):
            echo(line)
        for one in found:
            for line in one.lines(palette):
                echo(line)
        if account.unknown and sys.stderr.isatty():
            say(f"{len(account.unknown)} of the lines say nothing that is known")
    return 0 if account.is_recognised else 1


def _read_stdin(limit: int) -> bytes:
    """What is piped in, or pasted at a terminal; one byte more than the limit says that it was cut."""
    stream = sys.stdin.buffer
    if sys.stdin.isatty():
        say("paste the lines, then press Ctrl-D")
    return stream.read(limit + 1)


class _Found:
    """What a capture shows of one explanation."""

    def __init__(self, path: Path, one: Explanation, ids: tuple[int, ...], count: int, by: str) -> None:
        self.path, self.explanation, self.ids, self.count, self.by = path, one, ids, count, by
        self.is_at_time: bool | None = None
        self.findings: list[Finding] = []

    def as_json(self) -> dict[str, Any]:
        return {
            "file": str(self.path),
            "situation": self.explanation.situation.name,
            "connections": list(self.ids),
            "count": self.count,
            "agreed": self.by.split(" and ") if self.by else [],
            "at_time": self.is_at_time,
            "findings": [one.as_json() for one in self.findings],
        }

    def lines(self, palette: Any) -> list[str]:
        from wsinspect.cli.output import prose_columns
        from wsinspect.present.findings import finding_lines
        from wsinspect.text import counted, escape

        lines = ["", palette.bold(f"In {escape(str(self.path))}: {escape(self.explanation.title)}")]
        if not self.ids:
            return [*lines, "  no connection shows it: none has the same host, path, status or close code"]
        ids = ", ".join(map(str, self.ids)) + (" ..." if self.count > len(self.ids) else "")
        lines.append(f"  {counted(self.count, 'connection')} ({ids}): the same {self.by}")
        if self.is_at_time is False:
            lines.append(
                "  none of them at the time of the line: the clocks differ, or it is another attempt"
            )
        if not self.findings:
            lines.append(f"  no finding about it; see wsinspect show {escape(str(self.path))} {self.ids[0]}")
        for one in self.findings:
            lines += ["", *palette.folded(finding_lines([one]), prose_columns())]
        return lines


def _in_capture(account: Account, name: str | None) -> list[_Found]:
    """The connections that show what was explained, and their findings."""
    if name is None:
        return []
    from wsinspect.cli.diagnosis import diagnose_file
    from wsinspect.explain.captured import shown_by
    from wsinspect.launch.captures import resolve_capture
    from wsinspect.recorder.opening import open_capture

    path = resolve_capture(name)
    with open_capture(path) as capture:
        connections = capture.connections()
    findings = diagnose_file(path, None, None).findings
    found = []
    for one in account.explanations:
        shown = shown_by(connections, one.places, one.situation)
        entry = _Found(path, one, shown.ids, shown.total, shown.by)
        entry.is_at_time = shown.is_at_time
        entry.findings = _distinct([each for each in findings if each.connection in shown.ids])
        found.append(entry)
    return found


def _distinct(findings: list[Finding]) -> list[Finding]:
    """One finding of each kind: further connections say the same."""
    kinds: dict[tuple[str, str], Finding] = {}
    for one in findings:
        kinds.setdefault((one.id, one.title), one)
    return list(kinds.values())
