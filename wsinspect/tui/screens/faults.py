"""The faults page: the rules of the running engine and what they did; of a recorded file the ledger alone."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, ClassVar, Final, NamedTuple

from textual.binding import BindingType
from textual.strip import Strip

from wsinspect.present.cells import Line, fit, flow
from wsinspect.present.words import ago
from wsinspect.text import counted, escape, grouped, pad, truncate
from wsinspect.tui.engine import requests
from wsinspect.tui.engine.link import Answer, EngineView, Work
from wsinspect.tui.engine.requests import held_words
from wsinspect.tui.keys import bindings_of
from wsinspect.tui.screens.page import Page
from wsinspect.tui.widgets.base import LinePane
from wsinspect.tui.workspace import Workspace
from wsinspect.vocabulary.rules import BY_HAND

_WAYS = {"c2s": "c>s", "s2c": "s>c", "both": "both"}
_DETAIL_LINES = 4
_WIDE = 110
#: Keys about the rule that the cursor is on.
_ABOUT_RULE: Final = frozenset(f"faults.{what}" for what in ("edit", "arm", "remove", "copy"))


class RuleRow(NamedTuple):
    """A line of the list.

    Attributes:
        settings: as the engine has them; None for a rule that is only in the ledger.
        hits: how often it acted, by the ledger.
        last_ns: when last; None for never.
    """

    name: str
    kind: str
    settings: dict[str, Any] | None
    hits: int
    last_ns: int | None

    @property
    def is_armed(self) -> bool:
        """Whether the running engine applies it now."""
        return bool(self.settings and self.settings.get("armed"))


class FaultsPane(LinePane):
    """Rules: armed, disarmed, and gone ones that have acted."""

    help_title = "Faults"
    help_text = (
        "The fault rules of the running proxy, in the order in which they apply: [x] is armed, [ ] is not, "
        "- was removed and is only in the ledger. Hits count what a rule did; the frames are marked in "
        "their lanes. Type a rule as for run --fault. An armed rule starts at the next frame boundary; a "
        "rule that is disarmed or removed releases what it held."
    )
    header_lines = 1

    def __init__(self, workspace: Workspace, *, id: str | None = None) -> None:
        super().__init__(workspace, id=id)
        #: By rule, how many messages and handshakes its breakpoint holds.
        self.held: Counter[str] = Counter()

    def idle_keys(self) -> frozenset[str]:
        """What is done to a rule has nothing to be done to where the chosen one is gone, or all are."""
        chosen = self.chosen()
        idle = _ABOUT_RULE if chosen is None or chosen.settings is None else frozenset[str]()
        return idle | {"faults.reset"} if self.engine.is_up and not self.engine.rules else idle

    def other_labels(self) -> Mapping[str, str]:
        """A rule that is armed is disarmed by the key."""
        chosen = self.chosen()
        return {"faults.arm": "disarm"} if chosen is not None and chosen.is_armed else {}

    def move_to(self, number: int) -> None:
        """Another rule may be a removed one, or armed."""
        super().move_to(number)
        self.post_message(self.OtherKeys())

    @property
    def engine(self) -> EngineView:
        """The engine, as it was seen last."""
        return self.workspace.engine_view

    def rows(self) -> list[RuleRow]:
        """The engine's rules, then those that are gone."""
        ledger = self.model.fault_rules
        found = []
        for rule in self.engine.rules:
            name = str(rule.get("name"))
            known = ledger.get(name)
            hits, last_ns = (known.hits, known.last_ns) if known else (0, None)
            hits += self.held.get(name, 0)  # the ledger has what was decided alone
            found.append(RuleRow(name, str(rule.get("kind")), rule, hits, last_ns))
        names = {row.name for row in found}
        found += [
            RuleRow(one.rule, one.kind, None, one.hits, one.last_ns)
            for one in ledger.values()
            if one.rule not in names
        ]
        return found

    def chosen(self) -> RuleRow | None:
        """The row under the cursor."""
        rows = self.rows()
        return rows[self.cursor] if 0 <= self.cursor < len(rows) else None

    # -- what it says

    def title(self) -> tuple[Line, Line]:
        """How many are armed, and the seed; at the right why nothing can be armed."""
        view = self.engine
        hits = sum(one.hits for one in self.rows())
        left: Line = [("Faults", "title")]
        if not view.is_up:
            count = counted(len(self.model.fault_rules), "rule")
            left.append((f"  {count} acted, {counted(hits, 'hit')}", "muted"))
            return left, [(escape(view.words), "warn")]
        armed = f"  {view.armed} of {counted(len(view.rules), 'rule')} armed" if view.rules else "  no rules"
        left.append((armed, "warn" if view.armed else "muted"))
        acted = f", {counted(hits, 'hit')}" if self.size.width >= _WIDE else ""
        left.append((f"{acted}{self._scenario()}", "muted"))
        if view.held[0]:
            left.append((f", {held_words(view.held)}", "warn"))
        return fit(left, max(self.size.width - 20, 10)), [(f"seed {view.seed}", "muted")]

    def _scenario(self) -> str:
        scenario = self.engine.status.get("scenario")
        if not isinstance(scenario, dict) or not scenario.get("phases"):
            return ""
        phase = scenario.get("phase")
        at = "not under way" if not isinstance(phase, int) else f"{phase + 1} of {scenario['phases']}"
        return f", phase {at}"

    def _columns(self, width: int) -> list[tuple[str, int, bool]]:
        """Names, cells, whether to the right; `attributes` take what is left."""
        name = 16 if width < _WIDE else 24
        columns = [("on", 3, False), ("dir", 4, False), ("name", name, False), ("attributes", 0, False)]
        if width >= _WIDE:
            columns += [("match", 20, False), ("prob.", 5, True)]
        columns += [("hits", 6, True), ("last", 10, True)]
        left = max(width - 1 - sum(cells + 1 for _, cells, _ in columns), 8)
        return [(title, cells or left, right) for title, cells, right in columns]

    def header(self, width: int) -> Line:
        """The names of the columns."""
        names = (
            pad(truncate(name, cells), cells, right=right) for name, cells, right in self._columns(width)
        )
        return fit([(" " + " ".join(names), "muted")], width)

    def row_count(self) -> int:
        return len(self.rows())

    def row(self, number: int, width: int) -> Line:
        rows = self.rows()
        if number >= len(rows):
            return []
        one = rows[number]
        columns = self._columns(width)
        texts = self._texts(one, is_wide=width >= _WIDE)
        style = "warn" if one.is_armed else "" if one.settings is not None else "muted"
        line: Line = [(self.glyphs.cursor if number == self.cursor else " ", "key")]
        for name, cells, right in columns:
            text = pad(truncate(texts[name], cells), cells, right=right)
            line += [
                (text, style if name in ("on", "name") else "muted" if name == "last" else ""),
                (" ", ""),
            ]
        return fit(line, width)

    def _texts(self, one: RuleRow, *, is_wide: bool) -> dict[str, str]:
        now_ns = time.time_ns() if self.model.is_live else self.model.end_ns
        texts = {
            "on": "[x]" if one.is_armed else "[ ]" if one.settings is not None else " - ",
            "name": escape(one.name),
            "dir": "",
            "attributes": escape(one.kind),
            "match": "",
            "prob.": "",
            "hits": grouped(one.hits),
            "last": "-" if one.last_ns is None else ago(max(now_ns - one.last_ns, 0)),
        }
        if one.settings is None:
            gone = f"{escape(one.kind)}, {'by hand' if one.name == BY_HAND else 'removed'}"
            return texts | ({"attributes": gone} if self.engine.is_up else {})
        from wsinspect.tui.engine.rule_language import settings_of  # not before the first paint

        pairs = dict(settings_of(one.settings))
        has_way = one.settings.get("scope") not in ("handshake", "accept")
        texts["dir"] = _WAYS.get(str(one.settings.get("direction", "both")), "?") if has_way else "-"
        if is_wide:
            texts["match"] = escape(str(pairs.pop("match", "-")))
            texts["prob."] = f"{float(pairs.pop('probability', 1.0)):.2f}"
        words = [f"{key}={_short(value)}" for key, value in pairs.items()]
        if not words or not one.name.startswith(one.kind):
            words.insert(0, escape(one.kind))
        if count := self.held.get(one.name):
            words.insert(0, f"{grouped(count)} held, B shows them:")  # it would be cut behind a long match
        texts["attributes"] = " ".join(words)
        return texts

    # -- the chosen rule in full

    @property
    def _has_details(self) -> bool:
        return self.size.height >= 14 and bool(self.rows())

    @property
    def visible_rows(self) -> int:
        """The last lines show the chosen one."""
        taken = _DETAIL_LINES if self._has_details else 0
        return max(super().visible_rows - taken, 0)

    def render_line(self, y: int) -> Strip:
        """The rules above, the chosen one below."""
        at = y - (self.size.height - _DETAIL_LINES)
        if at < 0 or not self._has_details:
            return super().render_line(y)
        lines = self._details()
        return self.palette.strip(fit(lines[at], self.size.width) if at < len(lines) else [], self.size.width)

    def _details(self) -> list[Line]:
        one = self.chosen()
        lines: list[Line] = [[(self.glyphs.rule * self.size.width, "rule")]]
        if one is None:
            return lines
        from wsinspect.faults.kinds import KINDS
        from wsinspect.tui.engine.rule_language import spec_of

        kind = KINDS.get(one.kind)
        if kind is not None:
            lines.append([(f" {kind.name}", "key"), (f"  {kind.summary}", "")])
        event = self.model.rule_events.get(one.name, {})
        source = f"from {event['source']}" if event.get("source") else ""
        if one.settings is None:
            gone = " and was removed" if self.engine.is_up else ""
            by_hand = "; done by hand (x, X or the control API)"
            words = by_hand if one.name == BY_HAND else f"; {source}" if source else gone
            return [*lines, [(f" It has acted in this capture{escape(words)}.", "muted")]]
        spec = spec_of(one.settings)
        words = "cannot be written in one line" if spec is None else f"--fault '{spec}'"
        words = f"{source}: {words}" if source and source != "from --fault" else words
        return lines + [[(f" {line}", "muted")] for line in flow(escape(words), self.size.width - 2)[:2]]

    def empty_lines(self, width: int) -> list[Line]:
        """What would appear here, and what to do."""
        words = (
            "No fault has acted in this capture. Each rule that delays, drops, changes or ends something "
            f"would be listed here with its hits, and its frames would be marked {self.glyphs.altered}."
        )
        if self.engine.is_up:
            words = (
                "No fault rules: traffic passes untouched. Press a to arm one: for example "
                "latency:s2c,latency=300ms delays what the server sends, abort,how=rst,after=30s forces a "
                "1006, like aws-alb imitates a load balancer; tab completes kinds, fields and presets."
            )
        elif self.engine.words:
            words += f" Nothing can be armed: {self.engine.words}."
        return [[("  " + line, "muted")] for line in flow(escape(words), min(width - 4, 100))]


def _short(value: Any) -> str:
    """A value of a rule in few cells."""
    if isinstance(value, dict):
        return escape(",".join(f"{key}:{one}" for key, one in value.items()))
    if isinstance(value, list):
        return escape(",".join(map(str, value)))
    return escape(f"{value:g}" if isinstance(value, float) else str(value))


class FaultsScreen(Page):
    BINDINGS: ClassVar[list[BindingType]] = bindings_of("faults")
    page = "faults"

    def __init__(self, workspace: Workspace) -> None:
        self.faults = FaultsPane(workspace, id="faults")
        super().__init__(workspace, self.faults)
        self._is_asking = False

    def on_screen_resume(self) -> None:
        """Shown again: what was held may have passed."""
        super().on_screen_resume()
        self._look()

    def tick(self) -> None:
        """Twice a second: what breakpoints hold now."""
        super().tick()
        self._look()

    def _look(self) -> None:
        """Ask which breakpoint holds how much, where there is one."""
        view, held = self.workspace.engine_view, self.faults.held
        if not view.is_up or not (view.waiting or held):
            held.clear()
        elif not self._is_asking:
            self._is_asking = True
            self.workspace.ask(requests.held(), self._seen)

    def _seen(self, answer: Answer) -> None:
        self._is_asking = False
        if not answer.error:
            self.faults.held = Counter(str(one.get("rule")) for one in answer.value.get("held", ()))
            self.faults.refresh()

    def grown(self) -> None:
        """Rules may have gone."""
        self.faults.clamp()
        super().grown()

    def action_add_fault(self) -> None:
        from wsinspect.tui.dialogs.rule import RuleDialog  # imports all kinds: not before the first paint

        if self.workspace.can("faults.add", "faults"):
            self.app.push_screen(RuleDialog(self.workspace))

    def action_edit_fault(self) -> None:
        """Change the chosen rule."""
        from wsinspect.tui.dialogs.rule import RuleDialog
        from wsinspect.tui.engine.rule_language import spec_of

        one = self._chosen_rule("faults.edit")
        if one is None or one.settings is None:
            return
        spec = spec_of(one.settings)
        if spec is None:
            self.workspace.say(
                f"{escape(one.name)} was set over the control API; it cannot be written in one line"
            )
        else:
            self.app.push_screen(RuleDialog(self.workspace, spec, dict(one.settings)))

    def action_arm_fault(self) -> None:
        """Arm or disarm the chosen rule."""
        one = self._chosen_rule("faults.arm")
        if one is not None:
            words = "disarmed; what it held was released" if one.is_armed else "armed"
            self._request(requests.arm(one.name, not one.is_armed), f"{escape(one.name)} is {words}")

    def action_remove_fault(self) -> None:
        """Take the chosen rule away; its line is named, so that it can be put back."""
        from wsinspect.tui.engine.rule_language import spec_of

        one = self._chosen_rule("faults.remove")
        if one is None or one.settings is None:
            return
        spec = spec_of(one.settings)
        back = "" if spec is None else f"; a {escape(spec)} puts it back"
        self._request(
            requests.remove(one.name), f"removed {escape(one.name)}; what it held was released{back}"
        )

    def action_copy_fault(self) -> None:
        """The chosen rule as an option of `run`."""
        from wsinspect.tui.engine.rule_language import spec_of

        one = self.faults.chosen()
        spec = spec_of(one.settings) if one is not None and one.settings is not None else None
        if spec is None:
            self.workspace.say("nothing to copy: choose a rule that is armed or can be")
        else:
            quoted = spec.replace("'", "'\\''")
            self.copier.text(f"--fault '{quoted}'", "rule", ".txt")

    def _chosen_rule(self, key_id: str) -> RuleRow | None:
        """The chosen rule of the engine; where there is none, it says so."""
        if not self.workspace.can(key_id, "faults"):
            return None
        one = self.faults.chosen()
        if one is None or one.settings is None:
            self.workspace.say("choose a rule first, or press a to add one")
            return None
        return one

    def _request(self, work: Work, words: str) -> None:
        def done(answer: Answer) -> None:
            self.workspace.say(escape(answer.error) if answer.error else words)

        self.workspace.ask(work, done)
