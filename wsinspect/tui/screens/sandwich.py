"""The sandwich page: one connection before and behind a hop, side by side."""

from __future__ import annotations

import time
from typing import ClassVar

from textual.binding import BindingType
from textual.message import Message

from wsinspect.present.cells import Line, fit, flow, text_of, width_of
from wsinspect.present.handshakes import legend, unwrapped
from wsinspect.present.sandwich import sandwich_lines, side_by_side
from wsinspect.text import escape
from wsinspect.tui.asking import AGAIN_SECONDS, MOST_FRAMES, Asker, HopView, hop_of
from wsinspect.tui.documents import LinesDocument
from wsinspect.tui.keys import bindings_of
from wsinspect.tui.screens.page import Page
from wsinspect.tui.states import choose_first
from wsinspect.tui.widgets.base import LinePane
from wsinspect.tui.workspace import Workspace

_NOTHING = (
    "Nothing was found on the other side of a hop for this connection. A sandwich needs two taps in one "
    "capture:"
)
#: In a line each where one is too short: it is to be copied.
_COMMAND = ("wsinspect run --tap edge=8081=URL-OF-THE-HOP", "--tap origin=3001=URL-OF-THE-SERVER")


class SandwichPane(LinePane):
    """Edge at the left, origin at the right: handshake and frames, what differs marked.

    Attributes:
        connection: what was asked about.
        view: both sides; None while they are not known, and where there are none.
        only_differences: what is the same is left out.
    """

    help_title = "Sandwich"
    help_text = (
        "One connection as the tap before a hop saw it, on the left, and the tap behind it, on the right. A "
        "line or a frame that is on both sides stands once; ~ changed, + made by the hop, - lost in it, "
        "> moved. d leaves out what is the same, p goes to the connection on the other side."
    )
    has_cursor = False

    def __init__(self, workspace: Workspace, *, id: str | None = None) -> None:
        super().__init__(workspace, id=id)
        self.connection: int | None = None
        self.view: HopView | None = None
        self.words = ""
        self.only_differences = False
        self._document = LinesDocument([])
        self._drawn_for: tuple[object, ...] = ()

    def idle_keys(self) -> frozenset[str]:
        """Without another side there is nowhere to go to, and nothing differs."""
        if self.view is not None and self.view.pair.origin is not None:
            return frozenset()
        idle = frozenset({"sandwich.partner", "sandwich.differences"})
        return idle if self.connection is not None else idle | {"page.handshake"}

    def title(self) -> tuple[Line, Line]:
        """The two connections, and what joined them."""
        left: Line = [("Sandwich", "title")]
        if self.view is not None:
            pair = self.view.pair
            behind = (
                f"conn {pair.origin.id} (joined by {pair.joined_by})"
                if pair.origin
                else "nothing behind the hop"
            )
            left.append((f"  conn {pair.edge.id} {self.glyphs.arrow} {behind}", ""))
        elif self.connection is not None:
            left.append((f"  conn {self.connection}", ""))
        width = self.size.width - 6
        if self.only_differences:
            return fit(left, max(width, 0)), [("only differences", "warn")]
        return fit(left, max(width, 0)), [] if self.view is None else legend(
            width - width_of(left) - 2, is_hop=True
        )

    def show(self, answer: HopView | str | None) -> None:
        """Draw what was found."""
        self.view = answer if isinstance(answer, HopView) else None
        self.words = answer if isinstance(answer, str) else "" if answer is not None else _NOTHING
        self._drawn_for = ()
        self.post_message(self.OtherKeys())
        self.refresh()

    def _lines(self, view: HopView, width: int) -> list[Line]:
        lines = list(
            side_by_side(
                view.pair,
                view.edge,
                view.origin,
                width,
                only_differences=self.only_differences,
                glyphs=self.glyphs,
            )
        )
        if view.is_part:
            lines.append([(f"The first {MOST_FRAMES} frames of each side are compared.", "muted")])
        return [*lines, [], *sandwich_lines([view.pair], self.glyphs.arrow)]

    def row_count(self) -> int:
        """Lines at this width."""
        width = max(self.size.width - 3, 20)
        drawn_for = (self.view, width, self.only_differences, self.glyphs)
        if self.view is not None and drawn_for != self._drawn_for:
            self._drawn_for = drawn_for
            self._document = LinesDocument(self._lines(self.view, width))
        return self._document.line_count(width) if self.view is not None else 0

    def row(self, number: int, width: int) -> Line:
        return [(" ", ""), *self._document.line(number, max(self.size.width - 3, 20))]

    def document_text(self) -> str:
        """All of it, as wide as it wants to be."""
        if (view := self.view) is None:
            return super().document_text()
        lines = unwrapped(lambda width: self._lines(view, width), self.glyphs)
        return "\n".join(text_of(line).rstrip() for line in lines)

    def empty_lines(self, width: int) -> list[Line]:
        if self.connection is None:
            return choose_first(self.model, "W shows both sides of it", width)
        words = escape(self.words) or "looking for the other side …"
        lines: list[Line] = [[("  " + line, "muted")] for line in flow(words, max(min(width - 4, 100), 20))]
        if self.words == _NOTHING:
            whole = " ".join(_COMMAND)
            command = [whole] if len(whole) + 6 <= width else [f"{_COMMAND[0]} \\", f"    {_COMMAND[1]}"]
            lines += [[], *([(f"    {line}", "key")] for line in command)]
        return lines


class SandwichScreen(Page):
    BINDINGS: ClassVar[list[BindingType]] = bindings_of("sandwich")
    page = "sandwich"

    class PartnerWanted(Message):
        """Show the other side's connection."""

        def __init__(self, connection: int) -> None:
            super().__init__()
            self.connection = connection

    def __init__(self, workspace: Workspace) -> None:
        self.sandwich = SandwichPane(workspace, id="sandwich")
        super().__init__(workspace, self.sandwich)
        self._asker = Asker(workspace)
        self._asked_at = 0.0
        self._asked_for = 0

    def show(self, connection: int | None) -> None:
        """Look for the other side of a connection."""
        pane = self.sandwich
        if connection != pane.connection:
            pane.top, pane.view = 0, None
        pane.connection, pane.words = connection, ""
        self._ask()
        pane.post_message(pane.OtherKeys())
        pane.refresh()

    def _ask(self) -> None:
        """Have both sides compared, by a thread."""
        pane, self._asked_at = self.sandwich, time.monotonic()
        self._asked_for = len(self.workspace.model.index)
        if pane.connection is not None:
            self._asker.ask(hop_of(self.workspace, pane.connection), pane.show)

    def tick(self) -> None:
        """Frames may have come since both sides were compared; of many the first are, which stay."""
        view = self.sandwich.view
        has_more = len(self.workspace.model.index) != self._asked_for and not (view and view.is_part)
        if has_more and not self._asker.is_asking and time.monotonic() - self._asked_at >= AGAIN_SECONDS:
            self._ask()
        super().tick()

    def on_unmount(self) -> None:
        self._asker.stop()

    def connection_in_view(self) -> int | None:
        """The one that was asked about."""
        return self.sandwich.connection

    def action_only_differences(self) -> None:
        """Leave out what is the same."""
        self.sandwich.only_differences = not self.sandwich.only_differences
        self.sandwich.top = 0
        self.sandwich.refresh()

    def action_partner(self) -> None:
        """To the frames of the other side's connection."""
        view, own = self.sandwich.view, self.sandwich.connection
        pair = view.pair if view is not None else None
        origin = pair.origin if pair is not None else None
        if pair is None or origin is None:
            self.workspace.say("this connection has no partner")
        else:
            self.post_message(self.PartnerWanted(pair.edge.id if own == origin.id else origin.id))
