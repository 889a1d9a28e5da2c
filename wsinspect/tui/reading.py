"""Steps to other places while the capture is still being read.

Contract: a step is never answered from a part of the capture. It is taken at once where all that the capture
held at the start has its rows, else as soon as it has them, in the order in which steps were asked for. What
comes later, from a proxy at work, delays nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from wsinspect.tui.workspace import Workspace


class Reading:
    """See the module docstring."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._is_done = False
        self._due: list[Callable[[], None]] = []

    @property
    def is_done(self) -> bool:
        """Whether every frame that was there at the start has its row, or cannot be read."""
        if not self._is_done:
            model, view = self._workspace.model, self._workspace.selection.view
            is_whole = model.has_begun and not model.is_loading and view.is_complete
            self._is_done = is_whole or model.error is not None
        return self._is_done

    def then(self, step: Callable[[], None]) -> None:
        """Take a step, now or when all is read."""
        if self.is_done:
            step()
            return
        self._due.append(step)
        self._workspace.say("the capture is still being read; this key acts as soon as it is")

    def tick(self) -> None:
        """Take the steps that waited, if they can be taken now."""
        if self._due and self.is_done:
            due, self._due = self._due, []
            for step in due:
                step()
