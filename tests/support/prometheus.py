"""A strict reader of Prometheus' text format 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats)."""

from __future__ import annotations

import re

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_HELP = re.compile(rf"# HELP ({_NAME}) ((?:[^\\\n]|\\\\|\\n)*)")
_TYPE = re.compile(rf"# TYPE ({_NAME}) (counter|gauge|histogram|summary|untyped)")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"')
_SAMPLE = re.compile(rf"({_NAME})(?:\{{(.*)\}})? (-?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?|NaN|[+-]Inf)")

Labels = frozenset[tuple[str, str]]


def read_metrics(text: str) -> dict[tuple[str, Labels], float]:
    """All samples; AssertionError where a line is none of the format."""
    assert text.endswith("\n")
    found: dict[tuple[str, Labels], float] = {}
    helped: set[str] = set()
    types: dict[str, str] = {}
    current = ""
    for line in text.removesuffix("\n").split("\n"):
        if match := _HELP.fullmatch(line):
            assert match[1] not in helped, f"a second HELP: {line}"
            helped.add(match[1])
        elif match := _TYPE.fullmatch(line):
            current = match[1]
            assert current not in types, f"a second TYPE: {line}"
            assert (match[2] == "counter") == current.endswith("_total"), line
            types[current] = match[2]
        else:
            match = _SAMPLE.fullmatch(line)
            assert match is not None, f"no line of the format: {line!r}"
            assert match[1] == current, f"a sample that is not behind its TYPE: {line}"
            key = (match[1], _labels(match[2] or ""))
            assert key not in found, f"a sample twice: {line}"
            found[key] = float(match[3])
    assert helped == set(types)
    return found


def _labels(text: str) -> Labels:
    parts = [(match[1], match[2]) for match in _LABEL.finditer(text)]
    assert ",".join(f'{name}="{value}"' for name, value in parts) == text, f"labels: {text!r}"
    assert len({name for name, _ in parts}) == len(parts)
    return frozenset(parts)
