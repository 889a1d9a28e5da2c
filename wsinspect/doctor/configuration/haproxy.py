"""HAProxy: the frontend, the backend and the timeouts that a URL meets.

ACLs are evaluated as far as a handshake decides them: method, path, query, headers, TLS, the port. Maps,
files,
variables and addresses of clients are not known here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
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

_SECTIONS: Final = frozenset(
    (
        *("global", "defaults", "frontend", "backend", "listen", "userlist", "peers", "resolvers", "mailers"),
        *(
            "cache",
            "program",
            "ring",
            "http-errors",
            "log-forward",
            "fcgi-app",
            "crt-list",
            "traces",
            "crt-store",
        ),
    )
)
_PROXIES: Final = ("frontend", "backend", "listen")
_SECTION: Final = re.compile(
    r"^(?:frontend|backend|listen)[ \t]+\S+|^defaults\b[^;{]*$|^global[ \t]*(?:#.*)?$", re.M
)
_OWN: Final = re.compile(
    r"^[ \t]*(?:bind|server|default_backend|use_backend|timeout \w+|mode (?:http|tcp)"
    r"|option \w+|balance)\b[^;{]*$",
    re.M,
)
_UNITS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "": 1e-3}
_ANSWERS: Final = {"deny": 403, "return": 200, "tarpit": 500, "auth": 401, "redirect": 302}
#: Statuses are written as `deny_status 404`, `status 404` and `code 301`.
_STATUS_WORDS: Final = ("deny_status", "status", "code")
_MAX_WORDS: Final = 512


class Line(NamedTuple):
    """One line of a section."""

    words: tuple[str, ...]
    file: str
    line: int

    @property
    def at(self) -> Place:
        """File and number of the line."""
        return Place(self.file, self.line)

    @property
    def text(self) -> str:
        """Its words with one blank in between."""
        return " ".join(self.words)


@dataclass(eq=False)
class Section:
    """`frontend web`, and the lines below it.

    Attributes:
        defaults: the section whose lines it inherits.
    """

    head: Line
    lines: list[Line] = field(default_factory=list)
    defaults: Section | None = None

    @property
    def kind(self) -> str:
        """`frontend`, `backend`, `listen`, `defaults` and so on."""
        return self.head.words[0]

    @property
    def name(self) -> str:
        """What it is called; empty for those without a name."""
        return self.head.words[1] if len(self.head.words) > 1 else ""

    def all(self, *first: str) -> Iterator[Line]:
        """Its own lines that begin with these words."""
        return (one for one in self.lines if one.words[: len(first)] == first)

    def effective(self, *first: str) -> Line | None:
        """The last such line of its own, else of its defaults."""
        own = list(self.all(*first))
        if own:
            return own[-1]
        return None if self.defaults is None else self.defaults.effective(*first)


class Tree(NamedTuple):
    """All sections of all files, in their order."""

    sections: tuple[Section, ...]
    sources: Sources

    def named(self, name: str) -> Section | None:
        """The backend of that name."""
        return next(
            (one for one in self.sections if one.kind in ("backend", "listen") and one.name == name), None
        )

    @property
    def end(self) -> Section | None:
        """The `global` section, where there is one."""
        return next((one for one in self.sections if one.kind == "global"), None)


@dataclass
class Found:
    """What a URL meets.

    Attributes:
        frontend: where it comes in; a `listen` is its backend, too.
        backend: where it goes on to; None if it is answered before, or nobody knows.
    """

    tree: Tree
    frontend: Section
    backend: Section | None = None
    unsure: list[str] = field(default_factory=list)


def words_of(text: str) -> tuple[str, ...]:
    """A line in words, by HAProxy's quoting; a comment ends it."""
    found: list[str] = []
    word: list[str] = []
    quote, started, at = "", False, 0
    while at < len(text) and len(found) < _MAX_WORDS:
        char = text[at]
        if char == "\\" and quote != "'" and at + 1 < len(text):
            word.append(text[at + 1])
            started, at = True, at + 1
        elif quote:
            if char == quote:
                quote = ""
            else:
                word.append(char)
        elif char in "\"'":
            quote, started = char, True
        elif char == "#":
            break
        elif char.isspace():
            if started or word:
                found.append("".join(word))
            word, started = [], False
        else:
            word.append(char)
        at += 1
    if started or word:
        found.append("".join(word))
    return tuple(found)


def seconds_of(text: str) -> float | None:
    """A time as HAProxy writes it: `30s`, `500` (milliseconds); None if it is none."""
    parts = re.fullmatch(r"(\d{1,12})(us|ms|s|m|h|d|)", text)
    return int(parts[1]) * _UNITS[parts[2]] if parts else None


@dataclass(frozen=True)
class HAProxy:
    """Reads haproxy.cfg, or several files that are given to HAProxy together."""

    software: str = "haproxy"

    def recognises(self, name: str, text: str) -> bool:
        """A section at the beginning of a line, and its own keywords."""
        return bool(_SECTION.search(text) and _OWN.search(text))

    def read(self, sources: Sources, files: Sequence[str]) -> Tree | None:
        """All sections; a `defaults` holds for those behind it."""
        sections: list[Section] = []
        defaults: Section | None = None
        for file in files:
            for number, raw in enumerate((sources.text(file) or "").split("\n"), 1):
                words = words_of(raw)
                if not words:
                    continue
                line = Line(words, file, number)
                if words[0] in _SECTIONS and not raw[:1].isspace():
                    section = Section(line, defaults=_inherited(line, sections, defaults))
                    defaults = section if words[0] == "defaults" else defaults
                    sections.append(section)
                elif words[0].startswith("."):
                    sources.problem(str(line.at), f"{words[0]}: what it depends on is not known here")
                elif sections:
                    sections[-1].lines.append(line)
        return Tree(tuple(sections), sources) if any(one.kind in _PROXIES for one in sections) else None

    def meets(self, tree: Tree, target: Target, version: tuple[int, ...] | None) -> Met | None:
        """The backend that the frontend for this URL picks, and what both do to a handshake."""
        unsure: list[str] = []
        frontend = _frontend(tree, target, unsure)
        if frontend is None:
            return None
        found = Found(tree, frontend, unsure=unsure)
        defects = list(_Walk(found, target).run())
        place = found.backend or frontend
        return Met(
            f"{place.kind} {place.name}".strip(),
            place.head.at,
            tuple(defects),
            tuple(limits(found)),
            tuple(dict.fromkeys(found.unsure)),
            found,
        )


def _inherited(line: Line, sections: Sequence[Section], defaults: Section | None) -> Section | None:
    if line.words[0] == "global":
        return None
    if "from" in line.words[1:-1]:
        name = line.words[line.words.index("from") + 1]
        return next((one for one in sections if one.kind == "defaults" and one.name == name), defaults)
    return None if line.words[0] == "defaults" else defaults


def _frontend(tree: Tree, target: Target, unsure: list[str]) -> Section | None:
    all_of = [one for one in tree.sections if one.kind in ("frontend", "listen")]
    fitting = [one for one in all_of if any(target.port in _ports(bind) for bind in one.all("bind"))]
    if fitting:
        return fitting[0]
    alike = [one for one in all_of if any(("ssl" in bind.words) == target.is_tls for bind in one.all("bind"))]
    if len(all_of) > 1:
        unsure.append(f"no frontend binds port {target.port}: the first for this scheme was taken")
    return next(iter(alike or all_of), None)


def _ports(bind: Line) -> range | tuple[int, ...]:
    ports: list[int] = []
    for one in bind.words[1].split(",") if len(bind.words) > 1 else ():
        match = re.search(r":(\d{1,5})(?:-(\d{1,5}))?$", one)
        if match:
            ports += range(int(match[1]), min(int(match[2] or match[1]), 65535) + 1)
    return tuple(ports)


# -- ACLs


class _Walk:
    """A request on its way through a frontend and a backend."""

    def __init__(self, found: Found, target: Target) -> None:
        self._found = found
        self._target = target
        self._path = target.path
        self._headers = handshake_headers(target)

    def run(self) -> Iterator[Defect]:
        """What is wrong on the way, in its order."""
        found, frontend = self._found, self._found.frontend
        if _mode(frontend) == "tcp":
            found.backend = self._backend(frontend)
            return
        for one in self._rules(frontend):
            yield one
            if one.kind == "answer":
                return
        found.backend = self._backend(frontend)
        if found.backend is None:
            if not any("use_backend" in one for one in found.unsure):
                words = f"{frontend.kind} {frontend.name} has no backend for this URL, and answers 503"
                yield Defect("answer", words, frontend.head.at, status=503)
            return
        if found.backend is not frontend:
            yield from self._rules(found.backend)
        yield from self._servers(found.backend)

    def _backend(self, frontend: Section) -> Section | None:
        for line in self._lines(frontend, "use_backend"):
            name = line.words[1] if len(line.words) > 1 else ""
            if not self._holds(line, frontend):
                continue
            if "%[" in name:
                self._unsure(line, f"which backend {name} is")
                return None
            return self._found.tree.named(name)
        default = frontend.effective("default_backend")
        if default is not None and len(default.words) > 1:
            return self._found.tree.named(default.words[1])
        return frontend if frontend.kind == "listen" else None

    def _lines(self, section: Section, *first: str) -> Iterator[Line]:
        if section.defaults is not None:
            yield from section.defaults.all(*first)
        yield from section.all(*first)

    def _unsure(self, line: Line, words: str) -> None:
        self._found.unsure.append(f"'{line.words[0]}' in {line.at}: {words} is not known here")

    def _holds(self, line: Line, section: Section) -> bool:
        """Whether a line's condition holds; what is not known is said, and taken for no."""
        try:
            return self._condition(line.words, section)
        except UndecidedError as error:
            self._unsure(line, str(error))
            return False

    def _condition(self, words: Sequence[str], section: Section) -> bool:
        at = next((index for index, one in enumerate(words) if one in ("if", "unless")), None)
        if at is None:
            return True
        wanted = words[at] == "if"
        return self._any(words[at + 1 :], section) == wanted

    def _any(self, words: Sequence[str], section: Section) -> bool:
        terms: list[list[str]] = [[]]
        for one in words:
            if one in ("or", "||"):
                terms.append([])
            else:
                terms[-1].append(one)
        unknown: UndecidedError | None = None
        for term in terms:
            try:
                if self._every(term, section):
                    return True
            except UndecidedError as error:
                unknown = error
        if unknown is not None:
            raise unknown
        return False

    def _every(self, words: Sequence[str], section: Section) -> bool:
        at, unknown = 0, None
        while at < len(words):
            word, negated = words[at], False
            if word.startswith("!"):
                word, negated = word[1:], True
                if not word:
                    at += 1
                    word = words[at] if at < len(words) else ""
            test: Sequence[str] | None = None
            if word == "{":
                end = next((index for index in range(at, len(words)) if words[index] == "}"), len(words))
                test, at = words[at + 1 : end], end
            try:
                if (self._named(word, section) if test is None else self._test(test)) == negated:
                    return False
            except UndecidedError as error:
                unknown = error
            at += 1
        if unknown is not None:
            raise unknown
        return True

    def _named(self, name: str, section: Section) -> bool:
        known = {
            "TRUE": True,
            "FALSE": False,
            "METH_GET": True,
            "HTTP": True,
            "HTTP_1.1": True,
            "HTTP_1.0": False,
        }
        known |= {"METH_POST": False, "METH_OPTIONS": False, "METH_HEAD": False, "HTTP_CONTENT": False}
        if name in known:
            return known[name]
        tests = [one for one in self._lines(section, "acl") if len(one.words) > 2 and one.words[1] == name]
        if not tests:
            raise UndecidedError(f"acl {name}")
        unknown = None
        for one in tests:
            try:
                if self._test(one.words[2:]):
                    return True
            except UndecidedError as error:
                unknown = error
        if unknown is not None:
            raise unknown
        return False

    def _test(self, words: Sequence[str]) -> bool:
        """One test: what is looked at, how, and with what."""
        if not words:
            raise UndecidedError("an empty condition")
        fetch, *rest = words
        ignores_case, method = False, ""
        while rest and rest[0].startswith("-") and rest[0] != "--":
            flag = rest.pop(0)
            if flag == "-i":
                ignores_case = True
            elif flag == "-m" and rest:
                method = rest.pop(0)
            else:
                raise UndecidedError(f"'{' '.join(words)}'")
        if rest[:1] == ["--"]:
            rest.pop(0)
        values = self._fetch(fetch)
        name = fetch.split("(")[0].split(",")[0]
        if isinstance(values, bool):
            return values
        how = method or next(
            (one for one in _METHODS if name.endswith(f"_{one}")), "int" if name.endswith("_cnt") else "str"
        )
        if how == "found":
            return bool(values)
        if how not in _METHODS and how != "int":
            raise UndecidedError(f"'{' '.join(words)}'")
        return any(_compare(how, value, pattern, ignores_case) for value in values for pattern in rest)

    def _fetch(self, fetch: str) -> list[str] | bool:
        name, _, converters = fetch.partition(",")
        if "(" in name and ")" not in name:
            name, converters = fetch, ""
        match = re.fullmatch(r"([\w.]+?)(?:\(([^)]*)\))?(?:,(.*))?", fetch)
        if match is None:
            raise UndecidedError(fetch)
        base, argument, converters = match[1], (match[2] or "").split(",")[0].strip(), match[3] or ""
        base = re.sub(r"^(req\.|capture\.req\.)", "", base)
        for one in _METHODS:
            base = base.removesuffix(f"_{one}")
        if base in ("ssl_fc", "ssl_fc_has_sni"):
            return self._target.is_tls
        if base in ("always_true", "always_false"):
            return base == "always_true"
        values = self._values(base, argument)
        if values is None:
            raise UndecidedError(fetch)
        for one in filter(None, converters.split(",")):
            if one not in ("lower", "upper"):
                raise UndecidedError(fetch)
            values = [value.lower() if one == "lower" else value.upper() for value in values]
        return values

    def _values(self, base: str, argument: str) -> list[str] | None:
        target, host = self._target, self._headers["host"]
        known = {
            "path": self._path,
            "pathq": target.target,
            "url": target.target,
            "uri": target.target,
            "base": host + self._path,
            "query": target.query,
            "method": "GET",
            "ver": "1.1",
            "dst_port": str(target.port),
            "ssl_fc_sni": target.host,
        }
        if base in known:
            return [known[base]] if known[base] or base != "query" else []
        if base in ("hdr", "fhdr"):
            value = self._headers.get(argument.lower())
            if value is None and argument.lower() not in _NEVER_SENT:
                return None
            return [] if value is None else [value]
        if base in ("hdr_cnt", "fhdr_cnt"):
            return [str(int(argument.lower() in self._headers))]
        if base in ("urlp", "url_param"):
            pairs = [one.partition("=") for one in target.query.split("&")]
            return [value for name, _, value in pairs if name == argument]
        return None

    # -- rules

    def _rules(self, section: Section) -> Iterator[Defect]:
        for line in [*self._lines(section, "http-request"), *self._lines(section, "redirect")]:
            if len(line.words) < 2:
                continue
            action = line.words[0] if line.words[0] == "redirect" else line.words[1]
            defect = self._rule(line, action)
            if defect is not None and self._holds(line, section):
                yield defect
                if defect.kind == "answer":
                    return
            elif action in _PATHS and self._holds(line, section):
                yield from self._path_rule(line, action)
        for line in self._lines(section, "http-response"):
            header = line.words[2] if len(line.words) > 2 else ""
            is_upgrade = header.lower() in ("upgrade", "connection", "sec-websocket-accept")
            if line.words[1:2] == ("del-header",) and is_upgrade and not self._is_about_others(line):
                yield Defect("response", f"'{line.text}' spoils the 101", line.at, self._without(line))

    def _is_about_others(self, line: Line) -> bool:
        """A condition of a response is decided by the response."""
        return "if" in line.words or "unless" in line.words

    def _rule(self, line: Line, action: str) -> Defect | None:
        if action in _ANSWERS:
            status = _ANSWERS[action]
            for word in _STATUS_WORDS:
                if word in line.words[:-1]:
                    text = line.words[line.words.index(word) + 1]
                    status = int(text) if text.isdigit() else status
            return Defect(
                "answer", f"'{line.text}' answers before any server is asked", line.at, status=status
            )
        if action in ("del-header", "set-header", "replace-header", "replace-value") and len(line.words) > 2:
            name = line.words[2]
            kind = kind_of_header(name)
            if kind is None or (action != "del-header" and self._keeps(line, name)):
                return None
            does = "removes it" if action == "del-header" else "changes it"
            return Defect(kind, f"'{line.text}' {does} ({name})", line.at, self._without(line))
        return None

    def _keeps(self, line: Line, name: str) -> bool:
        """Whether a header gets what it has already, or what nobody knows here."""
        value = line.words[3] if len(line.words) > 3 else ""
        return "%" in value or value.lower() == self._headers.get(name.lower(), "\0").lower()

    def _path_rule(self, line: Line, action: str) -> Iterator[Defect]:
        before = self._path
        if action.startswith("replace-") and len(line.words) > 3:
            match = search(line.words[2], self._path)
            if match:
                groups = [match[0], *(one or "" for one in match.groups())]
                new = re.sub(
                    r"\\(\d)",
                    lambda one: groups[int(one[1])] if int(one[1]) < len(groups) else "",
                    line.words[3],
                )
                self._path = self._path[: match.start()] + new + self._path[match.end() :]
        elif action == "set-path" and len(line.words) > 2:
            known = re.sub(r"%\[path,regsub\(\^?([^,]*?)(?:/\?)?,([^,)]*)\)\]", "", line.words[2])
            strip = re.fullmatch(r"%\[path,regsub\(\^([\w/.-]+?)/?,([\w/]*)(?:,\w*)?\)\]", line.words[2])
            if strip is not None and self._path.startswith(strip[1]):
                self._path = strip[2] + self._path[len(strip[1]) :]
            elif "%" in known:
                self._unsure(line, line.words[2])
            elif not strip:
                self._path = line.words[2]
        if self._path != before:
            words = f"'{line.text}' makes {before} into {self._path}"
            yield Defect("path", words, line.at, self._without(line))

    def _servers(self, backend: Section) -> Iterator[Defect]:
        for line in backend.all("server"):
            words = line.words[2:]
            alpn = words[words.index("alpn") + 1] if "alpn" in words[:-1] else ""
            proto = words[words.index("proto") + 1] if "proto" in words[:-1] else ""
            own = words[words.index("ws") + 1] if "ws" in words[:-1] else ""
            if own != "h1" and (proto == "h2" or "h2" in alpn.split(",")):
                shown = "proto h2" if proto == "h2" else f"alpn {alpn}"
                lines = self._shown(line.file)
                text = lines.get(line.line)
                at = lines.start(line.line) + len(text.split("#", 1)[0].rstrip())
                mended = (Edit(line.file, at, at, " ws h1"),) if not own else ()
                words_of_it = (
                    f"'{shown}' on server {line.words[1]}: WebSockets go over HTTP/2, which it may not accept"
                )
                yield Defect("h2", words_of_it, line.at, mended)

    def _shown(self, file: str) -> Lines:
        return Lines(file, self._found.tree.sources.texts.get(file, ""))

    def _without(self, line: Line) -> tuple[Edit, ...]:
        return (self._shown(line.file).replace(line.line),)


_PATHS: Final = ("set-path", "replace-path", "set-uri", "replace-uri", "set-pathq", "replace-pathq")
_METHODS: Final = ("beg", "end", "sub", "dir", "dom", "reg", "str")
#: Headers that no browser's handshake has.
_NEVER_SENT: Final = frozenset(
    ("content-length", "content-type", "transfer-encoding", "x-requested-with", "range")
)


def _compare(how: str, value: str, pattern: str, ignores_case: bool) -> bool:
    if how == "reg":
        return bool(search(pattern, value, ignores_case=ignores_case))
    if ignores_case:
        value, pattern = value.lower(), pattern.lower()
    checks: dict[str, Callable[[], bool]] = {
        "str": lambda: value == pattern,
        "beg": lambda: value.startswith(pattern),
        "end": lambda: value.endswith(pattern),
        "sub": lambda: pattern in value,
        "dir": lambda: f"/{pattern.strip('/')}/" in f"/{value.strip('/')}/",
        "dom": lambda: f".{pattern.strip('.')}." in f".{value.split(':')[0].strip('.')}.",
        "int": lambda: value == pattern,
    }
    return checks[how]()


def _mode(section: Section) -> str:
    line = section.effective("mode")
    return line.words[1] if line is not None and len(line.words) > 1 else "tcp"


# -- timeouts


def limits(found: Found) -> Iterator[Defect]:
    """How long a connection may be idle, and an answer may take."""
    backend = found.backend
    if backend is None:
        return
    tunnel = backend.effective("timeout", "tunnel")
    shown = Lines(backend.head.file, found.tree.sources.texts.get(backend.head.file, ""))
    line = f"timeout tunnel {RAISED_SECONDS // 3600}h"
    if tunnel is not None:
        seconds = _limit(tunnel)
        if seconds is not None:
            own = Lines(tunnel.file, found.tree.sources.texts.get(tunnel.file, ""))
            mended = own.replace(tunnel.line, own.indent(tunnel.line) + line)
            yield Defect(
                "idle", f"'{tunnel.text}': silence for that long ends it", tunnel.at, (mended,), seconds
            )
    else:
        mended = shown.insert(backend.head.line + 1, f"{_indent(backend, shown)}{line}")
        for section, side in ((found.frontend, "client"), (backend, "server")):
            one = section.effective("timeout", side)
            seconds = None if one is None else _limit(one)
            if one is not None and seconds is not None:
                words = f"'{one.text}' ends a silent WebSocket, too: there is no 'timeout tunnel'"
                yield Defect("idle", words, one.at, (mended,), seconds)
    for name, words in (
        ("server", "how long the server has to answer"),
        ("connect", "how long connecting may take"),
    ):
        one = backend.effective("timeout", name)
        seconds = None if one is None else _limit(one)
        if one is not None and seconds is not None:
            own = Lines(one.file, found.tree.sources.texts.get(one.file, ""))
            raised = own.replace(
                one.line, f"{own.indent(one.line)}timeout {name} {max(2, round(seconds * 4))}s"
            )
            yield Defect("handshake", f"'{one.text}': {words}", one.at, (raised,), seconds)
    hard = None if found.tree.end is None else next(found.tree.end.all("hard-stop-after"), None)
    if hard is not None and len(hard.words) > 1:
        words = f"'{hard.text}': open connections end that long after each reload"
        yield Defect("reload", words, hard.at, (), seconds_of(hard.words[1]))


def _limit(line: Line) -> float | None:
    return seconds_of(line.words[2]) if len(line.words) > 2 else None


def _indent(section: Section, shown: Lines) -> str:
    return shown.indent(section.lines[0].line) if section.lines else "    "
