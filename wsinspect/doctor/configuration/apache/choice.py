"""Which virtual host of an Apache httpd a URL meets, and where its request goes, by httpd's own rules.

What mod_rewrite does in a virtual host is followed as far as the variables of a handshake are known; it
comes before ProxyPass (mod_proxy's translate hook), and the first ProxyPass that fits wins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from wsinspect.doctor.configuration.apache.tree import Directive, Tree, shown
from wsinspect.doctor.configuration.model import Defect, handshake_headers
from wsinspect.doctor.configuration.patterns import UndecidedError, search
from wsinspect.doctor.target import Target

_LOCATIONS: Final = ("location", "locationmatch")
_REDIRECTS: Final = {"permanent": 301, "temp": 302, "seeother": 303, "gone": 410}


@dataclass
class Found:
    """What a URL meets.

    Attributes:
        host: the virtual host; None for the main server.
        passing: what passes the request on.
        locations: the sections of the virtual host that hold for it.
        path: what mod_rewrite has made of its path.
    """

    tree: Tree
    host: Directive | None
    passing: Passing | None = None
    locations: Sequence[Directive] = ()
    path: str = "/"
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


def meets(tree: Tree, target: Target) -> tuple[Found, Defect | None]:
    """What a URL meets, and what answers its request before any server is asked."""
    found = Found(tree, None)
    found.host = _host(tree, target, found.unsure)
    return found, _Walk(found, target).run()


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
    def __init__(self, found: Found, target: Target) -> None:
        self._found = found
        self._target = target
        self._path = target.path
        self._block = found.host.block or () if found.host else found.tree.root

    def run(self) -> Defect | None:
        """What answers by itself, or that nothing passes the request on.

        The rest is noted in what was found.
        """
        locations = [one for one in self._block if one.name in _LOCATIONS and self._is_in(one)]
        answer = self._answer(locations)
        rewritten = self._rewrites()
        self._found.locations, self._found.path = locations, self._path
        if isinstance(rewritten, Defect):
            return rewritten
        self._found.passing = rewritten or self._located(locations) or self._passed()
        if answer is not None:
            return answer
        if self._found.passing is None:
            redirect = self._redirect()
            place = self._found.host.at if self._found.host else next(iter(self._found.tree.root)).at
            return redirect or Defect("route", "passes nothing on: no ProxyPass for this path", place)
        return None

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
            return Defect("answer", f"'{shown(one)}' answers itself", one.at, status=403)
        if flags.keys() & {"G", "GONE"}:
            return Defect("answer", f"'{shown(one)}' answers itself", one.at, status=410)
        if flags.keys() & {"R", "REDIRECT"} or (
            re.match(r"https?://", new) and not flags.keys() & {"P", "PROXY"}
        ):
            code = flags.get("R") or flags.get("REDIRECT") or "302"
            status = int(code) if code.isdigit() else _REDIRECTS.get(code.lower(), 302)
            return Defect("answer", f"'{shown(one)}' answers itself", one.at, status=status)
        if flags.keys() & {"P", "PROXY"}:
            path = re.sub(r"^\w+://[^/?]*", "", new).partition("?")[0] or "/"
            return Passing(one, new, path, {})
        if new != "-":
            self._path = new.partition("?")[0]
            if not self._path.startswith("/"):
                self._path = f"/{self._path}"
        return "last" if flags.keys() & {"L", "LAST", "END"} else None

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
                    return Passing(one, url, path, parameters_of(one.args[2:]))
        return None

    def _passing(
        self, one: Directive, prefix: str, url: str, rest: Sequence[str], location: Directive | None
    ) -> Passing:
        path = _path_of(url) + self._path[len(prefix) :] if url.count("/") >= 3 else self._path[len(prefix) :]
        return Passing(one, url, path if path.startswith("/") else f"/{path}", parameters_of(rest), location)


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


def parameters_of(words: Sequence[str]) -> dict[str, str]:
    """The `timeout=5` and so on behind a URL, by name in lower case."""
    pairs = (one.partition("=") for one in words)
    return {name.lower(): value for name, _, value in pairs}


def _flags(one: Directive) -> list[str]:
    text = one.args[2] if len(one.args) > 2 else ""
    return [each.strip() for each in text.strip("[]").split(",") if each.strip()]


def _flag(text: str) -> tuple[str, str, str]:
    return text.partition("=")
