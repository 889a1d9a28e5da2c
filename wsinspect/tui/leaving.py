"""Quitting: it asks first where a fault holds frames back; pressed twice, the way out is always open."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from textual.screen import Screen

from wsinspect.text import escape
from wsinspect.tui.engine import requests
from wsinspect.tui.engine.link import Answer, EngineView
from wsinspect.tui.engine.requests import held_words
from wsinspect.tui.workspace import Workspace

#: An engine that does not answer in this time is not waited for.
PATIENCE_SECONDS: Final = 1.0


class Leaving:
    """See the module docstring.

    Args:
        leave: ends the program.
        later: calls a function after some seconds.
        ask_user: shows a question; its answer goes to the function.
    """

    def __init__(
        self,
        workspace: Workspace,
        leave: Callable[[], None],
        later: Callable[[float, Callable[[], None]], object],
        ask_user: Callable[[Screen[str], Callable[[str | None], None]], object],
    ) -> None:
        self._workspace = workspace
        self._leave, self._later, self._ask_user = leave, later, ask_user
        self._is_leaving = False
        self._is_asked = False

    def begin(self) -> None:
        """Quit; at once where nothing is held, or when asked a second time."""
        if self._is_leaving or not self._workspace.engine_view.is_up:
            self._leave()
            return
        self._is_leaving = True
        self._workspace.ask(requests.status(), self._held)
        self._later(PATIENCE_SECONDS, self._waited)

    def _waited(self) -> None:
        """The engine does not answer."""
        if self._is_leaving and not self._is_asked:
            self._leave()

    def _held(self, answer: Answer) -> None:
        """What the engine holds now."""
        if not self._is_leaving or self._is_asked:
            return
        held = EngineView(status=answer.value).held if isinstance(answer.value, dict) else (0, None)
        if not held[0]:
            self._leave()
            return
        from wsinspect.tui.dialogs.sheet import Question, Reply

        self._is_asked = True
        if self._workspace.engine is not None:
            what, keep = "Quitting stops the proxy, and held frames are lost.", "quit and lose them"
        else:
            what = "The proxy was not started from here: it keeps running, and keeps holding them."
            keep = "quit, and leave them held"
        replies = [
            Reply(("r", "R"), "r", "release them (removes all faults) and quit", "release"),
            Reply(("q", "Q", "ctrl+c", "ctrl+q"), "q", keep, "keep"),
        ]
        question = f"Frames are held by a fault: {held_words(held)}. {what}"
        self._ask_user(Question(self._workspace, "Quit?", question, replies), self._answered)

    def _answered(self, reply: str | None) -> None:
        if reply == "keep":
            self._leave()
        elif reply == "release":
            self._workspace.ask(requests.reset(), self._released)
        else:
            self._is_leaving = self._is_asked = False

    def _released(self, answer: Answer) -> None:
        if not answer.error:
            self._leave()
            return
        self._is_leaving = self._is_asked = False
        self._workspace.say(f"not released: {escape(answer.error)}; q quits")
