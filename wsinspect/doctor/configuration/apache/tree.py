"""httpd's files as directives with their lines: includes, macros and conditions on modules in their place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from wsinspect.doctor.configuration.directives import Directive
from wsinspect.doctor.configuration.sources import Sources

MAX_DEPTH: Final = 24
#: The file that a folder of documents may have its own directives in (AccessFileName's default).
HTACCESS: Final = ".htaccess"
_MAX_WORDS: Final = 256
_MAX_EXPANDED: Final = 20_000
_CONDITIONAL: Final = ("ifmodule", "ifdefine", "ifversion", "ifdirective", "iffile", "ifsection")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "": 1.0, "mi": 60.0, "min": 60.0, "m": 60.0, "h": 3600.0}


class Tree(NamedTuple):
    """What was read.

    Attributes:
        root: all directives, includes, macros and conditions that hold in their place.
        modules: names of the modules that are loaded, without `_module`; empty where no file says so.
        folders: directives of folders of documents by the folder: `.htaccess` files that were given.
    """

    root: tuple[Directive, ...]
    sources: Sources
    modules: frozenset[str]
    folders: dict[str, tuple[Directive, ...]]

    @property
    def first(self) -> Directive:
        """A place for what is nowhere in particular."""
        return next(iter(self.root or next(one for one in self.folders.values() if one)))

    def folder(self, path: str) -> tuple[Directive, ...]:
        """What the `.htaccess` of a folder says; nothing without one."""
        known = self.folders.get(path)
        if known is not None:
            return known
        if self.sources.is_pasted or not (Path(path) / HTACCESS).is_file():
            return ()
        found = tuple(_Reading(self.sources, path).file(str(Path(path) / HTACCESS), ()))
        self.folders[path] = kept = tuple(_holding(found, self.modules, {}, 0))
        return kept


def seconds_of(text: str) -> float | None:
    """A time as httpd writes it, in seconds; None if it is not one."""
    parts = re.fullmatch(r"(\d{1,9})(ms|s|mi|min|m|h|)", text.lower())
    return int(parts[1]) * _UNITS[parts[2]] if parts else None


def words_of(text: str) -> tuple[str, ...]:
    """A line in words: quotes hold them together."""
    found = re.findall(r'"((?:\\.|[^"\\])*)"?|\'((?:\\.|[^\'\\])*)\'?|(\S+)', text[:65536])
    return tuple(
        (plain or re.sub(r"\\([\"'])", r"\1", double or single))
        for double, single, plain in found[:_MAX_WORDS]
    )


_SPELLED: Final = {
    "virtualhost": "VirtualHost",
    "proxypass": "ProxyPass",
    "proxypassmatch": "ProxyPassMatch",
    "rewriterule": "RewriteRule",
    "location": "Location",
    "locationmatch": "LocationMatch",
    "sethandler": "SetHandler",
    "if": "If",
    "elseif": "ElseIf",
    "else": "Else",
    "directory": "Directory",
    "proxyerroroverride": "ProxyErrorOverride",
}


def spelled(name: str) -> str:
    """The name of a directive as the manual spells it."""
    return _SPELLED.get(name, name)


def shown(one: Directive) -> str:
    """A directive as findings quote it."""
    return f"{spelled(one.name)} {' '.join(one.args)}"[:120]


class _Line(NamedTuple):
    """A directive's first line, last line and text."""

    first: int
    last: int
    text: str


class _Macro(NamedTuple):
    """What stands between `<Macro NAME PARAMETERS>` and its end (mod_macro)."""

    parameters: tuple[str, ...]
    file: str
    lines: tuple[_Line, ...]


class _Reading:
    def __init__(self, sources: Sources, root: str) -> None:
        self.sources = sources
        self.root = root
        self.defines: dict[str, str] = {}
        self._macros: dict[str, _Macro] = {}
        self._seen: set[str] = set()
        self._expanded = 0

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
        return [] if text is None else self._directives(file, list(_logical(text)), (*above, real), ())

    def _directives(
        self, file: str, lines: Sequence[_Line], above: tuple[str, ...], within: tuple[str, ...]
    ) -> list[Directive]:
        """The directives of a file, or of a macro.

        Args:
            within: the macros that are being used.
        """
        stack: list[tuple[Directive | None, list[Directive]]] = [(None, [])]
        macro: list[_Line] | None = None
        for number, last, line in lines:
            if macro is not None:
                macro.append(_Line(number, last, line))
                if re.match(r"</macro\s*>", line, re.I):
                    self._define(file, macro)
                    macro = None
                continue
            if re.match(r"<macro\s", line, re.I):
                macro = [_Line(number, last, line)]
                continue
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
            if one.name == "use" and one.args:
                stack[-1][1].extend(self._used(one, above, within))
            else:
                stack[-1][1].extend(self._included(one, above))
        if macro is not None:
            self.sources.problem(f"{file}:{macro[0].first}", "<Macro> is not closed")
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
        stack[-1][1].append(replace(head, block=tuple(block)))

    def _put_in(self, text: str) -> str:
        return re.sub(r"\$\{(\w+)\}", lambda match: self.defines.get(match[1], match[0]), text)

    def _define(self, file: str, lines: Sequence[_Line]) -> None:
        name, *parameters = words_of(re.sub(r"^<\w+\s+|>\s*$", "", lines[0].text)) or ("",)
        self._macros[name.lower()] = _Macro(tuple(parameters), file, tuple(lines[1:-1]))

    def _used(self, one: Directive, above: tuple[str, ...], within: tuple[str, ...]) -> list[Directive]:
        """A macro's directives, its parameters filled in; they stand where the macro is written."""
        name, *values = one.args
        macro = self._macros.get(name.lower())
        if macro is None:
            self.sources.problem(str(one.at), f"Use {name}: no such macro was read before it")
            return []
        self._expanded += len(macro.lines) + 1
        if name.lower() in within or len(within) > MAX_DEPTH or self._expanded > _MAX_EXPANDED:
            self.sources.problem(
                str(one.at), f"Use {name}: it uses itself" if name.lower() in within else "too many macros"
            )
            return []
        if len(values) != len(macro.parameters):
            self.sources.problem(
                str(one.at), f"Use {name}: {len(macro.parameters)} arguments are needed, not {len(values)}"
            )
            return []
        filled = dict(zip(macro.parameters, values, strict=True))
        # The longest name first, as mod_macro takes it: $port is not $p and "ort".
        shape = re.compile("|".join(map(re.escape, sorted(filled, key=len, reverse=True))) or r"(?!)")
        lines = [
            _Line(first, last, shape.sub(lambda match: filled[match[0]], text))
            for first, last, text in macro.lines
        ]
        return self._directives(macro.file, lines, above, (*within, name.lower()))

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


def _logical(text: str) -> Iterator[_Line]:
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
            yield _Line(first + 1, at, line)


def read_tree(sources: Sources, files: Iterable[str]) -> Tree | None:
    """All directives of some files; conditions on modules are decided by what is loaded.

    Returns:
        None if there is nothing in them.
    """
    order = sorted(files, key=lambda one: Path(one).name not in ("apache2.conf", "httpd.conf"))
    reading = _Reading(sources, str(Path(order[0]).parent))
    root = [
        one
        for file in order
        if Path(file).name != HTACCESS or sources.is_pasted
        for one in reading.file(file, ())
    ]
    modules = frozenset(
        one.args[0].removesuffix("_module")
        for one in everywhere(root)
        if one.name == "loadmodule" and one.args
    )
    folders = {
        str(Path(sources.real(file)).parent): tuple(
            _holding(reading.file(file, ()), modules, reading.defines, 0)
        )
        for file in order
        if Path(file).name == HTACCESS and not sources.is_pasted
    }
    kept = tuple(_holding(root, modules, reading.defines, 0))
    return Tree(kept, sources, modules, folders) if kept or any(folders.values()) else None


def everywhere(found: Sequence[Directive]) -> Iterator[Directive]:
    """All directives, those in sections as well."""
    for one in found:
        yield one
        if one.block:
            yield from everywhere(one.block)


def _holding(
    found: Sequence[Directive], modules: frozenset[str], defines: dict[str, str], depth: int
) -> Iterator[Directive]:
    for one in found:
        if one.name in _CONDITIONAL:
            if _is_on(one, modules, defines):
                yield from _holding(one.block or (), modules, defines, depth + 1)
        elif one.block is not None:
            yield replace(one, block=tuple(_holding(one.block, modules, defines, depth + 1)))
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
