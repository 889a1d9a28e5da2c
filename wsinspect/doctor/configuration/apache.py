"""Apache httpd: the virtual host that a URL meets, where its request goes, and whether that carries an
upgrade.

Our own reader: the syntax is small, and the libraries that there are keep no line numbers. What
mod_rewrite does in
a virtual host is followed as far as the variables of a handshake are known; it comes before ProxyPass
(mod_proxy's translate hook), and the first ProxyPass that fits wins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final, NamedTuple

from wsinspect.doctor.configuration.model import (
    RAISED_SECONDS,
    Defect,
    Edit,
    Lines,
    Met,
    Place,
    handshake_headers,
    kind_of_header,
)
from wsinspect.doctor.configuration.patterns import UndecidedError, search
from wsinspect.doctor.configuration.sources import Sources
from wsinspect.doctor.target import Target

MAX_DEPTH: Final = 24
_MAX_WORDS: Final = 256
#: The first release whose http workers carry an upgrade (`upgrade=websocket`).
_UPGRADE_PARAMETER: Final = (2, 4, 47)
_DEFAULT_TIMEOUT: Final = 60.0
_CONDITIONAL: Final = ("ifmodule", "ifdefine", "ifversion", "ifdirective", "iffile", "ifsection")
_LOCATIONS: Final = ("location", "locationmatch")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "": 1.0, "mi": 60.0, "min": 60.0, "m": 60.0, "h": 3600.0}
_OWN: Final = re.compile(
    r"^[ \t]*(?:<(?:VirtualHost|Location|LocationMatch|Directory|IfModule|Proxy)\b[^>\n]*>"
    r"|ProxyPass(?:Match|Reverse)?[ \t]"
    r"|RewriteEngine[ \t]|RewriteRule[ \t]|LoadModule[ \t]|DocumentRoot[ \t]|ProxyPreserveHost[ \t])",
    re.M | re.I,
)


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


@dataclass
class Found:
    """What a URL meets.

    Attributes:
        host: the virtual host; None for the main server.
        passing: what passes the request on.
    """

    tree: Tree
    host: Directive | None
    passing: Passing | None = None
    unsure: list[str] = field(default_factory=list)

    @property
    def scopes(self) -> list[Sequence[Directive]]:
        """The virtual host's directives, then the main server's."""
        return [*([self.host.block or ()] if self.host else []), self.tree.root]

    def effective(self, name: str) -> Directive | None:
        """The last directive of that name of the virtual host, else of the main server."""
        for scope in self.scopes:
            if own := [one for one in scope if one.name == name]:
                return own[-1]
        return None


class Passing(NamedTuple):
    """A ProxyPass, or a RewriteRule with [P].

    Attributes:
        url: where to, with what was put in.
        path: that the server sees; None if it is not known.
        parameters: `timeout=5` and so on, by name in lower case.
    """

    directive: Directive
    url: str
    path: str | None
    parameters: dict[str, str]
    location: Directive | None = None


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


@dataclass(frozen=True)
class Apache:
    """Reads httpd.conf or apache2.conf, or files that one of them includes."""

    software: str = "apache"

    def recognises(self, name: str, text: str) -> bool:
        """Its sections in angle brackets, and its own directives."""
        return bool(_OWN.search(text))

    def read(self, sources: Sources, files: Sequence[str]) -> Tree | None:
        """All directives; conditions on modules are decided by what is loaded."""
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

    def meets(self, tree: Tree, target: Target, version: tuple[int, ...] | None) -> Met | None:
        """The virtual host for this URL, and where it passes the request."""
        found = Found(tree, None)
        found.host = _host(tree, target, found.unsure)
        defects = list(_Walk(found, target, version).run())
        passing = found.passing
        place = passing.location or passing.directive if passing else found.host
        if place is None:
            place = next(iter(tree.root))
        if passing is not None and passing.location is None:
            words = " ".join((_spelled(passing.directive.name), *passing.directive.args[:1]))
        elif place is found.host or passing is not None:
            words = f"<{_spelled(place.name)} {' '.join(place.args)}>"
        else:
            words = "the main server"
        return Met(
            words.strip(),
            place.at,
            tuple(defects),
            tuple(limits(found)),
            tuple(dict.fromkeys(found.unsure)),
            found,
        )


_SPELLED: Final = {
    "virtualhost": "VirtualHost",
    "proxypass": "ProxyPass",
    "proxypassmatch": "ProxyPassMatch",
    "rewriterule": "RewriteRule",
    "location": "Location",
    "locationmatch": "LocationMatch",
}


def _spelled(name: str) -> str:
    return _SPELLED.get(name, name)


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


# -- the virtual host


def _host(tree: Tree, target: Target, unsure: list[str]) -> Directive | None:
    hosts = [one for one in tree.root if one.name == "virtualhost"]
    there = [one for one in hosts if any(_port(arg) in (target.port, None) for arg in one.args)]
    listens = {_port(one.args[0]) or 80 for one in tree.root if one.name == "listen" and one.args}
    if not there and hosts and target.port not in listens:
        alike = [one for one in hosts if _is_tls(one) == target.is_tls]
        there = alike or hosts
        if len(hosts) > 1:
            unsure.append(f"no virtual host has port {target.port}: the one was chosen by its name")
    for one in there:
        if any(_is_name(name, target.host.lower()) for name in _names(one)):
            return one
    return next(iter(there), None)


def _port(address: str) -> int | None:
    """The port of `*:443`; None if it says none, or `*`."""
    port = address.rpartition(":")[2]
    return int(port) if port.isascii() and port.isdigit() and len(port) < 6 else None


def _is_tls(host: Directive) -> bool:
    return any(one.args[:1] and one.args[0].lower() == "on" for one in host.all("sslengine"))


def _names(host: Directive) -> Iterator[str]:
    for one in host.all("servername", "serveralias"):
        for name in one.args:
            yield re.sub(r"^\w+://|:\d+$", "", name.lower())


def _is_name(pattern: str, host: str) -> bool:
    return fnmatchcase(host, pattern.replace("[", "[[]"))


# -- where a request goes


class _Walk:
    def __init__(self, found: Found, target: Target, version: tuple[int, ...] | None) -> None:
        self._found = found
        self._target = target
        self._version = version
        self._path = target.path
        self._block = found.host.block or () if found.host else found.tree.root

    def run(self) -> Iterator[Defect]:
        """What is wrong on the way, in its order."""
        locations = [one for one in self._block if one.name in _LOCATIONS and self._is_in(one)]
        answer = self._answer(locations)
        rewritten = self._rewrites()
        if isinstance(rewritten, Defect):
            yield rewritten
            return
        self._found.passing = rewritten or self._located(locations) or self._passed()
        if answer is not None:
            yield answer
            return
        if self._found.passing is None:
            redirect = self._redirect()
            place = self._found.host.at if self._found.host else next(iter(self._found.tree.root)).at
            yield redirect or Defect("route", "passes nothing on: no ProxyPass for this path", place)
            return
        yield from self._upgrade(self._found.passing)
        yield from self._headers(locations)
        yield from self._hostname(self._found.passing)
        yield from self._changed(self._found.passing)

    def _is_in(self, one: Directive) -> bool:
        args = list(one.args)
        is_pattern = one.name == "locationmatch"
        if args[:1] == ["~"]:
            is_pattern, args = True, args[1:]
        if not args:
            return False
        if is_pattern:
            return self._search(one, args[0], self._path) is not None
        prefix = args[0]
        if re.search(r"[*?\[]", prefix):
            return fnmatchcase(self._path, prefix)
        return _is_below(self._path, prefix)

    def _search(
        self, one: Directive, pattern: str, text: str, *, ignores_case: bool = False
    ) -> re.Match[str] | None:
        try:
            match: re.Match[str] | None = search(pattern, text, ignores_case=ignores_case)
        except UndecidedError as error:
            self._found.unsure.append(f"{one.at}: {error} cannot be decided here")
            return None
        return match

    def _answer(self, locations: Sequence[Directive]) -> Defect | None:
        for location in reversed(locations):
            required = [one for one in location.all("require") if one.args]
            for one in required:
                words = [word.lower() for word in one.args]
                if words[:2] == ["all", "denied"]:
                    return Defect(
                        "answer",
                        "'Require all denied' answers before any server is asked",
                        one.at,
                        status=403,
                    )
                if words[0] in ("valid-user", "user", "group"):
                    return Defect(
                        "answer", f"'Require {words[0]}' asks for a password first", one.at, status=401
                    )
                if words[0] in ("ip", "host", "local") and len(required) == 1:
                    line = f"'Require {' '.join(one.args)}' refuses all others"
                    return Defect("answer", line, one.at, status=403)
            for one in location.all("deny"):
                if [word.lower() for word in one.args[:2]] == ["from", "all"]:
                    return Defect(
                        "answer", "'Deny from all' answers before any server is asked", one.at, status=403
                    )
            if required:
                return None
        return None

    def _redirect(self) -> Defect | None:
        for one in self._block:
            if (
                one.name not in ("redirect", "redirectmatch", "redirectpermanent", "redirecttemp")
                or len(one.args) < 2
            ):
                continue
            status = {"redirectpermanent": 301}.get(one.name, 302)
            args = list(one.args)
            if args[0].isdigit() or args[0].lower() in _REDIRECTS:
                status = int(args[0]) if args[0].isdigit() else _REDIRECTS[args[0].lower()]
                args = args[1:]
            fits = (
                self._search(one, args[0], self._path)
                if one.name == "redirectmatch"
                else _is_below(self._path, args[0])
            )
            if fits:
                return Defect(
                    "answer",
                    f"'{one.name.title()} {' '.join(one.args)}' answers itself",
                    one.at,
                    status=status,
                )
        return None

    # -- mod_rewrite

    def _rewrites(self) -> Passing | Defect | None:
        if not any(
            one.args[:1] and one.args[0].lower() == "on" for one in self._block if one.name == "rewriteengine"
        ):
            return None
        conditions: list[Directive] = []
        for one in self._block:
            if one.name == "rewritecond":
                conditions.append(one)
            elif one.name == "rewriterule" and len(one.args) >= 2:
                done, conditions = self._rule(one, conditions), []
                if isinstance(done, str):
                    return None
                if done is not None:
                    return done
        return None

    def _rule(self, one: Directive, conditions: Sequence[Directive]) -> Passing | Defect | str | None:
        flags = {name.upper(): value for name, _, value in map(_flag, _flags(one))}
        pattern, negated = one.args[0].lstrip("!"), one.args[0].startswith("!")
        match = self._search(one, pattern, self._path, ignores_case="NC" in flags or "NOCASE" in flags)
        if bool(match) == negated:
            return None
        try:
            captured = self._all_hold(conditions)
            if captured is None:
                return None
            new = self._substituted(one.args[1], match, captured)
        except UndecidedError as error:
            self._found.unsure.append(f"RewriteRule in {one.at}: {error} is not known here")
            return None
        if flags.keys() & {"F", "FORBIDDEN"}:
            return Defect("answer", f"'{self._shown(one)}' answers itself", one.at, status=403)
        if flags.keys() & {"G", "GONE"}:
            return Defect("answer", f"'{self._shown(one)}' answers itself", one.at, status=410)
        if flags.keys() & {"R", "REDIRECT"} or (
            re.match(r"https?://", new) and not flags.keys() & {"P", "PROXY"}
        ):
            code = flags.get("R") or flags.get("REDIRECT") or "302"
            status = int(code) if code.isdigit() else _REDIRECTS.get(code.lower(), 302)
            return Defect("answer", f"'{self._shown(one)}' answers itself", one.at, status=status)
        if flags.keys() & {"P", "PROXY"}:
            path = re.sub(r"^\w+://[^/?]*", "", new).partition("?")[0] or "/"
            return Passing(one, new, path, {})
        if new != "-":
            self._path = new.partition("?")[0]
            if not self._path.startswith("/"):
                self._path = f"/{self._path}"
        return "last" if flags.keys() & {"L", "LAST", "END"} else None

    @staticmethod
    def _shown(one: Directive) -> str:
        return f"{_spelled(one.name)} {' '.join(one.args)}"[:120]

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
        value = self._value(one.args[0])
        pattern = one.args[1]
        negated, pattern = pattern.startswith("!"), pattern.removeprefix("!")
        if re.match(r"-[a-zA-Z]", pattern):
            raise UndecidedError(f"'{one.args[0]} {one.args[1]}'")
        if pattern.startswith("="):
            return (value == pattern[1:]) != negated
        caseless = bool({name.upper() for name, _, _ in map(_flag, _flags(one))} & {"NC", "NOCASE"})
        match: re.Match[str] | None = search(pattern, value, ignores_case=caseless)
        return (not match) if negated else match

    def _value(self, text: str) -> str:
        return re.sub(r"%\{([^}]+)\}", lambda match: self._variable(match[1]), text)

    def _variable(self, name: str) -> str:
        target, headers = self._target, handshake_headers(self._target)
        if name.upper().startswith("HTTP:"):
            key = name[5:].lower()
            if key in headers:
                return headers[key]
            raise UndecidedError(f"%{{{name}}}")
        known = {
            "REQUEST_URI": self._path,
            "REQUEST_METHOD": "GET",
            "QUERY_STRING": target.query,
            "HTTP_HOST": target.authority,
            "SERVER_NAME": target.host,
            "SERVER_PORT": str(target.port),
            "HTTPS": "on" if target.is_tls else "off",
            "REQUEST_SCHEME": "https" if target.is_tls else "http",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "THE_REQUEST": f"GET {target.target} HTTP/1.1",
            # Only the variables of the manual exist; %{HTTP_UPGRADE} is empty, %{HTTP:Upgrade} is meant.
            "HTTP_UPGRADE": "",
            "HTTP_CONNECTION": "",
        }
        if name.upper() not in known:
            raise UndecidedError(f"%{{{name}}}")
        return known[name.upper()]

    def _substituted(self, text: str, match: re.Match[str] | None, captured: re.Match[str] | bool) -> str:
        def group(of: re.Match[str] | bool | None, number: int) -> str:
            if of is None or isinstance(of, bool) or number > len(of.groups()):
                return ""
            return of[number] or ""

        text = re.sub(r"(?<!\\)\$(\d)", lambda one: group(match, int(one[1])), text)
        text = re.sub(r"(?<!\\)%(\d)", lambda one: group(captured, int(one[1])), text)
        return self._value(text)

    # -- ProxyPass

    def _located(self, locations: Sequence[Directive]) -> Passing | None:
        for location in reversed(locations):
            for one in location.all("proxypass"):
                if one.args:
                    prefix = location.args[-1]
                    return self._passing(one, prefix, one.args[0], one.args[1:], location)
        return None

    def _passed(self) -> Passing | None:
        for one in self._block:
            if one.name == "proxypass" and len(one.args) >= 2 and _is_below(self._path, one.args[0]):
                if one.args[1] == "!":
                    return None
                return self._passing(one, one.args[0], one.args[1], one.args[2:], None)
            if one.name == "proxypassmatch" and len(one.args) >= 2:
                match = self._search(one, one.args[0], self._path)
                if match and one.args[1] == "!":
                    return None
                if match:
                    url = _with_groups(one.args[1], match)
                    # Without a back-reference the whole path is appended.
                    path = _path_of(url) if "$" in one.args[1] else _path_of(url).rstrip("/") + self._path
                    return Passing(one, url, path, _parameters(one.args[2:]))
        return None

    def _passing(
        self, one: Directive, prefix: str, url: str, rest: Sequence[str], location: Directive | None
    ) -> Passing:
        path = _path_of(url) + self._path[len(prefix) :] if url.count("/") >= 3 else self._path[len(prefix) :]
        return Passing(one, url, path if path.startswith("/") else f"/{path}", _parameters(rest), location)

    # -- what is wrong

    def _shown_lines(self, file: str) -> Lines:
        return Lines(file, self._found.tree.sources.texts.get(file, ""))

    def _appended(self, one: Directive, text: str) -> tuple[Edit, ...]:
        lines = self._shown_lines(one.file)
        at = lines.start(one.last) + len(lines.get(one.last).rstrip())
        return (Edit(one.file, at, at, text),)

    def _into_host(self, line: str) -> tuple[Edit, ...]:
        """A new line at the beginning of the virtual host."""
        host = self._found.host
        if host is None:
            one = next(iter(self._found.tree.root))
            lines = self._shown_lines(one.file)
            return (lines.insert(one.line, line),)
        lines = self._shown_lines(host.file)
        first = next(iter(host.block or ()), None)
        indent = lines.indent(first.line) if first is not None and first.file == host.file else "    "
        return (lines.insert(host.last + 1, indent + line),)

    def _upgrade(self, passing: Passing) -> Iterator[Defect]:
        scheme = passing.url.partition("://")[0].lower()
        one = passing.directive
        old = self._version is not None and self._version < _UPGRADE_PARAMETER
        modules = self._found.tree.modules
        if scheme in ("h2", "h2c"):
            url = re.sub(
                r"^h2c?://", lambda match: "https://" if match[0] == "h2://" else "http://", passing.url
            )
            words = f"'{passing.url}' is HTTP/2 to the server, which has no upgrade"
            yield Defect("h2", words, one.at, self._replaced(one, passing.url, f"{url} upgrade=websocket"))
        elif scheme in ("fcgi", "ajp", "scgi", "uwsgi"):
            yield Defect("upgrade", f"{scheme}:// cannot carry an upgrade", one.at)
        elif scheme in ("ws", "wss"):
            if modules and "proxy_wstunnel" not in modules and (old or "proxy_http" not in modules):
                words = "mod_proxy_wstunnel is not loaded, so nothing handles ws://"
                yield Defect("answer", words, one.at, status=500, advice="a2enmod proxy_wstunnel")
        elif scheme == "balancer":
            yield from self._balanced(passing)
        elif passing.parameters.get("upgrade", "").lower() not in ("websocket", "any"):
            yield self._no_upgrade(passing, old)
        for name in ("force-proxy-request-1.0", "proxy-nokeepalive"):
            if (found := self._environment(name)) is not None and name.startswith("force"):
                yield Defect(
                    "upgrade",
                    f"'SetEnv {name}' makes it HTTP/1.0 to the server",
                    found.at,
                    self._removed(found),
                )

    def _no_upgrade(self, passing: Passing, old: bool) -> Defect:
        one = passing.directive
        if one.name == "rewriterule":
            url = re.sub(r"^http", "ws", one.args[1])
            words = f"'{self._shown(one)}' passes it to http://, which carries no upgrade"
            return Defect("upgrade", words, one.at, self._replaced(one, one.args[1], url))
        if old:
            url = re.sub(r"^http", "ws", passing.url)
            words = f"'{self._shown(one)}' carries no upgrade; before 2.4.47 that takes ws://"
            return Defect("upgrade", words, one.at, self._replaced(one, passing.url, url))
        words = f"'{self._shown(one)}' carries no upgrade without upgrade=websocket"
        advice = (
            ""
            if self._version
            else "needs httpd 2.4.47; before that: ws:// instead of http://, and mod_proxy_wstunnel"
        )
        return Defect("upgrade", words, one.at, self._appended(one, " upgrade=websocket"), advice=advice)

    def _balanced(self, passing: Passing) -> Iterator[Defect]:
        name = re.match(r"balancer://[^/]+", passing.url)
        members = [
            member
            for scope in self._found.scopes
            for proxy in scope
            if proxy.name == "proxy" and proxy.args and name and proxy.args[0].rstrip("/").startswith(name[0])
            for member in proxy.all("balancermember")
            if member.args
        ]
        plain = [
            one
            for one in members
            if one.args[0].startswith("http")
            and _parameters(one.args[1:]).get("upgrade", "").lower() not in ("websocket", "any")
        ]
        if plain and passing.parameters.get("upgrade", "").lower() not in ("websocket", "any"):
            words = f"'BalancerMember {plain[0].args[0]}' carries no upgrade without upgrade=websocket"
            edits = tuple(edit for one in plain for edit in self._appended(one, " upgrade=websocket"))
            yield Defect("upgrade", words, plain[0].at, edits)

    def _replaced(self, one: Directive, old: str, new: str) -> tuple[Edit, ...]:
        lines = self._shown_lines(one.file)
        start = lines.start(one.line)
        at = lines.text.find(old, start, lines.start(one.last + 1))
        return (Edit(one.file, at, at + len(old), new),) if at >= 0 else ()

    def _removed(self, one: Directive) -> tuple[Edit, ...]:
        lines = self._shown_lines(one.file)
        return (Edit(one.file, lines.start(one.line), lines.start(one.last + 1), ""),)

    def _environment(self, name: str) -> Directive | None:
        for scope in self._found.scopes:
            for one in scope:
                if one.name == "setenv" and one.args[:1] == (name,) and one.args[1:2] not in (("0",), ()):
                    return one
        return None

    def _headers(self, locations: Sequence[Directive]) -> Iterator[Defect]:
        for scope in [*self._found.scopes, *(one.block or () for one in locations)]:
            for one in scope:
                if one.name != "requestheader" or len(one.args) < 2:
                    continue
                args = one.args[1:] if one.args[0].lower() == "early" else one.args
                action, name, value = args[0].lower(), args[1], args[2] if len(args) > 2 else ""
                kind = kind_of_header(name)
                if (
                    kind is None
                    or action not in ("unset", "set", "edit", "edit*")
                    or "expr=" in " ".join(args)
                ):
                    continue
                if action == "set" and (
                    "%{" in value
                    or value.lower() == handshake_headers(self._target).get(name.lower(), "\0").lower()
                ):
                    continue
                words = f"'RequestHeader {action} {name}' {'removes' if action == 'unset' else 'changes'} it"
                yield Defect(kind, words, one.at, self._removed(one))

    def _hostname(self, passing: Passing) -> Iterator[Defect]:
        preserve = next(
            (one for one in (passing.location.all("proxypreservehost") if passing.location else ())), None
        )
        preserve = preserve or self._found.effective("proxypreservehost")
        if preserve is not None and preserve.args[:1] and preserve.args[0].lower() == "on":
            return
        if preserve is None:
            words = "no 'ProxyPreserveHost On': the server gets the name in the URL that it is passed to"
            yield Defect("host", words, passing.directive.at, self._into_host("ProxyPreserveHost On"))
        else:
            words = (
                f"'ProxyPreserveHost {' '.join(preserve.args)}': the server does not get the client's Host"
            )
            lines = self._shown_lines(preserve.file)
            mended = lines.replace(preserve.line, f"{lines.indent(preserve.line)}ProxyPreserveHost On")
            yield Defect("host", words, preserve.at, (mended,))

    def _changed(self, passing: Passing) -> Iterator[Defect]:
        if passing.path is not None and passing.path != self._target.path and "balancer" not in passing.url:
            one = passing.directive
            words = f"'{self._shown(one)}' makes {self._target.path} into {passing.path}"
            edits: tuple[Edit, ...] = ()
            prefix = passing.location.args[-1] if passing.location else one.args[0]
            if one.name == "proxypass" and self._path == self._target.path:
                authority = re.match(r"\w+://[^/]+", passing.url)
                edits = self._replaced(one, passing.url, authority[0] + prefix) if authority else ()
            yield Defect("path", words, one.at, edits)


_REDIRECTS: Final = {"permanent": 301, "temp": 302, "seeother": 303, "gone": 410}


def _with_groups(text: str, match: re.Match[str]) -> str:
    """`$1` and so on, put in."""
    groups = [match[0], *match.groups()]
    return re.sub(
        r"\$(\d)", lambda one: (groups[int(one[1])] if int(one[1]) < len(groups) else "") or "", text
    )


def _is_below(path: str, prefix: str) -> bool:
    """As mod_proxy's alias_match: `/ws` fits `/ws` and `/ws/x`, not `/wsx`."""
    if not path.startswith(prefix):
        return False
    return prefix.endswith("/") or len(path) == len(prefix) or path[len(prefix)] == "/"


def _path_of(url: str) -> str:
    return re.sub(r"^\w+://[^/?]*", "", url).partition("?")[0]


def _parameters(words: Sequence[str]) -> dict[str, str]:
    pairs = (one.partition("=") for one in words)
    return {name.lower(): value for name, _, value in pairs}


def _flags(one: Directive) -> list[str]:
    text = one.args[2] if len(one.args) > 2 else ""
    return [each.strip() for each in text.strip("[]").split(",") if each.strip()]


def _flag(text: str) -> tuple[str, str, str]:
    return text.partition("=")


def limits(found: Found) -> Iterator[Defect]:
    """How long a tunnel may be idle, and an answer may take: the longer of both sides' timeouts."""
    passing = found.passing
    if passing is None:
        return
    own = passing.parameters.get("timeout")
    proxy = found.effective("proxytimeout")
    general = found.effective("timeout")
    base = seconds_of(general.args[0]) if general and general.args else _DEFAULT_TIMEOUT
    behind = seconds_of(own) if own else seconds_of(proxy.args[0]) if proxy and proxy.args else base
    if base is None or behind is None:
        return
    at = passing.directive if own else proxy or general or passing.directive
    shown = (
        f"timeout={own}"
        if own
        else " ".join((_TIMEOUTS.get(at.name, at.name), *at.args))
        if at is not passing.directive
        else ""
    )
    words = f"'{shown}'" if shown else "no 'ProxyTimeout': the default of 'Timeout', 60 s, holds"
    walk = _Walk(found, _NOWHERE, None)
    if own:
        mended = walk._replaced(passing.directive, f"timeout={own}", f"timeout={RAISED_SECONDS}")
    elif proxy is not None:
        lines = Lines(proxy.file, found.tree.sources.texts.get(proxy.file, ""))
        mended = (lines.replace(proxy.line, f"{lines.indent(proxy.line)}ProxyTimeout {RAISED_SECONDS}"),)
    else:
        mended = walk._into_host(f"ProxyTimeout {RAISED_SECONDS}")
    yield Defect("idle", f"{words}: silence for that long ends it", at.at, mended, max(base, behind))
    yield Defect("handshake", f"{words}: how long the server has to answer", at.at, mended, behind)


_TIMEOUTS: Final = {"timeout": "Timeout", "proxytimeout": "ProxyTimeout"}
_NOWHERE: Final = Target("ws", "localhost", 80, "/")
