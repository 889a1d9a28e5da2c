"""Reading what `--config` names: files, folders, or `nginx -T` on stdin; the software is recognised by
content.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from wsinspect.doctor.configuration.apache.reader import Apache
from wsinspect.doctor.configuration.caddy.json_reader import CaddyJson
from wsinspect.doctor.configuration.caddy.reader import Caddy
from wsinspect.doctor.configuration.devservers import VITE, WEBPACK
from wsinspect.doctor.configuration.diffs import base_of
from wsinspect.doctor.configuration.envoy import Envoy
from wsinspect.doctor.configuration.haproxy.reader import HAProxy
from wsinspect.doctor.configuration.kubernetes import Kubernetes
from wsinspect.doctor.configuration.model import Met, Reader
from wsinspect.doctor.configuration.nginx.reader import Nginx
from wsinspect.doctor.configuration.nginx.tree import pasted
from wsinspect.doctor.configuration.sources import MAX_FILES, MAX_TOTAL, Sources
from wsinspect.doctor.configuration.traefik import Traefik
from wsinspect.doctor.target import Target
from wsinspect.errors import UsageError
from wsinspect.units import format_size

#: In the order in which they try to recognise a file.
READERS: Final[tuple[Reader, ...]] = (
    *(VITE, WEBPACK, CaddyJson(), Kubernetes(), Traefik(), Envoy(), HAProxy(), Apache(), Caddy(), Nginx()),
)
STDIN: Final = "-"
_NGINX: Final = next(index for index, one in enumerate(READERS) if one.software == "nginx")
#: Bytes of a file that it is recognised by.
_BEGINNING: Final = 64 * 1024
#: Software whose files belong together because one includes the others.
_MAINS: Final = (
    "nginx.conf",
    "apache2.conf",
    "httpd.conf",
    "haproxy.cfg",
    "Caddyfile",
    "caddy.json",
    "autosave.json",
)
_SUFFIXES: Final = frozenset(
    (
        ".conf",
        ".cfg",
        ".yaml",
        ".yml",
        ".json",
        ".toml",
        ".caddyfile",
        ".js",
        ".ts",
        ".mjs",
        ".mts",
        ".cjs",
        ".cts",
        ".vhost",
        "",
    )
)
_SKIPPED: Final = frozenset(("node_modules", ".git", ".venv", "__pycache__"))
_MAX_DEPTH: Final = 6


@dataclass(frozen=True)
class Configuration:
    """What was read.

    Attributes:
        reader: of the software that it is for.
        tree: what that one made of it.
        sources: the files.
        files: those that were named, or found in a folder.
        roots: the folders.
    """

    reader: Reader
    tree: Any
    sources: Sources
    files: tuple[str, ...]
    roots: tuple[str, ...]

    @property
    def software(self) -> str:
        """Its name in `findings/data/software.toml`."""
        return self.reader.software

    @property
    def problems(self) -> tuple[str, ...]:
        """What could not be read, a line each."""
        return tuple(self.sources.problems)

    def meets(self, target: Target, version: tuple[int, ...] | None = None) -> Met | None:
        """The place that this URL meets; None without one."""
        return self.reader.meets(self.tree, target, version)

    def with_texts(self, texts: Mapping[str, str]) -> Configuration | None:
        """The same with other texts of some files; None if there is nothing in it then."""
        sources = self.sources.with_overlay(texts)
        tree = self.reader.read(sources, self.files)
        if tree is None:
            return None
        return Configuration(self.reader, tree, sources, self.files, self.roots)

    def base(self, files: Sequence[str]) -> str:
        """The folder that a patch of these files is applied in."""
        return base_of(self.sources, files, self.roots)


def read_configurations(paths: Sequence[str], stdin: str | None = None) -> tuple[Configuration, ...]:
    """The configurations that some files and folders have, one for each software.

    Args:
        paths: `-` is the text of `stdin`.

    Raises:
        UsageError: a path is not there, or none of them is a configuration that is known.
    """
    found: list[Configuration] = []
    if STDIN in paths:
        found += _pasted(stdin or "")
    named = [one for one in paths if one != STDIN]
    roots = [one if Path(one).is_dir() else str(Path(one).parent) for one in named]
    sources = Sources(roots=roots)
    by_reader: dict[int, list[str]] = {}
    for file in dict.fromkeys(one for path in named for one in _files(path)):
        index = _recognised(file, sources, is_named=file in named)
        if index is not None:
            by_reader.setdefault(index, []).append(file)
    for index, files in sorted(by_reader.items()):
        reader, own = READERS[index], Sources(roots=roots)
        tree = reader.read(own, files)
        if tree is not None:
            found.append(Configuration(reader, tree, own, tuple(files), tuple(roots)))
        else:
            sources.problems += own.problems
    if not found:
        reason = next(iter(sources.problems), f"{' '.join(paths)} has no directive that is known")
        raise UsageError(f"not a configuration that can be read: {reason}")
    return tuple(found)


def _pasted(text: str) -> list[Configuration]:
    if len(text) > MAX_TOTAL:
        raise UsageError(f"stdin: more than {format_size(MAX_TOTAL)}")
    files = pasted(text)
    if files is None:
        sources = Sources({"stdin": text})
        index = _recognised("stdin", sources, is_named=True)
        if index is None:
            raise UsageError("stdin: not a configuration that is known", hint="nginx -T prints nginx's")
        tree = READERS[index].read(sources, ["stdin"])
        names, reader = ["stdin"], READERS[index]
    else:
        sources = Sources(files)
        names, reader = [next(iter(files))], READERS[_NGINX]
        tree = reader.read(sources, names)
    if tree is None:
        raise UsageError(f"stdin: {next(iter(sources.problems), 'no directive that is known')}")
    return [Configuration(reader, tree, sources, tuple(names), (str(Path(names[0]).parent),))]


def _recognised(file: str, sources: Sources, *, is_named: bool) -> int | None:
    known = len(sources.problems)
    text = sources.text(file)
    if text is None:
        if not is_named:
            del sources.problems[known:]
        return None
    sources.texts.pop(file, None)
    beginning = text[:_BEGINNING]
    for index, reader in enumerate(READERS):
        if reader.recognises(Path(file).name, beginning):
            return index
    if is_named:
        sources.problem(file, "not a configuration that is known")
    return None


def _files(path: str) -> list[str]:
    """A file, or the files of a folder that may be configurations: the main one alone where there is one."""
    place = Path(path)
    if not place.exists():
        raise UsageError(
            f"{path} is not there", hint="give --config the proxy's configuration, or its folder"
        )
    if not place.is_dir():
        return [path]
    mains = [str(place / name) for name in _MAINS if (place / name).is_file()]
    if mains:
        return mains
    found: list[str] = []
    for folder, folders, files in os.walk(path):
        depth = len(Path(folder).relative_to(path).parts)
        folders[:] = sorted(one for one in folders if one not in _SKIPPED) if depth < _MAX_DEPTH else []
        found += [str(Path(folder) / one) for one in sorted(files) if Path(one).suffix.lower() in _SUFFIXES]
        if len(found) > MAX_FILES:
            break
    return found[:MAX_FILES]
