"""Edits as a unified diff that `git apply` and `patch -p1` take, and the same without secrets.

Context is kept small and free of secrets: none in front where that would show one. git wants a line of
context behind each change that is not at the end of its file, so that one alone may have to be masked; then
the printed diff is for reading, and the saved one applies.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from wsinspect.doctor.configuration.model import Edit, Lines, edited
from wsinspect.doctor.configuration.sources import Sources
from wsinspect.formats.secrets import MASK, is_secret_field

_CONTEXT: Final = 3
_WORD: Final = re.compile(r"[\w-]+")
#: Directives whose names look like secrets but are not.
_HARMLESS: Final = re.compile(
    r"(?i)^(auth|auth_basic|auth_request|auth_request_set|authtype|authname|auth_delay|authority|authz.*"
    r"|.*auth[_-]?(url|type|name|user_file|realm|signin|response-headers)|session[_-]?affinity.*|forward[-_]?auth"
    r"|sessions?|basicauth|basic_?auth|requireauth.*|authuserfile|ext_authz.*|.*authoriz(er|ation-url))$"
)


_Part = tuple[str, int, int, int, int]


class Diff(NamedTuple):
    """What to change in one file.

    Attributes:
        file: as it is named elsewhere.
        line: the first line that changes.
        exact: the unified diff.
        shown: the same without secrets.
    """

    file: str
    line: int
    exact: str
    shown: str

    @property
    def applies(self) -> bool:
        """Whether what is shown can be applied as it is."""
        return self.exact == self.shown


def diffs(edits: Sequence[Edit], sources: Sources, base: str) -> list[Diff]:
    """A diff of each file that is edited.

    Args:
        base: the folder that the paths in them are relative to.
    """
    files = list(dict.fromkeys(one.file for one in edits))
    return [found for file in files if (found := _diff(file, edits, sources, base)) is not None]


def _diff(file: str, edits: Sequence[Edit], sources: Sources, base: str) -> Diff | None:
    before = sources.texts.get(file)
    if before is None:
        return None
    after = edited(before, file, edits)
    old, new = _split(before), _split(after)
    name = os.path.relpath(sources.real(file), base)
    hunks = list(_hunks(old, new))
    if not hunks:
        return None
    head = f"--- a/{name}\n+++ b/{name}\n"
    exact, shown = "", ""
    for hunk in hunks:
        lines = list(hunk)
        exact += "".join(map(_ended, lines))
        shown += "".join(_ended(masked_line(one)) for one in lines)
    first = Lines(file, before).line_of(min(one.start for one in edits if one.file == file))
    return Diff(file, first, head + exact, head + shown)


def _split(text: str) -> list[str]:
    """Lines with their ends; git knows no other end of a line than a line feed."""
    return re.findall(r"[^\n]*\n|[^\n]+$", text)


def _ended(line: str) -> str:
    return line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _hunks(old: Sequence[str], new: Sequence[str]) -> Iterator[list[str]]:
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for group in matcher.get_grouped_opcodes(_CONTEXT):
        parts = list(group)
        if parts[0][0] == "equal":
            parts[0] = _shortened(parts[0], old, is_front=True, least=0)
        if parts[-1][0] == "equal":
            parts[-1] = _shortened(parts[-1], old, is_front=False, least=1)
        (_, start, _, begin, _), (_, _, stop, _, end) = parts[0], parts[-1]
        lines = [f"@@ -{_range(start, stop)} +{_range(begin, end)} @@\n"]
        for tag, i1, i2, j1, j2 in parts:
            if tag == "equal":
                lines += [f" {one}" for one in old[i1:i2]]
            else:
                lines += [f"-{one}" for one in old[i1:i2]]
                lines += [f"+{one}" for one in new[j1:j2]]
        yield lines


def _shortened(part: _Part, old: Sequence[str], *, is_front: bool, least: int) -> _Part:
    """Context up to the next secret alone."""
    tag, i1, i2, j1, j2 = part
    while i2 - i1 > least and any(masked_line(" " + one) != " " + one for one in old[i1:i2]):
        if is_front:
            i1, j1 = i1 + 1, j1 + 1
        else:
            i2, j2 = i2 - 1, j2 - 1
    return tag, i1, i2, j1, j2


def _range(start: int, stop: int) -> str:
    count = stop - start
    if count == 1:
        return str(start + 1)
    return f"{start if not count else start + 1},{count}"


def masked_line(line: str) -> str:
    """A line of a configuration without the value of what is called like a secret."""
    if line.startswith(("@@", "---", "+++")):
        return line
    for match in _WORD.finditer(line):
        word = match[0]
        if (
            word.startswith("-")
            or _HARMLESS.match(word)
            or not is_secret_field(word.encode("utf-8", "replace"))
        ):
            continue
        rest = line[match.end() :]
        value = re.match(r"[\"']?\s*[\s:=,]\s*[\"'([]*([^\s;].*?)([;,\"')\]}]*\s*)$", rest, re.S)
        if value is None or value[1].startswith(("$", "%", "{", MASK)) or not value[1].strip():
            continue
        at = match.end() + value.start(1)
        return line[:at] + MASK + value[2]
    return line


def base_of(sources: Sources, files: Sequence[str], roots: Sequence[str]) -> str:
    """The folder that a patch is applied in: the first root that has all files, else what they have in
    common.
    """
    real = [sources.real(one) for one in files]
    for root in roots:
        folder = sources.real(root)
        if all(Path(one).is_relative_to(folder) for one in real):
            return folder
    folders = [str(Path(one).parent) for one in real]
    return os.path.commonpath(folders) if folders else "."
