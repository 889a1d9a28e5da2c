"""Quitting: frames that a fault holds back are asked about first."""

from __future__ import annotations

from wsinspect.text import escape
from wsinspect.tui.actions.faults import Faulting
from wsinspect.tui.engine import requests
from wsinspect.tui.engine.link import Answer, EngineView
from wsinspect.tui.engine.requests import held_words

#: An engine that does not answer in this time is not waited for.
_PATIENCE_SECONDS = 1.0


class Leaving(Faulting):
    """The way out; pressed twice it is always open."""

    _is_leaving = False

    async def action_quit(self) -> None:
        """Textual's own way out."""
        self.action_leave()

    def action_leave(self) -> None:
        """Quit; at once where nothing is held, or when asked a second time."""
        if self._is_leaving or not self.engine_view.is_up:
            self.exit(0)
            return
        self._is_leaving = True
        self.ask(requests.status(), self._told)
        self.set_timer(_PATIENCE_SECONDS, self._waited)

    _is_asked = False

    def _waited(self) -> None:
        """The engine does not answer."""
        if self._is_leaving and not self._is_asked:
            self.exit(0)

    def _told(self, answer: Answer) -> None:
        """What the engine holds now."""
        if not self._is_leaving or self._is_asked:
            return
        held = EngineView(status=answer.value).held if isinstance(answer.value, dict) else (0, None)
        if not held[0]:
            self.exit(0)
            return
        from wsinspect.tui.dialogs.sheet import Question, Reply

        self._is_asked = True
        if self.engine is not None:
            what = "Quitting ends the engine, and what it holds is lost."
            keep = "quit, it is lost"
        else:
            what = "The engine was not started from here: it goes on, and holds them further."
            keep = "quit, they stay held"
        replies = [
            Reply(("r", "R"), "r", "release them (removes all faults) and quit", "release"),
            Reply(("q", "Q", "ctrl+c", "ctrl+q"), "q", keep, "keep"),
        ]
        question = f"Frames are held by a fault: {held_words(held)}. {what}"
        self.push_screen(Question("Quit?", question, replies), self._answered)

    def _answered(self, reply: str | None) -> None:
        if reply == "keep":
            self.exit(0)
        elif reply == "release":
            self.ask(requests.reset(), self._released)
        else:
            self._is_leaving = self._is_asked = False

    def _released(self, answer: Answer) -> None:
        if not answer.error:
            self.exit(0)
            return
        self._is_leaving = self._is_asked = False
        self.say(f"not released: {escape(answer.error)}; q quits")
