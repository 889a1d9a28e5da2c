"""A line to type into whose keys take effect in the order in which they were typed."""

from __future__ import annotations

from typing import Final

from textual import events
from textual.binding import Binding
from textual.widgets import Input

_EDITING: Final = ("cursor_", "delete_", "home", "end", "select_all")
#: Keys that edit, and what each does.
_ACTIONS: Final = {
    key: one.action
    for one in Input.BINDINGS
    if isinstance(one, Binding) and one.action.startswith(_EDITING)
    for key in one.key.split(",")
}


class LineInput(Input):
    """Handles the keys that edit itself.

    A binding is looked up once the key has gone up to the app, after the characters typed behind it: of
    Ctrl+U and a text in one stroke (a slow connection, a key macro) nothing would be left.
    """

    async def on_key(self, event: events.Key) -> None:
        """Do at once what edits, unless a key before it has left the line."""
        action = _ACTIONS.get(event.key)
        if action is not None and self.screen.focused is self:
            event.stop()
            event.prevent_default()
            await self.run_action(action)
