"""Printing what happens: one line an event, for people or as NDJSON.

Contract: a slow or closed stdout never slows anything down. Lines go through a bounded queue to a thread;
what does not fit is dropped, and the next line says how many were. Nothing a peer chose reaches a terminal
unescaped.
"""

from __future__ import annotations

import base64
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from wsinspect.capture.records import Note
from wsinspect.capture.rows import to_json
from wsinspect.text import escape, escape_lines, truncate
from wsinspect.units import format_milliseconds
from wsinspect.vocabulary.rules import rule_words
from wsinspect.wire.close_codes import close_name
from wsinspect.wire.opcodes import Direction, Opcode, opcode_name

#: Lines that may wait for a slow reader; more are dropped and counted.
MAX_LINES: Final = 2000
SCHEMA: Final = 1
_CLOSE_SECONDS: Final = 1.0
_WRITE_BYTES: Final = 32768
_SHOWN_EVIDENCE: Final = 4
#: Cells of a payload, and bytes of one that is not text, in the line of its frame.
_PREVIEW_CELLS: Final = 100
_PREVIEW_BYTES: Final = 16
#: Different findings that are remembered as printed.
_MAX_KNOWN: Final = 1000
#: Below what happened, to the right of the time and the connection.
_INDENT: Final = " " * 21


class Narrator:
    """Writes lines to a descriptor from a thread of its own.

    Args:
        fd: Usually 1.
        as_json: NDJSON, else lines for people.
    """

    def __init__(self, fd: int = 1, *, as_json: bool = False) -> None:
        self._fd = fd
        self._format: Callable[[Note, int], str] = json_line if as_json else HumanLines()
        self._lines: deque[bytes] = deque()
        self._condition = threading.Condition()
        self._dropped = 0
        self._is_closing = False
        self._is_broken = False
        self._thread = threading.Thread(target=self._run, name="wsinspect-narrator", daemon=True)
        self._thread.start()

    def narrate(self, notes: Sequence[Note], dropped: int = 0) -> None:
        """Queue a line for each note; `dropped` notes were left out before."""
        self._dropped += dropped
        if not notes or self._is_broken:
            self._dropped += len(notes)
            return
        for note in notes:
            if len(self._lines) >= MAX_LINES:
                self._dropped += 1
                continue
            line = self._format(note, self._dropped)
            self._dropped = 0
            self._lines.append(line.encode("utf-8", "backslashreplace") + b"\n")
        with self._condition:
            self._condition.notify()

    def close(self) -> None:
        """Wait a moment for the last lines to be written, no longer than a reader deserves."""
        with self._condition:
            self._is_closing = True
            self._condition.notify()
        self._thread.join(_CLOSE_SECONDS)

    def _run(self) -> None:
        while True:
            with self._condition:
                while not self._lines and not self._is_closing:
                    self._condition.wait()
                if not self._lines:
                    return
            data = b""
            while self._lines and len(data) < _WRITE_BYTES:
                data += self._lines.popleft()
            if not self._write(data):
                self._is_broken = True
                self._lines.clear()
                return

    def _write(self, data: bytes) -> bool:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._fd, view) :]
            except OSError:
                # Whoever read our lines has gone; traffic and capture continue.
                return False
        return True


def json_line(note: Note, dropped: int) -> str:
    """One line of NDJSON without its newline; `dropped` is there where notes were dropped before it."""
    line: dict[str, Any] = {"schema": SCHEMA, **note}
    if dropped:
        line["dropped"] = dropped
    return to_json(line)


class HumanLines:
    """Lines for a person: a finding is printed in full once, later only that the same one came again."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str | None, str], int] = {}

    def __call__(self, note: Note, dropped: int) -> str:
        if note["event"] != "finding":
            return human_line(note, dropped)
        key = note["id"], note["hop"], note["severity"]
        if len(self._known) > _MAX_KNOWN:
            self._known.clear()
        times = self._known[key] = self._known.get(key, 0) + 1
        line = human_line(note, dropped)
        if times > 1:
            return f"{line}  ({_ordinal(times)} time)"
        return "\n".join([line, *_finding_details(note)])


def human_line(note: Note, dropped: int) -> str:
    """One line for a person: local time, connection, what happened."""
    at = datetime.fromtimestamp(note["time_ns"] / 1e9).strftime("%H:%M:%S.%f")[:-3]
    connection = f"#{note['connection']}" if note.get("connection") is not None else "-"
    describe = _DESCRIBE.get(note["event"])
    text = describe(note) if describe else ""
    more = f"  ({dropped} lines left out)" if dropped else ""
    return f"{at}  {connection:>5}  {note['event']:<8} {text}{more}".rstrip()


def _attempt(note: Note) -> str:
    tap = f"[{escape(note['tap'])}] " if note.get("tap") else ""
    return f"{tap}{_text(note['client'])} {_text(note['url'])} ({_text(note['http_version'])})"


def _open(note: Note) -> str:
    parts = [str(note["status"])]
    if note["subprotocol"] is not None:
        parts.append(f"subprotocol {_text(note['subprotocol'])}")
    if note["extensions"]:
        parts.append(_text(note["extensions"]))
    return "  ".join([*parts, *_ms(note)])


def _refused(note: Note) -> str:
    status = [f"status {note['status']}"] if note["status"] is not None else []
    error = [_text(note["error"])] if note["error"] else []
    return "  ".join([*status, *error, *_ms(note)]) + _by_rule(note)


def _by_rule(note: Note) -> str:
    rule = note.get("rule")
    return f"  ({_text(rule_words(rule))})" if rule is not None else ""


def _frame(note: Note) -> str:
    arrow = Direction.from_short(note["direction"]).arrow
    fin = "" if note["fin"] else " (more follow)"
    words = f"{arrow} {opcode_name(note['opcode'])} {note['length']} B{fin}  id {note['id']}"
    summary = f"  {_text(note['summary'])}" if note.get("summary") else ""
    return f"{words}{summary}{_said(note)}"


def _said(note: Note) -> str:
    """How the payload begins: text as text, the rest as hex; of a CLOSE code and reason."""
    if (close := note.get("close")) is not None:
        if close["code"] is None:
            return ""
        reason = f' "{_text(close["reason"])}"' if close["reason"] else ""
        return f"  {close['code']} {close_name(close['code'])}{reason}"
    payload = note.get("payload") or {}
    is_text = note["opcode"] != Opcode.BINARY
    if payload.get("text") and is_text:
        return f"  {truncate(escape(payload['text'][: 4 * _PREVIEW_CELLS]), _PREVIEW_CELLS)}"
    data = base64.b64decode(payload["base64"]) if "base64" in payload else payload.get("text", "").encode()
    more = " …" if len(data) > _PREVIEW_BYTES else ""
    return f"  {data[:_PREVIEW_BYTES].hex(' ')}{more}" if data else ""


def _close(note: Note) -> str:
    codes = f"client {_code(note['client_code'])}, server {_code(note['server_code'])}"
    script = note["js"]
    clean = "clean" if script["wasClean"] else "not clean"
    script_line = f"JavaScript: {_code(script['code'])} {clean}"
    counts = ", ".join(
        f"{arrow} {note['frames'][key]} frames {note['bytes'][key]} B"
        for key, arrow in (("c2s", "c>s"), ("s2c", "s>c"))
    )
    by = note["ended_by"] if note.get("rule") is None else rule_words(note["rule"])
    return f"by {_text(by)} ({_text(note['how'])})  {codes}  {script_line}  {counts}"


def _unstored(note: Note) -> str:
    return f"{note['bytes']} bytes in {note['records']} records could not be stored: {_text(note['reason'])}"


def _tls_failed(note: Note) -> str:
    return f"{_text(note['side'])} {_text(note['client'])} {_text(note['sni'])}: {_text(note['error'])}"


def _client_left(note: Note) -> str:
    if note["how"] == "proxy":
        return f"{_text(note['client'])} was cut off before it sent a byte{_after(note)}"
    how = {"fin": "", "rst": " (RST)"}.get(str(note["how"]), f" ({_text(note['how'])})")
    return f"{_text(note['client'])} connected and left without sending a byte{how}{_after(note)}"


def _passed_unread(note: Note) -> str:
    to = note["server"] or note["sni"]
    return f"{_text(note['client'])} to {_text(to)} is passed through, not recorded: {_text(note['reason'])}"


def _request_failed(note: Note) -> str:
    status = f"{note['status']}, " if note["status"] is not None else ""
    request = f"{_text(note['client'])} {_text(note['method'])} {_text(note['url'])}"
    return f"{request}: {status}{_text(note['error'])}"


def _after(note: Note) -> str:
    return f" after {format_milliseconds(note['ms'])}" if isinstance(note["ms"], int | float) else ""


def _fault(note: Note) -> str:
    frame = f"  frame {note['frame']}" if note["frame"] is not None else ""
    return f"{_text(note['rule'])} ({_text(note['kind'])}){frame}"


def _session(note: Note) -> str:
    """A client's grade, and what cost it points."""
    lost = [f"{one['title']}: {one['seen']}" for one in note["reasons"] if one["change"]]
    words = f"grade {_text(note['grade'])} ({note['points']:g} of {note['tested']} points)"
    return words + (f"  {_text('; '.join(lost))}" if lost else "")


def _rule(note: Note) -> str:
    settings = note["settings"] if isinstance(note["settings"], dict) else {}
    hidden = ("name", "kind", "armed")
    shown = ", ".join(f"{key}={value}" for key, value in settings.items() if key not in hidden)
    state = "armed" if note["armed"] else "not armed"
    by = f", by {_text(note['by'])}" if note.get("by") else ""
    words = f"{_text(note['rule'])} ({_text(note['kind'])}) {state}{by}"
    return words + (f": {_text(shown)}" if shown else "")


def _phase(note: Note) -> str:
    if not isinstance(note["phase"], int):
        return "the last phase is over"
    what = [*(note["rules"] or ()), *(note["do"] or ())]
    return f"{note['phase'] + 1} of {note['of']}" + (f": {_text(', '.join(map(str, what)))}" if what else "")


def _wall_step(note: Note) -> str:
    step = note["step_ns"]
    return f"the clock was set by {step / 1e9:+.3f} s" if isinstance(step, int) else ""


def _finding(note: Note) -> str:
    hop = f" [{escape(note['hop'])}]" if note["hop"] else ""
    replaced = ", ".join(f"{one['id']} of #{one['connection']}" for one in note.get("replaces", ()))
    instead = f"  (instead of {_text(replaced)})" if replaced else ""
    return f"{_text(note['severity'])} {_text(note['id'])} {_text(note['title'])}{hop}{instead}"


def _withdrawn(note: Note) -> str:
    return f"{_text(note['id'])} no longer holds: more has been seen"


def _finding_details(note: Note) -> Iterator[str]:
    """What was seen, and the first fix: that of the software that was recognised, else the general one."""
    for index, line in enumerate(note["evidence"][:_SHOWN_EVIDENCE]):
        yield f"{_INDENT}{'seen' if index == 0 else '':<5} {_text(line)}"
    for fix in note["fixes"][:1]:
        first, *rest = escape_lines(fix["text"])
        yield f"{_INDENT}fix   {first}"
        yield from (f"{_INDENT}      {line}" for line in rest)


def _ordinal(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


_DESCRIBE: Final[dict[str, Callable[[Note], str]]] = {
    "attempt": _attempt,
    "open": _open,
    "refused": _refused,
    "frame": _frame,
    "close": _close,
    "fault": _fault,
    "finding": _finding,
    "rule": _rule,
    "phase": _phase,
    "session": _session,
    "unstored": _unstored,
    "tls_failed": _tls_failed,
    "client_left": _client_left,
    "passed_unread": _passed_unread,
    "request_failed": _request_failed,
    "wall_step": _wall_step,
    "withdrawn": _withdrawn,
}


def _text(value: Any) -> str:
    return "-" if value is None else escape(str(value))


def _code(value: int | None) -> str:
    return "-" if value is None else str(value)


def _ms(note: Note) -> list[str]:
    return [] if note["ms"] is None else [format_milliseconds(note["ms"])]
