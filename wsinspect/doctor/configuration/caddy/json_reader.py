"""Caddy's own configuration, as its API takes it and as it saves it (`autosave.json`): the server by port,
its routes in order, their handlers.

Source: https://caddyserver.com/docs/json/apps/http/ (routes, groups, matchers, handlers).
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from wsinspect.doctor.configuration.caddy.reader import fits_path, seconds_of
from wsinspect.doctor.configuration.documents import Node, documents
from wsinspect.doctor.configuration.model import Defect, Met, backend_of, handshake_headers, kind_of_header
from wsinspect.doctor.configuration.patterns import UndecidedError, search
from wsinspect.doctor.configuration.sources import Sources
from wsinspect.doctor.target import Target

_OWN: Final = re.compile(r'"apps"\s*:\s*\{')
_PARTS: Final = re.compile(r'"(?:servers|routes|handler|handle|admin)"\s*:')
_MAX_DEPTH: Final = 24
_NS: Final = 1e9
#: Handlers that neither answer nor change what a handshake is.
_PASSING: Final = frozenset(
    (
        *("encode", "vars", "request_body", "templates", "tracing", "log_append", "metrics", "map", "push"),
        *("intercept", "copy_response_headers", "server"),
    )
)
_SAME: Final = re.compile(r"\{http\.(?:request\.(?:host|hostport|header\.[\w-]+)|reverse_proxy\.[\w.]+)\}")


class Tree(NamedTuple):
    """The documents of all files that were named."""

    roots: tuple[Node, ...]
    sources: Sources


@dataclass
class Found:
    """What a URL meets.

    Attributes:
        server: of the port.
        chain: the routes that fit, outermost first.
        proxy: the handler that passes the request on.
        possible: what may answer, by what is not known here.
    """

    server: Node
    chain: list[Node] = field(default_factory=list)
    proxy: Node | None = None
    unsure: list[str] = field(default_factory=list)
    possible: list[Defect] = field(default_factory=list)


@dataclass(frozen=True)
class CaddyJson:
    """Reads a configuration in JSON; the HTTP app alone."""

    software: str = "caddy"

    def recognises(self, name: str, text: str) -> bool:
        """An object with `apps`, and what Caddy has in them."""
        return text.lstrip()[:1] == "{" and bool(_OWN.search(text) and _PARTS.search(text))

    def read(self, sources: Sources, files: Sequence[str]) -> Tree | None:
        """The documents of all files."""
        roots = [one for file in files for one in documents(sources, file)]
        return Tree(tuple(roots), sources) if any(any(_servers(one).items()) for one in roots) else None

    def meets(self, tree: Tree, target: Target, version: tuple[int, ...] | None) -> Met | None:
        """The route for this URL, and what its handlers do to a handshake."""
        servers = [one for root in tree.roots for one in _servers(root).items()]
        there = [one for one in servers if target.port in _ports(one[1])]
        unsure: list[str] = []
        if not there and target.port == 80:
            redirecting = next((one for _, one in servers if not _is_plain(one)), None)
            if redirecting is not None:
                words = "automatic HTTPS redirects port 80 to https"
                return Met("server", redirecting.at, (Defect("answer", words, redirecting.at, status=308),))
        if not there and len(servers) > 1:
            unsure.append(f"no server listens on port {target.port}: the first was taken")
        name, server = next(iter(there or servers))
        found = Found(server, unsure=unsure)
        defects = tuple(_Walk(found, target).run())
        place = found.chain[-1] if found.chain else server
        path = next((one.text for match in place.get("match") for one in match.get("path")), "")
        return Met(
            f"route {path or 'without a path'} of {name}" if found.chain else f"server {name}",
            place.at,
            defects,
            tuple(limits(found)),
            tuple(dict.fromkeys(found.unsure)),
            found,
            possible=tuple(found.possible),
        )


def _servers(root: Node) -> Node:
    return root.get("apps", "http", "servers")


def _ports(server: Node) -> list[int]:
    found = [re.search(r":(\d{1,5})(?:-\d+)?$", one.text) for one in server.get("listen")]
    return [int(match[1]) for match in found if match]


def _is_plain(server: Node) -> bool:
    """Whether nothing of it makes Caddy redirect port 80."""
    automatic = server.get("automatic_https")
    return automatic.get("disable").is_on or automatic.get("disable_redirects").is_on


def nanoseconds_as_seconds(node: Node) -> float | None:
    """A duration: a text as in a Caddyfile, or a number of nanoseconds."""
    if re.fullmatch(r"\d{1,18}", node.text):
        return int(node.text) / _NS
    return seconds_of(node.text)


class _Walk:
    def __init__(self, found: Found, target: Target) -> None:
        self._found = found
        self._target = target
        self._path = target.path
        self._headers = handshake_headers(target)

    def run(self) -> Iterator[Defect]:
        """What is wrong on the way, in its order."""
        done = yield from self._routes(self._found.server.get("routes"), 0)
        if not done:
            at = (self._found.chain[-1] if self._found.chain else self._found.server).at
            yield Defect("route", "passes nothing on: no 'reverse_proxy' for this path", at)

    def _routes(self, routes: Node, depth: int) -> Generator[Defect, None, bool]:
        """Whether something in them answers."""
        groups: set[str] = set()
        for route in routes if depth < _MAX_DEPTH else ():
            group = route.get("group").text
            known = len(self._found.unsure)
            if group in groups:
                continue
            if not self._fits(route):
                if len(self._found.unsure) > known:
                    self._doubt(route)
                continue
            groups |= {group} if group else set()
            chain = list(self._found.chain)
            self._found.chain.append(route)
            for handler in route.get("handle"):
                done = yield from self._handler(handler, depth)
                if done:
                    return True
            if route.get("terminal").is_on:
                return False
            self._found.chain[:] = chain
        return False

    def _doubt(self, route: Node) -> None:
        """A route whose matcher is not known here, and that answers."""
        for handler in route.get("handle"):
            if handler.get("handler").text in ("static_response", "error"):
                words = "'static_response' answers if its matcher holds, which is not known here"
                at = handler.get("handler").at
                self._found.possible.append(Defect("answer", words, at, status=_status(handler)))

    # -- matchers

    def _fits(self, route: Node) -> bool:
        sets = list(route.get("match"))
        try:
            return not sets or any(self._all(one) for one in sets)
        except UndecidedError as error:
            self._found.unsure.append(f"route at {route.at}: {error} is not known here")
            return False

    def _all(self, matchers: Node) -> bool:
        return all(self._test(name, value) for name, value in matchers.items())

    def _test(self, name: str, value: Node) -> bool:
        texts = [one.text for one in value]
        if name == "host":
            host = self._target.host.lower()
            return any(
                one.lower() == host or (one.startswith("*.") and host.partition(".")[2] == one[2:].lower())
                for one in texts
            )
        if name == "path":
            return any(fits_path(self._path, one) for one in texts)
        if name == "path_regexp":
            return bool(search(value.get("pattern").text, self._path))
        if name == "method":
            return "GET" in texts
        if name == "protocol":
            return value.text in ("http/1.1", "https" if self._target.is_tls else "http")
        if name == "header":
            return all(self._header(key, wanted) for key, wanted in value.items())
        if name == "query":
            pairs = self._target.query.split("&")
            return all(
                any(f"{key}={one.text}" in pairs or one.text == "*" for one in wanted)
                for key, wanted in value.items()
            )
        if name == "not":
            return not any(self._all(one) for one in value)
        raise UndecidedError(f"'{name}'")

    def _header(self, name: str, wanted: Node) -> bool:
        sent = self._headers.get(name.lower())
        if sent is None:
            raise UndecidedError(f"header {name}")
        values = [one.text for one in wanted]
        return any(fnmatchcase(sent.lower(), one.lower().replace("[", "[[]")) for one in values)

    # -- handlers

    def _handler(self, handler: Node, depth: int) -> Generator[Defect, None, bool]:
        name, at = handler.get("handler").text, handler.get("handler").at
        if name == "subroute":
            return (yield from self._routes(handler.get("routes"), depth + 1))
        if name == "reverse_proxy":
            return (yield from self._proxy(handler))
        if name in ("static_response", "error"):
            if handler.get("abort").is_on:
                yield Defect("silent", "'abort' closes the connection without an answer", at)
                return True
            status = _status(handler)
            words = f"'{name}' answers {status} before any server is asked"
            yield Defect("answer", words, at, status=status)
            return True
        if name == "authentication":
            words = "'authentication' asks who it is before any server is asked"
            yield Defect("answer", words, at, status=401)
        elif name == "file_server":
            yield Defect("route", "'file_server' answers this path: no 'reverse_proxy' for it", at)
            return True
        elif name == "rewrite":
            yield from self._rewritten(handler)
        elif name == "headers":
            yield from self._changed(handler.get("request"))
        elif name not in _PASSING:
            self._found.unsure.append(f"handler '{name}' at {at}: what it does is not known here")
        return False

    def _changed(self, request: Node) -> Iterator[Defect]:
        for one in request.get("delete"):
            hit = next(
                (each for each in self._headers if fnmatchcase(each, one.text.lower().replace("[", "[[]"))),
                one.text,
            )
            kind = kind_of_header(hit)
            if kind is not None:
                yield Defect(kind, f"'delete: {one.text}' removes it", one.at, one.without())
        for name, value in request.get("set").items():
            kind, texts = kind_of_header(name), [one.text for one in value]
            is_kept = any(_SAME.search(text) for text in texts)
            is_kept = is_kept or texts[:1] == [self._headers.get(name.lower(), "")]
            if kind is not None and not is_kept:
                yield Defect(kind, f"'set: {name}: {', '.join(texts)}' changes it", value.at, value.without())

    def _rewritten(self, handler: Node) -> Iterator[Defect]:
        prefix, uri = handler.get("strip_path_prefix"), handler.get("uri")
        if prefix and self._path.startswith(prefix.text):
            yield from self._moved(prefix, "strip_path_prefix", self._path[len(prefix.text) :])
        if uri:
            path = uri.text.partition("?")[0].replace("{http.request.uri.path}", self._path)
            path = path.replace("{http.request.uri}", self._path)
            if "{" in path:
                self._found.unsure.append(f"'uri: {uri.text}' in {uri.at} is not known here")
            elif path:
                yield from self._moved(uri, "uri", path)
        for one in handler.get("uri_substring"):
            find, replacement = one.get("find").text, one.get("replace").text
            if find and find in self._path:
                yield from self._moved(one, "uri_substring", self._path.replace(find, replacement))

    def _moved(self, one: Node, name: str, path: str) -> Iterator[Defect]:
        path = path if path.startswith("/") else f"/{path}"
        if path != self._path:
            words = f"'{name}: {one.text}' makes {self._path} into {path}"
            yield Defect("path", words, one.at, one.without())
            self._path = path

    def _proxy(self, proxy: Node) -> Generator[Defect, None, bool]:
        if any(
            status.text == "2"
            for response in proxy.get("handle_response")
            for status in response.get("match", "status_code")
        ):
            words = (
                "'reverse_proxy' with 'handle_response' asks another server first: its refusal is the answer"
            )
            at = proxy.get("handler").at
            self._found.possible += [Defect("answer", words, at, status=code) for code in (401, 403)]
            return False
        self._found.proxy = proxy
        for upstream in proxy.get("upstreams"):
            dial = upstream.get("dial")
            words = f"'dial: {dial.text}' is where it goes: no valid answer came from there"
            leads = backend_of(dial.text, dial.at) if re.search(r":\d+$", dial.text) else None
            if leads is not None:
                leads = leads._replace(is_tls=bool(proxy.get("transport", "tls")))
            self._found.possible.append(Defect("upstream", words, dial.at, backend=leads))
        yield from self._changed(proxy.get("headers", "request"))
        for one in proxy.get("headers", "response", "delete"):
            if one.text.lower() in ("upgrade", "connection"):
                yield Defect("response", f"'delete: {one.text}' spoils the 101", one.at, one.without())
        yield from self._rewritten(proxy.get("rewrite"))
        transport = proxy.get("transport")
        if transport.get("protocol").text == "fastcgi":
            yield Defect("upgrade", "'fastcgi' cannot carry an upgrade", transport.at)
        versions = transport.get("versions")
        if versions and not {"1.1", "1"} & {one.text for one in versions}:
            shown = ", ".join(one.text for one in versions)
            words = f"'versions: {shown}': WebSockets need HTTP/1.1 to the server"
            yield Defect("h2", words, versions.at, versions.without())
        return True


def _status(handler: Node) -> int | None:
    text = handler.get("status_code").text
    if not text:
        return 500 if handler.get("handler").text == "error" else 200
    return int(text) if re.fullmatch(r"[1-5]\d\d", text) else None


def limits(found: Found) -> Iterator[Defect]:
    """How old a connection may become, and how long an answer may take."""
    if found.proxy is None:
        return
    for name, kind, does in (
        ("stream_timeout", "lifetime", "connections end at that age, busy or not"),
        ("stream_close_delay", "reload", "open connections end that long after a reload"),
    ):
        one = found.proxy.get(name)
        seconds = nanoseconds_as_seconds(one) if one else None
        if seconds is not None:
            mended = one.without() if kind == "lifetime" else ()
            yield Defect(kind, f"'{name}: {one.text}': {does}", one.at, mended, seconds)  # type: ignore[arg-type]
    for name in ("read_timeout", "write_timeout", "response_header_timeout", "dial_timeout"):
        one = found.proxy.get("transport", name)
        seconds = nanoseconds_as_seconds(one) if one else None
        if seconds is None:
            continue
        if name in ("read_timeout", "write_timeout"):
            words = f"'{name}: {one.text}': silence for that long ends it"
            yield Defect("idle", words, one.at, one.without(), seconds)
        words = f"'{name}: {one.text}': how long the server has to answer"
        yield Defect("handshake", words, one.at, one.without(), seconds)
