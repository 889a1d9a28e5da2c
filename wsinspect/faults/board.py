"""All rules of an engine: which there are, which are armed, how often they acted; and a scenario's phases.

It holds no connections and no clock. Whoever applies rules registers with `on_change` and is notified of
every rule that is armed or disarmed; `advance` moves the phases on.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from wsinspect.faults.errors import FaultError
from wsinspect.faults.kinds import Scope
from wsinspect.faults.rule import Author, Rule
from wsinspect.faults.scenario import MAX_RULES, Phase, Scenario
from wsinspect.faults.sessions import SessionBy
from wsinspect.vocabulary import events


@dataclasses.dataclass
class Entry:
    """A rule on the board.

    Attributes:
        rule: as it was given.
        scaled: with its times as they are applied.
        is_armed: whether it acts.
        source: where it came from, such as `--fault`, a file's name, `API` or `timeline`.
        hits: decisions that acted.
        last_ns: when the newest of them was.
    """

    rule: Rule
    scaled: Rule
    is_armed: bool
    source: str = ""
    hits: int = 0
    last_ns: int | None = None

    def facts(self) -> dict[str, Any]:
        """For the control API and the ledger."""
        found = {**self.rule.settings(), "armed": self.is_armed, "scope": self.rule.scope.name.lower()}
        return {**found, "source": self.source, "hits": self.hits, "last_ns": self.last_ns}


class Board:
    """See the module docstring.

    Args:
        seed: of all decisions.
        time_scale: factor of all times of rules and phases.

    Attributes:
        on_change: called with a rule and whether it is armed now.
        on_do: called with a rule that a phase wants done once, to all open connections.
        on_reset: called when all rules were taken away.
        on_event: called with each event to record: a rule armed or disarmed, a phase begun or over.
        session_by: what tells client sessions apart, where the user chose it.
        totals: decisions that acted, also of rules that are gone and of what was done once or by hand.
    """

    def __init__(self, seed: int = 0, time_scale: float = 1.0) -> None:
        self.seed = seed
        self.time_scale = time_scale
        self.session_by: SessionBy | None = None
        self.scenario: Scenario | None = None
        self.on_change: list[Callable[[Rule, bool], None]] = []
        self.on_do: Callable[[Rule], None] = lambda rule: None
        self.on_reset: Callable[[], None] = lambda: None
        self.on_event: Callable[[events.Event], None] = lambda event: None
        self.totals: Counter[Author] = Counter()
        self._entries: dict[str, Entry] = {}
        self._phase = -1
        self._phase_end_ns: int | None = None

    # Rules

    @property
    def entries(self) -> list[Entry]:
        """In the order of application."""
        return list(self._entries.values())

    @property
    def order(self) -> list[str]:
        """The names of all rules in the order of application."""
        return list(self._entries)

    def get(self, name: str) -> Entry | None:
        """The entry of a rule; None without one of that name."""
        return self._entries.get(name)

    def armed(self, *scopes: Scope) -> list[Rule]:
        """The armed rules of some scopes, as they are applied."""
        return [
            entry.scaled for entry in self._entries.values() if entry.is_armed and entry.rule.scope in scopes
        ]

    def known(self, *scopes: Scope) -> list[Rule]:
        """The rules of some scopes, armed or to be armed by a phase."""
        return [entry.scaled for entry in self._entries.values() if entry.rule.scope in scopes]

    def add(self, rule: Rule, source: str = "") -> Entry:
        """Put a rule behind the others.

        Args:
            source: where it came from, for the record.

        Raises:
            FaultError: its name is taken, or there are too many.
        """
        if rule.name in self._entries:
            raise FaultError("name", f"{rule.name!r} is taken: expected another name")
        if len(self._entries) >= MAX_RULES:
            raise FaultError("", f"there are {MAX_RULES} rules already: expected no more")
        entry = Entry(rule, rule.scaled(self.time_scale), False, source)
        self._entries[rule.name] = entry
        if rule.armed:
            self.arm(rule.name, source)
        return entry

    def unique(self, rule: Rule) -> Rule:
        """The same rule, with a number behind its name where that is taken."""
        name, number = rule.name, 1
        while name in self._entries:
            number += 1
            name = f"{rule.name}-{number}"
        return dataclasses.replace(rule, name=name)

    def change(self, name: str, rule: Rule, by: str = "") -> Entry:
        """Put another rule in the place of one; it keeps its place and counts.

        Args:
            by: who does it, for the record.

        Raises:
            KeyError: there is no rule `name`.
            FaultError: the new name is taken.
        """
        old = self._entries[name]
        if rule.name != name and rule.name in self._entries:
            raise FaultError("name", f"{rule.name!r} is taken: expected another name")
        self.disarm(name, by)
        entry = Entry(rule, rule.scaled(self.time_scale), False, by or old.source, old.hits, old.last_ns)
        self._entries = {
            key if key != name else rule.name: value if key != name else entry
            for key, value in self._entries.items()
        }
        if rule.armed:
            self.arm(rule.name, by)
        return entry

    def remove(self, name: str, by: str = "") -> None:
        """Remove a rule; what it holds is let go.

        Raises:
            KeyError: there is no rule `name`.
        """
        self.disarm(name, by)
        del self._entries[name]

    def move(self, name: str, place: int) -> None:
        """Put a rule at another place of the order; armed ones begin again there."""
        names = [other for other in self._entries if other != name]
        names.insert(max(0, min(place, len(names))), name)
        armed = [other for other in names if self._entries[other].is_armed]
        for other in armed:
            self.disarm(other)
        self._entries = {other: self._entries[other] for other in names}
        for other in armed:
            self.arm(other)

    def arm(self, name: str, by: str = "") -> None:
        """Let a rule act; `by` says who wants it, for the record."""
        self._set(name, True, by)

    def disarm(self, name: str, by: str = "") -> None:
        """Let a rule act no longer."""
        self._set(name, False, by)

    def _set(self, name: str, is_armed: bool, by: str) -> None:
        entry = self._entries[name]
        if entry.is_armed != is_armed:
            entry.is_armed = is_armed
            self.on_event(self._rule_event(entry, by))
            for callback in self.on_change:
                callback(entry.scaled, is_armed)

    def _rule_event(self, entry: Entry, by: str) -> events.RuleChanged:
        return events.RuleChanged(
            rule=entry.rule.name,
            kind=entry.rule.kind,
            armed=entry.is_armed,
            source=entry.source,
            by=by,
            phase=self.phase,
            seed=self.seed,
            time_scale=self.time_scale,
            settings=entry.rule.settings(),
        )

    def record(self) -> None:
        """Record all rules as they are when the engine begins."""
        for entry in self._entries.values():
            self.on_event(self._rule_event(entry, entry.source))

    def hit(self, author: Author, now: int) -> None:
        """A rule has acted, or somebody by hand."""
        self.totals[author] += 1
        entry = self._entries.get(author.rule)
        if entry is not None:
            entry.hits += 1
            entry.last_ns = now

    def reset(self, by: str = "") -> None:
        """Remove all rules and stop the scenario."""
        self.scenario = None
        self._phase, self._phase_end_ns = -1, None
        for name in self.order:
            self.remove(name, by)
        self.on_reset()

    # Scenario

    def load(self, scenario: Scenario, source: str = "") -> None:
        """Replace all rules with a scenario; its phases begin with `start`."""
        self.reset(source)
        if scenario.seed is not None:
            self.seed = scenario.seed
        self.scenario = scenario
        for rule in scenario.rules:
            self.add(rule, source)

    def extend(self, scenario: Scenario, source: str = "") -> None:
        """Put a preset's rules behind the others, and its phases where there are none yet.

        Raises:
            FaultError: there are phases already, or too many rules.
        """
        if scenario.phases and self.scenario is not None and self.scenario.phases:
            raise FaultError("phases", f"{scenario.name} has phases, and so has the scenario: expected one")
        names: dict[str, str] = {}
        for rule in scenario.rules:
            names[rule.name] = self.add(self.unique(rule), source).rule.name
        if scenario.phases:
            phases = tuple(
                dataclasses.replace(phase, rules=tuple(names[name] for name in phase.rules))
                for phase in scenario.phases
            )
            base = self.scenario or Scenario(name=scenario.name, source=scenario.source)
            self.scenario = dataclasses.replace(base, start=scenario.start, phases=phases)

    @property
    def phase(self) -> int | None:
        """The number of the phase under way, from 0; None before the first and after the last one."""
        is_going = self.scenario is not None and 0 <= self._phase < len(self.scenario.phases)
        return self._phase if is_going else None

    @property
    def has_started(self) -> bool:
        """Whether the phases have begun."""
        return self._phase >= 0

    @property
    def due(self) -> int | None:
        """When to call `advance`, in nanoseconds; None where there is nothing to wait for."""
        return self._phase_end_ns

    def start(self, now: int) -> None:
        """Begin with the first phase, once."""
        if self.scenario is not None and self.scenario.phases and not self.has_started:
            self._phase_end_ns = now
            self.advance(now)

    def advance(self, now: int) -> None:
        """Enter the phases whose time has come."""
        while self.scenario is not None and self._phase_end_ns is not None and self._phase_end_ns <= now:
            begun = self._phase_end_ns
            phases = self.scenario.phases
            self._leave(phases[self._phase : self._phase + 1] if self._phase >= 0 else ())
            self._phase += 1
            if self._phase >= len(phases):
                self._phase_end_ns = None
                self.on_event(events.PhaseChanged(of=len(phases)))
                return
            phase = phases[self._phase]
            self.on_event(
                events.PhaseChanged(
                    phase=self._phase,
                    of=len(phases),
                    for_ms=phase.for_ns * self.time_scale / 1e6,
                    rules=list(phase.rules),
                    do=[rule.kind for rule in phase.do],
                )
            )
            self._phase_end_ns = begun + int(phase.for_ns * self.time_scale)
            for name in phase.rules:
                self.arm(name, f"phase {self._phase + 1}")
            for rule in phase.do:
                self.on_do(rule.scaled(self.time_scale))

    def _leave(self, phases: Sequence[Phase]) -> None:
        following = self.scenario.phases[self._phase + 1 :] if self.scenario is not None else ()
        staying = set(following[0].rules) if following else set()
        for phase in phases:
            for name in phase.rules:
                entry = self._entries.get(name)
                if entry is not None and not entry.rule.armed and name not in staying:
                    self.disarm(name, f"the end of phase {self._phase + 1}")
