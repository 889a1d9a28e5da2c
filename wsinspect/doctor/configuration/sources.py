"""The files of a configuration, read within limits: from a disk, or from what somebody pasted.

What a file includes is named by the file, so anything may stand there: folders, pipes, devices, links in a
circle, copies of itself. Only ordinary files are opened, none larger than a limit and not many; each that is
not read is a problem in words.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Final

from wsinspect.units import format_size

MAX_FILE: Final = 2 * 1024 * 1024
MAX_TOTAL: Final = 16 * 1024 * 1024
MAX_FILES: Final = 4096
_MAGIC: Final = re.compile(r"[*?\[]")


class Sources:
    """Files by their names.

    Args:
        texts: files that are not on this disk; where there are some, no other file is read.
        overlay: texts to take instead of what is on the disk.
        roots: folders that the user named: what a configuration includes by the path that it has elsewhere is
            looked for below them first.

    Attributes:
        problems: what could not be read, a line each.
        texts: what was read, by file.
    """

    def __init__(
        self,
        texts: Mapping[str, str] | None = None,
        *,
        overlay: Mapping[str, str] | None = None,
        roots: Sequence[str] = (),
    ) -> None:
        self.problems: list[str] = []
        self.texts: dict[str, str] = {}
        self._pasted = None if texts is None else dict(texts)
        self._overlay = dict(overlay or {})
        self._roots = tuple(roots)
        self._bytes = 0

    @property
    def is_pasted(self) -> bool:
        """Whether the files are not on this disk."""
        return self._pasted is not None

    def with_overlay(self, overlay: Mapping[str, str]) -> Sources:
        """The same files, some of them with another text."""
        if self._pasted is not None:
            return Sources({**self._pasted, **overlay}, roots=self._roots)
        return Sources(overlay={**self._overlay, **overlay}, roots=self._roots)

    def text(self, file: str) -> str | None:
        """A file's text; None with a problem where it cannot be read."""
        if file in self.texts:
            return self.texts[file]
        try:
            found = self._read(file)
        except OSError as error:
            self.problem(file, error.strerror or str(error))
            return None
        except ValueError as error:
            self.problem(file, str(error))
            return None
        self._bytes += len(found)
        self.texts[file] = found
        return found

    def problem(self, file: str, words: str) -> None:
        """Note what could not be read."""
        line = f"{file}: {words}"
        if line not in self.problems and len(self.problems) < MAX_FILES:
            self.problems.append(line)

    def _read(self, file: str) -> str:
        if self._pasted is not None:
            if file not in self._pasted:
                raise ValueError("not part of what was given")
            return self._pasted[file]
        if file in self._overlay:
            return self._overlay[file]
        if len(self.texts) >= MAX_FILES:
            raise ValueError(f"more than {MAX_FILES} files")
        # Without waiting for the other end of a pipe.
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode):
                raise ValueError("not a file")
            if facts.st_size > MAX_FILE:
                raise ValueError(f"larger than {format_size(MAX_FILE)}")
            data = stream.read(MAX_FILE + 1)
        if len(data) > MAX_FILE or self._bytes + len(data) > MAX_TOTAL:
            raise ValueError(f"more than {format_size(MAX_TOTAL)} in all")
        if b"\0" in data[:4096]:
            raise ValueError("not a text file")
        return data.decode("utf-8", "surrogateescape")

    def matching(self, pattern: str, folder: str) -> list[str]:
        """The files that an include names, in the order of their names.

        Args:
            pattern: a path, with `*`, `?` and `[...]` where there are.
            folder: what a relative one is relative to.
        """
        path = os.path.normpath(Path(folder) / pattern)
        if self._pasted is not None:
            return sorted(one for one in self._pasted if one == path or _fits(one, path))
        is_own = not pattern.startswith("/") or any(_is_below(path, root) for root in self._roots)
        for place in [path] if is_own else [*self._moved(path), path]:
            if found := self._on_disk(place):
                return found
        for place in self._moved(path) if is_own else ():
            if found := self._on_disk(place):
                return found
        return []

    def _on_disk(self, path: str) -> list[str]:
        if not _MAGIC.search(path):
            return [path] if os.path.lexists(path) else []
        found = _listed(Path(path).parts)
        return sorted(str(one) for one in found if not one.is_dir())[: MAX_FILES + 1]

    def _moved(self, path: str) -> list[str]:
        """Where a file may be whose configuration was copied: below a given folder, by the end of its
        path.
        """
        parts = PurePosixPath(path).parts
        found = []
        for root in self._roots:
            name = Path(root).absolute().name
            for at in range(1, len(parts)):
                if parts[at - 1] == name or len(parts) - at >= 2:
                    found.append(str(Path(root, *parts[at:])))
        return found

    def real(self, file: str) -> str:
        """The file itself, where the path has symbolic links; patches do not apply to those."""
        return file if self._pasted is not None else os.path.realpath(file)


def _fits(path: str, pattern: str) -> bool:
    """Whether a path fits a pattern, each `*` within one folder."""
    ours, theirs = path.split("/"), pattern.split("/")
    return len(ours) == len(theirs) and all(
        fnmatchcase(one, shape) and (not one.startswith(".") or shape.startswith("."))
        for one, shape in zip(ours, theirs, strict=True)
    )


def _is_below(path: str, root: str) -> bool:
    return Path(path).absolute().is_relative_to(Path(root).absolute())


def _listed(parts: Sequence[str]) -> Iterator[Path]:
    """The files that fit a pattern; `**` is no more than `*`, as in every configuration."""
    places = [Path(parts[0])]
    for part in parts[1:]:
        if _MAGIC.search(part):
            places = [one for place in places for one in _entries(place) if fnmatchcase(one.name, part)]
        else:
            places = [place / part for place in places if os.path.lexists(place / part)]
    yield from places


def _entries(folder: Path) -> list[Path]:
    """What is in a folder, but for hidden files, as the programs list it."""
    try:
        return [one for one in folder.iterdir() if not one.name.startswith(".")][: MAX_FILES + 1]
    except OSError:
        return []
