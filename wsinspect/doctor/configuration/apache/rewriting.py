"""What mod_rewrite does to a path, in a server and in a folder of documents, as far as it is known here."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from wsinspect.doctor.configuration.apache.request import Request
from wsinspect.doctor.configuration.apache.tree import shown
from wsinspect.doctor.configuration.directives import Directive
from wsinspect.doctor.configuration.model import Defect
from wsinspect.doctor.configuration.patterns import UndecidedError, search
from wsinspect.units import whole_number

#: Names of statuses in Redirect and in the flag R.
REDIRECTS: Final = {"permanent": 301, "temp": 302, "seeother": 303, "gone": 410}


class Proxied(NamedTuple):
    """A rule with [P]: where it sends the request."""

    rule: Directive
    url: str
    path: str


class Folder(NamedTuple):
    """A folder of documents: rules in it see paths below it, without a slash in front.

    Attributes:
        path: on the disk.
        url: what its URLs begin with; ends with a slash.
    """

    path: str
    url: str


class Rewriting:
    """The rules of one context.

    Args:
        folder: None for the rules of a server.
    """

    def __init__(self, request: Request, folder: Folder | None = None) -> None:
        self._request = request
        self._folder = folder

    def run(self, block: Sequence[Directive]) -> Proxied | Defect | None:
        """Follow the rules in their order; `Request.path` is where they lead."""
        switches = [one for one in block if one.name == "rewriteengine" and one.args]
        if not switches or switches[-1].args[0].lower() != "on":
            return None
        base = next((one.args[0] for one in block if one.name == "rewritebase" and one.args), None)
        conditions: list[Directive] = []
        for one in block:
            if one.name == "rewritecond":
                conditions.append(one)
            elif one.name == "rewriterule" and len(one.args) >= 2:
                done, conditions = self._rule(one, conditions, base), []
                if isinstance(done, str):
                    return None
                if done is not None:
                    return done
        return None

    def _matched(self) -> str:
        """What patterns are matched with."""
        if self._folder is None:
            return self._request.path
        return self._request.path[len(self._folder.url) :]

    def _rule(
        self, one: Directive, conditions: Sequence[Directive], base: str | None
    ) -> Proxied | Defect | str | None:
        flags = {name.upper(): value for name, _, value in map(_flag, _flags(one))}
        pattern, negated = one.args[0].lstrip("!"), one.args[0].startswith("!")
        ignores_case = "NC" in flags or "NOCASE" in flags
        match = self._request.search(one, pattern, self._matched(), ignores_case=ignores_case)
        if bool(match) == negated:
            return None
        try:
            captured = self._all_hold(conditions)
            if captured is None:
                return None
            new = self._substituted(one.args[1], match, captured)
        except UndecidedError as error:
            self._request.unsure.append(f"RewriteRule in {one.at}: {error} is not known here")
            return None
        if flags.keys() & {"F", "FORBIDDEN"}:
            return Defect("answer", f"'{shown(one)}' answers itself", one.at, status=403)
        if flags.keys() & {"G", "GONE"}:
            return Defect("answer", f"'{shown(one)}' answers itself", one.at, status=410)
        if flags.keys() & {"R", "REDIRECT"} or (
            re.match(r"https?://", new) and not flags.keys() & {"P", "PROXY"}
        ):
            code = flags.get("R") or flags.get("REDIRECT") or "302"
            status = whole_number(code) or REDIRECTS.get(code.lower(), 302)
            return Defect("answer", f"'{shown(one)}' answers itself", one.at, status=status)
        if flags.keys() & {"P", "PROXY"}:
            path = re.sub(r"^\w+://[^/?]*", "", new).partition("?")[0] or "/"
            return Proxied(one, new, path)
        if new != "-":
            self._request.path = self._located(new.partition("?")[0], base)
        return "last" if flags.keys() & {"L", "LAST", "END"} else None

    def _located(self, path: str, base: str | None) -> str:
        if path.startswith("/"):
            return path
        return (base or (self._folder.url if self._folder else "/")).rstrip("/") + f"/{path}"

    def _all_hold(self, conditions: Sequence[Directive]) -> re.Match[str] | bool | None:
        """The match of the last condition, True without one; None if they do not hold."""
        captured: re.Match[str] | bool = True
        groups: list[list[Directive]] = [[]]
        for one in conditions:
            groups[-1].append(one)
            if not {name.upper() for name, _, _ in map(_flag, _flags(one))} & {"OR", "ORNEXT"}:
                groups.append([])
        unknown: UndecidedError | None = None
        for group in filter(None, groups):
            holds = False
            for one in group:
                try:
                    match = self._condition(one)
                except UndecidedError as error:
                    unknown = error
                    continue
                if match:
                    holds, captured = True, match if match is not True else captured
                    break
            if not holds and unknown is None:
                return None
        if unknown is not None:
            raise unknown
        return captured

    def _condition(self, one: Directive) -> re.Match[str] | bool | None:
        if len(one.args) < 2:
            return None
        pattern = one.args[1]
        negated, pattern = pattern.startswith("!"), pattern.removeprefix("!")
        if pattern in _FILES:
            return self._is_file(one.args[0], _FILES[pattern]) != negated
        if one.args[0].lower() == "expr":
            return bool(self._request.holds(one, one.args[1]))
        value = self._request.put_in(one.args[0])
        if re.match(r"-[a-zA-Z]", pattern):
            raise UndecidedError(f"'{one.args[0]} {one.args[1]}'")
        if pattern.startswith("="):
            return (value == pattern[1:]) != negated
        caseless = bool({name.upper() for name, _, _ in map(_flag, _flags(one))} & {"NC", "NOCASE"})
        match: re.Match[str] | None = search(pattern, value, ignores_case=caseless)
        return (not match) if negated else match

    def _is_file(self, text: str, test: Callable[[Path], bool]) -> bool:
        """`%{REQUEST_FILENAME} -f`, where the folder of documents is on this disk.

        Raises:
            UndecidedError: it is not, or another file is meant.
        """
        folder = self._folder
        if folder is None or text != "%{REQUEST_FILENAME}" or not Path(folder.path).is_dir():
            raise UndecidedError(f"'{text}' as a file")
        below = [part for part in self._matched().split("/") if part not in ("", ".", "..")]
        return test(Path(folder.path, *below))

    def _substituted(self, text: str, match: re.Match[str] | None, captured: re.Match[str] | bool) -> str:
        def group(of: re.Match[str] | bool | None, number: int) -> str:
            if of is None or isinstance(of, bool) or number > len(of.groups()):
                return ""
            return of[number] or ""

        text = re.sub(r"(?<!\\)\$(\d)", lambda one: group(match, int(one[1])), text)
        text = re.sub(r"(?<!\\)%(\d)", lambda one: group(captured, int(one[1])), text)
        return self._request.put_in(text)


_FILES: Final[dict[str, Callable[[Path], bool]]] = {"-f": Path.is_file, "-d": Path.is_dir}


def _flags(one: Directive) -> list[str]:
    text = one.args[2] if len(one.args) > 2 else ""
    return [each.strip() for each in text.strip("[]").split(",") if each.strip()]


def _flag(text: str) -> tuple[str, str, str]:
    return text.partition("=")
