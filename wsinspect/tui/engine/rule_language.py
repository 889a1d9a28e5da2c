"""A rule as one line: judged and completed while it is typed, and made of a rule that an engine has.

The language is that of `run --fault` (`wsinspect.faults.spec`), and `like PRESET` for the rules of a preset.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Final, NamedTuple

from wsinspect.faults.errors import FaultError
from wsinspect.faults.kinds import ALIASES, KINDS, FaultKind, Scope
from wsinspect.faults.rule import Rule
from wsinspect.faults.spec import parse_spec
from wsinspect.faults.texts import Payload
from wsinspect.faults.values import Choice
from wsinspect.faults.when import WHEN_FIELDS
from wsinspect.filters import complete as complete_filter
from wsinspect.text import counted

_LIKE: Final = re.compile(r"\s*(?:--)?like[ =]\s*(?P<name>.*)", re.DOTALL)
_FAULT: Final = re.compile(r"\s*--fault[ =]\s*(?P<spec>.*)", re.DOTALL)
_LIST: Final = re.compile(r"^((?:unknown kind|there is no preset) '[^']*'): expected one of [a-z0-9_, -]*")
_PRESET_NAME: Final = re.compile(r"^name: (?P<name>.*)$", re.MULTILINE)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_DIRECTIONS: Final = {"s2c": "what the server sends", "c2s": "what the client sends"}
#: Keys of any rule: what they mean.
_RULE_KEYS: Final = {
    "match": "a filter: only what passes it",
    "probability": "probability of acting on a match, from 0 to 1",
    "name": "unique; by default made of kind and direction",
    "tap": "only connections at this tap",
}
#: Fields of an API answer that are not part of the rule.
_NOT_SETTINGS: Final = frozenset(
    {"kind", "direction", "armed", "scope", "source", "hits", "last_ns", "when", "warning"}
)


class Judgement(NamedTuple):
    """What a typed line means.

    Attributes:
        rules: that it stands for; several for a preset.
        error: what is wrong with it, and what was expected.
        error_at: at which character of the line, from 0; None where that is not known.
        warning: why it can never act.
        about: what it is, in a sentence.
        preset: the name of one that has phases: it replaces all rules.
        is_named: whether the line has a name for its rule.
        is_empty: whether nothing of what is missing was typed: that is not a mistake yet.
    """

    rules: tuple[Rule, ...] = ()
    error: str = ""
    error_at: int | None = None
    warning: str = ""
    about: str = ""
    preset: str = ""
    is_named: bool = False
    is_empty: bool = False


class Candidate(NamedTuple):
    """What could be typed next: `text` takes the place of what stands from `start` on."""

    text: str
    help: str
    start: int


def judge(line: str) -> Judgement:
    """Read a line; never raises."""
    spec = _bare(line)
    try:
        if (like := _LIKE.fullmatch(spec)) is not None:
            return _preset(like["name"].strip())
        rule = parse_spec(spec)
    except FaultError as error:
        about = _KIND_HELP if not spec.strip() else _summary(spec)
        return Judgement(error=_words(error), error_at=_place(line, error), about=about)
    from wsinspect.faults.scenario import never_acts  # imports a YAML reader

    reason = never_acts(rule)
    return Judgement(
        (rule,),
        warning=f"it can never act: {reason}" if reason else "",
        about=f"{rule.kind}: {rule.fault.summary}",
        is_named=rule.name != _made_name(rule),
    )


def _preset(name: str) -> Judgement:
    from wsinspect.faults.presets import load_preset

    if not name:
        return Judgement(error=_PRESET_HELP, is_empty=True)
    preset = load_preset(name)
    count = counted(len(preset.rules), "rule")
    if not preset.phases:
        return Judgement(preset.rules, about=f"{preset.name}: {count}", is_named=True)
    about = f"{preset.name}: {count}, {counted(len(preset.phases), 'phase')}"
    return Judgement(preset.rules, warning="it replaces all rules", about=about, preset=name, is_named=True)


@cache
def _all_presets() -> dict[str, str]:
    """Names, and what they imitate: the line that says it; reading all of the YAML would hold up the keys."""
    from wsinspect.faults import presets

    folder = files(presets.__name__)
    texts = {name: folder.joinpath(f"{name}.yaml").read_text("utf-8") for name in presets.preset_names()}
    named = {name: _PRESET_NAME.search(text) for name, text in texts.items()}
    return {name: found["name"] if found else "" for name, found in named.items()}


_KIND_HELP: Final = (
    "A rule is KIND[:DIRECTION],key=value,... as on the command line, or 'like NAME' for a preset."
)
_PRESET_HELP: Final = "expected the name of a preset, as in like aws-alb"


def _bare(line: str) -> str:
    """Without what a pasted option has around it."""
    pasted = _FAULT.fullmatch(line)
    spec = pasted["spec"].strip() if pasted else line
    if len(spec) > 1 and spec[0] == spec[-1] == "'":
        return spec[1:-1]
    return spec


def _words(error: FaultError) -> str:
    """Without the list of all kinds or presets: completion shows it."""
    problem = _LIST.sub(r"\1", error.problem)
    return f"{error.field}: {problem}" if error.field else problem


def _place(line: str, error: FaultError) -> int | None:
    """Where in the line the character stands that the error points at."""
    if not error.excerpt:
        return None
    value, caret = error.excerpt
    at = line.find(f"={value}")
    return None if at < 0 else at + len(caret)


def _made_name(rule: Rule) -> str:
    return rule.kind if rule.direction == "both" else f"{rule.kind}_{rule.direction}"


def _summary(spec: str) -> str:
    kind = _kind_of(spec)
    return f"{kind.name}: {kind.summary}" if kind is not None else _KIND_HELP


def _kind_of(spec: str) -> type[FaultKind] | None:
    name = re.split(r"[:,]", spec.strip(), maxsplit=1)[0].strip()
    return KINDS.get(ALIASES.get(name, (name, {}))[0])


# -- completion


def complete(line: str, cursor: int) -> list[Candidate]:
    """What could stand at the cursor, the likeliest first; never raises."""
    text = line[: max(0, min(cursor, len(line)))]
    begin = len(text) - len(text.lstrip())
    if (like := _LIKE.fullmatch(text)) is not None:
        return _presets(like["name"], like.start("name"))
    start = _segment(text)
    if start == 0:
        return _heads(text[begin:], begin)
    kind = _kind_of(text)
    return _pairs(text, start, kind) if kind is not None else []


def _segment(text: str) -> int:
    """Where the part behind the last comma begins; commas in quotes do not count; 0 for the head."""
    start, is_quoted, at = 0, False, 0
    while at < len(text):
        if is_quoted and text[at] == "\\":
            at += 1
        elif text[at] == '"':
            is_quoted = not is_quoted
        elif text[at] == "," and not is_quoted:
            start = at + 1
        at += 1
    return start


def _presets(typed: str, start: int) -> list[Candidate]:
    return [
        Candidate(name, about, start)
        for name, about in _all_presets().items()
        if name.startswith(typed.strip()) and name != typed.strip()
    ]


def _heads(head: str, begin: int) -> list[Candidate]:
    """Kinds and presets, then directions and the first field."""
    name, colon, direction = head.partition(":")
    kind = KINDS.get(ALIASES.get(name, (name, {}))[0])
    if colon:
        start = begin + len(name) + 1
        words = [Candidate(word, about, start) for word, about in _DIRECTIONS.items()]
        fitting = [word for word in words if word.text.startswith(direction) and word.text != direction]
        if kind is not None and direction in _DIRECTIONS:
            return _next_fields(kind, "", begin + len(head))
        return fitting
    found = [
        Candidate(one.name, one.summary, begin)
        for one in KINDS.values()
        if one.name.startswith(head) and one.name != head
    ]
    if "like".startswith(head):
        found.append(Candidate("like ", "a preset: a real hop or network", begin))
    for preset, about in _all_presets().items() if len(head) > 1 else ():
        if preset.startswith(head):
            found.append(Candidate(f"like {preset}", about, begin))
    if kind is None:
        return found
    end = begin + len(head)
    ways = [] if kind.scope in (Scope.HANDSHAKE, Scope.ACCEPT) else list(_DIRECTIONS.items())
    directions = [Candidate(f":{word}", about, end) for word, about in ways]
    fields = _next_fields(kind, "", end)
    needs = [field for field, spec in zip(fields, kind.fields(), strict=False) if spec.is_required]
    return [*needs, *directions, *fields[len(needs) :], *found]


def _pairs(text: str, start: int, kind: type[FaultKind]) -> list[Candidate]:
    segment = text[start:]
    start += len(segment) - len(segment.lstrip())
    key, equals, value = text[start:].partition("=")
    if not equals:
        known = _keys(kind, text[:start])
        return [Candidate(f"{name}=", about, start) for name, about in known.items() if name.startswith(key)]
    key = key.strip()
    at = start + text[start:].index("=") + 1
    if key == "match":
        return _filters(value, at)
    spec = next((one for one in kind.fields() if one.name == key), None)
    words = spec.type.words if spec is not None and isinstance(spec.type, Choice) else ()
    found = [Candidate(word, spec.help if spec else "", at) for word in words if word.startswith(value)]
    if value and (not words or value in words):
        return _next_fields(kind, text, len(text))
    return found


def _next_fields(kind: type[FaultKind], before: str, at: int) -> list[Candidate]:
    return [Candidate(f",{name}=", about, at) for name, about in _keys(kind, before).items()]


def _keys(kind: type[FaultKind], before: str) -> dict[str, str]:
    """Keys that are not in the line yet, those that are needed first."""
    specs = sorted(kind.fields(), key=lambda spec: not spec.is_required)
    known = {spec.name: f"{spec.help} [{spec.type.name}]" for spec in specs}
    known |= {name: about for name, about in _RULE_KEYS.items() if name not in known}
    if kind.scope is Scope.ACCEPT:
        del known["match"]
    known |= {name: about for name, (_, about) in WHEN_FIELDS.items() if name not in known}
    return {name: about for name, about in known.items() if not re.search(rf",\s*{name}\s*=", before)}


def _filters(value: str, at: int) -> list[Candidate]:
    quote = value.startswith('"')
    typed = value[quote:]
    completion = complete_filter(typed, len(typed))
    start = at + quote + completion.start
    return [Candidate(one.text, one.help, start) for one in completion.candidates]


# -- rules as lines


def spec_of(rule: Mapping[str, Any]) -> str | None:
    """The line that stands for a rule of the API; None where cannot be written in one line.

    Args:
        rule: as `GET /v1/faults` has it.
    """
    direction = rule.get("direction", "both")
    head = f"{rule.get('kind')}" + ("" if direction == "both" else f":{direction}")
    pairs = settings_of(rule)
    if rule.get("name") not in (None, _name_made_of(rule)):
        pairs = [*pairs, ("name", rule["name"])]
    if rule.get("armed") is False:
        pairs = [*pairs, ("armed", False)]
    payloads = _payload_fields(KINDS.get(str(rule.get("kind"))))
    parts = [head]
    for key, value in pairs:
        is_binary = key in payloads and isinstance(value, str) and _CONTROL.search(value)
        text = f"hex:{value.encode().hex()}" if is_binary else _value(value)
        if text is None:
            return None
        parts.append(f"{key}={text}")
    line = ",".join(parts)
    return line if _means(line, rule) else None


def _payload_fields(kind: type[FaultKind] | None) -> set[str]:
    """Fields whose bytes can be written in hexadecimal."""
    return {spec.name for spec in kind.fields() if isinstance(spec.type, Payload)} if kind else set()


def _means(line: str, rule: Mapping[str, Any]) -> bool:
    """Whether a line says what the rule says."""
    wanted = {key: value for key, value in rule.items() if key not in ("scope", "source", "hits", "last_ns")}
    try:
        return parse_spec(line) == Rule.parse(wanted)
    except FaultError:
        return False


def settings_of(rule: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Fields of its kind, then what all rules have, then `when`; without name and direction."""
    late = ("name", "match", "probability", "tap")
    pairs = [(key, value) for key, value in rule.items() if key not in _NOT_SETTINGS and key not in late]
    pairs += [(key, rule[key]) for key in late[1:] if key in rule]
    when = rule.get("when")
    own = {key for key, _ in pairs}
    for key, value in when.items() if isinstance(when, Mapping) else ():
        pairs.append((f"when.{key}" if key in own else key, value))
    return pairs


def _name_made_of(rule: Mapping[str, Any]) -> str:
    direction = rule.get("direction", "both")
    return f"{rule.get('kind')}" if direction == "both" else f"{rule.get('kind')}_{direction}"


def _value(value: Any) -> str | None:
    """A value as it is typed."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        if set(value) == {"hex"}:
            return f"hex:{value['hex']}"
        if len(value) != 1:
            return None
        ((name, one),) = value.items()
        return _quoted(f"{name}: {one}")
    if isinstance(value, Sequence) and not isinstance(value, str):
        return _quoted(",".join(str(part) for part in value))
    return _quoted(f"{value:g}" if isinstance(value, float) else str(value))


def _quoted(text: str) -> str | None:
    if _CONTROL.search(text):
        return None
    if text and text == text.strip() and "," not in text and not text.startswith('"'):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
