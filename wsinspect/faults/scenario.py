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

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from wsinspect.faults.errors import FaultError
from wsinspect.faults.idle import never_acts
from wsinspect.faults.kinds import connections, frames
from wsinspect.faults.rule import Rule
from wsinspect.faults.values import SECONDS, shown

VERSION: Final = 1
#: Nobody writes a larger file.
MAX_BYTES: Final = 256 * 1024
_TOO_LONG: Final = "expected a scenario of at most 256 KiB"
MAX_PHASES: Final = 1000
#: More rules than anybody needs; each is checked for each frame.
MAX_RULES: Final = 200
#: Values in a whole file, with each use of an anchor counted; and how deep they may be nested.
MAX_VALUES: Final = 50_000
MAX_DEPTH: Final = 32
KEYS: Final = ("version", "name", "source", "seed", "start", "rules", "phases", "expect")
STARTS: Final = ("first-attempt", "now")
#: Kinds whose faults a phase can do at once.
DOABLE: Final = (connections.Abort, connections.Close, frames.Inject, connections.Blackhole)
MAX_SEED: Final = (1 << 63) - 1

#: What the YAML reader also raises on odd files; found by the property test.
_READER_FAILS: Final = (ValueError, RecursionError, AttributeError, TypeError, LookupError, AssertionError)


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
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise FaultError("", f"cannot read it: {error.strerror}", source=str(path)) from None
    if len(raw) > MAX_BYTES:
        raise FaultError("", _TOO_LONG, source=str(path))
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise FaultError("", "expected UTF-8", source=str(path)) from None
    return load_text(text, str(path))


def load_text(text: str, source: str = "") -> Scenario:
    """Read a scenario.

    Raises:
        FaultError: with line, column and field.
    """
    if len(text) > MAX_BYTES:
        raise FaultError("", _TOO_LONG, source=source)
    try:
        yaml = YAML(typ="rt", pure=True)
        yaml.composer.warn_double_anchors = False  # YAML 1.2 allows a repeated anchor: the newest one counts
        document = yaml.load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (None, None)
        problem = " ".join(str(error.problem or error.context).split())
        raise FaultError("", f"no YAML: {problem}", line=line, column=column, source=source) from None
    except (YAMLError, *_READER_FAILS) as error:
        problem = " ".join(str(error).split()) or type(error).__name__
        raise FaultError("", f"no YAML: {problem}", source=source) from None
    return _Reader(document, source).scenario()


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
            line, column = self._place(error.field)
            if line is None or error.line is not None:
                raise
            raise error.at(line, column or 1, self._source) from None

    def _scenario(self) -> Scenario:
        document = self._document
        _refuse_bomb(document, MAX_DEPTH, [MAX_VALUES])
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
            expect_lines=tuple(self._place(f"expect[{index}]")[0] for index in range(len(expect))),
            warnings=tuple(self._warnings),
        )

    def _check_version(self, version: Any) -> None:
        if isinstance(version, int) and not isinstance(version, bool) and version > VERSION:
            raise FaultError(
                "version",
                f"{version} is newer than this wsinspect knows: expected {VERSION}; update wsinspect",
            )
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
                self._warnings.append(Remark(field=path, text=text, line=self._place(path)[0]))
            if not rule.armed and rule.name not in used:
                reason = "it is not armed, and no phase arms it"
            if reason:
                path = f"rules[{index}]"
                text = f"{rule.name} can never act: {reason}"
                self._warnings.append(Remark(field=path, text=text, line=self._place(path)[0]))

    def _place(self, path: str) -> tuple[int | None, int | None]:
        """Line and column of a field in the file, or of what holds it."""
        line: int | None = None
        column: int | None = None
        node: Any = self._document
        for key in _keys(path):
            marks = getattr(node, "lc", None)
            data = getattr(marks, "data", None) or {}
            if key in data and isinstance(node, Mapping | Sequence):
                where = data[key]
                line, column = where[0] + 1, where[1] + 1
                node = node[key]  # type: ignore[index, unused-ignore]
            else:
                break
        if line is None and getattr(getattr(self._document, "lc", None), "line", None) is not None:
            return self._document.lc.line + 1, self._document.lc.col + 1
        return line, column


def _refuse_bomb(value: Any, depth: int, left: list[int]) -> None:
    """A few lines of aliases can stand for more values than there is memory, or for endless ones."""
    left[0] -= 1
    if left[0] < 0:
        raise FaultError("", f"expected at most {MAX_VALUES} values, those of anchors counted each time")
    if isinstance(value, Mapping):
        parts = [*value.keys(), *value.values()]
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        parts = [*value]
    else:
        return
    if not depth:
        raise FaultError("", f"expected values nested at most {MAX_DEPTH} deep")
    for part in parts:
        _refuse_bomb(part, depth - 1, left)


def _keys(path: str) -> list[str | int]:
    parts = path.replace("[", ".[").strip(".").split(".") if path else []
    return [int(part[1:-1]) if part.startswith("[") else part for part in parts]


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
