"""The proxy tables of Vite and webpack-dev-server: which entry a URL meets, and whether it carries
WebSockets.

The configuration is a program, and is not run: what is written as a literal is read, and all else is said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from wsinspect.doctor.configuration.literals import Source, Value
from wsinspect.doctor.configuration.model import Defect, Edit, Lines, Met, Place
from wsinspect.doctor.configuration.patterns import UndecidedError, search
from wsinspect.doctor.configuration.sources import Sources
from wsinspect.doctor.target import Target

_SCRIPTS: Final = (".js", ".ts", ".mjs", ".mts", ".cjs", ".cts")


class Entry(NamedTuple):
    """One entry of a proxy table.

    Attributes:
        contexts: what its paths begin with, or patterns.
        value: its options, or its target alone.
    """

    contexts: tuple[str, ...]
    value: Value
    file: str
    start: int


class Tree(NamedTuple):
    """The tables of all files.

    Attributes:
        places: for each file with a table, where that is.
        unsure: what cannot be read without running it.
    """

    entries: tuple[Entry, ...]
    places: tuple[Place, ...]
    sources: Sources
    unsure: tuple[str, ...]


@dataclass(frozen=True)
class DevServer:
    """Reads a configuration of Vite (`server.proxy`) or of webpack-dev-server (`devServer.proxy`)."""

    software: str
    owner: tuple[str, ...]
    files: str
    mark: str

    def recognises(self, name: str, text: str) -> bool:
        """A script with its name, or with what only its configuration has."""
        if not name.lower().endswith(_SCRIPTS):
            return False
        return bool(re.match(self.files, name) or re.search(self.mark, text))

    def read(self, sources: Sources, files: Sequence[str]) -> Tree | None:
        """The proxy tables, as far as they are literals."""
        entries: list[Entry] = []
        places: list[Place] = []
        unsure: list[str] = []
        for file in files:
            text = sources.text(file)
            if text is None:
                continue
            source = Source(text)
            lines = Lines(file, text)
            for owner in source.named(*self.owner):
                table = source.resolved(owner).get("proxy")
                if table is None:
                    if owner.kind == "object":
                        places.append(Place(file, lines.line_of(owner.key_start)))
                    continue
                at = Place(file, lines.line_of(table.key_start))
                places.append(at)
                known = source.resolved(table)
                if known.kind not in ("object", "array"):
                    unsure.append(
                        f"proxy in {at}: it is not a literal, and cannot be read without running it"
                    )
                    continue
                entries += self._entries(source, known, file, at, unsure)
        return Tree(tuple(entries), tuple(places), sources, tuple(unsure)) if places else None

    def _entries(
        self, source: Source, table: Value, file: str, at: Place, unsure: list[str]
    ) -> Iterator[Entry]:
        if table.kind == "array":
            for one in table.items():
                contexts = one.get("context")
                texts = [each.value for each in contexts.items() if each.kind == "text"] if contexts else []
                if one.kind == "object" and texts:
                    yield Entry(tuple(texts), one, file, one.start)
                else:
                    unsure.append(f"an entry of proxy in {at}: its context is not a literal")
            return
        for key, value in table.entries():
            if key is None:
                unsure.append(
                    f"an entry of proxy in {at}: it is computed, and cannot be read without running it"
                )
            else:
                yield Entry((key,), source.resolved(value), file, value.key_start)

    def meets(self, tree: Tree, target: Target, version: tuple[int, ...] | None) -> Met | None:
        """The first entry whose context fits the path."""
        unsure = list(tree.unsure)
        fitting = [one for one in tree.entries if self._fits(one, target, unsure)]
        carrying = [one for one in fitting if self._carries(one.value)]
        if not fitting:
            place = tree.places[0]
            if unsure:
                return Met("the proxy table", place, (), (), tuple(unsure))
            words = f"no entry of 'proxy' fits {target.path}, so the dev server answers itself"
            missing = (Defect("route", words, place), Defect("silent", words, place))
            return Met("the proxy table", place, missing)
        entry = (carrying or fitting)[0]
        lines = Lines(entry.file, tree.sources.texts.get(entry.file, ""))
        at = Place(entry.file, lines.line_of(entry.start))
        defects = tuple(self._defects(entry, target, at, unsure))
        return Met(f"proxy entry '{entry.contexts[0]}'", at, defects, (), tuple(unsure))

    def _fits(self, entry: Entry, target: Target, unsure: list[str]) -> bool:
        for one in entry.contexts:
            try:
                if self.software == "vite" and one.startswith("^"):
                    if search(one, target.target):
                        return True
                elif "*" in one:
                    if fnmatchcase(target.path, one.replace("**", "*")):
                        return True
                elif target.target.startswith(one):
                    return True
            except UndecidedError as error:
                unsure.append(f"proxy entry '{one}': {error} cannot be decided here")
        return False

    def _carries(self, value: Value) -> bool:
        ws = value.get("ws")
        goal = value if value.kind == "text" else value.get("target")
        is_ws = goal is not None and goal.kind == "text" and goal.value.startswith(("ws:", "wss:"))
        return (ws is not None and ws.value == "true") or (is_ws and self.software == "vite")

    def _defects(self, entry: Entry, target: Target, at: Place, unsure: list[str]) -> Iterator[Defect]:
        value, file = entry.value, entry.file
        if value.kind not in ("object", "text"):
            unsure.append(f"proxy entry '{entry.contexts[0]}' in {at}: it cannot be read without running it")
            return
        ws = value.get("ws")
        if not self._carries(value):
            if ws is not None and ws.value not in ("false", "true"):
                unsure.append(f"'ws' in {at} is not a literal")
            elif any(key is None for key, _ in value.entries()):
                unsure.append(f"proxy entry '{entry.contexts[0]}' in {at} has more than literals")
            else:
                edits: tuple[Edit, ...] = ()
                if ws is not None:
                    edits = (Edit(file, ws.start, ws.end, "true"),)
                elif value.kind == "object":
                    edits = (Edit(file, value.start + 1, value.start + 1, " ws: true,"),)
                elif value.kind == "text":
                    edits = (Edit(file, value.start, value.end, f"{{ target: '{value.value}', ws: true }}"),)
                words = f"'{entry.contexts[0]}' lacks 'ws: true': upgrades are not passed on"
                yield Defect("upgrade", words, at, edits)
                yield Defect("silent", words, at, edits)
        origin = value.get("changeOrigin")
        if origin is not None and origin.value == "true":
            words = "'changeOrigin: true': the server gets the Host of its target, not the client's"
            yield Defect("host", words, at, (Edit(file, origin.start, origin.end, "false"),))
        if value.get("rewrite") is not None or value.get("bypass") is not None:
            unsure.append(f"'rewrite' or 'bypass' in {at} is a function: what it does is not known here")
        rewrite = value.get("pathRewrite")
        if rewrite is not None and rewrite.kind == "object":
            yield from self._rewritten(rewrite, target, at, unsure)

    @staticmethod
    def _rewritten(rewrite: Value, target: Target, at: Place, unsure: list[str]) -> Iterator[Defect]:
        for pattern, instead in rewrite.entries():
            if pattern is None or instead.kind != "text":
                unsure.append(f"'pathRewrite' in {at} has more than literals")
                continue
            try:
                match = search(pattern, target.path)
            except UndecidedError as error:
                unsure.append(f"'pathRewrite' in {at}: {error} cannot be decided here")
                continue
            if match:
                path = target.path[: match.start()] + instead.value + target.path[match.end() :]
                yield Defect("path", f"'pathRewrite' makes {target.path} into {path or '/'}", at)
                return


VITE: Final = DevServer(
    "vite", ("server",), r"vite(st)?\.config\.", r"from ['\"]vite['\"]|require\(['\"]vite['\"]\)"
)
WEBPACK: Final = DevServer(
    "webpack", ("devServer",), r"(webpack|vue)\..*config|webpack\.", r"\bdevServer\s*[:=]"
)
