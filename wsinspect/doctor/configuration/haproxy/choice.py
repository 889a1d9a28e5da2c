"""The frontend and the backend of an HAProxy that a URL meets, and what their rules do to a handshake."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from wsinspect.doctor.configuration.haproxy.conditions import Conditions
from wsinspect.doctor.configuration.haproxy.tree import Line, Section, Tree
from wsinspect.doctor.configuration.model import Backend, Defect, Edit, Lines, backend_of, kind_of_header
from wsinspect.doctor.configuration.patterns import UndecidedError, search
from wsinspect.doctor.target import Target
from wsinspect.units import whole_number

_ANSWERS: Final = {"deny": 403, "return": 200, "tarpit": 500, "auth": 401, "redirect": 302}
#: Statuses are written as `deny_status 404`, `status 404` and `code 301`.
_STATUS_WORDS: Final = ("deny_status", "status", "code")
_SENDS_PROXY: Final = ("send-proxy", "send-proxy-v2", "send-proxy-v2-ssl", "send-proxy-v2-ssl-cn")
_PATHS: Final = ("set-path", "replace-path", "set-uri", "replace-uri", "set-pathq", "replace-pathq")


@dataclass
class Found:
    """What a URL meets.

    Attributes:
        frontend: where it comes in; a `listen` is its backend, too.
        backend: where it is forwarded to; None where it is answered before, or nobody knows.
        possible: answers by conditions that are not known here, and where it is passed to.
    """

    tree: Tree
    frontend: Section
    backend: Section | None = None
    unsure: list[str] = field(default_factory=list)
    possible: list[Defect] = field(default_factory=list)


def meets(tree: Tree, target: Target) -> tuple[Found, list[Defect]] | None:
    """What a URL meets, and what is wrong on the way, in its order; None without a frontend."""
    unsure: list[str] = []
    frontend = _frontend(tree, target, unsure)
    if frontend is None:
        return None
    found = Found(tree, frontend, unsure=unsure)
    return found, list(_Walk(found, target).run())


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


class _Walk:
    """A request on its way through a frontend and a backend."""

    def __init__(self, found: Found, target: Target) -> None:
        self._found = found
        self._request = Conditions(target, found.unsure)

    def run(self) -> Iterator[Defect]:
        """What is wrong on the way, in its order."""
        found, frontend = self._found, self._found.frontend
        yield from self._before_requests(frontend)
        if _mode(frontend) == "tcp":
            found.backend = self._backend(frontend)
            return
        for one in self._rules(frontend):
            yield one
            if one.kind in ("answer", "silent"):
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

    def _before_requests(self, frontend: Section) -> Iterator[Defect]:
        """What ends connections before a request is read: a PROXY header or a certificate is asked for."""
        for bind in frontend.all("bind"):
            if "accept-proxy" in bind.words:
                words = f"'{bind.text}' hangs up on whoever sends no PROXY header in front of the request"
                advice = "take 'accept-proxy' out, or make the load balancer in front send that header"
                yield Defect("silent", words, bind.at, advice=advice)
            if "verify required" in bind.text:
                yield Defect("certificate", f"'{bind.text}' ends TLS with all that have none", bind.at)
        for line in frontend.inherited("tcp-request"):
            action = line.words[2] if len(line.words) > 2 else ""
            if action not in ("accept", "reject", "silent-drop"):
                continue
            known = len(self._found.unsure)
            holds = self._request.holds(line, frontend)
            if action == "accept":
                if holds:
                    return
                continue
            words = f"'{line.text}' ends the connection without an answer"
            if holds:
                yield Defect("silent", words, line.at)
            elif len(self._found.unsure) > known:
                words = f"'{line.text}' ends the connection if its condition holds, which is not known here"
                self._found.possible.append(Defect("silent", words, line.at))

    def _backend(self, frontend: Section) -> Section | None:
        for line in frontend.inherited("use_backend"):
            name = line.words[1] if len(line.words) > 1 else ""
            if not self._request.holds(line, frontend):
                continue
            if "%[" in name:
                self._request.unknown(line, f"which backend {name} is")
                return None
            return self._found.tree.named(name)
        default = frontend.effective("default_backend")
        if default is not None and len(default.words) > 1:
            return self._found.tree.named(default.words[1])
        return frontend if frontend.kind == "listen" else None

    # -- rules

    def _rules(self, section: Section) -> Iterator[Defect]:
        yield from self._request_rules(section)
        yield from self._covers(section)
        for line in section.inherited("http-response"):
            header = line.words[2] if len(line.words) > 2 else ""
            is_upgrade = header.lower() in ("upgrade", "connection", "sec-websocket-accept")
            if line.words[1:2] == ("del-header",) and is_upgrade and not self._is_about_others(line):
                yield Defect("response", f"'{line.text}' spoils the 101", line.at, self._without(line))

    def _request_rules(self, section: Section) -> Iterator[Defect]:
        for line in [*section.inherited("http-request"), *section.inherited("redirect")]:
            if len(line.words) < 2:
                continue
            action = line.words[0] if line.words[0] == "redirect" else line.words[1]
            if action == "allow" and self._request.holds(line, section):
                return
            defect = self._rule(line, action)
            known = len(self._found.unsure)
            holds = (defect is not None or action in _PATHS) and self._request.holds(line, section)
            if defect is not None and defect.kind in ("answer", "silent") and len(self._found.unsure) > known:
                words = f"'{line.text}' answers if its condition holds, which is not known here"
                self._found.possible.append(replace(defect, words=words))
            if defect is not None and holds:
                yield defect
                if defect.kind in ("answer", "silent"):
                    return
            elif action in _PATHS and holds:
                yield from self._path_rule(line, action)

    def _covers(self, section: Section) -> Iterator[Defect]:
        """Pages in the place of the server's answer; which answers a condition is about is not looked at."""
        for line in section.inherited("http-response"):
            if line.words[1:2] not in (("return",), ("deny",)):
                continue
            status = 200 if line.words[1] == "return" else 502
            for word in _STATUS_WORDS:
                if word in line.words[:-1]:
                    text = line.words[line.words.index(word) + 1]
                    status = whole_number(text) or status
            if "websocket" not in line.text.lower():
                words = f"'{line.text}' answers in place of the server's own answer"
                advice = "take that line out, or keep it from this path: clients get the server's own answer"
                yield Defect("cover", words, line.at, status=status, advice=advice)
        for line in section.inherited("errorfile"):
            changed = self._status_of_page(line)
            if changed is not None:
                words = f"'{line.text}' answers in place of HAProxy's own answer, with {changed}"
                advice = "take that line out, or give the page the status that it is for"
                yield Defect("cover", words, line.at, status=changed, advice=advice)

    def _status_of_page(self, line: Line) -> int | None:
        """The status in a file of `errorfile`, where it is another one than it is for; None else."""
        if line.words[0] != "errorfile" or len(line.words) < 3:
            return None
        _, number, name = line.words[:3]
        sources = self._found.tree.sources
        # A page that is not on this machine is no fault of the configuration.
        if not sources.is_pasted and not Path(name).is_file():
            return None
        text = sources.text(name)
        match = re.match(r"HTTP/\d(?:\.\d)? (\d{3})\b", text or "")
        return int(match[1]) if match and match[1] != number else None

    def _is_about_others(self, line: Line) -> bool:
        """A condition of a response is decided by the response."""
        return "if" in line.words or "unless" in line.words

    def _rule(self, line: Line, action: str) -> Defect | None:
        if action in ("silent-drop", "reject"):
            return Defect("silent", f"'{line.text}' ends the connection without an answer", line.at)
        if action in _ANSWERS:
            status = _ANSWERS[action]
            for word in _STATUS_WORDS:
                if word in line.words[:-1]:
                    text = line.words[line.words.index(word) + 1]
                    status = whole_number(text) or status
            is_own = action in ("deny", "tarpit", "auth") and not self._has_own_pages(line)
            words = f"'{line.text}' answers before any server is asked"
            return Defect("answer", words, line.at, status=status, is_built_in=is_own)
        if action in ("del-header", "set-header", "replace-header", "replace-value") and len(line.words) > 2:
            name = line.words[2]
            kind = kind_of_header(name)
            if kind is None or (action != "del-header" and self._keeps(line, name)):
                return None
            does = "removes it" if action == "del-header" else "changes it"
            return Defect(kind, f"'{line.text}' {does} ({name})", line.at, self._without(line))
        return None

    def _has_own_pages(self, line: Line) -> bool:
        """Whether somebody else's page may be answered with."""
        found = self._found
        sections = [one for one in (found.frontend, found.backend, found.tree.end) if one is not None]
        sections += [one.defaults for one in sections if one.defaults is not None]
        is_page = any(
            each.words[0].startswith(("errorfile", "http-error")) for one in sections for each in one.lines
        )
        return is_page or bool(
            {"string", "lf-string", "file", "lf-file", "errorfile", "hdr"} & set(line.words)
        )

    def _keeps(self, line: Line, name: str) -> bool:
        """Whether a header gets what it has already, or what nobody knows here."""
        value = line.words[3] if len(line.words) > 3 else ""
        return "%" in value or value.lower() == self._request.headers.get(name.lower(), "\0").lower()

    def _path_rule(self, line: Line, action: str) -> Iterator[Defect]:
        before = self._request.path
        if action.startswith("replace-") and len(line.words) > 3:
            try:
                match = search(line.words[2], self._request.path)
            except UndecidedError as error:
                self._request.unknown(line, str(error))
                return
            if match:
                groups = [match[0], *(one or "" for one in match.groups())]
                new = re.sub(
                    r"\\(\d)",
                    lambda one: groups[int(one[1])] if int(one[1]) < len(groups) else "",
                    line.words[3],
                )
                self._request.path = (
                    self._request.path[: match.start()] + new + self._request.path[match.end() :]
                )
        elif action == "set-path" and len(line.words) > 2:
            known = re.sub(r"%\[path,regsub\(\^?([^,]*?)(?:/\?)?,([^,)]*)\)\]", "", line.words[2])
            strip = re.fullmatch(r"%\[path,regsub\(\^([\w/.-]+?)/?,([\w/]*)(?:,\w*)?\)\]", line.words[2])
            plain = line.words[2].replace("%[path]", self._request.path)
            if "%" not in plain:
                self._request.path = plain
            elif strip is not None and self._request.path.startswith(strip[1]):
                self._request.path = strip[2] + self._request.path[len(strip[1]) :]
            elif "%" in known:
                self._request.unknown(line, line.words[2])
        if self._request.path != before:
            words = f"'{line.text}' makes {before} into {self._request.path}"
            yield Defect("path", words, line.at, self._without(line))

    def _servers(self, backend: Section) -> Iterator[Defect]:
        for line in backend.all("server"):
            self._found.possible += self._proxy_header(line, backend)
            if len(line.words) > 2 and "check" in line.words[3:]:
                self._found.possible += _health_check(line, backend)
            if len(line.words) > 2:
                passed = f"'server {line.words[1]} {line.words[2]}' is where it goes: no valid answer came"
                self._found.possible.append(
                    Defect("upstream", passed, line.at, backend=_backend(line, backend))
                )
            words = line.words[2:]
            alpn = words[words.index("alpn") + 1] if "alpn" in words[:-1] else ""
            proto = words[words.index("proto") + 1] if "proto" in words[:-1] else ""
            own = words[words.index("ws") + 1] if "ws" in words[:-1] else ""
            if own != "h1" and (proto == "h2" or "h2" in alpn.split(",")):
                shown = "proto h2" if proto == "h2" else f"alpn {alpn}"
                lines = self._shown(line.file)
                text = lines.get(line.line)
                # A quoted or escaped `#` begins no comment: then it stands behind the address.
                first = re.match(r"\s*\S+\s+\S+\s+\S+", text) if re.search(r"[\\\"']", text) else None
                end = first.end() if first else len(text.split("#", 1)[0].rstrip())
                at = lines.start(line.line) + end
                mended = (Edit(line.file, at, at, " ws h1"),) if not own else ()
                words_of_it = (
                    f"'{shown}' on server {line.words[1]}: WebSockets go over HTTP/2, which it may not accept"
                )
                yield Defect("h2", words_of_it, line.at, mended)

    def _proxy_header(self, line: Line, backend: Section) -> Iterator[Defect]:
        """A server that does not expect the header takes it for a broken request."""
        # The options of a `default-server` are those of the servers below it.
        shared = [
            one
            for one in backend.inherited("default-server")
            if one.file != line.file or one.line < line.line
        ]
        of_server = [one.removeprefix("no-") for one in line.words[3:]]
        for place, first in ((line, 3), *((one, 1) for one in reversed(shared))):
            one = next((word for word in place.words[first:] if word in _SENDS_PROXY), None)
            if one is None or (place is not line and one in of_server):
                continue
            words = f"'{one}' on server {line.words[1]} sends a PROXY header, which the server has to expect"
            yield Defect("preamble", words, place.at, self._without_option(place, first, one))
            return

    def _without_option(self, line: Line, first: int, one: str) -> tuple[Edit, ...]:
        """A server's option taken out, behind the words that it cannot be; nothing where it is quoted."""
        lines = self._shown(line.file)
        before = r"\s+".join([r"\s*\S+", *[r"\S+"] * (first - 1)])
        found = re.match(rf"{before}(?:\s.*?)??(\s+{re.escape(one)})(?=\s|$)", lines.get(line.line))
        start = lines.start(line.line)
        return () if found is None else (Edit(line.file, start + found.start(1), start + found.end(1), ""),)

    def _shown(self, file: str) -> Lines:
        return Lines(file, self._found.tree.sources.texts.get(file, ""))

    def _without(self, line: Line) -> tuple[Edit, ...]:
        return (self._shown(line.file).replace(line.line),)


def _backend(server: Line, section: Section) -> Backend | None:
    """Where a `server` is, and whether TLS is spoken with it: `no-ssl` takes back a `default-server`'s."""
    shared = [
        word
        for one in section.inherited("default-server")
        if one.file != server.file or one.line < server.line
        for word in one.words[1:]
    ]
    own = server.words[3:]
    is_tls = "no-ssl" not in own and "ssl" in (*shared, *own)
    host, _, port = server.words[2].rpartition(":")
    found = backend_of(server.words[2], server.at) if host and port.isdecimal() else None
    return None if found is None else found._replace(is_tls=is_tls)


def _mode(section: Section) -> str:
    line = section.effective("mode")
    return line.words[1] if line is not None and len(line.words) > 1 else "tcp"


#: How servers may be checked: each such line takes the place of the one before.
_CHECKS: Final = frozenset(
    (
        *("httpchk", "tcp-check", "ssl-hello-chk", "mysql-check", "pgsql-check", "redis-check"),
        *("smtpchk", "ldap-check", "spop-check", "external-check"),
    )
)


def _health_check(server: Line, backend: Section) -> Iterator[Defect]:
    """A check over HTTP that a server may not pass: HAProxy asks none that does not."""
    line = _check_line(backend)
    if line is None or line.words[:2] != ("option", "httpchk"):
        return
    expected = backend.effective("http-check", "expect")
    wanted = "2xx or 3xx" if expected is None else f"what '{expected.text}' wants"
    words = f"'{line.text}' takes server {server.words[1]} out of service while that does not answer it with"
    words += f" {wanted}: HAProxy then answers 503, and asks nobody"
    advice = f"make the application answer that request with {wanted}, or check another path"
    yield Defect("upstream", words, line.at, status=503, advice=advice)


def _check_line(section: Section) -> Line | None:
    """The last line of a section about how its servers are checked, one with `no` too; else its defaults'."""
    own = [
        line
        for line in section.lines
        if (words := line.words[line.words[:1] == ("no",) :])[:1] == ("option",)
        and _CHECKS.intersection(words[1:2])
    ]
    if own:
        return own[-1]
    return None if section.defaults is None else _check_line(section.defaults)
