"""The command palette: what can be done now, as `area: verb`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Final, Protocol

from textual.app import SystemCommand
from textual.command import CommandList, CommandPalette
from textual.widgets import Input
from textual.worker import Worker

from wsinspect import decoders
from wsinspect.tui.documents import HEX, JSON, TEXT
from wsinspect.tui.keys import ALL_KEYS, PAGE_OF, Key

#: The magnifying glass is an emoji: two cells wide, or none, as the terminal likes. Dim words cannot be read
#: on the ground of a chosen command, nor in a line that is empty yet; nor Textual's bar, blue on black.
PALETTE_CSS: Final = """
CommandPalette SearchIcon { display: none; }
CommandPalette > .command-palette--help-text { text-style: not bold; }
CommandPalette Input > .input--placeholder { color: $foreground; text-style: italic; }
CommandPalette CommandList {
    scrollbar-background: $background;
    scrollbar-background-hover: $background;
    scrollbar-color: #6b747e;
    scrollbar-color-hover: #6b747e;
}
"""
_AREAS = {
    "pane": "pane",
    "frames": "frames",
    "filter": "filter",
    "find": "find",
    "clock": "view",
    "finding": "finding",
    "findings": "finding",
    "gap": "gap",
    "mark": "mark",
    "page": "page",
    "payload": "view",
    "copy": "copy",
    "engine": "proxy",
    "connections": "connections",
    "timeline": "connections",
    "handshake": "handshake",
    "faults": "fault",
    "inject": "connection",
    "connection": "connection",
    "export": "export",
}
_ENDS = {
    "close": "close with a closing handshake",
    "fin": "end with a FIN, without CLOSE",
    "rst": "end with an RST, without CLOSE",
}


class Commands(Protocol):
    """What the palette asks of the program."""

    theme: str

    def action_key(self, key_id: str) -> Awaitable[None]:
        """What a key does."""

    def saved_filters(self) -> list[str]:
        """The filters that the user has saved."""

    def use_filter(self, text: str) -> None:
        """Show what passes a filter."""

    def choose_view(self, name: str) -> None:
        """Show payloads in this view, one of those that the palette listed."""

    def add_fault(self, begin: str) -> None:
        """Type a rule that begins so."""

    def action_end_connection(self, how: str) -> None:
        """End the chosen connection."""

    def action_export(self, kind: str) -> None:
        """Export in a format."""

    def later(self, callback: Callable[[], object]) -> None:
        """Call it once the palette has gone."""


class PaletteScreen(CommandPalette):
    """Textual's palette, in which Enter waits for what was typed right before it to be looked up.

    The list is that of an earlier text until then: Enter would choose from it, or nothing.
    """

    is_chosen = False

    @property
    def is_searching(self) -> bool:
        """Whether commands are still being looked up."""
        return any(one.node is self and not one.is_finished for one in self.workers)

    def on_input_changed(self, _event: Input.Changed) -> None:
        """Typing on takes an Enter back."""
        self.is_chosen = False

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter: now where the list is that of the text, else once it is."""
        if self.is_searching:
            event.stop()
            event.prevent_default()
            self.is_chosen = True

    def on_worker_state_changed(self, _event: Worker.StateChanged) -> None:
        """Once nothing is looked up any more, Enter takes the first of what was found."""
        if self.is_chosen and not self.is_searching:
            self.is_chosen = False
            self.query_one(CommandList).action_select()


def system_commands(app: Commands) -> Iterable[SystemCommand]:
    """Everything that has a key, payload views, faults, ends of a connection, formats, and themes."""
    for key in ALL_KEYS:
        if key.id != "palette":
            area = _AREAS.get(key.id.split(".")[0], "wsinspect")
            yield SystemCommand(f"{area}: {_words(area, key)}", f"key {key.shown}", _key(app, key.id))
    for text in app.saved_filters():
        yield SystemCommand(f"filter: {text}", "a saved one", _filter(app, text))
    for name in (TEXT, JSON, HEX, *(decoder.name for decoder in decoders.known())):
        yield SystemCommand(f"view: {name}", "the payload as " + name, _view(app, name))
    from wsinspect.faults.kinds import KINDS
    from wsinspect.tui.exporting import FORMATS

    for kind in KINDS.values():
        yield SystemCommand(f"fault: add {kind.name}", kind.summary, _fault(app, kind.name))
    yield SystemCommand("fault: like a preset", "a real hop or network", _fault(app, "like "))
    for how, words in _ENDS.items():
        yield SystemCommand(f"connection: {words}", "the selected one; asks first", _end(app, how))
    for name, words in FORMATS:
        yield SystemCommand(f"export: {words}", "asks for a file name", _export(app, name))
    for theme in ("textual-dark", "textual-light", "ansi-dark", "ansi-light"):
        yield SystemCommand(f"theme: {theme}", "colours", _theme(app, theme))


def _words(area: str, key: Key) -> str:
    """What a key does, without its area, and without the page that the area stands for."""
    words = key.words.removeprefix(f"{area} ")
    page = PAGE_OF.get(key.id, "")
    return words.removesuffix(f" ({page})") if area in (page, page.removesuffix("s")) else words


def _key(app: Commands, key_id: str) -> Callable[[], None]:
    return lambda: app.later(lambda: app.action_key(key_id))


def _filter(app: Commands, text: str) -> Callable[[], None]:
    return lambda: app.use_filter(text)


def _view(app: Commands, name: str) -> Callable[[], None]:
    return lambda: app.choose_view(name)


def _fault(app: Commands, begin: str) -> Callable[[], None]:
    return lambda: app.add_fault(begin)


def _end(app: Commands, how: str) -> Callable[[], None]:
    return lambda: app.action_end_connection(how)


def _export(app: Commands, kind: str) -> Callable[[], None]:
    return lambda: app.action_export(kind)


def _theme(app: Commands, name: str) -> Callable[[], None]:
    def choose() -> None:
        app.theme = name

    return choose
