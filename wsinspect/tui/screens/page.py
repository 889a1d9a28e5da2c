"""What every page is made of: header line, banner, content and keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from wsinspect.tui.copying import Copier
from wsinspect.tui.dialogs.jump import Target
from wsinspect.tui.layout import is_too_small
from wsinspect.tui.widgets.base import LinePane
from wsinspect.tui.widgets.lines import Banner, HeaderLine, KeyLine, TooSmall
from wsinspect.tui.workspace import Workspace


class Page(Screen[None]):
    """A page with one pane.

    Args:
        pane: what it shows.

    Attributes:
        page: its name.
        is_stale: it is to be drawn again at the next paint.
    """

    DEFAULT_CSS = """
    Page { layout: vertical; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        # A single pane has no next one; the main page has its own keys for these.
        Binding("tab,shift+tab", "app.back", "back", show=False),
    ]
    page: ClassVar[str] = ""

    def __init__(self, workspace: Workspace, pane: LinePane) -> None:
        super().__init__()
        self.workspace = workspace
        self.pane = pane
        self.copier = Copier(lambda text: self.app.copy_to_clipboard(text), workspace.say, workspace.deliver)
        self.header_line = HeaderLine(workspace, id="header")
        self.banner = Banner(workspace, id="banner")
        self.key_line = KeyLine(workspace, self.page, self._is_about_one, id="keys")
        self._keys_height = 1
        self.too_small = TooSmall(workspace, id="too-small")

    def compose(self) -> ComposeResult:
        """From top to bottom."""
        yield self.header_line
        yield self.banner
        yield self.pane
        yield self.key_line
        yield self.too_small

    def _is_about_one(self) -> bool:
        """Whether keys about a connection have one to act on."""
        return self.connection_in_view() is not None or self.workspace.chosen_connection() is not None

    @property
    def is_small(self) -> bool:
        """Whether the terminal has too few cells for anything but a line that says so."""
        return is_too_small(self.app.size)

    def on_mount(self) -> None:
        """The first key belongs to the pane already."""
        self.set_focus(self.pane)
        self.lay_out()

    def on_screen_resume(self) -> None:
        """Shown again: draw what has changed meanwhile."""
        self.lay_out_keys()
        self.lay_out()
        self.repaint()

    def on_resize(self, _event: events.Resize) -> None:
        """Share the screen among what is on it."""
        self.lay_out()

    def lay_out(self) -> None:
        """What is shown, and how high."""
        is_small = self.is_small
        for widget in (self.header_line, self.pane, self.key_line):
            widget.display = not is_small
        self.too_small.display = is_small
        self.lay_out_banner()
        self.refresh_lines()

    def lay_out_banner(self) -> int:
        """Show the banner where there is trouble; returns its height."""
        has_trouble = self.workspace.trouble() is not None and not self.is_small
        self.banner.display = has_trouble
        self.banner.styles.height = lines = self.banner.lines_needed(self.app.size.width)
        return lines if has_trouble else 0

    def lay_out_keys(self) -> None:
        """Make room for what was said last where one line is too short for it."""
        height = self.key_line.lines_needed(self.app.size.width)
        if height != self._keys_height:
            self._keys_height = height
            self.key_line.styles.height = height
            self.lay_out()
        self.key_line.refresh()

    def on_descendant_focus(self) -> None:
        """The keys are those of the pane with the focus."""
        self.key_line.refresh()

    def on_line_pane_other_keys(self) -> None:
        """What is shown has other keys."""
        self.key_line.refresh()

    def refresh_lines(self) -> None:
        """Draw header, banner and keys again."""
        for line in (self.header_line, self.banner, self.key_line):
            line.refresh()

    def grown(self) -> None:
        """The capture has grown: called at most twenty times a second while the page is shown."""
        self.pane.refresh()
        self.refresh_lines()

    def tick(self) -> None:
        """Twice a second: what changes with time alone."""
        self.lay_out_keys()
        if self.banner.display != (self.workspace.trouble() is not None and not self.is_small):
            self.lay_out()
        self.refresh_lines()

    def repaint(self) -> None:
        """Another theme, or shown again: draw everything."""
        for widget in self.query("*"):
            widget.refresh()

    def document_text(self) -> str:
        """What it shows, as text for a pager."""
        return self.pane.document_text()

    def show(self, connection: int | None) -> None:
        """Opened by a key: what a page about one connection shows; of the others, nothing changes."""

    def connection_in_view(self) -> int | None:
        """The connection that is shown or chosen; None leaves it to the main page."""
        return None

    # -- jump mode

    def focus_pane(self, pane: LinePane) -> None:
        """Focus it at once, not a moment later as `focus` does: the next key belongs there already."""
        self.set_focus(pane)

    def jump_targets(self) -> list[Target]:
        """Panes first: their labels are the shortest."""
        shown = [pane for pane in self.query(LinePane) if pane.is_on_screen and pane.can_focus]
        targets = [Target(pane.region.x, pane.region.y, self._to_pane(pane)) for pane in shown]
        targets += self.more_targets()
        for pane in shown:
            for y, go in pane.jump_rows():
                targets.append(Target(pane.region.x, pane.region.y + y, self._to_row(pane, go)))
        return targets

    def more_targets(self) -> list[Target]:
        """What else can be jumped to, behind the panes."""
        return []

    def _to_pane(self, pane: LinePane) -> Callable[[], None]:
        return lambda: self.focus_pane(pane)

    def _to_row(self, pane: LinePane, choose: Callable[[], None]) -> Callable[[], None]:
        def go() -> None:
            self.focus_pane(pane)
            choose()

        return go
