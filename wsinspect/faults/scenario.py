"""Scenario files: rules, phases and expectations in one YAML file.

Every mistake is reported with its line, the field, and what was expected there. A rule that can never act is
no mistake but a warning. `expect` is kept as it is; `clients.expectations` reads it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from wsinspect.faults.documents import place_of, placed, read_text, read_yaml, refuse_bomb
from wsinspect.faults.errors import FaultError
from wsinspect.faults.idle import never_acts
from wsinspect.faults.kinds import connections, frames
from wsinspect.faults.rule import Rule
from wsinspect.faults.values import SECONDS, shown

VERSION: Final = 1
MAX_PHASES: Final = 1000
#: More rules than anybody needs; each is checked for each frame.
MAX_RULES: Final = 200
KEYS: Final = ("version", "name", "source", "seed", "start", "rules", "phases", "expect")
STARTS: Final = ("first-attempt", "now")
#: Kinds whose faults a phase can do at once.
DOABLE: Final = (connections.Abort, connections.Close, frames.Inject, connections.Blackhole)
MAX_SEED: Final = (1 << 63) - 1


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A stretch of time.

    Attributes:
        for_ns: how long it is; 0 continues at once.
        rules: armed while it lasts.
        do: done once when it begins, to all open connections.
    """

    for_ns: int = 0
    rules: tuple[str, ...] = ()
    do: tuple[Rule, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Remark:
    """Something that is probably not meant."""

    field: str
    text: str
    line: int | None = None

    def __str__(self) -> str:
        place = f"line {self.line}: " if self.line is not None else ""
        return f"{place}{self.field}: {self.text}"


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A file's content.

    Attributes:
        start: when the phases begin: "first-attempt" or "now".
        source: where the limits of a preset come from.
        expect: as read; `expect_lines` are their lines in the file.
    """

    name: str = ""
    source: str = ""
    seed: int | None = None
    start: str = "first-attempt"
    rules: tuple[Rule, ...] = ()
    phases: tuple[Phase, ...] = ()
    expect: tuple[Mapping[str, Any], ...] = ()
    expect_lines: tuple[int | None, ...] = field(default=(), compare=False)
    warnings: tuple[Remark, ...] = field(default=(), compare=False)


def load_file(path: Path) -> Scenario:
    """Read a scenario file.

    Raises:
        FaultError: it cannot be read, or has a mistake.
    """
    return load_text(read_text(path), str(path))


def load_text(text: str, source: str = "") -> Scenario:
    """Read a scenario.

    Raises:
        FaultError: with line, column and field.
    """
    return _Reader(read_yaml(text, source), source).scenario()


def load_object(raw: Any) -> Scenario:
    """Read a scenario that is JSON already.

    Raises:
        FaultError: naming the field.
    """
    return _Reader(raw, "").scenario()


class _Reader:
    """One document on its way into a `Scenario`."""

    def __init__(self, document: Any, source: str) -> None:
        self._document = document
        self._source = source
        self._warnings: list[Remark] = []

    def scenario(self) -> Scenario:
        try:
            return self._scenario()
        except FaultError as error:
            raise placed(error, self._document, self._source) from None

    def _scenario(self) -> Scenario:
        document = self._document
        refuse_bomb(document)
        if not isinstance(document, Mapping):
            raise FaultError("", f"expected a mapping with {', '.join(KEYS)}", line=1, source=self._source)
        self._check_version(document.get("version"))
        for key in document:
            if key not in KEYS:
                raise FaultError(str(key), f"unknown: expected one of {', '.join(KEYS)}")
        rules = self._rules(document.get("rules"))
        phases = self._phases(document.get("phases"), rules)
        self._warn_of_idle(rules, phases)
        expect = _expect(document.get("expect"))
        return Scenario(
            name=_text(document, "name"),
            source=_text(document, "source"),
            seed=_seed(document.get("seed")),
            start=_start(document.get("start")),
            rules=rules,
            phases=phases,
            expect=expect,
            expect_lines=tuple(
                place_of(self._document, f"expect[{index}]")[0] for index in range(len(expect))
            ),
            warnings=tuple(self._warnings),
        )

    def _check_version(self, version: Any) -> None:
        if isinstance(version, int) and not isinstance(version, bool) and version > VERSION:
            raise FaultError(
                "version",
                f"{version} is newer than this wsinspect knows: expected {VERSION}; update wsinspect",
            )
        if version is None:
            raise FaultError("version", f"missing: expected a line 'version: {VERSION}'")
        if version != VERSION or isinstance(version, bool):
            raise FaultError("version", f"expected {VERSION}, found {shown(version)}")

    def _rules(self, raw: Any) -> tuple[Rule, ...]:
        rules: list[Rule] = []
        names: set[str] = set()
        if len(_sequence("rules", raw)) > MAX_RULES:
            raise FaultError("rules", f"expected at most {MAX_RULES}, found {len(raw)}")
        for index, item in enumerate(_sequence("rules", raw)):
            try:
                rule = Rule.parse(item)
                if rule.name in names:
                    raise FaultError(
                        "name", f"{shown(rule.name)} is taken: expected another name for this rule"
                    )
            except FaultError as error:
                raise error.inside(f"rules[{index}]") from None
            names.add(rule.name)
            rules.append(rule)
        return tuple(rules)

    def _phases(self, raw: Any, rules: Sequence[Rule]) -> tuple[Phase, ...]:
        names = [rule.name for rule in rules]
        phases: list[Phase] = []
        if len(_sequence("phases", raw)) > MAX_PHASES:
            raise FaultError("phases", f"expected at most {MAX_PHASES}, found {len(raw)}")
        for index, item in enumerate(_sequence("phases", raw)):
            try:
                phases.append(_phase(item, names))
            except FaultError as error:
                raise error.inside(f"phases[{index}]") from None
        return tuple(phases)

    def _warn_of_idle(self, rules: Sequence[Rule], phases: Sequence[Phase]) -> None:
        used = {name for phase in phases for name in phase.rules}
        for index, rule in enumerate(rules):
            reason = never_acts(rule)
            if rule.armed and rule.name in used:
                text = (
                    f"{rule.name} is armed from the start, so no phase changes anything: write armed: false"
                )
                path = f"rules[{index}]"
                self._warnings.append(Remark(field=path, text=text, line=place_of(self._document, path)[0]))
            if not rule.armed and rule.name not in used:
                reason = "it is not armed, and no phase arms it"
            if reason:
                path = f"rules[{index}]"
                text = f"{rule.name} can never act: {reason}"
                self._warnings.append(Remark(field=path, text=text, line=place_of(self._document, path)[0]))


def _phase(raw: Any, names: Sequence[str]) -> Phase:
    if not isinstance(raw, Mapping) or not raw:
        raise FaultError("", "expected a mapping with for, rules or do")
    for key in raw:
        if key not in ("for", "rules", "do"):
            raise FaultError(str(key), "unknown: expected for, rules or do")
        if raw[key] is None:
            raise FaultError(str(key), "has no value: expected one, or no key")
    try:
        for_ns = 0 if raw.get("for") is None else SECONDS.parse(raw["for"])
    except ValueError as error:
        raise FaultError.of("for", error) from None
    armed = raw.get("rules")
    armed = [armed] if isinstance(armed, str) else armed
    for name in _sequence("rules", armed):
        if name not in names:
            known = ", ".join(names) or "none"
            raise FaultError(
                "rules", f"there is no rule {shown(name)}: expected names of rules above ({known})"
            )
    do = raw.get("do")
    return Phase(
        for_ns=for_ns,
        rules=tuple(str(name) for name in armed or ()),
        do=tuple(
            _done(index, item)
            for index, item in enumerate(_sequence("do", [do] if isinstance(do, Mapping) else do))
        ),
    )


def _done(index: int, raw: Any) -> Rule:
    try:
        rule = Rule.parse(raw, name=f"phase-{raw.get('kind')}" if isinstance(raw, Mapping) else "")
        if not isinstance(rule.fault, DOABLE):
            known = ", ".join(kind.name for kind in DOABLE)
            raise FaultError("kind", f"{rule.kind} is nothing to do at once: expected {known}; use rules")
        if rule.when.settings() or rule.match:
            raise FaultError("when" if rule.when.settings() else "match", "expected none: it is done at once")
    except FaultError as error:
        raise error.inside("do") from None
    return rule


def _sequence(name: str, raw: Any) -> Sequence[Any]:
    if raw is None:
        return ()
    if not isinstance(raw, Sequence) or isinstance(raw, str | bytes):
        raise FaultError(name, f"expected a list, found {shown(raw)}")
    return raw


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    if value is not None and not isinstance(value, str):
        raise FaultError(key, f"expected a text, found {shown(value)}")
    return value or ""


def _seed(raw: Any) -> int | None:
    if raw is not None and (not isinstance(raw, int) or isinstance(raw, bool) or not 0 <= raw <= MAX_SEED):
        raise FaultError("seed", f"expected a whole number from 0, found {shown(raw)}")
    return raw


def _start(raw: Any) -> str:
    if raw is None:
        return STARTS[0]
    if raw not in STARTS:
        raise FaultError("start", f"expected {' or '.join(STARTS)}, found {shown(raw)}")
    return str(raw)


def _expect(raw: Any) -> tuple[Mapping[str, Any], ...]:
    found = []
    for index, item in enumerate(_sequence("expect", raw)):
        if not isinstance(item, Mapping) or not item or not all(isinstance(key, str) for key in item):
            raise FaultError(f"expect[{index}]", "expected a mapping with one expectation")
        try:
            found.append(json.loads(json.dumps(item, default=str, allow_nan=False)))
        except (TypeError, ValueError):
            problem = "expected texts as keys, and finite numbers (no .inf, no .nan)"
            raise FaultError(f"expect[{index}]", problem) from None
    return tuple(found)


__all__ = ["Phase", "Remark", "Scenario", "load_file", "load_object", "load_text", "never_acts"]
