"""The page: HTML that stands by itself, works without script but for the timeline, prints, and is read aloud
well."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from wsinspect.findings.alike import alike
from wsinspect.findings.fixes import examples_in
from wsinspect.findings.model import RECORDING, Finding, Fix
from wsinspect.findings.software import NAMES
from wsinspect.formats.masking import Masker
from wsinspect.present.cells import Line
from wsinspect.report.content import Content, Said, opcode_names
from wsinspect.text import counted, escape, escape_lines, grouped
from wsinspect.units import format_duration, format_size
from wsinspect.version import __version__

_DATA: Final = Path(__file__).with_name("data")
_MOST_IDS: Final = 12
#: Of a table, and of the handshakes, on paper; whatever is open on screen is printed, too.
_PRINTED_ROWS: Final = 60
_PRINTED_HANDSHAKES: Final = 10
#: Connections that the timeline draws at a time (MOST in page.js).
_DRAWN_ROWS: Final = 10
_LONG_WORD: Final = 16
_MOST_URLS: Final = 3
_MOST_TAPS: Final = 6
#: Kinds of lines, by the names of their styles in `present`.
_STYLES: Final = frozenset({"error", "warn", "note", "title", "muted", "changed", "same"})
_FAULT_OF: Final = {
    "client": "the client",
    "server": "the server",
    "hop": "the hop between client and server",
    "network": "the network",
    "tool": "wsinspect itself",
}


def render(
    content: Content,
    diagnosis: Any,
    masker: Masker,
    *,
    name: str,
    clients: Sequence[Sequence[Line]],
    story: Iterable[Line],
    pairs: Iterable[Line],
) -> Iterator[str]:
    """The page, piece by piece.

    Args:
        content: of the capture.
        diagnosis: `cli.diagnosis.Diagnosis`: findings, connections, notes.
        masker: for what findings quote.
        name: of the capture.
        clients: lines for each client with a grade.
        story: what was done on purpose.
        pairs: both sides of hops.
    """
    style, script = ((_DATA / file).read_text("utf-8") for file in ("page.css", "page.js"))
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    findings = [*diagnosis.findings, *diagnosis.origin_findings]
    kind, verdict, more = verdict_of([group[0] for group in alike(findings)], diagnosis)
    title = f"WebSocket report: {name}"
    yield (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_e(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n<meta name="color-scheme" content="light dark">\n'
        f"<title>{_e(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n"
    )
    yield f'<header><p class="kicker">{_e(title)}</p>\n'
    yield f'<h1 class="{kind}">{_e(verdict)}</h1>\n'
    yield f'<p class="lead">{_e(masker.text(more))}</p>\n</header>\n<main>\n'
    yield from _findings(findings, diagnosis, content, masker)
    yield from _timeline(content)
    yield from _connections(content)
    yield from _handshakes(content, findings)
    yield from _lines_section("pairs", "Both sides of the hop", pairs, masker)
    yield from _clients(clients, masker)
    yield from _on_purpose(content, story, masker)
    yield from _protocols(content)
    yield from _about(content, diagnosis, masker)
    yield "</main>\n"
    yield f'<script type="application/json" id="data">{_data(content)}</script>\n'
    yield f"<script>{script}</script>\n</body>\n</html>\n"


def verdict_of(findings: Sequence[Finding], diagnosis: Any) -> tuple[str, str, str]:
    """Severity, one sentence, and who has to do something."""
    looked = counted(diagnosis.connections, "connection")
    worst = next((one for one in findings if one.severity == "error"), None)
    if worst is None:
        worst = next((one for one in findings if one.severity == "warning"), None)
    if worst is None:
        if diagnosis.nothing is not None:
            why = diagnosis.nothing
            return "note", "There was nothing to look at", f"{why.reason}. {why.advice}"
        notes = f" {counted(len({one.id for one in findings}), 'note')} below." if findings else ""
        within = " in what the file contains" if diagnosis.is_imported else ""
        return "fine", f"No problems found{within}", f"{looked} looked at.{notes}"
    others = len({one.id for one in findings if one.severity == worst.severity}) - 1
    more = f" {counted(others, f'more {worst.severity}')} below." if others > 0 else ""
    sure = "" if worst.confidence == "high" else f", with {worst.confidence} confidence"
    return worst.severity, escape(worst.title), f"Caused by {who_did(worst)}{sure}. {looked} looked at.{more}"


def who_did(one: Finding) -> str:
    """Whose doing it is; a hop by its name where it has one."""
    if one.fault_of == "hop" and one.hop:
        return one.hop
    who = _FAULT_OF.get(one.fault_of, one.fault_of)
    if one.fault_of == "tool" and one.hop in ("wsinspect", RECORDING):
        return who if one.hop == "wsinspect" else one.hop
    return f"{who} ({one.hop})" if one.hop else who


# -- findings


def _findings(findings: Sequence[Finding], diagnosis: Any, content: Content, masker: Masker) -> Iterator[str]:
    yield '<section aria-labelledby="h-findings">'
    yield '<h2 id="h-findings">What was found, and what to change</h2>\n'
    groups = alike(findings)
    if not groups:
        yield "<p>Nothing.</p>"
    if words := _explained(findings, content):
        yield f'<p class="aside">{_e(words)}</p>\n'
    urls = {one.row.id: one.url.partition("?")[0] for one in content.connections}
    for group in groups:
        yield from _finding(group, urls, masker)
    for note in diagnosis.notes:
        yield f'<p class="aside">{_e(escape(masker.text(note)))}</p>\n'
    if diagnosis.missing is not None:
        yield f'<p class="aside">{_e(diagnosis.missing.words)}; findings do not cover that.</p>\n'
    if diagnosis.origin_missing is not None:
        words = f"Behind the hop: {diagnosis.origin_missing.words}"
        yield f'<p class="aside">{_e(words)}; findings do not cover that.</p>\n'
    yield "</section>\n"


def _explained(findings: Sequence[Finding], content: Content) -> str:
    """What the words of the findings mean, for who never used them."""
    said = " ".join(
        words
        for one in findings
        for words in (
            one.title,
            one.meaning,
            *one.evidence,
            *(fix.text for fix in one.fixes),
            *(words for cause in one.causes for words in (cause.cause, cause.tell_apart)),
        )
    )
    words = [_of_hops(content)] if any(one.fault_of == "hop" for one in findings) else []
    if re.search(r"\btaps?\b", said):
        words.append("A tap is a place where wsinspect watched the traffic.")
    if "c>s" in said or "s>c" in said:
        words.append("c>s is from the client to the server, s>c from the server to the client.")
    return " ".join(words)


def _of_hops(content: Content) -> str:
    words = "A hop is what stands between the client and the server: a proxy, a load balancer, a tunnel."
    taps = [*dict.fromkeys(one.row.tap for one in content.connections if one.row.tap)]
    if not 1 < len(taps) <= _MOST_TAPS:
        return words
    *others, last = taps
    return f"{words} This was recorded in several places: {escape(', '.join(others))} and {escape(last)}."


def _finding(group: Sequence[Finding], urls: Mapping[int, str], masker: Masker) -> Iterator[str]:
    one = group[0]

    def text(words: str) -> str:
        return _e(escape(masker.text(words)))

    who = who_did(one)
    yield f'<article class="finding {_e(one.severity)}">\n<h3><span class="tag">{_e(one.severity)}</span> '
    yield f'{text(one.title)}</h3>\n<p class="who">Caused by {text(who)}; confidence {_e(one.confidence)}; '
    yield f"<code>{_e(one.id)}</code></p>\n"
    if one.meaning:
        yield f"<p>{text(one.meaning)}</p>\n"
    ids = [one.connection for one in group if one.connection is not None]
    if ids:
        links = ", ".join(f'<a href="#c{int(number)}">{int(number)}</a>' for number in ids[:_MOST_IDS])
        more = f" and {len(ids) - _MOST_IDS} more" if len(ids) > _MOST_IDS else ""
        noun = "Connection" if len(ids) == 1 else "Connections"
        places = [*dict.fromkeys(urls[number] for number in ids if number in urls)]
        at = ", ".join(f"<code>{_e(url)}</code>" for url in places[:_MOST_URLS])
        at += ", ..." if len(places) > _MOST_URLS else ""
        yield f"<p>{noun} {links}{more}{' to ' if at else ''}{at}</p>\n"
    if one.fixes:
        yield "<h4>What to change</h4>\n"
        paths = {"/" + urls[one].partition("://")[2].partition("/")[2] for one in ids if one in urls}
        path = paths.pop() if len(paths) == 1 else None
        if examples := [*dict.fromkeys(words for fix in one.fixes for words in examples_in(fix, path))]:
            yield f"<p>In these lines stands {text(', '.join(examples))}.</p>\n"
        for fix in one.fixes:
            yield from _fix(fix, masker)
    if one.causes:
        yield "<h4>One of these is the cause</h4>\n<ul>"
        for cause in one.causes:
            yield f"<li>{text(cause.cause)} <em>To check:</em> {text(cause.tell_apart)}</li>"
        yield "</ul>\n"
    if one.evidence:
        yield "<h4>What was seen</h4>\n<ul>"
        for line in one.evidence:
            yield f"<li><code>{text(line)}</code></li>"
        yield "</ul>\n"
    if one.js:
        yield f"<p><strong>In the page:</strong> {text(one.js)}</p>\n"
    yield "</article>\n"


def _fix(fix: Fix, masker: Masker) -> Iterator[str]:
    words = fix.text
    if fix.diff is not None and fix.diff in words:
        # What a terminal prints in one piece has parts here: where it is, and the diff.
        before, _, after = words.partition(fix.diff)
        words = before.removeprefix(f"{fix.file}:{fix.line}").strip() + after.strip()
    lines = "\n".join(escape_lines(masker.text(words)))
    for_ = escape(NAMES.get(fix.for_, fix.for_))
    place = ""
    if fix.file is not None:
        place = f" in <code>{_e(escape(fix.file))}{'' if fix.line is None else f', line {fix.line}'}</code>"
    yield f'<div class="fix"><p><strong>{_e(for_)}</strong>{place}</p>'
    if lines:
        yield f'<pre tabindex="0">{_e(lines)}</pre>'
    if fix.diff is not None:
        diff = "\n".join(escape_lines(masker.text(fix.diff)))
        yield f'<pre tabindex="0" class="diff">{_e(diff)}</pre>'
    if fix.proven is not None:
        yield f"<p>Tried with {_e(escape(fix.proven.program))} {_e(escape(fix.proven.version))}: "
        yield f"{_e(escape(fix.proven.before))} before, {_e(escape(fix.proven.after))} after.</p>"
    yield "</div>\n"


# -- the capture


def _timeline(content: Content) -> Iterator[str]:
    yield '<section aria-labelledby="h-timeline"><h2 id="h-timeline">Timeline</h2>\n'
    if not content.connections:
        yield "<p>There are no connections.</p></section>\n"
        return
    frames = content.frames - content.frames_left_out
    about = f"{counted(len(content.connections), 'connection')}, {counted(frames, 'frame')}"
    yield f"<p>{about}. Above each line is what the client sent, below it what the server sent.</p>\n"
    kinds = ("text", "binary", "ping, pong", "close", "broken or found", "fault")
    named = " ".join(f'<span class="k{number}">{name}</span>' for number, name in enumerate(kinds))
    yield f'<p class="legend">{named}</p>\n'
    yield '<div id="timeline" hidden>\n<div class="bar" role="group" aria-label="Timeline">'
    for name, label, sign in (
        ("in", "Zoom in", "+"),
        ("out", "Zoom out", "−"),
        ("left", "Earlier", "←"),
        ("right", "Later", "→"),
        ("fit", "Show all", "All"),
    ):
        yield f'<button type="button" data-do="{name}" aria-label="{label}">{sign}</button>'
    yield "</div>\n"
    yield (
        '<canvas id="canvas" tabindex="0" role="application" aria-label="Timeline of connections and '
        "frames. Left and right arrows move, plus and minus zoom, up and down choose a connection, Enter "
        'lists its frames, 0 shows all."></canvas>\n<p id="where" role="status"></p>\n'
    )
    yield _printed(_DRAWN_ROWS, len(content.connections), "connection", " in the timeline")
    yield '<h3 id="h-frames">Frames</h3>\n<div class="bar">'
    yield '<label>Connection <select id="which"></select></label>'
    yield '<button type="button" id="before">Earlier frames</button>'
    yield '<button type="button" id="after">Later frames</button>'
    yield '<span id="range" role="status"></span></div>\n'
    yield '<div class="scroll" tabindex="0" role="group" aria-labelledby="h-frames">'
    yield '<table id="frames"><thead><tr>'
    for name in ("Frame", "Time, s", "Direction", "Kind", "Bytes", "Content"):
        yield f'<th scope="col">{name}</th>'
    yield "</tr></thead><tbody></tbody></table></div>\n</div>\n"
    yield "<noscript><p>The timeline needs JavaScript; nothing else here does.</p></noscript>\n"
    if content.frames_left_out:
        yield f'<p class="aside">{counted(content.frames_left_out, "frame")} left out: there is room for '
        yield f"{grouped(frames)}.</p>\n"
    yield "</section>\n"


def _connections(content: Content) -> Iterator[str]:
    if not content.connections:
        return
    yield '<section aria-labelledby="h-connections"><h2 id="h-connections">Connections</h2>\n'
    yield '<div class="scroll" tabindex="0" role="group" aria-labelledby="h-connections"><table><thead><tr>'
    has_taps = len({one.row.tap for one in content.connections}) > 1
    names = (
        "No.",
        "URL",
        *(("Seen at",) if has_taps else ()),
        "State",
        "Status",
        "Frames sent",
        "Frames received",
        "Bytes",
        "Lasted",
        "Ended by",
        "Close code",
    )
    yield "".join(f'<th scope="col">{name}</th>' for name in names)
    yield "</tr></thead><tbody>\n"
    for place, one in enumerate(content.connections):
        yield _connection_row(
            one,
            has_handshake=one.row.id in content.handshakes,
            has_taps=has_taps,
            on_paper=place < _PRINTED_ROWS,
        )
    yield "</tbody></table></div>\n"
    yield _printed(_PRINTED_ROWS, len(content.connections), "connection")
    if content.left_out:
        yield f'<p class="aside">{counted(content.left_out, "more connection")} left out.</p>\n'
    yield "</section>\n"


def _printed(some: int, all_of_them: int, what: str, more: str = "") -> str:
    """On paper alone: how many are printed. A storm's attempts are hundreds of pages, and alike."""
    words = f"Printed: {some} of {counted(all_of_them, what)}{more}. The page has all."
    return f'<p class="aside paper">{words}</p>\n' if all_of_them > some else ""


def _connection_row(one: Said, *, has_handshake: bool, has_taps: bool, on_paper: bool) -> str:
    row = one.row
    lasted = ""
    if row.attempt_ns is not None and row.closed_ns is not None:
        lasted = format_duration(row.closed_ns - row.attempt_ns)
    number = f'<a href="#h{row.id}">{row.id}</a>' if has_handshake else str(row.id)
    cells = (
        _e(one.url),
        *((_e(escape(row.tap or "")),) if has_taps else ()),
        _e(escape(row.state)),
        "" if row.status is None else str(row.status),
        grouped(row.c2s_frames),
        grouped(row.s2c_frames),
        format_size(row.c2s_bytes + row.s2c_bytes),
        lasted,
        _e(one.end),
        _e(one.codes),
    )
    more = "" if on_paper else ' class="more"'
    return f'<tr id="c{row.id}"{more}><th scope="row">{number}</th>{"".join(map(_cell, cells))}</tr>\n'


def _handshakes(content: Content, findings: Sequence[Finding]) -> Iterator[str]:
    if not content.handshakes:
        return
    named = {one.connection for one in findings if one.severity != "note"}
    yield '<section aria-labelledby="h-handshakes"><h2 id="h-handshakes">Handshakes and ends</h2>\n'
    yield "<p>What each side received: a line that the path changed is marked.</p>\n"
    for number, one in enumerate(one for one in content.connections if one.row.id in content.handshakes):
        is_open = " open" if one.row.id in named and number < 3 else ""
        words = f"Connection {one.row.id}: {one.url}, {escape(one.row.state)}"
        status = "" if one.row.status is None else f", {one.row.status}"
        more = "" if number < _PRINTED_HANDSHAKES else ' class="more"'
        yield f'<details id="h{one.row.id}"{more}{is_open}><summary>{_e(words + status)}</summary>\n'
        lines = [*content.handshakes[one.row.id], [], *one.lines]
        yield f'<pre tabindex="0">{_lines(lines)}</pre></details>\n'
    yield _printed(
        _PRINTED_HANDSHAKES, len(content.handshakes), "handshake", ", and those opened on the page"
    )
    left = len(content.connections) - len(content.handshakes)
    if left > 0:
        yield f'<p class="aside">Handshakes of {counted(left, "more connection")} left out.</p>\n'
    yield "</section>\n"


def _lines_section(name: str, title: str, lines: Iterable[Line], masker: Masker) -> Iterator[str]:
    found = [[(masker.text(text), style) for text, style in line] for line in lines]
    if found:
        yield f'<section aria-labelledby="h-{name}"><h2 id="h-{name}">{title}</h2>\n'
        yield f'<pre tabindex="0">{_lines(found)}</pre>\n</section>\n'


def _cell(html: str) -> str:
    """A cell of a table. On paper a word breaks anywhere only in a cell that has one too long for a line."""
    is_long = any(len(word) > _LONG_WORD for word in html.split())
    return f'<td class="long">{html}</td>' if is_long else f"<td>{html}</td>"


def _clients(clients: Sequence[Sequence[Line]], masker: Masker) -> Iterator[str]:
    if not clients:
        return
    yield '<section aria-labelledby="h-clients"><h2 id="h-clients">How the clients cope</h2>\n'
    for lines in clients:
        found = [[(masker.text(text), style) for text, style in line] for line in lines]
        yield f'<pre tabindex="0">{_lines(found)}</pre>\n'
    yield "</section>\n"


def _on_purpose(content: Content, story: Iterable[Line], masker: Masker) -> Iterator[str]:
    lines = [[(masker.text(text), style) for text, style in line] for line in story if line]
    if not lines and not content.faults:
        return
    yield '<section aria-labelledby="h-faults"><h2 id="h-faults">Faults: what was done on purpose</h2>\n'
    if lines:
        yield f'<pre tabindex="0">{_lines(lines)}</pre>\n'
    if content.faults:
        yield '<div class="scroll" tabindex="0" role="group" aria-labelledby="h-faults">'
        yield "<table><thead><tr>"
        for name in ("Time, s", "Connection", "Frame", "Rule", "Kind", "Details"):
            yield f'<th scope="col">{name}</th>'
        yield "</tr></thead><tbody>\n"
        for place, (time_us, connection, frame, rule, kind, detail) in enumerate(content.faults):
            cells = (f"{time_us / 1e6:.6f}", _number(connection), _number(frame), rule, kind, detail)
            row = "<tr>" if place < _PRINTED_ROWS else '<tr class="more">'
            yield row + "".join(_cell(_e(one)) for one in cells) + "</tr>\n"
        yield "</tbody></table></div>\n"
        yield _printed(_PRINTED_ROWS, len(content.faults), "action")
    if content.faults_left_out:
        yield f'<p class="aside">{grouped(content.faults_left_out)} more left out.</p>\n'
    yield "</section>\n"


def _number(value: Any) -> str:
    return str(value) if isinstance(value, int) else ""


def _protocols(content: Content) -> Iterator[str]:
    if not content.protocols:
        return
    yield '<section aria-labelledby="h-protocols"><h2 id="h-protocols">What the application said</h2>\n'
    for number, kinds in content.protocols.items():
        yield f"<h3>Connection {number}</h3>\n<ul>"
        yield "".join(f"<li><code>{_e(name)}</code> × {grouped(count)}</li>" for name, count in kinds)
        yield "</ul>\n"
    yield "</section>\n"


def _about(content: Content, diagnosis: Any, masker: Masker) -> Iterator[str]:
    at = datetime.fromtimestamp(content.start_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    yield '<section aria-labelledby="h-about"><h2 id="h-about">About this report</h2>\n'
    yield f"<p>Made by wsinspect {_e(__version__)} of <code>{_e(escape(diagnosis.file))}</code>, whose first "
    yield f"connection began at {at}. This page loads nothing and sends nothing. "
    yield (
        "Nothing in it is masked.</p>\n"
        if masker.is_off
        else "Cookies, credentials and tokens are masked, and values that messages name so.</p>\n"
    )
    yield "</section>\n"


# -- pieces


def _lines(lines: Iterable[Line]) -> str:
    return "\n".join(
        "".join(
            f'<span class="l-{style}">{_e(text)}</span>' if style in _STYLES else _e(text)
            for text, style in line
        )
        for line in lines
    )


def _data(content: Content) -> str:
    """What the script draws: ASCII, and nothing in it ends the element that holds it."""
    lanes = []
    for one in content.connections:
        lane = content.lanes.get(one.row.id)
        row = one.row
        times = [
            None if time_ns is None else (time_ns - content.start_ns) // 1000
            for time_ns in (row.attempt_ns, row.open_ns, row.closed_ns)
        ]
        known = (lane.times, lane.ids, lane.bits, lane.lengths, lane.texts) if lane else ([],) * 5
        lanes.append([row.id, one.url, row.state, *times, *known])
    faults = [
        [time_us, connection] for time_us, connection, *_ in content.faults if isinstance(connection, int)
    ]
    whole = {
        "end": content.end_us,
        "lanes": lanes,
        "texts": content.texts,
        "faults": faults,
        "opcodes": opcode_names(),
    }
    text = json.dumps(whole, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(text: str) -> str:
    """A source of Content Security Policy Level 3: this element and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _e(text: str) -> str:
    return html.escape(text, quote=True)
