"""Faults: what the engine has, arming, changing, disarming, and the panic reset."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from wsinspect.text import escape
from wsinspect.tui.engine import requests
from wsinspect.tui.engine.link import NO_ENGINE, SILENT, Answer, ControlLink, EngineView, Work
from wsinspect.tui.engine.requests import counted
from wsinspect.tui.model import DISCONNECTED, LIVE
from wsinspect.tui.shell import Shell
from wsinspect.tui.widgets.faults import RuleRow

if TYPE_CHECKING:
    from wsinspect.tui.engine.rule_language import Judgement

_ASKING = frozenset({"faults.reset", "faults.add", "faults.edit", "faults.arm", "faults.remove"})


class Faulting(Shell):
    """Actions of the faults page; `engine_view` and `control` for all others that ask the engine."""

    control: ControlLink

    def on_mount(self) -> None:
        """Look for the engine."""
        self.control = ControlLink(self.model.path, self.call_later_safely, self._engine_seen)
        self.control.start()

    def on_unmount(self) -> None:
        """Hang up."""
        self.control.stop()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Tab is a dialog's own while one is open: it completes, or goes to the next field."""
        if action == "next_pane" and len(self.screen_stack) > 1:
            return False
        return super().check_action(action, parameters)

    def _engine_seen(self, view: EngineView) -> None:
        self.engine_view = view
        if self.is_whole:
            self.faults.clamp()
            self.faults.refresh()
            self.refresh_lines()

    def ask(self, work: Work, done: Callable[[Answer], None]) -> None:
        """Have the engine do something; `done` gets its answer."""
        self.control.ask(work, done)

    # -- in words

    def engine_reason(self) -> str:
        """Why the engine cannot be asked for anything; empty where it can."""
        view = self.engine_view
        if view.is_up:
            return ""
        if view.state == SILENT and self.model.state == LIVE:
            return f"{view.words}; it is asked again"
        if view.state == NO_ENGINE and self.model.state == DISCONNECTED:
            return "the engine is gone"
        if view.state == NO_ENGINE:
            return "this is a recording: no engine runs on it"
        return view.words

    def why_not(self, key_id: str) -> str:
        """Why a key can do nothing now."""
        if key_id in _ASKING:
            return self.engine_reason()
        return super().why_not(key_id)

    def fault_words(self) -> str:
        """`FAULTS ON: 2 rules`; empty while nothing is armed."""
        armed = self.engine_view.armed
        return f"FAULTS ON: {counted(armed, 'rule')}" if armed else ""

    def can(self, key_id: str, name: str) -> bool:
        """Whether a key can act; where not, it says why."""
        reason = self.why_not(key_id)
        if reason:
            self.say(f"{name}: {escape(reason)}")
        return not reason

    # -- actions

    def action_add_fault(self, begin: str = "") -> None:
        """Type a rule."""
        from wsinspect.tui.dialogs.rule import RuleDialog

        if self.can("faults.add", "faults"):
            self.push_screen(RuleDialog(begin))

    def action_edit_fault(self) -> None:
        """Change the chosen rule."""
        from wsinspect.tui.dialogs.rule import RuleDialog
        from wsinspect.tui.engine.rule_language import spec_of

        one = self._chosen_rule("faults.edit")
        if one is None or one.settings is None:
            return
        spec = spec_of(one.settings)
        if spec is None:
            self.say(f"{escape(one.name)} was set over the control API; one line cannot say it")
        else:
            self.push_screen(RuleDialog(spec, dict(one.settings)))

    def action_arm_fault(self) -> None:
        """Arm or disarm the chosen rule."""
        one = self._chosen_rule("faults.arm")
        if one is not None:
            words = "disarmed: what it held was let go" if one.is_armed else "armed"
            self._wish(requests.arm(one.name, not one.is_armed), f"{escape(one.name)} is {words}")

    def action_remove_fault(self) -> None:
        """Take the chosen rule away; its line is copied, so that it can be put back."""
        from wsinspect.tui.engine.rule_language import spec_of

        one = self._chosen_rule("faults.remove")
        if one is None or one.settings is None:
            return
        spec = spec_of(one.settings)
        back = "" if spec is None else f"; a {escape(spec)} puts it back"
        self._wish(requests.remove(one.name), f"removed {escape(one.name)}, what it held was let go{back}")

    def action_reset_faults(self) -> None:
        """Panic: take all rules away at once."""
        if not self.can("faults.reset", "F"):
            return

        def done(answer: Answer) -> None:
            words = f"F: {escape(answer.error)}" if answer.error else requests.reset_words(answer.value)
            self.say(words)

        self.ask(requests.reset(), done)

    def action_copy_fault(self) -> None:
        """The chosen rule as an option of `run`."""
        from wsinspect.tui.engine.rule_language import spec_of

        one = self.faults.chosen()
        spec = spec_of(one.settings) if one is not None and one.settings is not None else None
        if spec is None:
            self.say("nothing to copy: choose a rule of the engine")
        else:
            quoted = spec.replace("'", "'\\''")
            self.copy_text(f"--fault '{quoted}'", "rule", ".txt")

    def _chosen_rule(self, key_id: str) -> RuleRow | None:
        """The chosen rule of the engine; where there is none, it says so."""
        if not self.can(key_id, "faults"):
            return None
        one = self.faults.chosen()
        if one is None or one.settings is None:
            self.say("choose a rule of the engine first: a arms one")
            return None
        return one

    def wish_rule(
        self, judged: Judgement, old: dict[str, Any] | None, answered: Callable[[Answer], None]
    ) -> None:
        """What the dialog asks for: a new rule, or another one in the place of `old`."""
        taken = [str(rule.get("name")) for rule in self.engine_view.rules]
        if old is not None and (judged.preset or len(judged.rules) != 1):
            answered(Answer(error="a rule is changed into one rule: a adds a preset"))
            return
        work = requests.add(judged, taken) if old is None else requests.change(old, judged)

        def done(answer: Answer) -> None:
            answered(answer)
            if not answer.error:
                self.say(_done_words(answer.value, old))

        self.ask(work, done)

    def _wish(self, work: Work, words: str) -> None:
        def done(answer: Answer) -> None:
            self.say(escape(answer.error) if answer.error else words)

        self.ask(work, done)


def _done_words(reply: Any, old: dict[str, Any] | None) -> str:
    """What the engine has now."""
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
    return f"{escape(str(name))} is changed"
