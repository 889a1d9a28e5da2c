"""A Caddyfile as directives with their lines; snippets and imports in their place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from wsinspect.doctor.configuration.directives import Directive
from wsinspect.doctor.configuration.sources import Sources

MAX_DEPTH: Final = 24
_MAX_TOKENS: Final = 200_000
_MAX_EXPANDED: Final = 20_000


class Token(NamedTuple):
    """A word; `is_bare` ones may be braces."""

    text: str
    line: int
    is_bare: bool


class Tree(NamedTuple):
    """The global options, and the sites; a site's name and arguments are its addresses."""

    options: Directive | None
    sites: tuple[Directive, ...]
    sources: Sources


def tokens_of(text: str) -> Iterator[Token]:
    """Words, quoted texts, and heredocs, as Caddy's lexer finds them."""
    shape = re.compile(
        r'(?P<blank>[ \t\r\n]+)|(?P<comment>#[^\n]*)|"(?P<double>(?:\\.|[^"\\])*)"?|`(?P<back>[^`]*)`?'
        r"|<<(?P<mark>[A-Za-z_]\w*)\r?\n(?P<here>.*?)\n[ \t]*(?P=mark)(?=\s|$)|(?P<bare>(?:\\.|\S)+)",
        re.S,
    )
    line, at, count = 1, 0, 0
    while at < len(text) and count < _MAX_TOKENS:
        match = shape.match(text, at)
        if match is None:
            return
        for name, is_bare in (("double", False), ("back", False), ("here", False), ("bare", True)):
            if match[name] is not None:
                value = match[name].replace('\\"', '"') if name == "double" else match[name]
                count += 1
                yield Token(value, line, is_bare)
        line += text.count("\n", at, match.end())
        at = match.end()


class _Reading:
    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self.snippets: dict[str, Directive] = {}
        self._expanded = 0

    def file(self, file: str, above: tuple[str, ...]) -> list[Directive]:
        real = self.sources.real(file)
        if real in above or len(above) > MAX_DEPTH:
            self.sources.problem(
                file, "imports itself" if real in above else "too many imports in each other"
            )
            return []
        text = self.sources.text(file)
        if text is None:
            return []
        stack: list[tuple[list[str], int, list[Directive]]] = [([], 0, [])]
        words: list[str] = []
        begun, last = 0, 0

        def flush() -> None:
            nonlocal words
            if words:
                one = Directive(words[0], tuple(words[1:]), file, begun, last)
                stack[-1][2].append(one)
            words = []

        for token in tokens_of(text):
            if token.is_bare and token.text == "}":
                flush()
                if len(stack) > 1:
                    head, line, block = stack.pop()
                    name, *args = head or [""]
                    stack[-1][2].append(Directive(name, tuple(args), file, line, token.line, tuple(block)))
                else:
                    self.sources.problem(f"{file}:{token.line}", "} without {")
                continue
            if words and token.line != last and not words[-1].endswith(","):
                flush()
            if token.is_bare and token.text == "{":
                if len(stack) > MAX_DEPTH:
                    self.sources.problem(f"{file}:{token.line}", "too many blocks in each other")
                    return stack[0][2]
                stack.append((words, begun if words else token.line, []))
                words, last = [], token.line
                continue
            if not words:
                begun = token.line
            words.append(token.text)
            last = token.line + token.text.count("\n")
        flush()
        while len(stack) > 1:
            head, line, block = stack.pop()
            if stack[0][2] or len(head) or len(stack) > 1:
                self.sources.problem(f"{file}:{line}", "{ is not closed")
            name, *args = head or [""]
            stack[-1][2].append(Directive(name, tuple(args), file, line, line, tuple(block)))
        found = stack[0][2]
        for one in found:
            if one.block is not None and re.fullmatch(r"\([\w.-]+\)", one.name):
                self.snippets[one.name[1:-1]] = one
        return list(self._imported(found, (*above, real), ()))

    def _imported(
        self, found: Sequence[Directive], above: tuple[str, ...], within: tuple[str, ...]
    ) -> Iterator[Directive]:
        for one in found:
            self._expanded += 1
            if self._expanded > _MAX_EXPANDED or len(within) > MAX_DEPTH:
                self.sources.problem(str(one.at), "too many imports")
                return
            if one.name == "import" and one.args:
                yield from self._import(one, above, within)
            elif one.block is not None:
                yield replace(one, block=tuple(self._imported(one.block, above, within)))
            else:
                yield one

    def _import(self, one: Directive, above: tuple[str, ...], within: tuple[str, ...]) -> Iterator[Directive]:
        name, *args = one.args
        snippet = self.snippets.get(name)
        if snippet is not None:
            if name in within:
                self.sources.problem(str(one.at), f"import {name} imports itself")
                return
            inside = [_with_args(each, args) for each in snippet.block or ()]
            yield from self._imported(inside, above, (*within, name))
            return
        files = self.sources.matching(name, str(Path(one.file).parent))
        if not files and not re.search(r"[*?\[]", name):
            self.sources.problem(str(one.at), f"import {name}: it is not there")
            yield one
        for file in files:
            for each in self.file(file, above):
                yield _with_args(each, args)


def _with_args(one: Directive, args: Sequence[str]) -> Directive:
    """A snippet's directive, its placeholders for arguments filled in."""

    def put_in(text: str) -> str:
        return re.sub(
            r"\{args(?:\[(\d+)\]|\.(\d+))\}",
            lambda match: (
                args[int(match[1] or match[2])] if int(match[1] or match[2]) < len(args) else match[0]
            ),
            text,
        )

    block = None if one.block is None else tuple(_with_args(each, args) for each in one.block)
    return replace(one, name=put_in(one.name), args=tuple(map(put_in, one.args)), block=block)


def read_tree(sources: Sources, files: Sequence[str]) -> Tree | None:
    """The sites of all files; None without one."""
    reading = _Reading(sources)
    found = [one for file in files for one in reading.file(file, ())]
    options = next((one for one in found if one.name == "" and one.block is not None), None)
    sites = [
        one for one in found if one.block is not None and one.name and not re.fullmatch(r"[(&].*\)", one.name)
    ]
    if not sites and found and all(one.name not in ("", "import") for one in found):
        # Braces may be left out where there is one site: its address is the first line.
        plain = [one for one in found if not re.fullmatch(r"[(&].*\)", one.name)]
        if plain:
            head, rest = plain[0], plain[1:]
            last = rest[-1].last if rest else head.last
            sites = [Directive(head.name, head.args, head.file, head.line, last, tuple(rest))]
    elif sites and options is not None:
        sites = [one for one in sites if one is not options]
    return Tree(options, tuple(sites), sources) if sites else None
