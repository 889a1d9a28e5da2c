"""The doctor on the selected connection's server: what it asks, then what it found; Escape stops it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from wsinspect.doctor.asker import Asker
from wsinspect.doctor.examination import Examination, examine
from wsinspect.doctor.judge import Judgement
from wsinspect.doctor.report import probe_line
from wsinspect.doctor.target import Extras, Target
from wsinspect.errors import WsinspectError
from wsinspect.formats.secrets import mask_url
from wsinspect.present.cells import Line, flow
from wsinspect.present.examination import STYLES
from wsinspect.present.findings import finding_lines
from wsinspect.present.notes import severity_sign
from wsinspect.text import escape
from wsinspect.tui.dialogs.overlay import Whole
from wsinspect.tui.documents import LinesDocument
from wsinspect.tui.widgets.base import LinePane
from wsinspect.tui.workspace import Workspace

_TIMEOUT_NS = 10 * 10**9
#: Lines of what was asked, so far.
_ASKED = 8

Tell = Callable[..., None]


class Asking(threading.Thread):
    """One examination, with a loop of its own.

    Args:
        tell: called in this thread with a function and its arguments, to have it called in the event loop.
        asks: gets what is being asked.
        done: gets the examination, or why there is none.
    """

    def __init__(
        self,
        target: Target,
        extras: Extras,
        tell: Tell,
        asks: Callable[[str], None],
        done: Callable[[Examination | str], None],
        timeout_ns: int = _TIMEOUT_NS,
    ) -> None:
        super().__init__(name="doctor", daemon=True)
        self._target, self._extras, self._timeout_ns = target, extras, timeout_ns
        self._tell, self._asks, self._done = tell, asks, done
        self._lock = threading.Lock()
        self._is_unwanted = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Examination] | None = None

    def stop(self) -> None:
        """Ask nothing more; nobody gets a result."""
        with self._lock:
            self._is_unwanted = True
            if self._loop is not None and self._task is not None:
                self._loop.call_soon_threadsafe(self._task.cancel)

    def run(self) -> None:
        result: Examination | str
        try:
            result = asyncio.run(self._examine())
        except asyncio.CancelledError:
            return
        except (WsinspectError, OSError) as error:
            result = str(error)
        if not self._is_unwanted:
            self._tell(self._done, result)

    async def _examine(self) -> Examination:
        with self._lock:
            self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
            if self._is_unwanted:
                raise asyncio.CancelledError
        try:
            return await examine(
                self._target,
                self._extras,
                Asker(timeout_ns=self._timeout_ns),
                timeout_ns=self._timeout_ns,
                watch=lambda words: self._tell(self._asks, words) if words else None,
            )
        finally:
            with self._lock:
                self._loop = None


class DoctorPane(LinePane):
    """What was asked and found, in lines that scroll."""

    has_cursor = False
    help_title = "Doctor"

    def __init__(self, workspace: Workspace, url: str) -> None:
        super().__init__(workspace, id="doctor")
        self._url = url
        self._asked: list[str] = []
        self._document = LinesDocument([])
        self.found: Examination | None = None
        self._show_asked()

    def title(self) -> tuple[Line, Line]:
        leaves = "back" if self.found is not None else "stop"
        return [("Doctor: ", "muted"), (escape(self._url), "title")], [("esc", "key"), (f" {leaves}", "")]

    def asks(self, words: str) -> None:
        self._asked.append(words)
        self._show_asked()

    def _show_asked(self) -> None:
        lines: list[Line] = [[("asking the server itself; nothing is changed on it", "muted")]]
        lines += [[(f"  {escape(one)}", "")] for one in self._asked[-_ASKED:]]
        self._show(lines)

    def show(self, found: Examination | str) -> None:
        """The findings and what was asked, or in one line why there is no result."""
        if isinstance(found, str):
            self._show([[(escape(found), "error")]])
            return
        self.found = found
        self._show(list(self._lines(found)))

    def _show(self, lines: list[Line]) -> None:
        self._document = LinesDocument(lines)
        if self.is_attached:
            self.action_first()
            self.refresh()

    def _lines(self, found: Examination) -> Iterator[Line]:
        judgement = self._placed(found)
        yield [(judgement.verdict, STYLES[judgement.verdict]), (f"  {escape(judgement.headline)}", "title")]
        for one in judgement.findings:
            yield []
            yield from finding_lines([one], severity_sign(one.severity, self.glyphs), noun="probe")
        asked = [probe_line(one, include_secrets=False) for one in found.answers]
        blocks = (
            ("Asked", [f"{one.number:>2}  {one.asks}: {one.outcome}" for one in asked]),
            ("Ruled out", judgement.ruled_out),
            ("Try next", judgement.next_steps),
        )
        for title, lines in blocks:
            if lines:
                yield []
                yield [(title, "title")]
                for line in lines:
                    first, *more = flow(escape(line), max(self._cells - 5, 20)) or [""]
                    yield [(f"  {first}", "")]
                    yield from ([(f"     {piece}", "")] for piece in more)

    def _placed(self, found: Examination) -> Judgement:
        """With the line of a configuration, where one was read on the findings page."""
        if not self.workspace.places.read:
            return found.judgement
        from wsinspect.doctor.configuration.judging import versions_of, with_configuration

        versions = versions_of(one.facts.raw_response_in for one in found.answers)
        judgement, _ = with_configuration(found.judgement, self.workspace.places.read, found.target, versions)
        return judgement

    def row_count(self) -> int:
        return self._document.line_count(self._cells)

    def row(self, number: int, width: int) -> Line:
        return [(" ", ""), *self._document.line(number, self._cells)]

    @property
    def _cells(self) -> int:
        return max(self.size.width - 3, 20)


class DoctorScreen(Whole):
    """Over everything until Escape."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,P", "leave", "leave", show=False, id="doctor.leave"),
        Binding("ctrl+c", "leave", "leave", show=False, priority=True, id="doctor.cancel"),
    ]

    def __init__(self, workspace: Workspace, target: Target, extras: Extras) -> None:
        super().__init__()
        self.workspace = workspace
        self.pane = DoctorPane(workspace, mask_url(str(target)))
        self._asking = Asking(target, extras, workspace.deliver, self._asks, self._done)

    def compose(self) -> ComposeResult:
        yield self.pane

    def on_mount(self) -> None:
        self.set_focus(self.pane)
        self._asking.start()

    def _asks(self, words: str) -> None:
        if self.is_attached and self.pane.found is None:
            self.pane.asks(words)

    def _done(self, found: Examination | str) -> None:
        if self.is_attached:
            self.pane.show(found)

    def action_leave(self) -> None:
        """Stop what is being asked, and go back."""
        self._asking.stop()
        self.dismiss(None)

    def on_unmount(self) -> None:
        """The program ends: so does the asking."""
        self._asking.stop()
