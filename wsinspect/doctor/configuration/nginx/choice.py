"""Which `server` and `location` of an nginx configuration a URL meets, by nginx's own rules.

For `server`: `listen`, then names (exact, leading wildcard, trailing wildcard, regular expression, default).
For `location`: `=`, the longest prefix with what is nested in it, `^~`, then regular expressions in order
(ngx_http_core_find_location). What the rewrite module does before is followed as far as the variables of a
WebSocket handshake are known.
"""

from __future__ import annotations

import contextlib
import ipaddress
import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final
from urllib.parse import unquote

from wsinspect.doctor.configuration.directives import Directive
from wsinspect.doctor.configuration.nginx.tree import MAX_DEPTH
from wsinspect.doctor.configuration.patterns import UndecidedError, is_any, search
from wsinspect.doctor.target import Target
from wsinspect.units import whole_number

#: nginx itself gives up after ten (ngx_http_core_module: "rewrite or internal redirection cycle").
_MAX_REWRITES: Final = 10
_VARIABLE: Final = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_HARMLESS: Final = re.compile(
    r"(^|/)(mime\.types|(fastcgi|uwsgi|scgi)_params|fastcgi\.conf|koi-\w+|win-utf)$"
)
_UNSURE_LIMIT: Final = 8
#: nginx refuses to start where one of these is set: "the duplicate "uri" variable". `$args` may be.
_FIXED: Final = frozenset(
    (
        *("http_host", "host", "scheme", "https", "request_method", "request_uri", "uri", "document_uri"),
        *("query_string", "is_args", "server_port", "server_protocol", "content_length", "content_type"),
    )
)


@dataclass
class Met:
    """What a URL meets.

    Attributes:
        chain: the blocks around it, outermost first: http, server, locations; an `if` that holds is the last.
        answer: what nginx answers with by itself, before any server is asked.
        variables: those that are known, without `$`.
        maps: the `map` of each variable, by its name without `$`.
        unsure: what could not be decided.
        doubtful: an `if` whose condition is not known here.
        dropped: what took the request's query out: a `rewrite` to something that ends in `?`, or `set $args`.
        is_internal: whether nginx itself sent it to this location.
    """

    chain: tuple[Directive, ...]
    answer: Directive | None = None
    variables: dict[str, str] = field(default_factory=dict)
    maps: dict[str, Directive] = field(default_factory=dict)
    unsure: list[str] = field(default_factory=list)
    doubtful: list[Directive] = field(default_factory=list)
    dropped: Directive | None = None
    is_internal: bool = False

    @property
    def innermost(self) -> Directive:
        """The location, or the server where none fits."""
        return next(one for one in reversed(self.chain) if one.name != "if")

    @property
    def inside(self) -> Directive:
        """The innermost block, which may be an `if`."""
        return self.chain[-1]

    def effective(self, name: str) -> Directive | None:
        """A directive that inner blocks inherit: the innermost one."""
        return next((found for block in reversed(self.chain) if (found := block.get(name))), None)

    @property
    def headers(self) -> dict[str, Directive]:
        """The `proxy_set_header` in effect, by name in lower case."""
        for block in reversed(self.chain):
            own = {one.args[0].lower(): one for one in block.all("proxy_set_header") if len(one.args) > 1}
            if own:
                return own
        return {}

    @property
    def lost(self) -> dict[str, Directive]:
        """Those of outer blocks that inner ones cancel."""
        kept, found = self.headers, {}
        for block in self.chain:
            for one in block.all("proxy_set_header"):
                if len(one.args) > 1 and one.args[0].lower() not in kept:
                    found[one.args[0].lower()] = one
        return found

    @property
    def unread(self) -> Directive | None:
        """An include of the server or a location that could not be read: what is missing may stand in it."""
        blocks = (block for block in self.chain if block.name != "http")
        return next((one for block in blocks for one in unread_in(block)), None)

    def value(self, text: str) -> str:
        """A value with its variables.

        Raises:
            UndecidedError: one of them is not known.
        """
        return _VARIABLE.sub(lambda match: self._variable(match[1] or match[2], 0), text)

    def _variable(self, name: str, depth: int) -> str:
        if name in self.variables:
            return self.variables[name]
        mapped = self.maps.get(name)
        if mapped is None or depth > MAX_DEPTH:
            raise UndecidedError(f"${name}")
        source = _VARIABLE.sub(lambda match: self._variable(match[1] or match[2], depth + 1), mapped.args[0])
        result = _mapped(mapped, source)
        return _VARIABLE.sub(lambda match: self._variable(match[1] or match[2], depth + 1), result)


def unread_in(block: Directive) -> Iterator[Directive]:
    """Includes of a block that could not be read, but for those that have nothing to do with proxying."""
    return (one for one in block.all("include") if not _HARMLESS.search(" ".join(one.args)))


def _mapped(block: Directive, source: str) -> str:
    """What a `map` makes of a value: exact, with `hostnames` the longest wildcard, patterns in order, then
    default.
    """
    entries = [one for one in block.block or () if one.name not in ("hostnames", "volatile", "include")]
    has_wildcards = block.get("hostnames") is not None
    if has_wildcards:
        source = source.removesuffix(".")
    for one in entries:
        if (
            not one.name.startswith("~")
            and one.name.lstrip("\\").lower() == source.lower()
            and one.name != "default"
        ):
            return one.args[0] if one.args else ""
    if has_wildcards:
        named = [(rank, one) for one in entries if (rank := _name_rank(one.name.lower(), source.lower()))]
        if named:
            best = max(named, key=lambda item: item[0])[1]
            return best.args[0] if best.args else ""
    for one in entries:
        if one.name.startswith("~"):
            caseless = one.name.startswith("~*")
            if search(one.name[2 if caseless else 1 :], source, ignores_case=caseless):
                return one.args[0] if one.args else ""
    if block.get("include") is not None:
        raise UndecidedError(f"the map of {block.where}, which has an include that was not read")
    return next((one.args[0] for one in entries if one.name == "default" and one.args), "")


def meets(root: Sequence[Directive], target: Target) -> Met | None:
    """The server and location that nginx picks for this URL; None if the file has no server.

    Args:
        root: of nginx.conf, or of files with servers alone.
    """
    outer: list[tuple[Directive | None, Directive]] = [
        (one, server) for one in root if one.name == "http" for server in one.all("server")
    ]
    outer += [(None, one) for one in root if one.name == "server"]
    https = [one for one in root if one.name == "http"]
    unsure: list[str] = []
    server = _server([one for _, one in outer], target, unsure)
    if server is None:
        return None
    http = next(http for http, one in outer if one is server) or next(iter(https), None)
    around = [*root, *(http.block or () if http else ())]
    maps = {one.args[1].lstrip("$"): one for one in around if one.name == "map" and len(one.args) > 1}
    met = Met((*([http] if http else ()), server), variables=variables_of(target), maps=maps, unsure=unsure)
    with contextlib.suppress(UndecidedError):
        _captured_name(server, target.host.lower(), met.variables)
    _Walk(met, server, target).run()
    del met.unsure[_UNSURE_LIMIT:]
    return met


def variables_of(target: Target) -> dict[str, str]:
    """What nginx knows of the handshake that a browser sends."""
    path = normalised(target.path)
    return {
        "http_upgrade": "websocket",
        "http_connection": "Upgrade",
        "http_host": target.authority,
        "host": target.host.lower(),
        "scheme": "https" if target.is_tls else "http",
        "https": "on" if target.is_tls else "",
        "request_method": "GET",
        "request_uri": target.target,
        "uri": path,
        "document_uri": path,
        "server_port": str(target.port),
        "http_origin": target.origin,
        "http_sec_websocket_version": "13",
        "server_protocol": "HTTP/1.1",
        "http_content_type": "",
        "content_length": "",
        "content_type": "",
        **of_query(target.query),
    }


def of_query(query: str) -> dict[str, str]:
    """The variables that are made of a request's query."""
    return {
        "args": query,
        "query_string": query,
        "is_args": "?" if query else "",
        **{f"arg_{name}": value for name, value in _arguments(query)},
    }


_OF_ARGS: Final = ("args", "query_string", "is_args")
_HAS_ARGS: Final = re.compile(r"\$\{?(?:args|query_string)\b")


def _arguments(query: str) -> Iterator[tuple[str, str]]:
    for pair in query.split("&"):
        name, equals, value = pair.partition("=")
        if equals and re.fullmatch(r"\w+", name):
            yield name.lower(), value


def normalised(path: str) -> str:
    """A path as `location` sees it: decoded, dots resolved, adjacent slashes merged."""
    text = unquote(path) or "/"
    found = posixpath.normpath(re.sub("/+", "/", text)) if "/." in text else re.sub("/+", "/", text)
    return found + "/" if text.endswith(("/", "/.", "/..")) and not found.endswith("/") else found


# -- server


def _server(servers: Sequence[Directive], target: Target, unsure: list[str]) -> Directive | None:
    listening = [one for one in servers if any(port_of(listen) == target.port for listen in _listens(one))]
    there = _at_address(listening, target) if listening else list(servers)
    if not listening and servers:
        # A port that is mapped to another one on the way, as containers' are: then names decide.
        alike = [
            one for one in servers if any(_is_tls(one, listen) == target.is_tls for listen in _listens(one))
        ]
        there = alike or there
        if len(servers) > 1:
            unsure.append(f"no server listens on port {target.port}: the one was chosen by its name")
    ranked = []
    for index, one in enumerate(there):
        try:
            rank = _rank(one, target.host.lower())
        except UndecidedError as error:
            unsure.append(f"server at {one.where}: {error} cannot be decided here")
            continue
        if rank:
            ranked.append((rank, -index, one))
    if ranked:
        return max(ranked, key=lambda item: item[:2])[2]
    default = [
        one
        for one in there
        if any(
            {"default_server", "default"} & set(listen.args) and _suits(listen, target)
            for listen in _listens(one)
        )
    ]
    return next(iter((*default, *there)), None)


def _suits(listen: Directive, target: Target) -> bool:
    return port_of(listen) in (target.port, None)


def _is_tls(server: Directive, listen: Directive) -> bool:
    flag = server.get("ssl")
    return bool({"ssl", "quic"} & set(listen.args[1:])) or (flag is not None and flag.args[:1] == ("on",))


def _at_address(servers: Sequence[Directive], target: Target) -> list[Directive]:
    """Servers that listen on the very address come before those that listen on all."""
    literal = "127.0.0.1" if target.host == "localhost" else target.host
    try:
        wanted = ipaddress.ip_address(literal)
    except ValueError:
        return list(servers)
    ours = [[listen for listen in _listens(one) if port_of(listen) == target.port] for one in servers]
    pairs = list(zip(servers, ours, strict=True))
    exact = [one for one, listens in pairs if any(_address(each) == wanted for each in listens)]
    wild = [one for one, listens in pairs if any(_address(each) is None for each in listens)]
    return exact or wild or list(servers)


def _listens(server: Directive) -> list[Directive]:
    return list(server.all("listen")) or [Directive("listen", ("80",), server.file, server.line)]


def _address(listen: Directive) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    text = listen.args[0] if listen.args else ""
    host = text.rpartition(":")[0] if not text.endswith("]") else text
    try:
        found = ipaddress.ip_address(("127.0.0.1" if host == "localhost" else host).strip("[]"))
    except ValueError:
        return None
    return None if found.is_unspecified else found


def port_of(listen: Directive) -> int | None:
    """The port of a `listen`; None for a socket of the file system."""
    text = listen.args[0] if listen.args else ""
    if text.startswith("unix:"):
        return None
    port = text.rpartition(":")[2] if not text.endswith("]") else ""
    return 80 if (found := whole_number(port, 5)) is None else found


def _rank(server: Directive, host: str) -> tuple[int, int] | None:
    """How well a server's names fit; a larger one wins."""
    names = [name for one in server.all("server_name") for name in one.args]
    plain = [_name_rank(name.lower(), host) for name in names if not name.startswith("~")]
    best = max((one for one in plain if one is not None), default=None)
    if best is not None:
        return best
    is_fitting = is_any(partial(_fits_pattern, name, host) for name in names if name.startswith("~"))
    return (1, 0) if is_fitting else None


def _name_rank(name: str, host: str) -> tuple[int, int] | None:
    """How well a name without a pattern fits; None if it does not."""
    if name == host or (name.startswith(".") and name[1:] == host):
        return 4, 0
    if name.startswith(("*.", ".")) and host.endswith("." + name.lstrip("*.")):
        return 3, len(name)
    if name.endswith(".*") and host.startswith(name[:-1]):
        return 2, len(name)
    return None


def _fits_pattern(name: str, host: str) -> bool:
    return bool(search(name[1:], host, ignores_case=True))


def _captured_name(server: Directive, host: str, variables: dict[str, str]) -> None:
    """The groups of the pattern in `server_name` that fits."""
    if (_rank(server, host) or (0, 0))[0] != 1:
        return
    for name in (name for one in server.all("server_name") for name in one.args if name.startswith("~")):
        match = search(name[1:], host, ignores_case=True)
        if match:
            _capture(match, variables)
            return


# -- location


class _Location:
    """The location that fits a path, as ngx_http_core_find_location finds it."""

    def __init__(self, met: Met) -> None:
        self._met = met

    def find(self, block: Directive, path: str, depth: int = 0) -> tuple[Directive, ...]:
        """The locations around the place, outermost first; none if only the block fits."""
        found, _ = self._find(block, path, depth)
        return found

    def _find(self, block: Directive, path: str, depth: int) -> tuple[tuple[Directive, ...], bool]:
        """The locations, and whether the search is over: an exact one, or a regular expression."""
        if depth > MAX_DEPTH:
            return (), True
        locations = [one for one in block.all("location") if one.args]
        for one in locations:
            if _kind(one) == "=" and one.args[-1].removeprefix("=") == path:
                return (one,), True
        static = [one for one in locations if _kind(one) in ("", "^~") and path.startswith(_prefix(one))]
        longest = max(static, key=lambda one: len(_prefix(one)), default=None)
        nested: tuple[Directive, ...] = ()
        if longest is not None:
            nested, is_over = self._find(longest, path, depth + 1)
            nested = (longest, *nested)
            if is_over:
                return nested, True
            if _kind(longest) == "^~":
                return nested, False
        for one in locations:
            if _kind(one) in ("~", "~*") and self._fits(one, path):
                inner, _ = self._find(one, path, depth + 1)
                return (one, *inner), True
        return nested, False

    def _fits(self, one: Directive, path: str) -> bool:
        pattern = one.args[-1] if len(one.args) > 1 else one.args[0].lstrip("~*")
        try:
            match = search(pattern, path, ignores_case=_kind(one) == "~*")
        except UndecidedError as error:
            self._met.unsure.append(f"location at {one.where}: {error} cannot be decided here")
            return False
        if match:
            _capture(match, self._met.variables)
        return bool(match)


def _kind(location: Directive) -> str:
    first = location.args[0]
    if len(location.args) > 1:
        return first
    return next((kind for kind in ("~*", "^~", "~", "=", "@") if first.startswith(kind)), "")


def _prefix(location: Directive) -> str:
    return location.args[-1] if len(location.args) > 1 else location.args[0].removeprefix("^~")


def _capture(match: re.Match[str], variables: dict[str, str]) -> None:
    for number, group in enumerate(match.groups(), 1):
        variables[str(number)] = group or ""
    named = {name: value or "" for name, value in match.groupdict().items() if name not in _FIXED}
    variables.update(named)


# -- the rewrite module, and what answers before a server is asked


class _Walk:
    """From the server on: what `return`, `rewrite`, `if`, `try_files` and `error_page` make of the
    request.
    """

    def __init__(self, met: Met, server: Directive, target: Target) -> None:
        self.met = met
        self.server = server
        self.outer = met.chain
        self.target = target

    def run(self) -> None:
        path = self.met.variables["uri"]
        if self._rewrites(self.server, is_server=True):
            return
        for _ in range(_MAX_REWRITES):
            path = self.met.variables["uri"]
            locations = _Location(self.met).find(self.server, path)
            self.met.chain = (*self.outer, *locations)
            if not locations:
                return
            again = self._inside(locations[-1])
            if not again:
                return
            self.met.is_internal = True
        self.met.unsure.append("more than ten internal redirects: nginx answers 500")

    def _inside(self, location: Directive) -> bool:
        """Whether the request goes on to another location."""
        if self._rewrites(location, is_server=False):
            return self._error_page(location)
        if self._is_last:
            return True
        return self._try_files(location)

    _is_last = False
    _is_stopped = False

    def _error_page(self, location: Directive) -> bool:
        """`return 418` with `error_page 418 = @ws`, which is how some configurations route an upgrade."""
        answer = self.met.answer
        if answer is None or answer.name != "return" or not answer.args:
            return False
        for block in reversed(self.met.chain):
            pages = list(block.all("error_page"))
            for page in pages:
                codes = [one for one in page.args[:-1] if whole_number(one) is not None]
                if answer.args[0] in codes and int(codes[0]) >= 400:
                    return self._go(page.args[-1])
            if pages:
                return False
        return False

    def _go(self, where: str) -> bool:
        """To a named location, or to another path."""
        self.met.answer = None
        if not where.startswith("@"):
            if not where.startswith("/"):
                return False
            self.met.variables["uri"] = where.partition("?")[0]
            return True
        named = next((one for one in self.server.all("location") if one.args[:1] == (where,)), None)
        if named is None:
            self.met.unsure.append(f"{where}: there is no such location")
            return False
        self.met.is_internal = True
        self.met.chain = (*self.outer, named)
        self._rewrites(named, is_server=False)
        return False

    def _try_files(self, location: Directive) -> bool:
        found = location.get("try_files")
        if found is None or len(found.args) < 2:
            return False
        try:
            last = self.met.value(found.args[-1])
        except UndecidedError:
            return False
        if last.startswith("="):
            if location.get("proxy_pass"):
                self.met.unsure.append(f"'{found.words}' in {found.where}: taken for a path without a file")
                self.met.answer = found
            return False
        self.met.unsure.append(f"'{found.words}' in {found.where}: taken for a path without a file")
        if last.startswith("@"):
            return self._go(last)
        path = last.partition("?")[0]
        if path == self.met.variables["uri"]:
            return False
        self.met.variables["uri"] = path
        return True

    def _rewrites(self, block: Directive, *, is_server: bool) -> bool:
        """Whether the request ends here; the directives of the rewrite module in their order."""
        self._is_last = self._is_stopped = False
        return self._followed(block, is_server=is_server)

    def _followed(self, block: Directive, *, is_server: bool) -> bool:
        for one in block.block or ():
            if one.name == "return":
                self.met.answer = one
                return True
            if one.name == "set" and len(one.args) == 2:
                self._set(one)
            elif one.name == "break":
                self._is_stopped = True
                return False
            elif one.name == "rewrite" and len(one.args) >= 2:
                done = self._rewrite(one)
                if done == "answer":
                    return True
                if done in ("last", "break"):
                    self._is_last, self._is_stopped = done == "last", True
                    return False
                self._is_last = self._is_last or done == "changed"
            elif one.name == "if" and self._holds(one):
                chain, self.met.chain = self.met.chain, (*self.met.chain, one)
                if self._followed(one, is_server=is_server):
                    return True
                if is_server or not one.block or not _is_handler(one):
                    self.met.chain = chain
                if self._is_stopped:
                    return False
        return False

    def _set(self, one: Directive) -> None:
        name, text = one.args[0].lstrip("$"), one.args[1]
        if name in _FIXED:
            return
        try:
            value = self.met.value(text)
        except UndecidedError as error:
            if name == "args":
                self._lose_args(is_kept=_HAS_ARGS.search(text) is not None)
                if self.target.query and not _HAS_ARGS.search(text):
                    self.met.unsure.append(f"set $args at {one.where}: {error} is not known here")
            self.met.variables.pop(name, None)
            return
        if name == "args":
            self._set_args(value, one)
        else:
            self.met.variables[name] = value

    def _rewrite(self, one: Directive) -> str:
        pattern, replacement, *flags = one.args
        try:
            match = search(pattern, self.met.variables["uri"])
        except UndecidedError as error:
            self.met.unsure.append(f"rewrite at {one.where}: {error} cannot be decided here")
            return ""
        if not match:
            return ""
        _capture(match, self.met.variables)
        is_redirect = flags[:1] in (["redirect"], ["permanent"]) or re.match(
            r"https?://|\$scheme", replacement
        )
        if is_redirect:
            self.met.answer = one
            return "answer"
        try:
            path, mark, query = self.met.value(replacement).partition("?")
        except UndecidedError as error:
            self.met.unsure.append(f"rewrite at {one.where}: {error} is not known here")
            return ""
        self.met.variables["uri"] = path
        if mark:
            self._set_query(query, one)
        return flags[0] if flags else "changed"

    def _set_query(self, query: str, one: Directive) -> None:
        """A replacement with a query keeps the request's behind it, but not where it ends with `?`."""
        old = self.met.variables.get("args")
        if not query or query.endswith("?"):
            self._set_args(query.removesuffix("?"), one)
        elif old is None:
            self._lose_args(is_kept=True)
        else:
            self._set_args("&".join(filter(None, (query, old))), one)

    def _set_args(self, args: str, one: Directive) -> None:
        """Another query, and what nginx makes of it."""
        had = self.target.query in self.met.variables.get("args", "")
        has = self.target.query in args
        dropped = one if had and not has else None if has else self.met.dropped
        self._lose_args(is_kept=False)
        self.met.variables |= of_query(args)
        self.met.dropped = dropped

    def _lose_args(self, *, is_kept: bool) -> None:
        """The query is not known from here on.

        Args:
            is_kept: whether what it was before is part of it.
        """
        known = self.met.variables
        for name in [one for one in known if one in _OF_ARGS or one.startswith("arg_")]:
            del known[name]
        if not is_kept:
            self.met.dropped = None

    def _holds(self, one: Directive) -> bool:
        """Whether the condition of an `if` holds for a handshake; what is not known is said, and taken
        for no.
        """
        try:
            return holds(self.met, one.args)
        except UndecidedError as error:
            self.met.unsure.append(f"if at {one.where}: {error} is not known here")
            self.met.doubtful.append(one)
            return False


def _is_handler(block: Directive) -> bool:
    """Whether an `if` changes more than the rewrite module does."""
    return any(one.name not in ("set", "rewrite", "return", "break") for one in block.block or ())


def holds(met: Met, words: Sequence[str]) -> bool:
    """The condition of an `if` (ngx_http_rewrite_module).

    Raises:
        UndecidedError: a variable is not known, or it asks for a file.
    """
    if not words:
        return False
    if words[0].startswith(("-", "!-")):
        raise UndecidedError(" ".join(words))
    value = met.value(words[0])
    if len(words) == 1:
        return value not in ("", "0")
    operator, operand = words[1], " ".join(words[2:])
    if operator in ("=", "!="):
        return (value == met.value(operand)) == (operator == "=")
    if operator.lstrip("!") in ("~", "~*"):
        match = search(operand, value, ignores_case=operator.endswith("*"))
        if match:
            _capture(match, met.variables)
        return bool(match) != operator.startswith("!")
    raise UndecidedError(" ".join(words))
