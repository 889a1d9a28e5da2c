"""Directives of Apache httpd as they are read: includes in their place, conditions decided.

Our own reader: the syntax is small, and the libraries that there are keep no line numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from wsinspect.doctor.configuration.model import Place
from wsinspect.doctor.configuration.sources import Sources

MAX_DEPTH: Final = 24
_MAX_WORDS: Final = 256
_CONDITIONAL: Final = ("ifmodule", "ifdefine", "ifversion", "ifdirective", "iffile", "ifsection")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "": 1.0, "mi": 60.0, "min": 60.0, "m": 60.0, "h": 3600.0}
_SPELLED: Final = {
    "virtualhost": "VirtualHost",
    "proxypass": "ProxyPass",
    "proxypassmatch": "ProxyPassMatch",
    "rewriterule": "RewriteRule",
    "location": "Location",
    "locationmatch": "LocationMatch",
}


@dataclass(frozen=True, eq=False)
class Directive:
    """One directive; a section has a block.

    Attributes:
        name: in lower case.
        last: the last line of it, where it is continued.
    """

    name: str
    args: tuple[str, ...]
    file: str
    line: int
    last: int
    block: tuple[Directive, ...] | None = None

    @property
    def at(self) -> Place:
        """File and number of its first line."""
        return Place(self.file, self.line)

    def all(self, *names: str) -> Iterator[Directive]:
        """Directives of these names just inside."""
        return (one for one in self.block or () if one.name in names)


class Tree(NamedTuple):
    """What was read.

    Attributes:
        root: all directives, includes and conditions that hold in their place.
        modules: names of the modules that are loaded, without `_module`; empty where no file says so.
    """

    root: tuple[Directive, ...]
    sources: Sources
    modules: frozenset[str]


def spelled(name: str) -> str:
    """The name of a directive as the manual spells it."""
    return _SPELLED.get(name, name)


def shown(one: Directive) -> str:
    """A directive as findings quote it."""
    return f"{spelled(one.name)} {' '.join(one.args)}"[:120]


def seconds_of(text: str) -> float | None:
    """A time as httpd writes it; None if it is none."""
    parts = re.fullmatch(r"(\d{1,9})(ms|s|mi|min|m|h|)", text.lower())
    return int(parts[1]) * _UNITS[parts[2]] if parts else None


def words_of(text: str) -> tuple[str, ...]:
    """A line in words: quotes hold them together."""
    found = re.findall(r'"((?:\\.|[^"\\])*)"?|\'((?:\\.|[^\'\\])*)\'?|(\S+)', text[:65536])
    return tuple(
        (plain or re.sub(r"\\([\"'])", r"\1", double or single))
        for double, single, plain in found[:_MAX_WORDS]
    )


class _Reading:
    def __init__(self, sources: Sources, root: str) -> None:
        self.sources = sources
        self.root = root
        self.defines: dict[str, str] = {}
        self._seen: set[str] = set()

    def file(self, file: str, above: tuple[str, ...]) -> list[Directive]:
        real = self.sources.real(file)
        if real in above or len(above) > MAX_DEPTH:
            self.sources.problem(
                file, "includes itself" if real in above else "too many includes in each other"
            )
            return []
        if not above and real in self._seen:
            return []
        self._seen.add(real)
        text = self.sources.text(file)
        if text is None:
            return []
        stack: list[tuple[Directive | None, list[Directive]]] = [(None, [])]
        for number, last, line in _logical(text):
            if line.startswith("</"):
                name = line[2:].rstrip("> \t").lower()
                if len(stack) > 1 and stack[-1][0] is not None and stack[-1][0].name == name:
                    self._close(stack)
                else:
                    self.sources.problem(f"{file}:{number}", f"</{name}> without its section")
                continue
            opened = re.match(r"<(\w+)\s*(.*?)>?$", line)
            if opened and len(stack) < MAX_DEPTH:
                inside = words_of(self._put_in(opened[2]))
                stack.append((Directive(opened[1].lower(), inside, file, number, last, ()), []))
                continue
            name, *args = words_of(self._put_in(line)) or ("",)
            one = Directive(name.lower(), tuple(args), file, number, last)
            stack[-1][1].extend(self._included(one, (*above, real)))
        while len(stack) > 1:
            left = stack[-1][0]
            if left is not None:
                self.sources.problem(str(left.at), f"<{left.name}> is not closed")
            self._close(stack)
        return stack[0][1]

    @staticmethod
    def _close(stack: list[tuple[Directive | None, list[Directive]]]) -> None:
        head, block = stack.pop()
        assert head is not None
        stack[-1][1].append(Directive(head.name, head.args, head.file, head.line, head.last, tuple(block)))

    def _put_in(self, text: str) -> str:
        return re.sub(r"\$\{(\w+)\}", lambda match: self.defines.get(match[1], match[0]), text)

    def _included(self, one: Directive, above: tuple[str, ...]) -> Iterator[Directive]:
        if one.name == "define" and one.args:
            self.defines[one.args[0]] = one.args[1] if len(one.args) > 1 else ""
        if (
            one.name == "serverroot"
            and one.args
            and Path(one.args[0]).is_dir()
            and not self.sources.is_pasted
        ):
            self.root = one.args[0]
        if one.name not in ("include", "includeoptional") or not one.args:
            yield one
            return
        files = self.sources.matching(one.args[0], self.root)
        if not files and one.name == "include":
            self.sources.problem(str(one.at), f"Include {one.args[0]}: it is not there")
        for file in files:
            yield from self.file(file, above)


def _logical(text: str) -> Iterator[tuple[int, int, str]]:
    """First line, last line and text of each directive: a backslash at the end continues it."""
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        first, parts = at, [lines[at].rstrip("\r")]
        while parts[-1].endswith("\\") and at + 1 < len(lines) and len(parts) < 1000:
            at += 1
            parts[-1] = parts[-1][:-1]
            parts.append(lines[at].rstrip("\r"))
        at += 1
        line = "".join(parts).strip()
        if line and not line.startswith("#"):
            yield first + 1, at, line


def read_tree(sources: Sources, files: Sequence[str]) -> Tree | None:
    """All directives; conditions on modules are decided by what is loaded. None if there are none."""
    order = sorted(files, key=lambda one: Path(one).name not in ("apache2.conf", "httpd.conf"))
    reading = _Reading(sources, str(Path(order[0]).parent))
    root = [one for file in order for one in reading.file(file, ())]
    modules = frozenset(
        one.args[0].removesuffix("_module")
        for one in _everywhere(root)
        if one.name == "loadmodule" and one.args
    )
    kept = tuple(_holding(root, modules, reading.defines, 0))
    return Tree(kept, sources, modules) if kept else None


def _everywhere(found: Sequence[Directive]) -> Iterator[Directive]:
    for one in found:
        yield one
        if one.block:
            yield from _everywhere(one.block)


def _holding(
    found: Sequence[Directive], modules: frozenset[str], defines: dict[str, str], depth: int
) -> Iterator[Directive]:
    for one in found:
        if one.name in _CONDITIONAL:
            if _is_on(one, modules, defines):
                yield from _holding(one.block or (), modules, defines, depth + 1)
        elif one.block is not None:
            block = tuple(_holding(one.block, modules, defines, depth + 1))
            yield Directive(one.name, one.args, one.file, one.line, one.last, block)
        else:
            yield one


def _is_on(one: Directive, modules: frozenset[str], defines: dict[str, str]) -> bool:
    word = one.args[0] if one.args else ""
    wanted, word = not word.startswith("!"), word.lstrip("!")
    if one.name == "ifmodule":
        name = word.removeprefix("mod_").removesuffix(".c").removesuffix("_module")
        return (not modules or name in modules) == wanted
    if one.name == "ifdefine":
        return (word in defines) == wanted
    return wanted
