"""What a scenario expects of its clients: read, and kept with what it is judged by. `verdicts` judges."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from wsinspect.clients.facts import ClientFacts
from wsinspect.clients.grading import LETTERS, Client
from wsinspect.faults.errors import FaultError
from wsinspect.faults.scenario import Scenario
from wsinspect.faults.values import SECONDS, shown
from wsinspect.filters.errors import FilterError
from wsinspect.filters.language import parse
from wsinspect.findings.model import SEVERITIES, Finding
from wsinspect.vocabulary import Direction

_SHAPES: Final = ("immediate", "fixed", "linear", "exponential", "growing")
_TRANSPORTS: Final = ("websocket", "polling")
_COUNTS: Final = ("times", "at_least", "at_most")
#: What a fault must be able to do to test a client, by expectation.
_SILENCING: Final = frozenset({"blackhole", "idle_timeout", "drop"})


class Match(NamedTuple):
    """A message or control frame that a filter lets pass.

    Attributes:
        id: of its frame.
        data: the beginning of its content.
    """

    id: int
    connection: int
    direction: Direction
    time_ns: int
    data: bytes
    is_delivered: bool


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """One line of `expect`.

    Attributes:
        value: read: nanoseconds, a number, a word, a list, or the text of a filter.
        phase: from 1; None for all of the run.
        counts: `times`, `at_least`, `at_most` of `sends`.
        line: in the file; None where it has none.
    """

    key: str
    value: Any
    text: str
    phase: int | None = None
    counts: Mapping[str, int] | None = None
    line: int | None = None

    @property
    def longest_ns(self) -> int:
        """How long after an outage it may still come true."""
        return self.value if self.key in _DURATIONS and isinstance(self.value, int) else 0


@dataclass(frozen=True, kw_only=True)
class Result:
    """How an expectation was met.

    Attributes:
        session: the client's number; None where it is about all of them.
        held: None where nothing tested it.
        seen: why, with numbers.
    """

    expectation: Expectation
    session: int | None
    held: bool | None
    seen: str
    connections: tuple[int, ...] = ()
    frames: tuple[int, ...] = ()

    @property
    def word(self) -> str:
        """`held`, `failed` or `not tested`."""
        return {True: "held", False: "failed", None: "not tested"}[self.held]

    def as_json(self) -> dict[str, Any]:
        """All fields by their names."""
        return {
            "expectation": self.expectation.text,
            "line": self.expectation.line,
            "session": self.session,
            "result": self.word,
            "seen": self.seen,
            "connections": list(self.connections),
            "frames": list(self.frames),
        }


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What expectations are judged by.

    Attributes:
        matches: all messages and control frames that a filter lets pass, in order.
    """

    clients: Sequence[Client]
    facts: ClientFacts
    findings: Sequence[Finding] = ()
    matches: Callable[[str], Sequence[Match]] = lambda _: ()


def read_expectations(scenario: Scenario) -> list[Expectation]:
    """The expectations of a scenario.

    Raises:
        FaultError: one is unknown, has a wrong value, or can never be judged.
    """
    found = []
    for index, raw in enumerate(scenario.expect):
        line = scenario.expect_lines[index] if index < len(scenario.expect_lines) else None
        try:
            one = _read(raw, line)
            if (reason := never_judged(one, scenario)) is not None:
                raise FaultError(one.key, f"can never be judged: {reason}")
        except FaultError as error:
            inside = error.inside(f"expect[{index}]")
            raise (inside.at(line, 1, "") if line is not None else inside) from None
        found.append(one)
    return found


def _read(raw: Mapping[str, Any], line: int | None) -> Expectation:
    keys = [key for key in raw if key not in ("phase", *_COUNTS)]
    if len(keys) != 1 or keys[0] not in _READERS:
        unknown = next((key for key in keys if key not in _READERS), None)
        what = f"unknown: {shown(unknown)}; " if unknown is not None else ""
        raise FaultError("", f"{what}expected one of {', '.join(_READERS)}")
    key = keys[0]
    value = raw[key]
    try:
        read = _READERS[key](value)
    except ValueError as error:
        raise FaultError(key, str(error)) from None
    phase = raw.get("phase")
    if phase is not None and (key not in _IN_PHASE or not _is_count(phase) or phase < 1):
        expected = "a number from 1" if key in _IN_PHASE else f"none with {key}"
        raise FaultError("phase", f"expected {expected}, found {shown(phase)}")
    counts = {name: raw[name] for name in _COUNTS if name in raw}
    for name, count in counts.items():
        if key != "sends" or not _is_count(count):
            expected = "a number" if key == "sends" else f"none with {key}"
            raise FaultError(name, f"expected {expected}, found {shown(count)}")
    words = [f"{key}: {_word(value)}", *(f"{name}: {count}" for name, count in counts.items())]
    words += [f"phase: {phase}"] if phase is not None else []
    return Expectation(
        key=key, value=read, text=", ".join(words), phase=phase, counts=counts or None, line=line
    )


def never_judged(one: Expectation, scenario: Scenario) -> str | None:
    """Why nothing in a scenario can test an expectation; None where something may."""
    if one.phase is not None and one.phase > len(scenario.phases):
        return f"there is no phase {one.phase} (phases: {len(scenario.phases)})"
    done = {rule.kind for phase in scenario.phases for rule in phase.do}
    armed = {name for phase in scenario.phases for name in phase.rules}
    rules = {rule.kind for rule in scenario.rules if rule.armed or rule.name in armed}
    kinds = done | rules
    if one.key in _NEED_FAULTS and not kinds:
        return "no rule and no phase of this scenario does anything to a client"
    if one.key == "notices_half_open_within" and not kinds & _SILENCING:
        return "nothing makes a connection half-open; add a blackhole"
    return None


def expectation_schema() -> dict[str, Any]:
    """The JSON Schema of an item of `expect`: one key of `KEYS`, and what may go with it."""
    number = {"type": "integer", "minimum": 0}
    values: dict[str, Any] = {
        "backoff": {"enum": list(_SHAPES)},
        "transport": {"enum": list(_TRANSPORTS)},
        "grade_at_least": {"enum": list(LETTERS)},
        "no_findings": {"enum": list(SEVERITIES)},
        "jitter": {"type": "boolean"},
        "no_retry_on": {"anyOf": [number, {"type": "array", "items": number, "minItems": 1}]},
        **dict.fromkeys(("attempts_at_most", "max_attempts_per_minute"), number),
        **{key: {"const": True} for key in ("gives_up_never", "obeys_retry_after", "no_second_socket")},
        **dict.fromkeys((*_DURATIONS, "gap_at_least"), SECONDS.schema()),
    }
    return {
        "type": "object",
        "properties": {
            **{key: values.get(key, {"type": "string", "minLength": 1}) for key in KEYS},
            **dict.fromkeys(_COUNTS, number),
            "phase": {"type": "integer", "minimum": 1},
        },
        "additionalProperties": False,
        "oneOf": [{"required": [key]} for key in KEYS],
    }


# -- reading values


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _word(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(str, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _duration(value: Any) -> int:
    return SECONDS.parse(value)


def _count(value: Any) -> int:
    if not _is_count(value):
        raise ValueError(f"expected a whole number, found {shown(value)}")
    return int(value)


def _yes(value: Any) -> bool:
    if value is not True:
        raise ValueError(f"expected true, found {shown(value)}")
    return True


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, found {shown(value)}")
    return value


def _one_of(*words: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in words:
            raise ValueError(f"expected {', '.join(words[:-1])} or {words[-1]}, found {shown(value)}")
        return str(value)

    return read


def _codes(value: Any) -> list[int]:
    codes = value if isinstance(value, list) else [value]
    if not codes or not all(_is_count(one) and 100 <= one <= 4999 for one in codes):
        raise ValueError(f"expected statuses and close codes such as [4401, 403], found {shown(value)}")
    return list(codes)


def _filter(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"expected a filter such as 'json:$.type=join', found {shown(value)}")
    try:
        parse(value)
    except FilterError as error:
        raise ValueError(str(error)) from None
    return value


_READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "reconnects_within": _duration,
    "attempts_at_most": _count,
    "gap_at_least": _duration,
    "transport": _one_of(*_TRANSPORTS),
    "notices_half_open_within": _duration,
    "gives_up_never": _yes,
    "gives_up_within": _duration,
    "max_attempts_per_minute": _count,
    "backoff": _one_of(*_SHAPES),
    "jitter": _bool,
    "obeys_retry_after": _yes,
    "no_retry_on": _codes,
    "no_second_socket": _yes,
    "resumes_with": _filter,
    "no_message_lost": _filter,
    "no_duplicates": _filter,
    "never_sends": _filter,
    "sends": _filter,
    "grade_at_least": _one_of(*LETTERS),
    "no_findings": _one_of(*SEVERITIES),
}
#: All names, in the order of the documentation.
KEYS: Final = tuple(_READERS)
_DURATIONS: Final = frozenset({"reconnects_within", "notices_half_open_within", "gives_up_within"})
_IN_PHASE: Final = frozenset({"attempts_at_most", "never_sends", "sends"})
_NEED_FAULTS: Final = frozenset(
    {"reconnects_within", "gap_at_least", "notices_half_open_within", "gives_up_never", "gives_up_within"}
) | {"backoff", "jitter", "resumes_with", "grade_at_least", "no_second_socket"}
