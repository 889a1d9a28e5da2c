"""What the command palette offers of faults, of one connection, and of export."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from textual.app import SystemCommand

if TYPE_CHECKING:
    from wsinspect.tui.app import InspectApp

_ENDS = {
    "close": "close in a closing handshake",
    "fin": "abort with a FIN, without CLOSE",
    "rst": "abort with an RST, without CLOSE",
}


def control_commands(app: InspectApp) -> Iterable[SystemCommand]:
    """Every kind of fault, the ends of a connection, the formats."""
    from wsinspect.faults.kinds import KINDS
    from wsinspect.tui.exporting import FORMATS

    for kind in KINDS.values():
        yield SystemCommand(f"fault: add {kind.name}", kind.summary, _fault(app, kind.name))
    yield SystemCommand("fault: like a preset", "a real hop or network", _fault(app, "like "))
    for how, words in _ENDS.items():
        yield SystemCommand(f"connection: {words}", "the selected one; asks first", _end(app, how))
    for name, words in FORMATS:
        yield SystemCommand(f"export: {words}", "asks for a file name", _export(app, name))


def _fault(app: InspectApp, begin: str) -> Callable[[], None]:
    return lambda: app.action_add_fault(begin)


def _end(app: InspectApp, how: str) -> Callable[[], None]:
    return lambda: app.action_end_connection(how)


def _export(app: InspectApp, kind: str) -> Callable[[], None]:
    return lambda: app.action_export(kind)
