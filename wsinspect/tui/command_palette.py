"""The command palette: what can be done now, as `area: verb`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from textual.app import SystemCommand

from wsinspect import decoders
from wsinspect.tui.documents import HEX, JSON, TEXT
from wsinspect.tui.engine_commands import control_commands
from wsinspect.tui.keys import APP_KEYS

if TYPE_CHECKING:
    from wsinspect.tui.app import InspectApp

_AREAS = {
    "pane": "pane",
    "frames": "frames",
    "filter": "filter",
    "finding": "finding",
    "gap": "gap",
    "mark": "mark",
    "page": "page",
    "payload": "view",
    "copy": "copy",
    "engine": "engine",
    "connections": "connections",
    "handshake": "handshake",
    "faults": "fault",
    "inject": "connection",
    "connection": "connection",
    "export": "export",
}


def system_commands(app: InspectApp) -> Iterable[SystemCommand]:
    """Everything that has a key, the payload views, and the themes."""
    for key in APP_KEYS:
        if key.id == "palette" or key.why_not:
            continue
        area = _AREAS.get(key.id.split(".")[0], "wsinspect")
        yield SystemCommand(f"{area}: {key.words}", f"key {key.shown}", _run(app, key.action))
    for name in (TEXT, JSON, HEX, *(decoder.name for decoder in decoders.known())):
        yield SystemCommand(f"view: {name}", "the payload as " + name, _view(app, name))
    yield from control_commands(app)
    for theme in ("textual-dark", "textual-light", "ansi-dark", "ansi-light"):
        yield SystemCommand(f"theme: {theme}", "colours", _theme(app, theme))


def _run(app: InspectApp, action: str) -> Callable[[], None]:
    def run() -> None:
        app.call_later(app.run_action, action)

    return run


def _view(app: InspectApp, name: str) -> Callable[[], None]:
    return lambda: app.inspector.choose_view(name)


def _theme(app: InspectApp, name: str) -> Callable[[], None]:
    def choose() -> None:
        app.theme = name

    return choose
