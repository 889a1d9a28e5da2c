"""The parts of docs/faults.md that are made from the code.

`python -m wsinspect.faults.documentation docs/faults.md` renews them.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

from wsinspect.faults.kinds import KINDS, FaultKind, Scope
from wsinspect.faults.presets import load_preset, preset_names
from wsinspect.faults.when import WHEN_FIELDS

_PART: Final = re.compile(r"(<!-- (?P<name>[a-z]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def kinds() -> str:
    """Every kind with its fields and examples."""
    lines: list[str] = []
    for scope in Scope:
        lines += [f"### {scope.value.capitalize()}", ""]
        for kind in KINDS.values():
            if kind.scope is scope:
                lines += _kind(kind)
    return "\n".join(lines)


def _kind(kind: type[FaultKind]) -> list[str]:
    lines = [f"**`{kind.name}`**: {kind.summary}", ""]
    specs = list(kind.fields())
    if specs:
        lines += ["| field | type | default | meaning |", "| --- | --- | --- | --- |"]
    for spec in specs:
        default = "needed" if spec.is_required else "-"
        if not spec.is_required and spec.default not in (None, "", b"", ()):
            default = f"`{spec.type.render(spec.default)}`"
        lines.append(f"| `{spec.name}` | {spec.type.name} | {default} | {spec.help} |")
    lines += ["", "```yaml", *(f"- {example}" for example in kind.examples), "```", ""]
    return lines


def when() -> str:
    """The keys of `when`."""
    lines = ["| key | written as | acts on |", "| --- | --- | --- |"]
    lines += [f"| `{name}` | {kind.expected} | {text} |" for name, (kind, text) in WHEN_FIELDS.items()]
    return "\n".join([*lines, ""])


def presets() -> str:
    """Every preset with its source."""
    lines = ["| preset | imitates | source |", "| --- | --- | --- |"]
    for name in preset_names():
        preset = load_preset(name)
        lines.append(f"| `{name}` | {preset.name} | {preset.source} |")
    return "\n".join([*lines, ""])


_PARTS: Final = {"kinds": kinds, "when": when, "presets": presets}


def renewed(text: str) -> str:
    """A page with its generated parts renewed."""
    return _PART.sub(lambda match: f"{match[1]}{_PARTS[match['name']]()}{match[3]}", text)


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(renewed(page.read_text("utf-8")), "utf-8")
