"""What a URL meets in a Caddyfile: the site, then its directives in Caddy's own order."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final

from wsinspect.doctor.configuration.caddy.tree import MAX_DEPTH, Tree, read_tree
from wsinspect.doctor.configuration.directives import Directive
from wsinspect.doctor.configuration.model import (
    Backend,
    Defect,
    Edit,
    Kind,
    Lines,
    Met,
    backend_of,
    handshake_headers,
    kind_of_header,
)
from wsinspect.doctor.configuration.patterns import UndecidedError, search
from wsinspect.doctor.configuration.sources import Sources
from wsinspect.doctor.target import Target
from wsinspect.units import whole_number

#: The order in which Caddy sorts a site's directives (httpcaddyfile, defaultDirectiveOrder); others are
#: as written.
_ORDER: Final = (
    *("tracing", "map", "vars", "fs", "root", "log_append", "skip_log", "log_skip", "log_name", "header"),
    *("copy_response_headers", "request_body", "redir", "method", "rewrite", "uri", "try_files", "basicauth"),
    *("basic_auth", "forward_auth", "request_header", "encode", "push", "intercept", "templates", "invoke"),
    *("handle", "handle_path", "route", "copy_response", "abort", "error", "respond", "metrics"),
    *("reverse_proxy", "php_fastcgi", "file_server", "acme_server"),
)
_BLOCKS: Final = ("handle", "handle_path", "route")
_OWN: Final = re.compile(
    r"^[ \t]*(?:reverse_proxy|file_server|handle_path|handle|encode|php_fastcgi|respond|redir|tls)\b"
    r"[^;\n]*$",
    re.M,
)
_SITE: Final = re.compile(r"^(?:https?://|:\d|[\w*.-]+(?::\d+)?)[^;=\n]*\{[ \t]*$|^\{[ \t]*$", re.M)
#: A page in a directive is not quoted whole.
_SHOWN: Final = 60
_UNITS: Final = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}
#: What Caddy sends if nothing is said: the client's Host, and Upgrade as it came.
_TIMED: Final = (
    ("stream_timeout", "lifetime", "connections end at that age, busy or not"),
    ("stream_close_delay", "reload", "open connections end that long after a reload"),
)


@dataclass
class Found:
    """What a URL meets.

    Attributes:
        chain: the site, then the blocks within it.
        proxy: the `reverse_proxy`; None if there is none for this path.
        possible: what may answer, by what is not known here.
    """

    tree: Tree
    chain: tuple[Directive, ...]
    proxy: Directive | None = None
    unsure: list[str] = field(default_factory=list)
    possible: list[Defect] = field(default_factory=list)

    @property
    def site(self) -> Directive:
        """The site of the URL."""
        return self.chain[0]


def seconds_of(text: str) -> float | None:
    """A duration as Caddy writes it: `1h30m`, `24h`, `1d`; None if it is not one."""
    if not re.fullmatch(r"(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h|d))+", text):
        return None
    return sum(
        float(count) * _UNITS[unit] for count, unit in re.findall(r"([\d.]+)(ns|us|µs|ms|s|m|h|d)", text)
    )


@dataclass(frozen=True)
class Caddy:
    """Reads a Caddyfile, and what it imports."""

    software: str = "caddy"

    def recognises(self, name: str, text: str) -> bool:
        """Its name, or a site's block with directives of Caddy's."""
        if name.lower().startswith("caddyfile") or name.lower().endswith(".caddyfile"):
            return bool(text.strip()) and not text.lstrip().startswith('{"')
        return bool(_SITE.search(text) and _OWN.search(text)) and ";" not in re.sub(
            r"#.*|\"[^\"]*\"", "", text
        )

    def read(self, sources: Sources, files: Sequence[str]) -> Tree | None:
        """All sites, with what they import in its place."""
        return read_tree(sources, files)

    def meets(self, tree: Tree, target: Target, version: tuple[int, ...] | None) -> Met | None:
        """The block for this URL, and what is done to a handshake there."""
        unsure: list[str] = []
        site = _site(tree, target, unsure)
        if site is None:
            return None
        if redirect := _redirected(tree, site, target):
            return Met(site.words, site.at, (redirect,), (), tuple(unsure), Found(tree, (site,)))
        found = Found(tree, (site,), unsure=unsure)
        defects = tuple(_Walk(found, target).run())
        inner = found.chain[-1]
        return Met(
            inner.words,
            inner.at,
            defects,
            tuple(limits(found)),
            tuple(dict.fromkeys(found.unsure)),
            found,
            possible=tuple(found.possible),
        )


def _addresses(site: Directive) -> Iterator[tuple[str, str, int | None]]:
    """Scheme, host and port of each address of a site; empty and None where it says none."""
    for text in " ".join((site.name, *site.args)).replace(",", " ").split():
        match = re.match(r"^(?:(https?)://)?(\[[^\]]*\]|[^:/]*)(?::(\d{1,5}))?(/.*)?$", text)
        if match:
            yield match[1] or "", match[2].strip("[]").lower(), int(match[3]) if match[3] else None


def _site(tree: Tree, target: Target, unsure: list[str]) -> Directive | None:
    has_port = any(_listens(address, target) for site in tree.sites for address in _addresses(site))
    found = _named(tree, target, unsure, any_port=not has_port)
    # Port 80 redirects to the sites that are served over HTTPS.
    return found or (_named(tree, target, unsure, any_port=True) if target.port == 80 else None)


def _named(tree: Tree, target: Target, unsure: list[str], *, any_port: bool) -> Directive | None:
    host, ranked = target.host.lower(), []
    for index, site in enumerate(tree.sites):
        for address in _addresses(site):
            _, name, _ = address
            if not any_port and not _listens(address, target):
                continue
            if "{$" in name:
                unsure.append(f"site at {site.at}: {name} is an environment variable")
                continue
            if name in ("", host):
                ranked.append((2 if name else 0, -index, site))
            elif name.startswith("*.") and host.partition(".")[2] == name[2:]:
                ranked.append((1, -index, site))
    if any_port and ranked and len(tree.sites) > 1 and target.port != 80:
        unsure.append(f"no site listens on port {target.port}: the one was chosen by its name")
    return max(ranked, key=lambda one: one[:2])[2] if ranked else None


def _listens(address: tuple[str, str, int | None], target: Target) -> bool:
    scheme, name, port = address
    if port is not None:
        return port == target.port
    if scheme == "http":
        return target.port == 80
    # A name alone is HTTPS, and its port 80 redirects there.
    return target.port == 443 or (target.port == 80 and not name)


def _redirected(tree: Tree, site: Directive, target: Target) -> Defect | None:
    """Caddy's automatic redirect: a name without a scheme is served over HTTPS, and port 80 sends there."""
    switched = tree.options.get("auto_https") if tree.options else None
    is_off = switched is not None and bool({"off", "disable_redirects"} & set(switched.args))
    if target.is_tls or target.port != 80 or is_off or any(_listens(one, target) for one in _addresses(site)):
        return None
    words = f"'{site.words}' is served over HTTPS, so Caddy redirects ws:// to https"
    return Defect("answer", words, site.at, status=308)


# -- matchers


class _Walk:
    def __init__(self, found: Found, target: Target) -> None:
        self._found = found
        self._target = target
        self._path = target.path
        self._headers = handshake_headers(target)
        self._named = {one.name: one for one in _everywhere(found.site) if one.name.startswith("@")}

    def run(self) -> Iterator[Defect]:
        """What is wrong on the way, in its order."""
        done = yield from self._block(self._found.site, 0, is_route=False)
        if not done:
            site = self._found.chain[-1]
            yield Defect(
                "route", f"{site.words} passes nothing on: no 'reverse_proxy' for this path", site.at
            )

    def _sorted(self, block: Directive, is_route: bool) -> list[Directive]:
        inside = [one for one in block.block or () if not one.name.startswith("@")]
        if is_route:
            return inside

        def key(item: tuple[int, Directive]) -> tuple[int, int, int]:
            index, one = item
            order = _ORDER.index(one.name) if one.name in _ORDER else -1
            order = _ORDER.index("handle") if one.name == "handle_path" else order
            path = self._path_of(one)
            # Directives of one name: the longer path first, those without a matcher last.
            return order, -len(path.rstrip("*")) if path else (1 if self._matcher(one) is None else 0), index

        return [one for _, one in sorted(enumerate(inside), key=key)]

    def _path_of(self, one: Directive) -> str:
        matcher = self._matcher(one) or ""
        if matcher.startswith("/"):
            return matcher
        named = self._named.get(matcher)
        paths = [arg for each in _tests(named) if each.name == "path" for arg in each.args] if named else []
        return paths[0] if len(paths) == 1 else ""

    @staticmethod
    def _matcher(one: Directive) -> str | None:
        first = one.args[0] if one.args else ""
        return first if first.startswith(("/", "@")) or first == "*" else None

    def _block(self, block: Directive, depth: int, *, is_route: bool) -> Generator[Defect, None, bool]:
        """Whether something in it answers."""
        if depth > MAX_DEPTH:
            return False
        in_group = False
        for one in self._sorted(block, is_route):
            if one.name in ("handle", "handle_path") and in_group:
                continue
            known = len(self._found.unsure)
            if not self._matches(one):
                if len(self._found.unsure) > known and one.name in ("respond", "redir", "error"):
                    words = f"'{one.words}' answers if its matcher holds, which is not known here"
                    self._found.possible.append(Defect("answer", words, one.at, status=self._status(one)))
                continue
            if one.name in _BLOCKS:
                in_group = in_group or one.name != "route"
                chain, self._found.chain = self._found.chain, (*self._found.chain, one)
                if one.name == "handle_path":
                    yield from self._stripped(one, (self._matcher(one) or "").rstrip("*").rstrip("/"))
                done = yield from self._block(one, depth + 1, is_route=one.name == "route")
                if done:
                    return True
                self._found.chain = chain
                continue
            done = yield from self._one(one)
            if done:
                return True
        return False

    def _matches(self, one: Directive) -> bool:
        matcher = self._matcher(one)
        try:
            if matcher is None or matcher == "*":
                return True
            if matcher.startswith("/"):
                return fits_path(self._path, matcher)
            named = self._named.get(matcher)
            return named is not None and all(self._test(each) for each in _tests(named))
        except UndecidedError as error:
            self._found.unsure.append(f"'{one.words}' in {one.at}: {error} is not known here")
            return False

    def _test(self, test: Directive) -> bool:
        name, args = test.name, test.args
        if name == "path":
            return any(fits_path(self._path, one) for one in args)
        if name == "path_regexp":
            return bool(search(args[-1] if args else "", self._path))
        if name == "host":
            return any(fnmatchcase(self._target.host.lower(), one.lower()) for one in args)
        if name == "method":
            return "GET" in (one.upper() for one in args)
        if name == "protocol":
            return args[:1] == (("https" if self._target.is_tls else "http"),)
        if name == "header" and args:
            return self._header(args)
        if name == "header_regexp" and len(args) >= 2:
            value = self._headers.get(args[-2].lower())
            if value is None:
                raise UndecidedError(f"header {args[-2]}")
            return bool(search(args[-1], value))
        if name == "query":
            pairs = self._target.query.split("&")
            return any(
                one in pairs or (one.endswith("=*") and any(p.startswith(one[:-1]) for p in pairs))
                for one in args
            )
        if name == "not":
            inside = _tests(test)
            return not all(self._test(one) for one in inside)
        raise UndecidedError(f"'{name}'")

    def _header(self, args: Sequence[str]) -> bool:
        value = self._headers.get(args[0].lstrip("!").lower())
        if value is None:
            raise UndecidedError(f"header {args[0]}")
        if args[0].startswith("!"):
            return False
        return len(args) == 1 or fnmatchcase(value.lower(), args[1].lower().replace("[", "[[]"))

    # -- directives

    def _one(self, one: Directive) -> Generator[Defect, None, bool]:
        args = one.args[1:] if self._matcher(one) is not None else one.args
        if one.name == "reverse_proxy":
            self._found.proxy = one
            words = f"'{one.words}' is where it goes: no valid answer came from there"
            self._found.possible.append(Defect("upstream", words, one.at, backend=self._backend(one, args)))
            yield from self._proxy(one)
            return True
        if one.name == "abort":
            yield Defect("silent", f"'{one.words}' ends the connection without an answer", one.at)
            return True
        if one.name in ("respond", "redir", "error"):
            words = f"'{one.words}' answers before any server is asked"
            yield Defect("answer", words, one.at, status=self._status(one))
            return True
        if one.name in ("basic_auth", "basicauth"):
            yield Defect(
                "answer", f"'{one.name}' asks for a password before any server is asked", one.at, status=401
            )
        elif one.name == "request_header" and args:
            yield from self._changes(one, args)
        elif one.name == "rewrite" and args:
            yield from self._moved(one, args[-1].partition("?")[0])
        elif one.name == "try_files" and args and not args[-1].startswith("="):
            yield from self._tried(one, args)
        elif one.name == "uri" and len(args) > 1 and args[0] == "strip_prefix":
            yield from self._stripped(one, args[1])
        elif one.name == "forward_auth":
            words = f"'{one.words}' asks another server first, and its refusal is the answer"
            self._found.possible += [Defect("answer", words, one.at, status=code) for code in (401, 403)]
        elif one.name == "php_fastcgi":
            yield Defect("upgrade", "'php_fastcgi' cannot carry an upgrade", one.at)
            return True
        elif one.name == "file_server":
            yield Defect("route", "'file_server' answers this path: no 'reverse_proxy' for it", one.at)
            return True
        elif one.name == "import":
            self._found.unsure.append(f"'{one.words}' in {one.at} was not read")
        return False

    def _backend(self, proxy: Directive, args: Sequence[str]) -> Backend | None:
        """The first server of a `reverse_proxy`."""
        to = proxy.get("to")
        url = next(iter((*args, *(to.args if to is not None else ()))), "")
        found = backend_of(url, proxy.at)
        by_transport = any(one.get("tls") for one in proxy.all("transport"))
        return found if found is None or not by_transport else found._replace(is_tls=True)

    def _status(self, one: Directive) -> int | None:
        """What `respond`, `redir` and `error` answer with."""
        args = one.args[1:] if self._matcher(one) is not None else one.args
        number = next((whole_number(arg, 3) for arg in args if re.fullmatch("[0-9]{3}", arg)), None)
        named = {"permanent": 301, "temporary": 302}.get(args[-1] if args else "")
        return number or named or {"respond": 200, "redir": 302, "error": 500}.get(one.name)

    def _tried(self, one: Directive, args: Sequence[str]) -> Iterator[Defect]:
        """`try_files` comes before `reverse_proxy` and `handle`, whose paths then fit the file's alone."""
        last = args[-1].partition("?")[0]
        if "{" in last or last == self._path:
            return
        self._found.unsure.append(f"'{one.words}' in {one.at}: taken for a path without a file")
        words = (
            f"'{one.words}' makes {self._path} into {last}, before 'handle' and 'reverse_proxy' are looked at"
        )
        lines = self._lines(one.file)
        indent = lines.indent(one.line)
        edits: tuple[Edit, ...] = ()
        if one.block is None and self._matcher(one) is None and not any("?" in arg for arg in args):
            new = (
                "@files_not_websockets {",
                "\tnot header Upgrade websocket",
                f"\tfile {' '.join(args)}",
                "}",
                "rewrite @files_not_websockets {http.matchers.file.relative}",
            )
            text = "".join(f"{indent}{line}\n" for line in new)
            edits = (Edit(one.file, lines.start(one.line), lines.start(one.last + 1), text),)
        yield Defect("path", words, one.at, edits)
        self._path = last

    def _stripped(self, one: Directive, prefix: str) -> Iterator[Defect]:
        if prefix and self._path.startswith(prefix):
            yield from self._moved(one, self._path[len(prefix) :] or "/")

    def _moved(self, one: Directive, path: str) -> Iterator[Defect]:
        if "{" in path.replace("{path}", "").replace("{uri}", ""):
            self._found.unsure.append(f"'{one.words}' in {one.at}: {path} is not known here")
            return
        path = path.replace("{path}", self._path).replace("{uri}", self._path)
        if path == self._path:
            return
        edits: tuple[Edit, ...] = ()
        if one.name == "handle_path":
            edits = self._replaced(one, "handle_path", "handle")
        elif one.block is None:
            edits = self._removed(one)
        yield Defect("path", f"'{one.words}' makes {self._path} into {path}", one.at, edits)
        self._path = path

    def _changes(self, one: Directive, args: Sequence[str]) -> Iterator[Defect]:
        """`header_up` and `request_header`: `-Name`, `+Name value`, `Name value`, `Name search replace`."""
        name, value = args[0], args[1] if len(args) > 1 else ""
        kind: Kind | None = kind_of_header(name.lstrip("-+?>"))
        if kind is None and name.endswith("*") and name.startswith("-"):
            hit = next((each for each in self._headers if each.startswith(name[1:-1].lower())), None)
            kind = kind_of_header(hit) if hit else None
        if kind is None or name.startswith(("+", "?")) or len(args) > 2:
            return
        if not name.startswith("-") and (
            "{http.request" in value
            or value in _SAME
            or value.lower() == self._headers.get(name.lower(), "\0").lower()
        ):
            return
        does = "removes it" if name.startswith("-") else "changes it"
        yield Defect(kind, f"'{one.words}' {does}", one.at, self._removed(one))

    def _proxy(self, proxy: Directive) -> Iterator[Defect]:
        for one in proxy.all("header_up"):
            yield from self._changes(one, one.args)
        for one in proxy.all("header_down"):
            name = (one.args[0] if one.args else "").lstrip("-").lower()
            if name in ("upgrade", "connection") and one.args[0].startswith("-"):
                yield Defect("response", f"'{one.words}' spoils the 101", one.at, self._removed(one))
        for transport in proxy.all("transport"):
            if transport.args[:1] == ("fastcgi",):
                yield Defect("upgrade", "'transport fastcgi' cannot carry an upgrade", transport.at)
            versions = transport.get("versions")
            if versions is not None and not {"1.1", "1"} & set(versions.args):
                yield Defect(
                    "h2",
                    f"'{versions.words}': WebSockets need HTTP/1.1 to the server",
                    versions.at,
                    self._removed(versions),
                )
        upstream = next((arg for arg in proxy.args if arg.startswith("h2c://")), None)
        if upstream is not None:
            yield Defect(
                "h2",
                f"'{upstream}': WebSockets need HTTP/1.1 to the server",
                proxy.at,
                self._replaced(proxy, upstream, upstream.replace("h2c://", "http://")),
            )
        for one in proxy.all("rewrite"):
            yield from self._moved(one, one.args[-1].partition("?")[0] if one.args else self._path)
        yield from self._covers(proxy)

    def _covers(self, proxy: Directive) -> Iterator[Defect]:
        """Pages in the place of the server's answer, and of Caddy's own errors."""
        for outer, whose in ((proxy, "the server's own answer"), (self._found.site, "Caddy's own answer")):
            name = "handle_response" if outer is proxy else "handle_errors"
            for block in outer.all(name):
                for one in _everywhere(block):
                    status = self._status(one) if one.name in ("respond", "redir", "error") else None
                    # Without a status of its own, an error's page has that of the error.
                    is_own = str(status) in one.args and status is not None and status < 500
                    if status is not None and (outer is proxy or is_own):
                        shown = one.words if len(one.words) <= _SHOWN else f"{one.name} ... {status}"
                        words = f"'{shown}' in '{block.words}' answers in place of {whose}"
                        advice = f"take '{name}' out, or keep it from this path: clients get {whose}"
                        yield Defect("cover", words, one.at, status=status, advice=advice)

    def _lines(self, file: str) -> Lines:
        return Lines(file, self._found.tree.sources.texts.get(file, ""))

    def _removed(self, one: Directive) -> tuple[Edit, ...]:
        lines = self._lines(one.file)
        if lines.get(one.line).strip().split(" ")[0] != one.name:
            return ()
        return (Edit(one.file, lines.start(one.line), lines.start(one.last + 1), ""),)

    def _replaced(self, one: Directive, old: str, new: str) -> tuple[Edit, ...]:
        lines = self._lines(one.file)
        at = lines.text.find(old, lines.start(one.line), lines.start(one.line + 1))
        return (Edit(one.file, at, at + len(old), new),) if at >= 0 else ()


_SAME: Final = frozenset(
    ("{host}", "{hostport}", "{header.Upgrade}", "{header.Connection}", "{>Upgrade}", "{>Connection}")
)


def _everywhere(block: Directive) -> Iterator[Directive]:
    for one in block.block or ():
        yield one
        yield from _everywhere(one)


def _tests(named: Directive) -> list[Directive]:
    """The tests of a named matcher, in a block or on its own line."""
    if named.block is not None:
        return list(named.block)
    if not named.args:
        return []
    name, *args = named.args
    return [Directive(name, tuple(args), named.file, named.line, named.last)]


def fits_path(path: str, pattern: str) -> bool:
    """As Caddy's path matcher: exact, or with `*` at its beginning and end; case does not matter."""
    return fnmatchcase(path.lower(), pattern.lower().replace("[", "[[]"))


def limits(found: Found) -> Iterator[Defect]:
    """How old a connection may become, and how long an answer may take."""
    proxy = found.proxy
    if proxy is None:
        return
    for name, kind, does in _TIMED:
        one = proxy.get(name)
        seconds = seconds_of(one.args[0]) if one is not None and one.args else None
        if one is not None and seconds is not None:
            lines = Lines(one.file, found.tree.sources.texts.get(one.file, ""))
            mended = (
                (Edit(one.file, lines.start(one.line), lines.start(one.last + 1), ""),)
                if kind == "lifetime"
                else ()
            )
            yield Defect(kind, f"'{one.words}': {does}", one.at, mended, seconds)  # type: ignore[arg-type]
    for transport in proxy.all("transport"):
        for name in ("read_timeout", "write_timeout", "response_header_timeout", "dial_timeout"):
            one = transport.get(name)
            seconds = seconds_of(one.args[0]) if one is not None and one.args else None
            if one is None or seconds is None:
                continue
            lines = Lines(one.file, found.tree.sources.texts.get(one.file, ""))
            mended = (Edit(one.file, lines.start(one.line), lines.start(one.last + 1), ""),)
            if name in ("read_timeout", "write_timeout"):
                yield Defect("idle", f"'{one.words}': silence for that long ends it", one.at, mended, seconds)
            yield Defect(
                "handshake", f"'{one.words}': how long the server has to answer", one.at, mended, seconds
            )
