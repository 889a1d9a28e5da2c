"""Rules that can never act: no mistake, but hardly what was meant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from wsinspect.faults.kinds import Scope
from wsinspect.faults.rule import Rule


def never_acts(rule: Rule) -> str:
    """Why a rule can never act; empty where it can."""
    when = rule.when
    if rule.probability == 0:
        return "its probability is 0"
    if when.end_ns is not None and when.start_ns >= when.end_ns:
        return "`between` ends before `after`"
    if when.nth is not None and when.every is not None and when.every[0] == "frames":
        last = max((high for _, high in when.nth if high is not None), default=0)
        if all(high is not None for _, high in when.nth) and last < when.every[1]:
            return "`nth` ends before `every` first comes up"
    if rule.scope is Scope.ACCEPT:
        return ""
    return _contradiction(rule)


#: Opcodes that these kinds never act on.
_NOT_FOR: Final[Mapping[str, frozenset[str]]] = {
    "fragment": frozenset(("ping", "pong", "close", "ctl")),
    "reorder": frozenset(("ping", "pong", "close", "ctl")),
    "max_message_size": frozenset(("ping", "pong", "close", "ctl")),
}


def _contradiction(rule: Rule) -> str:
    """A filter that no frame of this rule fits: looked for among its terms that must all hold."""
    terms = dict.fromkeys(rule.match.split()) if not set("|()!\"'") & set(rule.match) else {}
    exact: dict[str, set[str]] = {}
    for term in terms:
        key, colon, value = term.partition(":")
        if colon and key in ("op", "dir") and value not in ("*", ""):
            exact.setdefault(key, set()).add(value)
    if len(exact.get("dir", ())) > 1 or (
        rule.direction != "both" and exact.get("dir", {rule.direction}) != {rule.direction}
    ):
        return f"its direction contradicts the filter ({rule.match})"
    opcodes = [set(value.split(",")) for value in exact.get("op", ())]
    classes = {"ctl": {"close", "ping", "pong", "ctl"}, "data": {"text", "bin", "cont", "data"}}
    wide = [set().union(*(classes.get(name, {name}) for name in names)) for names in opcodes]
    if len(wide) > 1 and not set.intersection(*wide):
        return f"no frame has all of these opcodes ({rule.match})"
    if wide and (odd := _NOT_FOR.get(rule.kind)) and set.intersection(*wide) <= odd:
        return f"{rule.kind} is for data frames ({rule.match})"
    return ""
