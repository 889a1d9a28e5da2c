"""What was done on purpose, as lines: rules as they were armed, phases, and how often each rule acted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from wsinspect.capture.story import Step, Story
from wsinspect.present.cells import Line
from wsinspect.text import counted, escape
from wsinspect.units import format_milliseconds
from wsinspect.vocabulary.rules import BY_HAND

#: Most steps printed; JSON has all of them.
_SHOWN: Final = 24
#: What the line already says elsewhere.
_NOT_SETTINGS: Final = ("name", "kind", "armed")


def story_lines(story: Story, where: str = "") -> Iterator[Line]:
    """A title, a line for each step, and a line for each rule that acted.

    Args:
        where: behind the title, of which capture it is; not escaped.
    """
    seed = "" if story.seed is None else f", seed {story.seed}"
    scale = "" if story.time_scale == 1 else f", times multiplied by {story.time_scale:g}"
    yield [(escape(f"Done on purpose{where}"), "title"), (f"{seed}{scale}", "")]
    known: dict[str, Any] = {}
    for step in story.steps[:_SHOWN]:
        words = _rule(step.detail, known) if step.kind == "rule" else _phase(step.detail)
        yield [("  ", ""), (_clock(step), "muted"), (f"  {escape(words)}", "")]
    if len(story.steps) > _SHOWN:
        yield [("  ", ""), (f"and {len(story.steps) - _SHOWN} more steps (--json has all of them)", "muted")]
    for one in story.acted:
        who = f"by hand: {one.kind}" if one.rule == BY_HAND else f"`{one.rule}`"
        where = f" on {counted(one.connections, 'connection')}" if one.connections else ""
        yield [("  ", ""), (escape(f"{who} acted {counted(one.times, 'time')}{where}"), "")]


def story_words(story: Story) -> str:
    """One line: which rules there were, and the seed; not escaped."""
    names = dict.fromkeys(str(step.detail.get("rule")) for step in story.steps if step.kind == "rule")
    names |= dict.fromkeys(one.rule for one in story.acted if one.rule != BY_HAND)
    parts = [", ".join(f"`{name}`" for name in names)] if names else []
    by_hand = sum(one.times for one in story.acted if one.rule == BY_HAND)
    parts += [f"{counted(by_hand, 'time')} by hand"] if by_hand else []
    seed = "" if story.seed is None else f" (seed {story.seed})"
    noun = "rule " if len(names) == 1 else "rules " if names else ""
    return f"done on purpose: {noun}{', '.join(parts)}{seed}"


def _rule(detail: Mapping[str, Any], known: dict[str, Any]) -> str:
    """A rule in full when it is first seen or has changed, else that it was armed or disarmed."""
    name, settings = str(detail.get("rule")), detail.get("settings")
    settings = settings if isinstance(settings, dict) else {}
    is_new = known.get(name) != settings
    is_first = name not in known
    known[name] = settings
    source, by = str(detail.get("source") or ""), str(detail.get("by") or "")
    state = "armed" if detail.get("armed") else "not armed yet" if is_first else "disarmed"
    if by and not (is_first and by == source):
        state += f" by {'the ' if by in ('API', 'timeline') else ''}{by}"
    if not is_new:
        return f"`{name}` {state}"
    pairs = [f"{key}={_value(value)}" for key, value in settings.items() if key not in _NOT_SETTINGS]
    kind = ", ".join([str(detail.get("kind")), *pairs])
    return f"`{name}` ({kind}){f' from {_source(source)}' if source else ''}: {state}"


def _source(source: str) -> str:
    return f"the {source}" if source in ("API", "timeline") else source


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _phase(detail: Mapping[str, Any]) -> str:
    number, of = detail.get("phase"), detail.get("of")
    if not isinstance(number, int):
        return "the last phase is over"
    for_ms = detail.get("for_ms")
    lasting = f", {format_milliseconds(for_ms)}" if isinstance(for_ms, int | float) else ""
    rules, done = detail.get("rules"), detail.get("do")
    what = [f"`{name}`" for name in rules] if isinstance(rules, list) else []
    what += [str(kind) for kind in done] if isinstance(done, list) else []
    return f"phase {number + 1} of {of}{lasting}" + (f": {', '.join(what)}" if what else "")


def _clock(step: Step) -> str:
    try:
        return datetime.fromtimestamp(step.time_ns / 1e9).strftime("%H:%M:%S.%f")[:-3]
    except (OverflowError, OSError, ValueError):  # a time outside the calendar, from a damaged file
        return f"{step.time_ns} ns"
