"""What is on top of a page until it is left, once."""

from __future__ import annotations

from typing import TypeVar

from textual.await_complete import AwaitComplete
from textual.screen import ModalScreen

T = TypeVar("T")


class Overlay(ModalScreen[T]):
    """A modal screen that a second key cannot leave again.

    Textual hands a key to the screen that is on top when it is read. Of two keys in one stroke the second one
    reaches a screen that the first one has left: there `dismiss` would take away whatever is on top by then,
    and answer twice.
    """

    def dismiss(self, result: T | None = None) -> AwaitComplete:
        """Leave it with a result; nothing happens where it is not on top any more."""
        return super().dismiss(result) if self.app.screen is self else AwaitComplete()

    def action_leave(self) -> None:
        """Leave it without a result."""
        self.dismiss(None)


class Whole(Overlay[None]):
    """A pane over all of the page but its first line, which says what is armed."""

    DEFAULT_CSS = """
    Whole { align: center bottom; background: $background 0%; }
    Whole LinePane { width: 100%; height: 1fr; margin-top: 1; background: $surface; }
    """
