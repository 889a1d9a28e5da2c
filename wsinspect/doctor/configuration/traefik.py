"""Traefik: the router of a URL by rule and priority, its middlewares, its service; YAML, or the kinds of
its CRDs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from wsinspect.doctor.configuration.documents import Node, documents, walk
from wsinspect.doctor.configuration.labels import LABELS, from_labels
from wsinspect.doctor.configuration.model import (
    RAISED_SECONDS,
    Defect,
    Met,
    backend_of,
    handshake_headers,
    kind_of_header,
)
from wsinspect.doctor.configuration.patterns import UndecidedError, search
from wsinspect.doctor.configuration.sources import Sources
from wsinspect.doctor.configuration.toml import toml_document
from wsinspect.doctor.target import Target
from wsinspect.units import whole_number

_OWN: Final = re.compile(
    r"^[ \t]*(?:routers|entryPoints|middlewares|serversTransports?)[\"']?\s*:"
    r"|^\s*\[+(?:http\.(?:routers|services|middlewares)|entryPoints)\b"
    r"|^kind: *(?:IngressRoute|Middleware)\b"
    rf"|{LABELS.pattern}",
    re.M,
)
#: Since 2.11.2 and 3.0; earlier versions had none.
_READ_TIMEOUT: Final = 60.0
_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_TOKEN: Final = re.compile(r"\s*(&&|\|\||!|\(|\)|,|[A-Za-z]+(?=\s*\()|`[^`]*`|\"(?:\\.|[^\"])*\"|\S)")
_MAX_RULE: Final = 4096
_MAX_CHAINS: Final = 8


class Router(NamedTuple):
    """A router, however it is written."""

    name: str
    node: Node
    rule: Node
    priority: int
    middlewares: tuple[Node, ...]
    service: Node


@dataclass
class Tree:
    """The documents of all files."""

    roots: tuple[Node, ...]
    sources: Sources
    unsure: list[str] = field(default_factory=list)

    def defined(self, group: str, name: str) -> Node:
        """`http.middlewares.NAME`, in any file; a Middleware of Kubernetes as well."""
        plain = name.partition("@")[0]
        for root in self.roots:
            if found := root.get("http", group, plain):
                return found
            if (
                root.get("kind").text == "Middleware"
                and root.get("metadata", "name").text == plain
                and group == "middlewares"
            ):
                return root.get("spec")
        return Node(None, "", "")


def seconds_of(text: str) -> float | None:
    """A duration as Go writes it, or bare seconds; None if it is not one."""
    if re.fullmatch(r"\d{1,9}", text):
        return float(text)
    if not re.fullmatch(r"(?:\d+(?:\.\d+)?(?:ns|us|ms|s|m|h))+", text):
        return None
    return sum(float(count) * _UNITS[unit] for count, unit in re.findall(r"([\d.]+)(ns|us|ms|s|m|h)", text))


@dataclass(frozen=True)
class Traefik:
    """Reads static and dynamic configuration, YAML and TOML, and IngressRoute objects."""

    software: str = "traefik"

    def recognises(self, name: str, text: str) -> bool:
        """Routers, entry points or middlewares."""
        return bool(_OWN.search(text))

    def read(self, sources: Sources, files: Sequence[str]) -> Tree | None:
        """The documents; static and dynamic configuration belong together."""
        roots: list[Node] = []
        for file in files:
            if file.endswith(".toml"):
                found = toml_document(sources, file)
                roots += [found] if found is not None else []
            else:
                for root in documents(sources, file):
                    roots += [root, *from_labels(root)]
        return Tree(tuple(roots), sources) if roots else None

    def meets(self, tree: Tree, target: Target, version: tuple[int, ...] | None) -> Met | None:
        """The router for this URL, and what its middlewares do to a handshake."""
        unsure: list[str] = []
        fitting = []
        for one in _routers(tree):
            try:
                if _holds(one.rule.text, target):
                    fitting.append(one)
            except UndecidedError as error:
                unsure.append(f"router {one.name} at {one.node.at}: {error} is not known here")
        router = max(fitting, key=lambda one: one.priority, default=None)
        entry = _entry_point(tree, target)
        if router is None:
            if not any(True for _ in _routers(tree)):
                return None
            root = tree.roots[0]
            nothing = Defect(
                "answer", "no router's rule fits this URL, so Traefik answers 404", root.at, status=404
            )
            return Met("no router", root.at, (nothing,), (), tuple(unsure))
        defects = [*_entry_defects(entry, target), *_defects(tree, router, target, unsure)]
        return Met(
            f"router {router.name}",
            router.node.at,
            tuple(defects),
            tuple(_limits(tree, entry, router)),
            tuple(dict.fromkeys(unsure)),
            router,
            possible=tuple(_possible(tree, router)),
        )


def _routers(tree: Tree) -> Iterator[Router]:
    for root in tree.roots:
        for name, node in root.get("http", "routers").items():
            rule = node.get("rule")
            yield Router(
                name, node, rule, _priority(node, rule), tuple(node.get("middlewares")), node.get("service")
            )
        if root.get("kind").text == "IngressRoute":
            for node in walk(root, ("spec", "routes")):
                rule = node.get("match")
                names = tuple(one.get("name") for one in node.get("middlewares"))
                owner = root.get("metadata", "name").text
                yield Router(owner, node, rule, _priority(node, rule), names, node.get("services"))


def _priority(node: Node, rule: Node) -> int:
    return whole_number(node.get("priority").text, 18) or len(rule.text)


def _entry_point(tree: Tree, target: Target) -> Node:
    points = [one for root in tree.roots for _, one in root.get("entryPoints").items()]
    for one in points:
        if one.get("address").text.rpartition(":")[2].split("/")[0] == str(target.port):
            return one
    return points[0] if len(points) == 1 else Node(None, "", "")


# -- rules


def _holds(rule: str, target: Target) -> bool:
    """Whether a rule fits: Host(`a`) && (PathPrefix(`/ws`) || Headers(`Upgrade`, `websocket`)).

    Raises:
        UndecidedError: it asks for what is not known, or cannot be read.
    """
    tokens = _TOKEN.findall(rule[:_MAX_RULE])
    value, rest = _either(tokens, target, 0)
    if rest:
        raise UndecidedError(f"the rule {rule[:80]!r}")
    return value


def _either(tokens: list[str], target: Target, depth: int) -> tuple[bool, list[str]]:
    value, rest = _both(tokens, target, depth)
    while rest[:1] == ["||"]:
        other, rest = _both(rest[1:], target, depth)
        value = value or other
    return value, rest


def _both(tokens: list[str], target: Target, depth: int) -> tuple[bool, list[str]]:
    value, rest = _single(tokens, target, depth)
    while rest[:1] == ["&&"]:
        other, rest = _single(rest[1:], target, depth)
        value = value and other
    return value, rest


def _single(tokens: list[str], target: Target, depth: int) -> tuple[bool, list[str]]:
    if not tokens or depth > 32:
        raise UndecidedError("an incomplete rule")
    head, *rest = tokens
    if head == "!":
        value, rest = _single(rest, target, depth + 1)
        return not value, rest
    if head == "(":
        value, rest = _either(rest, target, depth + 1)
        if rest[:1] != [")"]:
            raise UndecidedError("an incomplete rule")
        return value, rest[1:]
    if rest[:1] != ["("] or ")" not in rest:
        raise UndecidedError(f"the rule's {head!r}")
    end = rest.index(")")
    args = [one.strip('`"') for one in rest[1:end] if one != ","]
    return _matches(head, args, target), rest[end + 1 :]


def _matches(name: str, args: list[str], target: Target) -> bool:
    path, host = target.path, target.host.lower()
    if variable := next((one for one in args if "${" in one), None):
        raise UndecidedError(f"{name}({variable})")
    if name == "Host":
        return any(one.lower() == host for one in args)
    if name == "HostRegexp":
        return any(search(re.sub(r"\{\w+:([^}]*)\}", r"(?:\1)", one), host) for one in args)
    if name == "Path":
        return path in args
    if name == "PathPrefix":
        return any(path.startswith(re.sub(r"\{.*", "", one)) for one in args)
    if name == "PathRegexp":
        return any(search(one, path) for one in args)
    if name == "Method":
        return "GET" in args
    if name in ("Headers", "Header", "HeadersRegexp", "HeaderRegexp") and len(args) > 1:
        value = handshake_headers(target).get(args[0].lower())
        if value is None:
            raise UndecidedError(f"header {args[0]}")
        return bool(search(args[1], value)) if name.endswith("Regexp") else value == args[1]
    if name == "Query" and args:
        pairs = target.query.split("&")
        return (args[0] if "=" in args[0] else "=".join(args[:2])) in pairs
    raise UndecidedError(f"{name}(...)")


# -- what is wrong


def _entry_defects(entry: Node, target: Target) -> Iterator[Defect]:
    redirect = entry.get("http", "redirections", "entryPoint")
    if redirect and not target.is_tls:
        permanent = redirect.get("permanent").text != "false"
        yield Defect(
            "answer", "the entry point redirects to https", redirect.at, status=308 if permanent else 307
        )


_ASKS: Final = {
    "basicAuth": 401,
    "digestAuth": 401,
    "forwardAuth": 401,
    "ipAllowList": 403,
    "ipWhiteList": 403,
}


def _defects(tree: Tree, router: Router, target: Target, unsure: list[str]) -> Iterator[Defect]:
    path = target.path
    for named, one in _middlewares(tree, router.middlewares, unsure, 0):
        headers = one.get("headers")
        for name, value in headers.get("customRequestHeaders").items():
            kind = kind_of_header(name)
            if (
                kind is not None
                and value.text.lower() != handshake_headers(target).get(name.lower(), "\0").lower()
            ):
                does = "changes it" if value.text else "removes it"
                yield Defect(
                    kind, f"'customRequestHeaders: {name}' in {named.text} {does}", value.at, value.without()
                )
        for name, value in headers.get("customResponseHeaders").items():
            if name.lower() in ("upgrade", "connection") and not value.text:
                yield Defect(
                    "response", f"'customResponseHeaders: {name}' spoils the 101", value.at, value.without()
                )
        for key in ("redirectScheme", "redirectRegex"):
            if redirect := one.get(key):
                is_own = key == "redirectScheme" and redirect.get("scheme").text == (
                    "https" if target.is_tls else "http"
                )
                if not is_own:
                    status = 301 if redirect.get("permanent").is_on else 302
                    yield Defect(
                        "answer", f"'{key}' in {named.text} answers itself", redirect.at, status=status
                    )
        for key, status in _ASKS.items():
            if found := one.get(key):
                yield Defect(
                    "answer",
                    f"'{key}' in {named.text} decides before any server is asked",
                    found.at,
                    status=status,
                )
        before = path
        try:
            path, at = _path(one, path)
        except UndecidedError as error:
            unsure.append(f"middleware {named.text} at {one.at}: {error} cannot be decided here")
        if path != before:
            yield Defect("path", f"middleware {named.text} makes {before} into {path}", at.at)
    service = tree.defined("services", router.service.text)
    balancer = service.get("loadBalancer")
    if balancer.get("passHostHeader").text == "false":
        at = balancer.get("passHostHeader")
        yield Defect(
            "host",
            "'passHostHeader: false': the server does not get the client's Host",
            at.at,
            at.with_value("true"),
        )
    scheme = balancer.get("server", "scheme")  # of a label
    if scheme.text == "h2c":
        words = "'scheme=h2c': WebSockets need HTTP/1.1 to the server"
        yield Defect("h2", words, scheme.at, scheme.with_value("http"))
    for server in balancer.get("servers"):
        url = server.get("url")
        if url.text.startswith("h2c://"):
            words = f"'{url.text}': WebSockets need HTTP/1.1 to the server"
            yield Defect("h2", words, url.at, url.with_value(url.text.replace("h2c://", "http://")))


def _middlewares(
    tree: Tree, names: Iterable[Node], unsure: list[str], depth: int
) -> Iterator[tuple[Node, Node]]:
    """Each with its name, those of chains in their place."""
    for named in names:
        one = tree.defined("middlewares", named.text)
        if not one:
            unsure.append(f"middleware {named.text} at {named.at} is not in these files")
        elif (chain := one.get("chain", "middlewares")) and depth < _MAX_CHAINS:
            inside = ((each.get("name") or each) for each in chain)
            yield from _middlewares(tree, inside, unsure, depth + 1)
        else:
            yield named, one


def _path(one: Node, path: str) -> tuple[str, Node]:
    """What a middleware makes of a path, and the line that says so.

    Raises:
        UndecidedError: its pattern cannot be read.
    """
    for prefix in one.get("stripPrefix", "prefixes"):
        if path.startswith(prefix.text):
            return path[len(prefix.text) :] or "/", prefix
    for pattern in one.get("stripPrefixRegex", "regex"):
        match = search(f"^(?:{pattern.text})", path)
        if match and match[0]:
            rest = path[match.end() :]
            return rest if rest.startswith("/") else f"/{rest}", pattern
    if added := one.get("addPrefix", "prefix"):
        return added.text + path, added
    if replaced := one.get("replacePath", "path"):
        return replaced.text, replaced
    regex = one.get("replacePathRegex", "regex")
    match = search(regex.text, path) if regex else None
    if match:
        groups = [match[0], *match.groups()]
        text = one.get("replacePathRegex", "replacement").text
        new = re.sub(
            r"\$\{?(\d)\}?", lambda at: (groups[int(at[1])] if int(at[1]) < len(groups) else "") or "", text
        )
        return path[: match.start()] + new + path[match.end() :], regex
    return path, one


#: What answers by what is not known here.
_MAY_ANSWER: Final = (
    ("plugin", 500, "plugins that wrap the answer cannot pass an upgrade on ('not a hijacker' in the log)"),
    ("rateLimit", 429, "it answers 429 to what is beyond it"),
    ("inFlightReq", 429, "an open WebSocket counts for it, and it answers 429 beyond its amount"),
)


#: What a handshake may be answered with that a page of `errors` can stand in the place of.
_REFUSALS: Final = (400, 401, 403, 404, 405, 410, 426, 429, 500, 501, 502, 503, 504)


def _covers(named: Node, errors: Node) -> Iterator[Defect]:
    """Pages of another service in the place of an answer: Traefik keeps its status unless it is rewritten."""
    statuses = [code for part in errors.get("status") for code in _statuses(part.text)]
    page = errors.get("query").text or "/"
    advice = f"take the middleware {named.text} out of this router: clients get the answer itself"
    rewritten = dict(errors.get("statusRewrites").items())
    for code in dict.fromkeys(statuses):
        found = next(
            (
                value
                for key, value in rewritten.items()
                if code in _statuses(key) and whole_number(value.text)
            ),
            None,
        )
        words = (
            f"'errors' in {named.text} puts '{page}' of another service in place of the server's own answer"
        )
        if found is None:
            yield Defect("covered", words, errors.at, status=code, advice=advice)
        else:
            words = f"{words}, and makes {found.text} of its {code}"
            yield Defect("cover", words, found.at, status=whole_number(found.text), advice=advice)


def _statuses(text: str) -> list[int]:
    """`404`, `500-599`, or several with commas: those of them that a refused handshake has."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        low, high = whole_number(first), whole_number(last or first)
        if low is not None and high is not None:
            found += [one for one in _REFUSALS if low <= one <= high]
    return found


def _possible(tree: Tree, router: Router) -> Iterator[Defect]:
    for named, one in _middlewares(tree, router.middlewares, [], 0):
        if errors := one.get("errors"):
            yield from _covers(named, errors)
        for key, status, words in _MAY_ANSWER:
            if found := one.get(key):
                yield Defect("answer", f"'{key}' in {named.text}: {words}", found.at, status=status)
    for server in tree.defined("services", router.service.text).get("loadBalancer", "servers"):
        if url := server.get("url"):
            words = f"'{url.text}' is where it goes: no valid answer came from there"
            yield Defect("upstream", words, url.at, backend=backend_of(url.text, url.at))


def _limits(tree: Tree, entry: Node, router: Router) -> Iterator[Defect]:
    timeouts = entry.get("transport", "respondingTimeouts")
    one = timeouts.get("readTimeout")
    seconds = seconds_of(one.text) if one else _READ_TIMEOUT
    place = one or entry
    if seconds and place:
        words = f"'readTimeout: {one.text}'" if one else "no 'readTimeout': its default is 60 s since 2.11.2"
        edits = one.with_value("0s") if one else ()
        advice = "" if one else "transport: {respondingTimeouts: {readTimeout: 0s}} in this entry point"
        yield Defect(
            "idle",
            f"{words}: some releases end a silent client by it",
            place.at,
            edits,
            seconds,
            advice=advice,
        )
    name = tree.defined("services", router.service.text).get("loadBalancer", "serversTransport").text
    forwarding = (
        tree.defined("serversTransports", name).get("forwardingTimeouts") if name else Node(None, "", "")
    )
    header = forwarding.get("responseHeaderTimeout")
    seconds = seconds_of(header.text) if header else None
    if header and seconds:
        words = f"'responseHeaderTimeout: {header.text}': how long the server has to answer"
        yield Defect("handshake", words, header.at, header.with_value(f"{RAISED_SECONDS}s"), seconds)
