"""The single lines of the screen: the state on top, the banner, tabs, and the keys at the bottom."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final

from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from wsinspect.present.cells import Line, between, fit, flow, width_of, wrap
from wsinspect.present.rows import duration
from wsinspect.present.words import listening_words
from wsinspect.text import counted, escape, grouped
from wsinspect.tui.keys import ABOUT_ONE, FOOTER, PANE_FOOTER, FooterKey
from wsinspect.tui.model import DISCONNECTED, LIVE, UNREADABLE
from wsinspect.tui.widgets.bar import BarInput
from wsinspect.tui.widgets.base import LinePane
from wsinspect.tui.widgets.frames import FrameTable
from wsinspect.tui.widgets.inspector import InspectorPane
from wsinspect.tui.widgets.words import key_hints
from wsinspect.tui.workspace import Workspace

#: A capture's name is cut to no less than this.
_LEAST_NAME: Final = 12


class OneLine(Widget):
    """A line that is drawn from the app's state."""

    DEFAULT_CSS = "OneLine { height: 1; width: 1fr; }"

    def __init__(self, workspace: Workspace, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.workspace = workspace

    def line(self, width: int) -> Line:
        """What it says, at most `width` cells wide."""
        return []

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        return self.workspace.palette.strip(self.line(width) if y == 0 else [], width)


class HeaderLine(OneLine):
    """Mode, file, counts, rate, where it listens, how far the capture is behind."""

    def line(self, width: int) -> Line:
        """As much as fits; the mode always."""
        workspace = self.workspace
        model, glyphs, mode = workspace.model, workspace.glyphs, workspace.mode
        style = {LIVE: "good", DISCONNECTED: "banner", UNREADABLE: "banner"}.get(mode, "warn")
        left: Line = [(f" {mode} ", style)]
        if faults := workspace.fault_words():
            left += [(" ", ""), (f" {faults} ", "banner")]
        if waiting := workspace.waiting_words():
            left += [(" ", ""), (f" {waiting} ", "banner")]
        frames = "frame" if model.newest_id == 1 else "frames"
        counts = f"  {grouped(len(model.connections))} conn  {grouped(model.newest_id)} {frames}"
        hits, count = sum(rule.hits for rule in model.fault_rules.values()), len(model.findings)
        # In the order in which they stand, with the rank by which they make room for each other.
        parts: list[tuple[int, Line]] = [(2, [(counts, "")])]
        if mode == LIVE:
            parts.append((5, [(f"  {model.frames_per_s:.0f}/s", "muted")]))
        if model.is_loading:
            share = 100 * len(model.index) // max(model.newest_id, 1)
            parts.append((4, [(f"  reading {min(share, 99)}%", "key")]))
        acted = (f"  {glyphs.altered} {counted(hits, 'fault')}", "warn" if hits else "muted")
        found = (f"  {glyphs.marked} {counted(count, 'finding')}", "error" if count else "muted")
        both = [(1 if hits else 7, [acted]), (0 if count else 6, [found])]
        parts += reversed(both) if count and not hits else both
        if mode == LIVE and model.lag_ns is not None:
            parts.append((8, [(f"  lag {duration(model.lag_ns)}", "muted")]))
        room = width - 1 - width_of(left)
        name: Line = [(f" {escape(model.path.name)}", "title")]
        shown = []
        for rank, part in sorted([*parts, (3, name)], key=lambda one: one[0]):
            if rank == 3 and width_of(name) > room > _LEAST_NAME:
                part[:] = fit(part, room - 1)
            if width_of(part) < room:
                room -= width_of(part)
                shown.append(rank)
        for rank, part in [(3, name), *parts]:
            left += part if rank in shown else []
        right: Line = []
        for where, target in listening_words(model.listeners, model.taps)[:1]:
            right = [(f"{where} {glyphs.arrow} {target}", "muted")]
        if width_of(left) + width_of(right) + 3 > width:
            right = []
        return between(left, [*right, (" ", "")], width)


class Banner(OneLine):
    """What is wrong, and what to do; shown only then, in two lines where one is too short."""

    def _words(self, width: int) -> list[str]:
        return flow(self.workspace.trouble() or "", max(width - 2, 10))

    def lines_needed(self, width: int) -> int:
        """How high it is to be."""
        return min(max(len(self._words(width)), 1), 2)

    def render_line(self, y: int) -> Strip:
        """The second line ends where the room ends."""
        width = self.size.width
        words = self._words(width)
        text = " ".join(words[1:]) if y == 1 else words[0] if words else ""
        line: Line = [*fit([(f" {text}", "banner")], width), (" " * width, "banner")]
        return self.workspace.palette.strip(line, width)


class TabLine(OneLine):
    """The panes by name, where only one of them fits.

    Attributes:
        shown: the number of the pane that is shown.
    """

    class Chosen(Message):
        """A name was clicked."""

        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

    def __init__(self, workspace: Workspace, *, id: str | None = None) -> None:
        super().__init__(workspace, id=id)
        self.shown = 1

    _NAMES: ClassVar[tuple[str, ...]] = ("Connections", "Overview", "Frames", "Inspector")

    def line(self, width: int) -> Line:
        """The shown one in brackets."""
        line: Line = []
        for number, name in enumerate(self._NAMES, 1):
            shown = number == self.shown
            line.append((f" {number}", "key"))
            line.append((f"[{name}]" if shown else f" {name} ", "focus" if shown else "muted"))
        return fit(line, width)

    def places(self) -> list[tuple[int, int]]:
        """Each pane's number, and the cell at which its name begins."""
        at, found = 0, []
        for number, name in enumerate(self._NAMES, 1):
            found.append((number, at))
            at += len(name) + 4
        return found

    def on_click(self, event: events.Click) -> None:
        """Show the pane that was clicked."""
        at = 0
        for number, name in enumerate(self._NAMES, 1):
            at += len(name) + 4
            if event.x < at:
                self.post_message(self.Chosen(number))
                return


#: Keys that are shown however little room there is.
_ALWAYS: Final = frozenset({"help", "quit", "bar.leave"})
#: Lines for what was said last, at most.
_SAID_LINES: Final = 3
#: What a key does while the frame table stands still, by its id.
_PAUSED: Final = {"frames.pause": "resume"}
#: What Enter does with what is typed into the bar, by its kind.
_ENTER: Final = {"filter": "apply", "go": "go", "find": "find", "text": "find"}
#: What n and N do while there are matches of a search to go to.
_MATCH_KEYS: Final = (FooterKey("finding.next", "next match"), FooterKey("finding.before", "previous"))
_MATCH_IDS: Final = frozenset(key.id for key in _MATCH_KEYS)


class KeyLine(OneLine):
    """The keys that matter now; in parentheses those that can do nothing, which say why when pressed.

    Those that have nothing to act on are left out.

    Args:
        page: whose keys.
        is_about_one: whether the page shows a connection, or one is chosen.
    """

    class Pressed(Message):
        """A key was clicked."""

        def __init__(self, key_id: str) -> None:
            super().__init__()
            self.key_id = key_id

    def __init__(
        self, workspace: Workspace, page: str, is_about_one: Callable[[], bool], *, id: str | None = None
    ) -> None:
        super().__init__(workspace, id=id)
        self._page, self._is_about_one = page, is_about_one

    @property
    def keys(self) -> tuple[FooterKey, ...]:
        """Those of the page; on the main page, of the pane with the focus, or of the bar."""
        focused = self.screen.focused
        own = PANE_FOOTER.get(focused.id or "") if self._page == "main" and focused is not None else None
        keys = FOOTER[self._page] if own is None else own
        labels = dict(_PAUSED) if self.workspace.is_paused else {}
        if isinstance(focused, LinePane):
            labels |= focused.other_labels()
        if isinstance(focused, BarInput):
            labels["bar.apply"] = _ENTER[focused.kind]
        elif self._is_among_matches(focused):
            # What was looked for is what people walk through next: after help, where 80 columns show it.
            keys = (keys[0], *_MATCH_KEYS, *(key for key in keys[1:] if key.id not in _MATCH_IDS))
        keys = tuple(FooterKey(key.id, labels.get(key.id, key.label)) for key in keys)
        idle = focused.idle_keys() if isinstance(focused, LinePane | BarInput) else frozenset[str]()
        idle = idle if self._is_about_one() else idle | ABOUT_ONE
        return tuple(key for key in keys if key.id not in idle) if idle else keys

    def _is_among_matches(self, focused: Widget | None) -> bool:
        """Whether n and N go to the matches of a search: in the frames, or in the inspector's payload."""
        search = self.workspace.search
        if isinstance(focused, InspectorPane) and focused.needle:
            return True
        return isinstance(focused, FrameTable | InspectorPane) and search is not None and search.is_on

    def _said_lines(self, width: int) -> list[str]:
        """What was said last, in as many lines as it needs: a path that is cut is of no use."""
        said = self.workspace.said()
        if not said or width < 10:
            return [said] if said else []
        lines = [piece for line in flow(said, width - 2) for piece in wrap(line, width - 2)]
        return lines[:_SAID_LINES]

    def lines_needed(self, width: int) -> int:
        """How high it is to be."""
        return max(len(self._said_lines(width)), 1)

    def line(self, width: int) -> Line:
        """As many as fit, or the first line of the app's last words."""
        if said := self._said_lines(width):
            return fit([(f" {said[0]}", "warn")], width)
        return [piece for key in self._shown(width) for piece in self._part(key)]

    def render_line(self, y: int) -> Strip:
        """Words that need more than one line continue below."""
        if y == 0:
            return super().render_line(y)
        width = self.size.width
        said = self._said_lines(width)
        line: Line = [(f" {said[y]}", "warn")] if y < len(said) else []
        return self.workspace.palette.strip(line, width)

    def _shown(self, width: int) -> list[FooterKey]:
        """As many as fit, and always the way to the others, and the way out, which is last."""
        keys = self.keys
        shown = [key for key in keys if key.id in _ALWAYS]
        left = width - sum(width_of(self._part(key)) for key in shown)
        for key in (key for key in keys if key.id not in _ALWAYS):
            left -= width_of(self._part(key))
            if left < 0:
                break
            shown.append(key)
        return sorted(shown, key=lambda key: (key.id == "quit", keys.index(key)))

    def _part(self, key: FooterKey) -> Line:
        shown = self.workspace.key_shown(key)
        if not self.workspace.why_not(key.id):
            return key_hints([(shown, key.label)])
        return [(f" ({shown} {key.label}) ", "muted")]

    def on_click(self, event: events.Click) -> None:
        """A click is as good as the key."""
        at = 0
        for key in self._shown(self.size.width):
            at += width_of(self._part(key))
            if event.x < at:
                self.post_message(self.Pressed(key.id))
                return


class TooSmall(OneLine):
    """All that is shown where nothing fits."""

    def line(self, width: int) -> Line:
        size = self.app.size
        words = f"wsinspect needs 60x15, this terminal has {size.width}x{size.height}"
        if width < len(words):
            words = "needs 60x15"
        return fit([(words, "warn")], width)
