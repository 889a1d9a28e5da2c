"""What the screens say where there is nothing to show: one sentence, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from wsinspect.capture.records import Connection
from wsinspect.present.cells import Line, broken, flow, width_of
from wsinspect.present.findings import finding_of
from wsinspect.present.glyphs import Glyphs
from wsinspect.present.handshakes import body_lines, header_blocks
from wsinspect.present.notes import SEVERITY_STYLES, severity_sign
from wsinspect.present.requests import asked_words
from wsinspect.present.words import end_words, listening_words
from wsinspect.text import cell_width, escape, grouped
from wsinspect.tui.model import DISCONNECTED, LIVE, RECORDED, STARTING, Model
from wsinspect.tui.workspace import Workspace

#: Requests before a refused attempt, and after it, that are shown with its answer.
_MOST_ASKED: Final = 6
#: How many findings about no connection are shown where frames would be.
_MOST_ABOUT_NONE: Final = 3


def no_connections(model: Model, width: int, glyphs: Glyphs) -> list[Line]:
    """Where to point a client."""
    if model.error is not None:
        return _flowing("This file cannot be read.", width)
    if not model.has_begun or model.state == STARTING:
        return _flowing("Opening the capture.", width)
    if model.state != LIVE:
        return _flowing(
            "No connection was recorded in this capture. wsinspect open last shows the newest one.", width
        )
    lines = _flowing("No connections yet.", width)
    for where, target in listening_words(model.listeners, model.taps):
        words = f"Listening on {where} {glyphs.arrow} {target}. "
        if target.startswith("any"):
            words += f"Press b for a browser that uses it, or set your client's HTTP proxy to {where}."
        else:
            words += f"Point your client at ws://{where}/ instead of the server."
        lines += _flowing(words, width)
    return [
        *lines,
        *_flowing("To see it with traffic: wsinspect demo, in another terminal.", width),
    ]


def is_over(model: Model) -> bool:
    """Whether nothing more can come: it is a recording, or its proxy has exited."""
    return model.state in (RECORDED, DISCONNECTED)


def choose_first(model: Model, then: str, width: int) -> list[Line]:
    """Where a page is about one connection and none is chosen: how to choose one, if there is any."""
    if not model.connections and is_over(model):
        return _flowing("No connection was recorded in this capture.", width)
    return _flowing(f"Choose a connection first (1); then {then}.", width)


def no_frames(workspace: Workspace, width: int) -> list[Line]:
    """Why there are none."""
    model, selection = workspace.model, workspace.selection
    flt, share, total = selection.filter, selection.scan_share, selection.view.total
    if flt is not None:
        if share is not None:
            words = f"Scanning, {share}% so far: nothing matches {escape(flt.source)} yet."
            return _flowing(words, width)
        hidden = "1 frame is hidden" if total == 1 else f"{grouped(total)} frames are hidden"
        return _flowing(f"No frame matches {escape(flt.source)}; {hidden}. esc clears the filter.", width)
    if workspace.playback is not None:
        return _flowing("No frame yet at this time: space plays.", width)
    if model.is_loading:
        return _flowing("Reading frames.", width)
    selected = selection.selected
    if selected is not None and selected.state in ("refused", "failed"):
        return _attempt(workspace, selected, width)
    if selected is None and (about := _about_none(workspace, width)):
        return about
    if selected is not None:
        return _flowing(
            "No frame on this connection yet." if model.is_live else "No frame passed on this connection.",
            width,
        )
    if model.connections:
        words = "No frames yet: the connections above have not sent any."
        return _flowing(f"{words} {_hidden_words(workspace, None)}".rstrip(), width)
    if is_over(model):
        return _flowing("No frame was recorded in this capture.", width)
    return _flowing("Frames will be listed here, one a row, as lanes between client and server.", width)


def _about_none(workspace: Workspace, width: int) -> list[Line]:
    """What is wrong before any connection: each finding in a sentence, with what to do."""
    lines: list[Line] = []
    found = workspace.model.findings_of_connection.get(0, ())
    # A browser's own requests to its maker's servers are notes, often many: they take nobody's place.
    wrong = [finding_of(row) for row in found if row.severity != "note"]
    for finding in sorted(reversed(wrong), key=lambda one: one.rank)[:_MOST_ABOUT_NONE]:
        sign = severity_sign(finding.severity, workspace.glyphs)
        lines.append([(f"  {sign} {escape(finding.title)}", SEVERITY_STYLES[finding.severity])])
        if finding.evidence:
            lines += _flowing(f"  {escape(finding.evidence[0])}", width)
        for fix in finding.fixes[:1]:
            lines += [[(text, "") for text, _ in line] for line in _flowing(f"  {escape(fix.text)}", width)]
    return [*lines, [("  i shows it in full.", "muted")]] if lines else []


def _attempt(workspace: Workspace, one: Connection, width: int) -> list[Line]:
    """An attempt that never opened: the answer first, then what was asked."""
    lines = _flowing(
        f"This attempt never opened: {end_words(one)}. h shows both sides of its handshake.", width
    )
    handshake = workspace.selection.handshake(one.id)
    if handshake is None:
        return lines
    request, response = header_blocks(handshake)
    blocks = [*response.lines(), *body_lines(handshake), *_asked(workspace, one), *request.lines()]
    room = max(width - 3, 20)
    return [*lines, *([("  ", ""), *piece] for line in blocks for piece in _continued(line, room))]


def _continued(line: Line, width: int) -> list[Line]:
    """A line of a block; what does not fit continues below, indented more than a line of its own."""
    if not line or width_of(line) <= width:
        return [line]
    *before, (text, style) = line
    words = text.lstrip(" ")
    begin = width_of(line) - cell_width(words)
    first, *more = broken(words, max(width - begin, 1), max(width - begin - 2, 1))
    lead = text[: len(text) - len(words)]
    return [[*before, (lead + first, style)], *([(" " * (begin + 2) + piece, style)] for piece in more)]


def _asked(workspace: Workspace, one: Connection) -> Iterator[Line]:
    """What the same client asked for near the attempt, unless that is hidden."""
    if words := _hidden_words(workspace, one.id):
        yield [(words, "muted")]
        yield []
    asked = workspace.model.asked_near(one.id) if workspace.settings.requests else []
    before = [each for each in asked if each.time_ns < (one.attempt_ns or 0)]
    shown = [*before[-_MOST_ASKED:], *asked[len(before) :][:_MOST_ASKED]]
    if not asked:
        return
    more = f", {grouped(len(asked) - len(shown))} more" if len(shown) < len(asked) else ""
    yield [
        ("HTTP requests from the same client near this attempt", "title"),
        (f"{more}  (H hides them)", "muted"),
    ]
    for each in shown:
        when = workspace.clock.at(each.time_ns, one.attempt_ns or each.time_ns)
        yield [(f"{when:>10}  ", "muted"), *asked_words(each, workspace.glyphs.arrow, one)]
    yield []


def _hidden_words(workspace: Workspace, connection: int | None) -> str:
    """That requests are hidden, which is remembered from one run to the next; empty where none are."""
    asked = [] if workspace.settings.requests else workspace.model.asked_near(connection)
    are = "1 HTTP request is" if len(asked) == 1 else f"{grouped(len(asked))} HTTP requests are"
    return f"{are} hidden: H shows them." if asked else ""


def _flowing(words: str, width: int) -> list[Line]:
    return [[("  " + line, "muted")] for line in flow(words, max(min(width - 4, 110), 20))]
