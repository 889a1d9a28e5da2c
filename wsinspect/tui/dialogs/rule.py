"""Arming a rule, or changing one: a line in the language of `run --fault`, judged while it is typed."""

from __future__ import annotations

from typing import Any, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets.input import Selection

from wsinspect.present.cells import Line, fit, flow, width_of
from wsinspect.text import escape, pad
from wsinspect.tui.dialogs.sheet import CANCEL, LABEL_CELLS, Dialog, DialogInput, TextField
from wsinspect.tui.engine import requests
from wsinspect.tui.engine.link import Answer
from wsinspect.tui.engine.rule_language import Candidate, Judgement, complete, judge
from wsinspect.tui.widgets.words import Words
from wsinspect.tui.workspace import Workspace

_SHOWN = 6
#: Cells of a candidate, and where what is said of it begins.
_TEXT_CELLS = 22
_HELP_AT = 3 + _TEXT_CELLS + 1


class RuleInput(DialogInput):
    """Handles Tab itself: a binding would be handled after the keys typed behind it."""

    async def on_key(self, event: events.Key) -> None:
        screen = self.screen
        if not isinstance(screen, RuleDialog):
            return
        if event.key == "tab":
            event.stop()
            event.prevent_default()
            screen.complete()
        elif event.key in ("left", "right", "home", "end"):
            screen.call_later(screen.judge)  # moving the cursor changes the candidates


class RuleDialog(Dialog):
    """See the module docstring.

    Args:
        begin: what stands in the line at first.
        old: the rule that is changed; None for a new one.
        proposed: what stands behind `begin`, selected: typing replaces it.
        heading: what a new one is called.
    """

    steps_by_arrows: ClassVar[bool] = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "candidate(-1)", "the candidate above", show=False, id="rule.up"),
        Binding("down", "candidate(1)", "the candidate below", show=False, id="rule.down"),
    ]
    keys = (("tab", "complete"), ("enter", "arm"), CANCEL)

    def __init__(
        self,
        workspace: Workspace,
        begin: str = "",
        old: dict[str, Any] | None = None,
        *,
        proposed: str = "",
        heading: str = "Add a fault rule",
    ) -> None:
        super().__init__(workspace)
        self._begin = begin
        self._proposed = proposed
        self.old = old
        self.heading = heading if old is None else f"Change {escape(str(old.get('name')))}"
        self.judged = Judgement()
        self._candidates: list[Candidate] = []
        self._at = 0
        self._seen = ("", -1)
        self._is_asking = False

    def content(self) -> ComposeResult:
        """What the kind does, the candidates, and the line."""
        yield Words(self.workspace, id="rule-about")
        yield Words(self.workspace, id="rule-candidates")
        yield Words(self.workspace, id="rule-place")
        yield TextField(self.workspace, "rule", RuleInput(self._begin + self._proposed, id="rule-line"))

    def on_mount(self) -> None:
        """Type into it at once."""
        line = self.input("rule-line")
        self.set_focus(line)
        line.selection = Selection(len(self._begin), len(line.value))
        self.judge()

    def judge(self) -> None:
        """Show what the line means, and what could come next."""
        line = self.input("rule-line")
        self._seen = line.value, line.cursor_position
        self.judged = judge(line.value)
        self._candidates = complete(line.value, line.cursor_position)
        self._at = 0
        about = flow(escape(self.judged.about), max(self.width - 2, 20))
        self.words("rule-about").show([[(f" {line}", "muted")] for line in about])
        self._show_candidates()
        glyphs = self.workspace.glyphs
        place, at = self.words("rule-place"), self.judged.error_at
        place.display = at is not None and at < self.width - LABEL_CELLS - 1
        place.show([[(" " * (LABEL_CELLS + 1 + width_of([(line.value[:at], "")])) + glyphs.down, "error")]])
        if self.judged.error and (self.judged.is_empty or not line.value.strip()):
            self.verdict(glyphs.note, escape(self.judged.error), "muted")
        elif self.judged.error:
            self.wrong(escape(self.judged.error))
        elif self.judged.warning:
            self.verdict(glyphs.warning, escape(self.judged.warning), "warn")
        else:
            self.verdict(glyphs.good, "enter arms it, from the next frame boundary", "good")

    @property
    def _room(self) -> int:
        return max(min(_SHOWN, self.app.size.height - 9), 2)

    def _show_candidates(self) -> None:
        """Show the candidates around the chosen one, whose help is whole; always in the same height."""
        room, at = self._room, self._at
        rest: list[str] = []
        if self._candidates:
            words = flow(escape(self._candidates[at].help), max(self.width - _HELP_AT, 20))
            rest = [*words[1 : room - 1], " ".join(words[room - 1 :])] if len(words) > 1 else []
        shown = room - len(rest)
        first = max(min(at - shown // 2, len(self._candidates) - shown), 0)
        lines: list[Line] = []
        for number, one in enumerate(self._candidates[first : first + shown], first):
            is_chosen = number == at
            sign = self.workspace.glyphs.cursor if is_chosen else " "
            text = pad(escape(one.text), _TEXT_CELLS)
            about = words[0] if is_chosen and words else escape(one.help)
            lines.append(
                fit(
                    [
                        (f" {sign} ", "key"),
                        (text, "focus" if is_chosen else ""),
                        (f" {about}", "muted"),
                    ],
                    self.width,
                )
            )
            if is_chosen:
                lines += [fit([(" " * _HELP_AT + more, "muted")], self.width) for more in rest]
        if not self._candidates:
            lines = [[("   nothing to complete here", "muted")]]
        self.words("rule-candidates").show([*lines, *[[] for _ in range(room - len(lines))]])

    def action_candidate(self, step: int) -> None:
        if self._candidates:
            self._at = (self._at + step) % len(self._candidates)
            self._show_candidates()

    def complete(self) -> None:
        """Replace what was typed of a candidate by the chosen one."""
        line = self.input("rule-line")
        if (line.value, line.cursor_position) != self._seen:
            self.judge()  # the user types faster than changes are reported
        if not self._candidates:
            return
        one = self._candidates[self._at]
        after = line.value[line.cursor_position :]
        line.value = line.value[: one.start] + one.text + after
        line.cursor_position = one.start + len(one.text)
        self.judge()

    def submit(self) -> None:
        """Ask the engine; the line stays until it agrees."""
        self.judge()
        if self.judged.error or self._is_asking:
            return
        self._is_asking = True
        taken = [str(rule.get("name")) for rule in self.workspace.engine_view.rules]
        if self.old is not None and (self.judged.preset or len(self.judged.rules) != 1):
            self._answered(Answer(error="one rule can only be replaced by one rule: press a to add a preset"))
            return
        self.verdict(self.workspace.glyphs.note, "asking the proxy", "muted")
        if self.old is None:
            self.workspace.ask(requests.add(self.judged, taken), self._answered)
        else:
            self.workspace.ask(requests.change(self.old, self.judged), self._answered)

    def _answered(self, answer: Answer) -> None:
        self._is_asking = False
        if not answer.error:
            self.workspace.say(_done_words(answer.value, self.old))
        if not self.is_attached:
            return
        if answer.error:
            self.wrong(escape(answer.error))
        else:
            self.dismiss(None)


def _done_words(reply: Any, old: dict[str, Any] | None) -> str:
    """What the engine says it has now."""
    if isinstance(reply, list):
        made = [one for one in reply if isinstance(one, dict)]
        names = escape(", ".join(str(one.get("name")) for one in made))
        verb = "armed" if all(one.get("armed") for one in made) else "added"
        warnings = [str(one["warning"]) for one in made if "warning" in one]
        if warnings:
            return f"{verb} {names}, but {escape('; '.join(warnings))}"
        return f"{verb} {names}; F removes all faults at once"
    if isinstance(reply, dict) and "rules" in reply:
        names = escape(", ".join(map(str, reply["rules"])))
        return f"the scenario is loaded, with {names}; F removes all faults at once"
    name = reply.get("name") if isinstance(reply, dict) else (old or {}).get("name")
    return f"{escape(str(name))} changed"
