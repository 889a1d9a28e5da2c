"""Export: the capture, or what of it is shown, in a neighbour's format."""

from __future__ import annotations

from pathlib import Path

from wsinspect.tui.shell import Shell


class Exporting(Shell):
    """One action."""

    def why_not(self, key_id: str) -> str:
        """Why a key can do nothing now."""
        if key_id == "export" and self.model.error is not None:
            return "the capture cannot be read"
        return super().why_not(key_id)

    def action_export(self, kind: str = "har") -> None:
        """Ask what and where to."""
        from wsinspect.tui.dialogs.export import ExportDialog, suggested
        from wsinspect.tui.exporting import ALL, CONNECTIONS, ONE, PASSING, Order

        if reason := self.why_not("export"):
            self.say(f"e: {reason}")
            return
        model, flt = self.model, self.filter
        parts = [(ALL, "all of it")]
        number = self.selection.connection
        if number is not None:
            parts.append((ONE, f"connection {number}"))
        if flt is not None:
            parts.append((PASSING, "what passes the filter"))
            if not flt.lists_connections:
                parts.append((CONNECTIONS, "its connections"))
        part = PASSING if flt is not None else ONE if number is not None else ALL
        order = Order(model.path, Path(), kind, part, number, flt, False, model.newest_id)
        self.push_screen(ExportDialog(suggested(order), parts))
