"""The catalogue of causes that the rules are measured against, and `docs/findings.md` made of both.

Each row is one known cause of a failing WebSocket. Where rules cannot tell all of it the reason is here: only
an active probe can, or nobody on the wire. The rows are in `data/catalogue.toml`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from wsinspect.findings.data import table
from wsinspect.findings.fixes import FIXES
from wsinspect.findings.limits import LIMITS, SIZES
from wsinspect.findings.model import FAMILIES, Rule
from wsinspect.findings.registry import all_rules
from wsinspect.findings.software import NAMES
from wsinspect.units import format_size

_DATA: Final = table("catalogue")
#: Row and cause.
ROWS: Final[dict[str, str]] = {row: one["cause"] for row, one in _DATA["rows"].items()}
#: What the row's rules cannot know, and who could.
LIMITS_OF_ROWS: Final[dict[str, str]] = {
    row: one["beyond"] for row, one in _DATA["rows"].items() if "beyond" in one
}
#: Advice that misleads, and what is said instead.
TRAPS: Final = tuple((one["advice"], one["instead"]) for one in _DATA["traps"])


def rules_of(row: str) -> list[Rule]:
    """The rules that recognise a row."""
    return [rule for rule in all_rules() if row in rule.rows]


def render() -> str:
    """The text of docs/findings.md."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield from _DATA["introduction"].splitlines()
    for family, name in FAMILIES.items():
        rules = sorted((rule for rule in all_rules() if rule.family == family), key=lambda rule: rule.id)
        yield from ("", f"## {name} (`WS-{family}`)", "")
        for rule in rules:
            yield from _rule(rule)
    yield from (
        "",
        "## Known limits",
        "",
        "| whose | setting | seconds | kind |",
        "| --- | --- | --- | --- |",
    )
    for limit in LIMITS:
        yield f"| {limit.who} | {limit.setting} | {limit.seconds:g} | {limit.kind} |"
    yield from ("", "| whose | setting | largest | of |", "| --- | --- | --- | --- |")
    for size in SIZES:
        largest = f"{size.bytes:,} characters" if size.of == "URL" else format_size(size.bytes)
        yield f"| {size.who} | {size.setting} | {largest} | {size.of} |"
    yield from ("", "## Fixes", "")
    yield from _fixes()
    yield from ("", "## The catalogue of causes", "", "| row | cause | findings |", "| --- | --- | --- |")
    for row, cause in ROWS.items():
        ids = ", ".join(f"`{rule.id}`" for rule in rules_of(row))
        more = LIMITS_OF_ROWS.get(row, "")
        yield f"| {row} | {cause} | {'. '.join(filter(None, [ids, more]))} |"
    yield from ("", "## Misleading advice", "", "| advice | what is said instead |", "| --- | --- |")
    for advice, instead in TRAPS:
        yield f"| {advice} | {instead} |"


def _rule(rule: Rule) -> Iterator[str]:
    taps = {
        "connection": "one tap",
        "capture": "one tap, over all connections",
        "pair": "two taps around the hop",
        "probes": "`wsinspect doctor`",
    }
    rows = f" · causes {', '.join(rule.rows)}" if rule.rows else ""
    yield f"### {rule.id}: {rule.title}"
    yield ""
    yield (
        f"{rule.severity} · fault of the {rule.fault_of} · confidence {rule.confidence} ·"
        f" {taps[rule.scope]}{rows}" + (f" · fixes: {rule.topic}" if rule.topic else "")
    )
    yield ""
    yield rule.meaning
    yield ""
    yield f"JavaScript: {rule.js}"
    yield ""


def _fixes() -> Iterator[str]:
    used = {rule.topic for rule in all_rules()}
    for topic, texts in FIXES.items():
        if topic not in used and topic not in _BY_FOUND:
            continue
        yield f"### {topic}"
        yield ""
        for software, text in texts.items():
            yield from (f"{NAMES.get(software, software)}:", "", "```", text, "```", "")


#: Topics that rules choose by what they saw.
_BY_FOUND: Final = frozenset(("abrupt", "h2", "forward-proxy", "connect"))
