"""What a page does, as lines of text: the verdict, its findings, its console, and each of its WebSockets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from wsinspect.doctor.report import report_lines
from wsinspect.formats.secrets import mask_url
from wsinspect.launch.browser.devtools import ConsoleLine
from wsinspect.launch.page import PageExamination
from wsinspect.present.examination import STYLES, rows_of, screen_lines
from wsinspect.present.findings import finding_lines
from wsinspect.present.terminal import Palette
from wsinspect.text import counted, escape, truncate

_SHOWN: int = 12
#: Lines of the console on a screen that is too small for all of it.
_CONSOLE: int = 3
_SOCKETS: int = 3


def page_lines(
    found: PageExamination,
    palette: Palette,
    *,
    include_secrets: bool = False,
    is_verbose: bool = False,
    columns: int | None = None,
    rows: int | None = None,
) -> Iterator[str]:
    """All of it, or what a screen has room for; each WebSocket below, as a URL's own examination is printed.

    Args:
        columns: where sentences are broken; None leaves them whole.
        rows: of the screen; None is a pipe.
    """
    url = found.url if include_secrets else mask_url(found.url)
    head = [
        *palette.folded([[(escape(found.headline), "title")]], columns),
        palette.line([(found.verdict, STYLES[found.verdict]), (f"  {escape(url)}", "")]),
        "",
    ]
    whole = [*head, *_whole(found, palette, include_secrets, is_verbose, columns)]
    if rows is None or columns is None or is_verbose or rows_of(whole, columns) < rows:
        yield from whole
        return
    yield from head
    room = rows - 1 - rows_of(head, columns)
    yield from _screen(found, palette, columns, room, include_secrets=include_secrets)


def _screen(
    found: PageExamination, palette: Palette, columns: int, room: int, *, include_secrets: bool
) -> Iterator[str]:
    """The finding of the page or of its worst WebSocket with the fix, and what became of each WebSocket."""
    worst = found.worst
    ranked = [
        *found.shown(include_secrets=include_secrets),
        *(worst.findings(include_secrets=include_secrets) if worst is not None else ()),
    ]
    serious = [one for one in ranked if one.severity != "note"]
    if found.findings and found.findings[0].severity == "note" and serious:
        ranked = [*serious, *(one for one in ranked if one.severity == "note")]
    lines = [truncate(one, columns - 2) for one in _sockets(found, include_secrets=include_secrets)]
    sockets = list(_block("WebSockets of the page", lines[:_SOCKETS], palette))
    console = list(
        _block("Console", list(_console(found.console(include_secrets=include_secrets)))[:_CONSOLE], palette)
    )
    notes = list(_block("Notes", map(escape, found.notes()), palette))
    yield from screen_lines(
        ranked,
        {"sockets": sockets, "console": console, "notes": notes},
        palette,
        columns,
        room,
        "sockets",
    )


def _whole(
    found: PageExamination,
    palette: Palette,
    include_secrets: bool,
    is_verbose: bool,
    columns: int | None,
) -> Iterator[str]:
    for one in found.shown(include_secrets=include_secrets):
        yield from palette.folded(finding_lines([one], noun="connection"), columns)
        yield ""
    yield from _block("Console", _console(found.console(include_secrets=include_secrets)), palette)
    yield from _block("WebSockets of the page", _sockets(found, include_secrets=include_secrets), palette)
    yield from _block("Notes", map(escape, found.notes()), palette)
    for _, examined in found.examined:
        yield ""
        yield from report_lines(
            examined, palette, include_secrets=include_secrets, is_verbose=is_verbose, columns=columns
        )


def _console(lines: Iterable[ConsoleLine]) -> Iterator[str]:
    """Errors and warnings, and what speaks of sockets."""
    kept = [one for one in lines if one.level != "info" or "socket" in one.text.lower()]
    for one in kept[:_SHOWN]:
        yield f"{one.level}: {escape(one.text)}"
    if len(kept) > _SHOWN:
        yield f"… {counted(len(kept) - _SHOWN, 'more line')}"


def _sockets(found: PageExamination, *, include_secrets: bool) -> Iterator[str]:
    for one in found.visited.sockets:
        url = one.url if include_secrets else mask_url(one.url)
        said = one.error or ("no answer" if one.status is None else f"status {one.status}")
        yield f"{escape(url)}: {escape(said)}"


def _block(title: str, lines: Iterable[str], palette: Palette) -> Iterator[str]:
    for number, line in enumerate(lines):
        if not number:
            yield palette.bold(title)
        yield f"  {line}"
