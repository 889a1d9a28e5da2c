"""The table of `explain`, read once: what programs write (patterns), and what is wrong then (situations).

A situation has causes, most likely first. A cause takes its words and its fixes from the finding that proves
it, so that a line and a capture are explained alike; the table only adds how to tell the causes apart.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

from wsinspect.findings.model import Rule
from wsinspect.findings.registry import all_rules

#: Where to ask: the URL itself, a tap around it, a page in a browser, or nowhere (the code is wrong).
Ask = Literal["doctor", "tap", "page", "code"]

#: In order of precedence: the most specific programs first, what many programs write last.
FILES: Final = ("browsers", "applications", "libraries", "proxies", "tools", "general")


@dataclass(frozen=True, slots=True)
class Cause:
    """One cause of a situation.

    Attributes:
        words: what it is.
        findings: ids of the findings that prove it; the first gives words and fixes unless others are given.
        tell_apart: what shows that it is this one.
        topic: names its fixes (`findings.fixes.FIXES`); empty where there is nothing to fix, or too much.
    """

    words: str
    findings: tuple[str, ...]
    tell_apart: str
    topic: str


@dataclass(frozen=True, slots=True)
class Situation:
    """What a line says.

    Attributes:
        title: may have `{status}`, `{code}` and the like, filled from the line.
        meaning: may be empty.
        causes: most likely first; empty where nothing is wrong.
        ask: where the question goes next.
        probe: the one question that tells the causes apart.
    """

    name: str
    title: str
    meaning: str
    causes: tuple[Cause, ...]
    ask: Ask
    probe: str


@dataclass(frozen=True, slots=True)
class Pattern:
    """How one program writes a situation.

    Attributes:
        program: who writes it.
        match: RE2, searched in a line; its named groups (`url`, `host`, `port`, `path`, `status`, `code`,
            `reason`, `upstream`, `value`) are what the line says.
        examples: lines as the program writes them.
        source: where that was read or measured.
        situation: a name in the table; `status` and `close` go to the one of the status or close code.
        software: names of `findings/data/software.toml` whose fixes come first.
        meaning: what this program adds to the situation's meaning.
        first: the id of the finding whose cause comes first here.
        is_vague: says nothing where another line of the same input says it precisely.
        is_whole: looked for in all lines together.
        hides: names of patterns that say nothing where this one applies.
    """

    name: str
    program: str
    match: str
    examples: tuple[str, ...]
    source: str
    situation: str
    software: tuple[str, ...] = ()
    meaning: str = ""
    first: str = ""
    is_vague: bool = False
    is_whole: bool = False
    hides: tuple[str, ...] = ()


@cache
def situations() -> dict[str, Situation]:
    """All situations by name."""
    rules = {rule.id: rule for rule in all_rules()}
    return {name: _situation(name, one, rules) for name, one in _read("situations").items()}


@cache
def patterns() -> tuple[Pattern, ...]:
    """All patterns, in the order of precedence."""
    return tuple(_pattern(name, one) for file in FILES for name, one in _read(file).items())


def _read(name: str) -> dict[str, Any]:
    path = Path(__file__).with_name("data") / f"{name}.toml"
    return tomllib.loads(path.read_text("utf-8"))


def _situation(name: str, one: dict[str, Any], rules: dict[str, Rule]) -> Situation:
    return Situation(
        name,
        one["title"],
        one.get("meaning", ""),
        tuple(_cause(cause, rules) for cause in one.get("causes", ())),
        one.get("ask", "doctor"),
        one.get("probe", ""),
    )


def _cause(one: dict[str, Any], rules: dict[str, Rule]) -> Cause:
    found = tuple(one.get("findings", ()))
    rule = rules[found[0]] if found else None
    words = one.get("cause") or (rule.title if rule else "")
    topic = str(one["topic"]) if "topic" in one else rule.topic if rule else ""
    return Cause(words, found, one["tell_apart"], topic)


def _pattern(name: str, one: dict[str, Any]) -> Pattern:
    return Pattern(
        name,
        one["program"],
        one["match"],
        tuple(one["examples"]),
        one["source"],
        one["situation"],
        tuple(one.get("software", ())),
        one.get("meaning", ""),
        one.get("first", ""),
        one.get("vague", False),
        one.get("whole", False),
        tuple(one.get("hides", ())),
    )
