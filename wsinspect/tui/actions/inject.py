"""One connection by hand: a frame of ours, or its end."""

from __future__ import annotations

from wsinspect.text import escape
from wsinspect.tui.actions.faults import Faulting

_BY_HAND = frozenset({"inject", "connection.end"})


class Injecting(Faulting):
    """Actions on the selected connection."""

    def why_not(self, key_id: str) -> str:
        """Why a key can do nothing now."""
        return self.connection_reason() if key_id in _BY_HAND else super().why_not(key_id)

    def connection_reason(self) -> str:
        """Why nothing can be done to the selected connection; empty where it can."""
        if reason := self.engine_reason():
            return reason
        number = self.connection_in_view()
        one = self.model.connections.get(number or 0)
        if one is None:
            return "choose a connection first (1, then up and down)"
        if one.state != "open":
            return f"connection {one.id} is {one.state}, not open"
        return ""

    def action_inject(self) -> None:
        """Make a frame and send it."""
        from wsinspect.tui.dialogs.by_hand import InjectDialog

        number = self.connection_in_view()
        if self.can("inject", "x") and number is not None:
            position = self.frames.selected_position()
            flags = 0 if position is None else self.model.index.columns.flags[position]
            self.push_screen(InjectDialog(number, self._target(number), "s2c" if flags & 1 else "c2s"))

    def action_end_connection(self, how: str = "close") -> None:
        """End it."""
        from wsinspect.tui.dialogs.by_hand import EndDialog

        number = self.connection_in_view()
        if self.can("connection.end", "X") and number is not None:
            self.push_screen(EndDialog(number, self._target(number), how))

    def _target(self, number: int) -> str:
        one = self.model.connections[number]
        return escape(one.path or one.url)
