"""Which `server` and `location` of an nginx configuration a URL meets, and what they lack for a WebSocket.

Pure, over the directives that crossplane read. The rules are nginx's own: for `server`, `listen` and then
names (exact, leading wildcard, trailing wildcard, regular expression, default); for `location`, `=`, the
longest prefix, `^~`, then regular expressions in order. One `proxy_set_header` in a block cancels all
inherited ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from wsinspect.doctor.target import Target

Kind = Literal["upgrade", "host", "answer"]
#: Values of `proxy_set_header Connection` that ask for an upgrade; variables but this one may.
_NO_UPGRADE: Final = re.compile(r"(?i)^(close|keep-alive|)$|^\$http_host$")
_UPGRADE_LINES: Final = (
    "proxy_http_version 1.1;",
    "proxy_set_header Upgrade $http_upgrade;",
    # The client's own value: a fixed "upgrade" goes out with ordinary requests too; some servers fail those.
    "proxy_set_header Connection $http_connection;",
)
_MAX_DEPTH: Final = 16


@dataclass(frozen=True)
class Directive:
    """One directive, with where it stands."""

    name: str
    args: tuple[str, ...]
    file: str
    line: int
    block: tuple[Directive, ...] | None = None

    @property
    def words(self) -> str:
        """As it is written, without its block."""
        return " ".join((self.name, *self.args))

    @property
    def where(self) -> str:
        """Where it stands, as `nginx.conf:12`."""
        return f"{self.file}:{self.line}"

    def all(self, name: str) -> Iterator[Directive]:
        """Directives of that name just inside."""
        return (one for one in self.block or () if one.name == name)

    def get(self, name: str) -> Directive | None:
        """The first of them."""
        return next(self.all(name), None)


class Defect(NamedTuple):
    """What is wrong for a WebSocket.

    Attributes:
        kind: what it breaks: the upgrade, a check of Host, or nginx answers by itself.
        words: what is wrong, in words.
        at: the directive that shows it.
        added: lines that are missing, to stand before `at`.
        replaced: a directive whose line has to be another one, and that line.
    """

    kind: Kind
    words: str
    at: Directive
    added: tuple[str, ...] = ()
    replaced: tuple[tuple[Directive, str], ...] = ()


@dataclass(frozen=True)
class Met:
    """What a URL meets.

    Attributes:
        chain: the blocks around it, outermost first: http, server, locations.
    """

    chain: tuple[Directive, ...]

    @property
    def innermost(self) -> Directive:
        """The location, or the server where none fits."""
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


def directives(parsed: Iterable[Mapping[str, Any]], depth: int = 0) -> tuple[Directive, ...]:
    """Directives out of what `crossplane.parse(..., combine=True)` gives."""
    return tuple(
        Directive(
            str(one["directive"]),
            tuple(map(str, one.get("args") or ())),
            str(one.get("file") or ""),
            int(one["line"]),
            directives(one["block"], depth + 1) if "block" in one and depth < _MAX_DEPTH else None,
        )
        for one in parsed
    )


def meets(root: Sequence[Directive], target: Target) -> Met | None:
    """The server and location that nginx picks for this URL; None if the file has no server.

    Args:
        root: of nginx.conf, or of a file with servers alone.
    """
    https = [one for one in root if one.name == "http"]
    servers = [(one, server) for one in https for server in one.all("server")]
    outer: list[tuple[Directive | None, Directive]] = [*servers]
    outer += [(None, one) for one in root if one.name == "server"]
    server = _server([one for _, one in outer], target)
    if server is None:
        return None
    http = next(http for http, one in outer if one is server)
    chain = [*([http] if http else []), server]
    while (location := _location(chain[-1], target.path)) is not None and len(chain) < _MAX_DEPTH:
        chain.append(location)
    return Met(tuple(chain))


def _server(servers: Sequence[Directive], target: Target) -> Directive | None:
    listening = [one for one in servers if any(_port(listen) == target.port for listen in _listens(one))]
    # A port that is mapped to another one on the way, as containers' are: then names decide alone.
    there = listening or list(servers)
    ranked = sorted(
        ((rank, -index, one) for index, one in enumerate(there) if (rank := _rank(one, target.host))),
        key=lambda item: item[:2],
        reverse=True,
    )
    if ranked:
        return ranked[0][2]
    default = [one for one in there if any("default_server" in listen.args for listen in _listens(one))]
    return next(iter((*default, *there)), None)


def _listens(server: Directive) -> list[Directive]:
    return list(server.all("listen")) or [Directive("listen", ("80",), server.file, server.line)]


def _port(listen: Directive) -> int | None:
    text = listen.args[0] if listen.args else ""
    port = text.rpartition(":")[2] if not text.endswith("]") else ""
    return int(port) if port.isdigit() else None if text.startswith("unix:") else 80


def _rank(server: Directive, host: str) -> tuple[int, int] | None:
    """How well a server's names fit; a larger one wins."""
    best: tuple[int, int] | None = None
    for name in (name for one in server.all("server_name") for name in one.args):
        rank: tuple[int, int] | None = None
        if name.lower() == host or (name.startswith(".") and name[1:].lower() == host):
            rank = (4, 0)
        elif name.startswith(("*.", ".")) and host.endswith("." + name.lstrip("*.").lower()):
            rank = (3, len(name))
        elif name.endswith(".*") and host.startswith(name[:-1].lower()):
            rank = (2, len(name))
        elif name.startswith("~") and _fits(name[1:], host, re.IGNORECASE):
            rank = (1, 0)
        best = rank if best is None or (rank is not None and rank > best) else best
    return best


def _location(block: Directive, path: str) -> Directive | None:
    found = [one for one in block.all("location") if one.args]
    for one in found:
        if len(one.args) == 2 and one.args[0] == "=" and one.args[1] == path:
            return one
    prefixes = [one for one in found if not one.args[0].startswith(("=", "~", "@"))]
    fitting = [one for one in prefixes if path.startswith(one.args[-1])]
    longest = max(fitting, key=lambda one: len(one.args[-1]), default=None)
    if longest is not None and longest.args[0] == "^~":
        return longest
    for one in found:
        is_pattern = one.args[0] in ("~", "~*") and len(one.args) == 2
        if is_pattern and _fits(one.args[1], path, re.IGNORECASE if one.args[0] == "~*" else 0):
            return one
    return longest


def _fits(pattern: str, text: str, flags: int) -> bool:
    """Whether a regular expression of the configuration fits; one that Python cannot read does not."""
    try:
        return re.search(pattern, text[:2048], flags) is not None
    except re.error:
        return False


def defects(met: Met) -> Iterator[Defect]:
    """What a WebSocket would fail by, the surest first."""
    # A `return` of the server is met before a location is chosen.
    answers = [next((one for block in met.chain if (one := block.get("return"))), None)]
    answers += [met.effective("deny"), met.effective("auth_basic")]
    for one in answers:
        if one is not None and one.args[:1] != ("off",):
            yield Defect("answer", f"'{one.words}' answers before any server is asked", one)
    proxied = met.innermost.get("proxy_pass")
    if proxied is not None:
        yield from _upgrade(met, proxied)
        yield from _host(met, proxied)


def _host(met: Met, proxied: Directive) -> Iterator[Defect]:
    line = "proxy_set_header Host $http_host;"
    host = met.headers.get("host")
    if host is None:
        words = "no 'proxy_set_header Host': the server gets the name in proxy_pass"
        yield Defect("host", words, proxied, _with_inherited(met, (line,), met.innermost))
    elif host.args[1] != "$http_host":
        words = f"'{host.words}' is not the Host that the client sent"
        yield Defect("host", words, host, replaced=((host, line),))


def _upgrade(met: Met, proxied: Directive) -> Iterator[Defect]:
    headers = met.headers
    missing: list[str] = []
    replaced: list[tuple[Directive, str]] = []
    words: list[str] = []
    version = met.effective("proxy_http_version")
    if version is None or version.args[:1] == ("1.0",):
        words.append("HTTP/1.0 to the server" + ("" if version else ", the default before nginx 1.29.7"))
        if version is None:
            missing.append(_UPGRADE_LINES[0])
        else:
            replaced.append((version, _UPGRADE_LINES[0]))
    for name, line in (("upgrade", _UPGRADE_LINES[1]), ("connection", _UPGRADE_LINES[2])):
        one = headers.get(name)
        if one is None:
            outer = met.lost.get(name)
            words.append(f"no 'proxy_set_header {name.title()}'")
            if outer is not None:
                words[-1] += f" (the proxy_set_header in this block cancels that of {outer.where})"
            missing.append(line)
        elif name == "connection" and _NO_UPGRADE.match(one.args[1]):
            words.append(f"'{one.words}'")
            replaced.append((one, line))
        elif name == "upgrade" and not one.args[1]:
            words.append(f"'{one.words}' removes Upgrade")
            replaced.append((one, line))
    if words:
        added = _with_inherited(met, tuple(missing), met.innermost)
        yield Defect("upgrade", "; ".join(words), proxied, added, tuple(replaced))


def _with_inherited(met: Met, added: tuple[str, ...], place: Directive) -> tuple[str, ...]:
    """Lines to add, with what the block inherits so far where they would cancel that."""
    if place.get("proxy_set_header") is not None or not any("proxy_set_header" in one for one in added):
        return added
    names = {one.split()[1].lower() for one in added if one.startswith("proxy_set_header ")}
    kept = [one for name, one in met.headers.items() if name not in names]
    return (*added, *(f"proxy_set_header {one.args[0]} {_quoted(one.args[1])};" for one in kept))


def _quoted(value: str) -> str:
    return value if re.fullmatch(r"[^\s;{}\"']+", value) else '"' + value.replace('"', '\\"') + '"'


def corrected(lines: Sequence[str], defect: Defect, file: str) -> list[str]:
    """The lines of a file with the defect mended; those of other files stay.

    Args:
        lines: with their line ends.
    """
    found = list(lines)
    for one, line in defect.replaced:
        if one.file == file:
            old = found[one.line - 1]
            found[one.line - 1] = re.sub(rf"\b{one.name}\b[^;]*;", lambda _, line=line: line, old, count=1)  # type: ignore[misc]
    at = defect.at
    if defect.added and at.file == file:
        old = found[at.line - 1]
        indent = old[: len(old) - len(old.lstrip())]
        if old.lstrip().startswith(at.name):
            found[at.line - 1 : at.line - 1] = [f"{indent}{line}\n" for line in defect.added]
        else:  # the block is on one line
            found[at.line - 1] = old.replace(at.name, " ".join((*defect.added, at.name)), 1)
    return found
