"""Jump mode: labels on what is on the screen."""

from __future__ import annotations

from collections.abc import Callable

from wsinspect.tui.dialogs.jump import JumpScreen, Target
from wsinspect.tui.shell import MAIN, PANES, Shell
from wsinspect.tui.widgets.base import LinePane
from wsinspect.tui.widgets.lines import KeyLine, TabLine


class Jumping(Shell):
    """The action of `ctrl+o`."""

    def action_jump(self) -> None:
        """Label every pane, and every row that can be chosen."""
        if self.bar_is_open or len(self.screen_stack) > 1 or not self.one("#keys", KeyLine).display:
            return
        self.push_screen(JumpScreen(self.jump_targets(), self.palette))

    def jump_targets(self) -> list[Target]:
        """Panes first: their labels are the shortest."""
        shown = [pane for pane in self.screen_stack[0].query(LinePane) if pane.is_on_screen]
        targets = [Target(pane.region.x, pane.region.y, self._to_pane(pane)) for pane in shown]
        tabs = self.one("#tabs", TabLine)
        if tabs.display:
            targets += [Target(x, tabs.region.y, self._to_number(number)) for number, x in tabs.places()]
        for pane in shown:
            for y, go in pane.jump_rows():
                targets.append(Target(pane.region.x, pane.region.y + y, self._to_row(pane, go)))
        return targets

    def _to_pane(self, pane: LinePane) -> Callable[[], None]:
        def go() -> None:
            if self.page == MAIN and pane.id in PANES:
                self.run_later(PANES.index(pane.id) + 1)
            else:
                pane.focus()

        return go

    def _to_number(self, number: int) -> Callable[[], None]:
        return lambda: self.run_later(number)

    def run_later(self, number: int) -> None:
        """Focus a pane once the labels are gone."""
        self.call_later(self.run_action, f"focus_pane({number})")

    def _to_row(self, pane: LinePane, choose: Callable[[], None]) -> Callable[[], None]:
        focus = self._to_pane(pane)

        def go() -> None:
            focus()
            choose()

        return go
