"""The intercept page: what breakpoints hold, each with a clock, and what is done about it."""

from __future__ import annotations

import base64
import contextlib
import os
import shlex
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, ClassVar, Final

from textual.app import ComposeResult, SuspendNotSupported
from textual.binding import Binding, BindingType
from textual.strip import Strip

from wsinspect.launch.interrupts import left_to_child
from wsinspect.present.cells import Line, fit, flow, text_of
from wsinspect.present.notes import hex_preview
from wsinspect.text import counted, escape, grouped, truncate
from wsinspect.tui.dialogs.held import HeldDialog
from wsinspect.tui.documents import BytesBlob, Document, LinesDocument, best_view, make_document, payload_of
from wsinspect.tui.engine import requests
from wsinspect.tui.engine.link import Answer, Json, Work
from wsinspect.tui.keys import bindings_of
from wsinspect.tui.screens.page import Page
from wsinspect.tui.widgets.base import LinePane
from wsinspect.tui.workspace import Workspace
from wsinspect.units import format_milliseconds, format_size

_MILLISECOND: Final = 10**6
#: With less than this left it is time to decide.
_SOON_MS: Final = 15_000
#: From here on the list says how long each side has heard nothing.
_WIDE: Final = 100
#: The names of these columns: what the client, and the server, has not heard for so long.
_SILENCES: Final = ("silence to client", "to server")
#: Below this height the list has few lines, so that what is held has some, too.
_TALL: Final = 16
#: Lines of the list there: title, names and four rows.
_LOW_LIST_LINES: Final = 6
#: Lines of the list that stay whatever is held: title, names, two of patience, and five rows.
_LIST_LINES: Final = 9
#: Keys about the one that the cursor is on, or all of them.
_ABOUT_HELD: Final = frozenset(
    f"intercept.{what}" for what in ("pass", "edit", "editor", "drop", "answer", "all")
)
#: What is edited in a file keeps its kind, so that editors colour it.
_ENDINGS: Final = {"message": ".json", "request": ".http", "response": ".http"}


class HeldPane(LinePane):
    """What is held, oldest first."""

    help_title = "Intercept"
    help_text = (
        "Messages and handshakes that a breakpoint holds, oldest first, each with how long it has waited "
        "and how long each side has heard nothing. What comes behind a held message in its direction waits, "
        "too. Above the columns stands how long each side is known to wait before it gives up, by what it "
        "said or by its software's default. Nothing is lost: disarming the breakpoint "
        "(f, space) lets everything pass. Below the list is what the chosen one says: page down scrolls it."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("pagedown", "payload(1)", "scroll what is held", show=False, id="intercept.more"),
        Binding("pageup", "payload(-1)", "back in it", show=False, id="intercept.back"),
    ]
    #: A line for each side's patience, and the names of the columns.
    header_lines = 3

    def __init__(self, workspace: Workspace, payload: HeldPayloadPane, *, id: str | None = None) -> None:
        super().__init__(workspace, id=id)
        self.held: list[Json] = []
        self.seen_ns = 0
        self.payload = payload

    def idle_keys(self) -> frozenset[str]:
        """What is done to held ones has nothing to be done to."""
        return frozenset() if self.held else _ABOUT_HELD

    def action_payload(self, step: int) -> None:
        """Scroll what the chosen one says; the list where it has no room of its own."""
        if self.payload.display:
            self.payload.action_page(step)
        else:
            self.action_page(step)

    def show(self, held: list[Json]) -> None:
        """What the engine said now; the cursor stays on what it was on."""
        chosen = self.chosen()
        self.held, self.seen_ns = held, time.monotonic_ns()
        self.post_message(self.OtherKeys())
        names = [one.get("name") for one in held]
        if chosen is not None and chosen.get("name") in names:
            self.cursor = names.index(chosen.get("name"))
        self.clamp()
        self.payload.show(self.chosen())
        self.refresh()

    def move_to(self, number: int) -> None:
        """What the cursor is on now is shown below."""
        super().move_to(number)
        self.payload.show(self.chosen())

    def chosen(self) -> Json | None:
        """What the cursor is on."""
        return self.held[self.cursor] if 0 <= self.cursor < len(self.held) else None

    @property
    def _is_wide(self) -> bool:
        """Whether the list has the silences, not the line above it; a scroll bar changes nothing about it."""
        return self.size.width >= _WIDE

    def title(self) -> tuple[Line, Line]:
        """How many are held; at the right why nothing can be."""
        view = self.workspace.engine_view
        armed = sum(
            bool(rule.get("armed")) and str(rule.get("kind", "")).startswith("break") for rule in view.rules
        )
        left: Line = [("Intercept", "title")]
        left.append((f"  {grouped(len(self.held))} held", "warn" if self.held else "muted"))
        left.append((f"  {counted(armed, 'breakpoint')} armed", "muted"))
        return left, [] if view.is_up else [(escape(view.words), "warn")]

    def header(self, width: int) -> Line:
        """The names of the columns."""
        silent = f"{_SILENCES[0]}  {_SILENCES[1]}  " if self._is_wide else ""
        return fit([(f" {'waits':>11}  {'conn':>5}  dir  {'what':<9}  {silent}payload", "muted")], width)

    def render_line(self, y: int) -> Strip:
        """Above the names of the columns: how long each side of the chosen one is known to wait.

        Where there is one line, what is urgent of it takes the place of the names.
        """
        chosen = self.chosen()
        above = self._header_height - (1 if self.header_lines > 1 else 0)
        if 0 < y <= above and chosen is not None:
            lines = self._patience_lines(chosen)
            if self.header_lines == 1:
                lines = [line for line in lines if line[0][1] == "warn"]
            if lines[y - 1 :] or self.header_lines > 1:
                line: Line = lines[y - 1] if y <= len(lines) else []
                return self.palette.strip(fit(line, self.size.width), self.size.width)
        return super().render_line(y)

    def _patience_lines(self, held: Json) -> list[Line]:
        """What each side waits for, and how much longer; what ends first is above."""
        passed_ms = (time.monotonic_ns() - self.seen_ns) / _MILLISECOND
        gone = [str(side) for side in held.get("gone") or ()]
        lines: list[Line] = [[(f" {escape(side)} has ended the connection", "warn")] for side in gone]
        for one in _nearest(held):
            left_ms, waited_ms = one.get("left_ms"), one.get("waited_ms")
            what, words, style = one.get("for"), str(one.get("side")), "muted"
            if left_ms is not None:
                left_ms -= passed_ms
                limit = format_milliseconds(one.get("limit_ms") or 0)
                limit += " by default" if one.get("default") else ""
                until = (
                    f"{format_milliseconds(left_ms)} left of" if left_ms > 0 else "may have given up after"
                )
                words += f" {until} {limit} without {what} ({one.get('who')})"
                style = "warn" if left_ms < _SOON_MS else "muted"
            else:
                words += f" waits for {what}"
                words += "" if waited_ms is None else f", {format_milliseconds(waited_ms + passed_ms)} so far"
            lines.append([(" " + escape(words), style)])
        if lines:
            return lines
        if self._is_wide:
            return [[(" no timeout known for either side", "muted")]]
        heard = held.get("silent_ms") or {}
        silent = [
            f"the {side} {has}for {format_milliseconds(heard[side] + passed_ms)}"
            for has, side in zip(
                ("has heard nothing ", ""),
                (side for side in ("client", "server") if heard.get(side) is not None),
                strict=False,
            )
        ]
        words = f"; {', '.join(silent)}" if silent else " for either side"
        return [[(f" no timeout known{words}", "muted")]]

    @staticmethod
    def _silences(held: Json, passed_ms: float) -> list[str]:
        """For how long each side has heard nothing, as wide as the names of the columns."""
        parts = []
        for side, name in zip(("client", "server"), _SILENCES, strict=True):
            heard = (held.get("silent_ms") or {}).get(side)
            words = "-" if heard is None else format_milliseconds(heard + passed_ms)
            words = "gone" if side in (held.get("gone") or ()) else words
            parts.append(f"{words:>{len(name)}}")
        return parts

    def row_count(self) -> int:
        return len(self.held)

    def row(self, number: int, width: int) -> Line:
        one = self.held[number]
        passed_ms = (time.monotonic_ns() - self.seen_ns) / _MILLISECOND
        waits = format_milliseconds(float(one.get("held_ms", 0)) + passed_ms)
        what = one.get("op") or str(one.get("what"))
        arrow = "s>c" if one.get("direction") == "s2c" else "c>s"
        left_ms = one.get("left_ms")
        until = "" if left_ms is None else f"passes in {format_milliseconds(max(left_ms - passed_ms, 0))}  "
        behind = f"{one['behind']} behind  " if one.get("behind") else ""
        # Where both have no room, what is held says more than how long a side has heard nothing.
        silent = ""
        if self._is_wide:
            silent = "".join(f"{part}  " for part in self._silences(one, passed_ms))
        gone = "" if self._is_wide else " and ".join(str(side) for side in one.get("gone") or ())
        line: Line = [(self.glyphs.cursor if number == self.cursor else " ", "key")]
        line += [
            (f"{waits:>11}  ", "warn"),
            (f"{one.get('connection', 0):>5}  ", ""),
            (f"{arrow}  {truncate(escape(str(what)), 9):<9}  ", ""),
            (silent, "muted"),
            (f"{escape(gone)} gone  " if gone else "", "warn"),
            (until + behind, "note"),
            (payload_words(one), ""),
        ]
        return fit(line, width)

    def empty_lines(self, width: int) -> list[Line]:
        """What would appear here, and what to do."""
        words = (
            "Nothing is held. Press a to add a breakpoint: match=op:text holds every text message, "
            "match=json:$.type=order only orders; break_handshake,match=path:/chat holds handshakes. "
            "run --break FILTER starts with one."
        )
        if reason := self.workspace.engine_reason():
            words = (
                f"Nothing can be held here ({reason}). In a running proxy a breakpoint holds messages or "
                "handshakes until you pass, edit, drop or answer them: wsinspect run --break op:text holds "
                "every text message."
            )
        return [[("  " + line, "muted")] for line in flow(escape(words), min(width - 4, 100))]


def _nearest(held: Json) -> list[Json]:
    """Of what each side waits for, what ends first; without a known end only where nothing else is known."""
    known: dict[Any, Json] = {}
    for one in held.get("waits") or ():
        if isinstance(one, dict):
            known.setdefault(one.get("side"), one)
    return list(known.values())


def payload_words(one: Json) -> str:
    """What is held, on one line; binary as hex, as in the rows of frames, of a handshake its lines."""
    payload = one.get("payload") or {}
    if "text" in payload:
        text = str(payload["text"])
        return escape(text if one.get("what") == "message" else "  ".join(text.split("\r\n")).rstrip())
    return hex_preview(base64.b64decode(str(payload.get("base64", ""))))


class HeldPayloadPane(LinePane, can_focus=False):
    """What the chosen one says, in the view that suits it: JSON a member a line, header lines, hex."""

    help_title = "What is held"
    has_cursor = False

    def __init__(self, workspace: Workspace, *, id: str | None = None) -> None:
        super().__init__(workspace, id=id)
        self._one: Json | None = None
        self._document: Document = LinesDocument([])

    def show(self, one: Json | None) -> None:
        """Another one was chosen; the same one stays where it was scrolled to."""
        name = None if one is None else (one.get("name"), one.get("payload"))
        known = None if self._one is None else (self._one.get("name"), self._one.get("payload"))
        if name != known:
            self._one, self.top = one, 0
            self._document = LinesDocument([]) if one is None else self._document_of(one)
            self.refresh()

    def _document_of(self, one: Json) -> Document:
        payload = one.get("payload") or {}
        text = payload.get("text")
        data = str(text).encode() if text is not None else base64.b64decode(str(payload.get("base64", "")))
        blob = BytesBlob(data)
        if one.get("what") != "message":
            return make_document("text", blob)
        opcode = 1 if text is not None else 2
        connection = self.model.connections.get(int(one.get("connection") or 0))
        read = payload_of(
            blob,
            opcode,
            subprotocol=connection.subprotocol if connection else None,
            path=(connection.path or "") if connection else "",
            is_s2c=one.get("direction") == "s2c",
        )
        # Of what was cut no decoder and no tree can be sure.
        view = ("text" if opcode == 1 else "hex") if one.get("cut") else best_view(read, opcode)
        return make_document(view, blob, payload=read)

    def title(self) -> tuple[Line, Line]:
        """Which one it is; at the right how much of it."""
        one = self._one
        if one is None:
            return [], []
        what = one.get("op") or one.get("what")
        arrow = "s>c" if one.get("direction") == "s2c" else "c>s"
        length = int(one.get("length") or 0)
        right = format_size(length)
        if one.get("cut"):
            right = f"the beginning of {right}: E opens all of it"
        return [(f"{arrow} {escape(str(what))} of connection {one.get('connection')}", "title")], [
            (right, "muted")
        ]

    def row_count(self) -> int:
        return self._document.line_count(self._room)

    def row(self, number: int, width: int) -> Line:
        return [(" ", ""), *self._document.line(number, self._room)]

    @property
    def _room(self) -> int:
        """Cells of a line: a blank is before it, and behind it perhaps one more and the scroll bar."""
        return max(self.size.width - 3, 1)

    def document_text(self) -> str:
        """All lines of it, for a pager."""
        width = 400
        lines = range(self._document.line_count(width))
        return "\n".join(text_of(self._document.line(number, width)) for number in lines)


class InterceptScreen(Page):
    """The page; it asks the engine twice a second while it is shown."""

    BINDINGS: ClassVar[list[BindingType]] = bindings_of("intercept")
    page = "intercept"

    def __init__(self, workspace: Workspace) -> None:
        self.payload = HeldPayloadPane(workspace, id="held-payload")
        self.held = HeldPane(workspace, self.payload, id="intercept")
        super().__init__(workspace, self.held)
        self._is_asking = False

    def compose(self) -> ComposeResult:
        """What the chosen one says is below the list."""
        for widget in super().compose():
            yield widget
            if widget is self.pane:
                yield self.payload

    def lay_out(self) -> None:
        """The list has what it needs, what is held the rest; on a low terminal the list has few lines."""
        super().lay_out()
        height = self.app.size.height
        is_split = bool(self.held.held) and not self.is_small
        self.payload.display = is_split
        self.held.header_lines = 3 if height >= _TALL else 1
        most = max(height // 2, _LIST_LINES) if height >= _TALL else _LOW_LIST_LINES
        wanted = len(self.held.held) + self.held.header_lines + 1
        self.held.styles.height = min(wanted, most) if is_split else "1fr"

    def document_text(self) -> str:
        """The list, and what the chosen one says."""
        return "\n".join(text for text in (super().document_text(), self.payload.document_text()) if text)

    def on_screen_resume(self) -> None:
        """Shown again: what was held before may have passed."""
        self._look()

    def tick(self) -> None:
        """Twice a second: the clocks, and what is held now."""
        super().tick()
        self._look()
        self.held.refresh()

    def _look(self) -> None:
        if not self._is_asking and self.workspace.engine_view.is_up:
            self._is_asking = True
            self.workspace.ask(requests.held(), self._seen)

    def _seen(self, answer: Answer) -> None:
        self._is_asking = False
        if not answer.error and self.is_attached:
            count = len(self.held.held)
            self.held.show([one for one in answer.value.get("held", ()) if isinstance(one, dict)])
            if len(self.held.held) != count:
                self.lay_out()

    # -- what is done about it

    def action_pass_held(self) -> None:
        """Let the chosen one pass as it came."""
        self._decide({"action": "pass"}, "passed")

    def action_drop_held(self) -> None:
        """The chosen one goes no further."""
        self._decide({"action": "drop"}, "dropped")

    def action_pass_all(self) -> None:
        """Let everything pass that is held, in order."""
        if self.workspace.can("intercept.all", "intercept"):
            self._ask(requests.pass_all(), "everything that was held has passed")

    def action_add_breakpoint(self) -> None:
        from wsinspect.tui.dialogs.rule import RuleDialog  # imports all kinds: not before the first paint

        if self.workspace.can("intercept.add", "intercept"):
            self.app.push_screen(
                RuleDialog(self.workspace, "break,match=", proposed="op:text", heading="Add a breakpoint")
            )

    def action_edit_held(self) -> None:
        """Change the chosen message in place."""
        self._with_whole("intercept.edit", lambda one: self._push(one, "edit"))

    def action_answer_held(self) -> None:
        """Say something to the sender instead."""
        self._with_whole("intercept.answer", lambda one: self._push(one, "answer"))

    def action_editor_held(self) -> None:
        """Change the chosen message, or header block, in `$EDITOR`."""
        self._with_whole("intercept.editor", self._edit)

    def _push(self, one: Json, action: str) -> None:
        if action == "edit" and one.get("what") != "message":
            self._edit(one)
            return
        self.app.push_screen(HeldDialog(self.workspace, one, action, self._send))

    def _send(self, name: str, decision: Json, words: str) -> None:
        self._ask(requests.decide(name, decision), words)

    def _edit(self, one: Json) -> None:
        payload = one.get("payload") or {}
        if "text" not in payload:
            self.workspace.say("binary messages are edited in place: e, as hex")
            return
        before = str(payload["text"])
        try:
            after = self._in_editor(before, _ENDINGS.get(str(one.get("what")), ".txt"))
        except SuspendNotSupported:
            here = "e edits in place" if one.get("what") == "message" else "r answers instead"
            self.workspace.say(f"this terminal cannot run an editor; {here}")
            return
        except OSError as error:
            self.workspace.say(f"cannot run an editor: {error.strerror}")
            return
        if after == before:
            self.workspace.say("not changed: it is still held")
            return
        key = "payload" if one.get("what") == "message" else "head"
        self._send(str(one.get("name")), {"action": "edit", key: after}, "sent as edited")

    def _in_editor(self, text: str, ending: str) -> str:
        """The text as the user left it; a line end that the editor added goes."""
        editor = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
        descriptor, name = tempfile.mkstemp(prefix="wsinspect-", suffix=ending)
        path = Path(name)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
                file.write(text)
            with self.app.suspend(), left_to_child():
                subprocess.run([*editor, name], check=False)
            edited = path.read_bytes().decode("utf-8", "replace")
        finally:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
        self.app.refresh()
        return edited if text.endswith("\n") else edited.removesuffix("\n")

    def _with_whole(self, key_id: str, then: Any) -> None:
        """Ask for all of the chosen one, and continue with it."""
        if not self.workspace.can(key_id, "intercept"):
            return
        one = self.held.chosen()
        if one is None:
            self.workspace.say("nothing is held")
            return

        def done(answer: Answer) -> None:
            if answer.error:
                self.workspace.say(escape(answer.error))
            elif self.is_attached:
                then(answer.value)

        self.workspace.ask(requests.held_one(str(one.get("name"))), done)

    def _decide(self, decision: Json, words: str) -> None:
        if not self.workspace.can("intercept.pass", "intercept"):
            return
        one = self.held.chosen()
        if one is None:
            self.workspace.say("nothing is held")
        else:
            self._send(str(one.get("name")), decision, words)

    def _ask(self, work: Work, words: str) -> None:
        def done(answer: Answer) -> None:
            self.workspace.say(escape(answer.error) if answer.error else words)
            self._look()

        self.workspace.ask(work, done)
