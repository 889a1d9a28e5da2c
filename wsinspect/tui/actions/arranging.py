"""How the screen is shared among the panes, and which keys the user wants."""

from __future__ import annotations

from textual import events
from textual.binding import Binding
from textual.widget import Widget

from wsinspect.errors import WsinspectError
from wsinspect.present.cells import Line
from wsinspect.tui.keys import APP_KEYS, keymap_path, read_keymap
from wsinspect.tui.layout import heights, is_too_small
from wsinspect.tui.shell import PANES, Shell
from wsinspect.tui.states import no_connections, no_frames
from wsinspect.tui.widgets.bar import Bar
from wsinspect.tui.widgets.base import LinePane
from wsinspect.tui.widgets.faults import FaultsPane
from wsinspect.tui.widgets.frames import FrameTable
from wsinspect.tui.widgets.inspector import InspectorPane
from wsinspect.tui.widgets.lines import Banner, TabLine, TooSmall
from wsinspect.tui.widgets.overview import OverviewPane
from wsinspect.tui.widgets.scrubber import ScrubberPane
from wsinspect.tui.widgets.timeline import TimelinePane


class Arranging(Shell):
    """The screen and its keys."""

    def on_resize(self, event: events.Resize) -> None:
        """Share the screen anew."""
        self.terminal_size = event.size
        if self.is_whole:
            self.lay_out()

    def lay_out(self) -> None:
        """Which panes are shown, and how high."""
        size = self.terminal_size or self.size
        small = is_too_small(size)
        for selector in ("#header", "#pages", "#keys"):
            self.one(selector, Widget).display = not small
        self.one("#too-small", TooSmall).display = small
        if small:
            for selector in ("#banner", "#tabs", "#scrubber", "#bar"):
                self.one(selector, Widget).display = False
            return
        self.one("#bar", Bar).display = self.bar_is_open
        banner, is_told = self.one("#banner", Banner), self.trouble() is not None
        banner.display = is_told
        banner.styles.height = lines = banner.lines_needed(size.width)
        self.one("#scrubber", ScrubberPane).display = self.playback is not None
        shown = heights(
            size,
            self.pane_number,
            connections=len(self.model.connections),
            is_maximised=self.is_maximised,
            extra=self.inspector_extra,
            taken=3 * (self.playback is not None) + lines * is_told,
        )
        self.one("#tabs", TabLine).display = len(shown) == 1 and not self.is_maximised
        for number in range(1, len(PANES) + 1):
            pane = self.pane(number)
            pane.display = number in shown
            pane.styles.height = shown.get(number) or "1fr"
        self.refresh_lines()

    def use_keymap(self) -> None:
        """The user's own keys."""
        known = {key.id for key in APP_KEYS}
        panes = (FrameTable, OverviewPane, InspectorPane, ScrubberPane, TimelinePane, FaultsPane)
        for kind in (LinePane, *panes):
            known |= {one.id for one in kind.BINDINGS if isinstance(one, Binding) and one.id}
        try:
            self.keymap_ids = read_keymap(keymap_path(), frozenset(known))
        except WsinspectError as error:
            self.say(str(error))
            return
        self.set_keymap(self.keymap_ids)

    def empty_connections(self, width: int) -> list[Line]:
        """What to say where there are no connections."""
        return no_connections(self.model, width, self.glyphs)

    def empty_frames(self, width: int) -> list[Line]:
        """What to say where there are no frames."""
        return no_frames(self, width)
