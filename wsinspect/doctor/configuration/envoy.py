"""Envoy: listener, virtual host and route of a URL in a static configuration, YAML or JSON."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from wsinspect.doctor.configuration.documents import Node, documents, walk
from wsinspect.doctor.configuration.model import (
    RAISED_SECONDS,
    Defect,
    Kind,
    Met,
    backend_of,
    handshake_headers,
    kind_of_header,
)
from wsinspect.doctor.configuration.patterns import UndecidedError, search
from wsinspect.doctor.configuration.sources import Sources
from wsinspect.doctor.target import Target
from wsinspect.units import whole_number

_OWN: Final = re.compile(
    r"http_connection_manager|[\"']?static_resources[\"']?\s*:|[\"']?virtual_hosts[\"']?\s*:"
)
#: Defaults of the documentation: a route's timeout, and streams that are idle.
_ROUTE_TIMEOUT: Final = 15.0
_STREAM_IDLE: Final = 300.0
#: Of a TCP proxy (idle_timeout).
_TUNNEL_IDLE: Final = 3600.0
_UPGRADE: Final = "[{upgrade_type: websocket}]"


class Tree(NamedTuple):
    """The documents of all files."""

    roots: tuple[Node, ...]
    sources: Sources


@dataclass
class Found:
    """What a URL meets.

    Attributes:
        manager: the HTTP connection manager.
        route: the route that fits first; empty if none does.
    """

    tree: Tree
    manager: Node
    host: Node
    route: Node
    unsure: list[str] = field(default_factory=list)

    @property
    def cluster(self) -> Node:
        """The definition of the cluster that the route names; of several the first."""
        action = self.route.get("route")
        weighted = next(iter(walk(action, ("weighted_clusters", "clusters"))), action.get("nothing"))
        name = action.get("cluster").text or weighted.get("name").text
        clusters = (one for root in self.tree.roots for one in walk(root, ("static_resources", "clusters")))
        empty = self.route.get("route", "nothing")
        return next((one for one in clusters if name and one.get("name").text == name), empty)


def seconds_of(text: str) -> float | None:
    """A duration as protobuf's JSON has it: `15s`, `0.5s`; None if it is not one."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)s", text)
    return float(match[1]) if match else None


@dataclass(frozen=True)
class Envoy:
    """Reads a bootstrap, or files of listeners, routes and clusters."""

    software: str = "envoy"

    def recognises(self, name: str, text: str) -> bool:
        """The names of its messages."""
        return bool(_OWN.search(text)) and "kind: EnvoyFilter" not in text

    def read(self, sources: Sources, files: Sequence[str]) -> Tree | None:
        """The documents of all files, unread until something is asked of them."""
        roots = [one for file in files for one in documents(sources, file)]
        return Tree(tuple(roots), sources) if roots else None

    def meets(self, tree: Tree, target: Target, version: tuple[int, ...] | None) -> Met | None:
        """The route for this URL, and whether it lets an upgrade through."""
        unsure: list[str] = []
        listener, manager = _manager(tree, target, unsure)
        before = tuple(_before_requests(listener))
        if not manager:
            return _tunnel(tree, target, before)
        host = _virtual_host(manager, target)
        if not host and manager.get("rds"):
            unsure.append(f"the routes of {manager.at} come from a server (rds): they are not here")
        route = _route(host, target, unsure) if host else host
        found = Found(tree, manager, host, route, unsure)
        place = route or host or manager
        replies = tuple(_replies(manager))
        return Met(
            _words(found),
            place.at,
            (*before, *(_as_answered(one, replies) for one in _defects(found, target))),
            tuple(limits(found)),
            tuple(dict.fromkeys(found.unsure)),
            found,
            possible=(
                *(_as_answered(one, replies) for one in _filters(manager)),
                *(found for one in replies for found in _covers(one)),
                *_upstream(found),
            ),
        )


class _Reply(NamedTuple):
    """A mapper of `local_reply_config`.

    Attributes:
        statuses: what it is for, of what Envoy answers by itself; None where that is not decided here.
        changed: the status that clients get; None where that stays.
    """

    statuses: frozenset[int] | None
    changed: int | None
    at: Node


#: What Envoy answers by itself to what a route passes on: routes and filters have lines of their own.
_LOCAL: Final = frozenset((400, 408, 431, 500, 502, 503, 504))
_COMPARES: Final[Mapping[str, Callable[[int, int], bool]]] = {
    "EQ": operator.eq,
    "GE": operator.ge,
    "LE": operator.le,
    "NE": operator.ne,
}


def _replies(manager: Node) -> Iterator[_Reply]:
    """The mappers in their order: the first whose filter fits decides. They see no answer of a server."""
    for one in manager.get("local_reply_config", "mappers"):
        changed = one.get("status_code")
        yield _Reply(_filtered(one.get("filter")), whole_number(changed.text), changed or one)


def _filtered(node: Node, depth: int = 0) -> frozenset[int] | None:
    """The statuses that an access log filter is for; None where it looks at something else, too."""
    comparison = node.get("status_code_filter", "comparison")
    if comparison:
        fits = _COMPARES.get(comparison.get("op").text or "EQ")
        limit = whole_number(comparison.get("value", "default_value").text)
        if fits is None or limit is None:
            return None
        return frozenset(one for one in range(200, 600) if fits(one, limit))
    if depth > _MAX_FILTERS:
        return None
    for key, joined in (("and_filter", frozenset.intersection), ("or_filter", frozenset.union)):
        parts = [_filtered(one, depth + 1) for one in node.get(key, "filters")]
        known = [one for one in parts if one is not None]
        if known and len(known) == len(parts):
            return joined(*known)
    return None


#: A filter in a filter in a filter is nothing that anybody writes.
_MAX_FILTERS: Final = 8


def _as_answered(defect: Defect, replies: Sequence[_Reply]) -> Defect:
    """An answer of Envoy's own with the status that clients get."""
    if defect.kind != "answer" or defect.status is None:
        return defect
    for one in replies:
        if one.statuses is None:
            return defect  # whether it is for this answer is not known, so what comes after it is not, either
        if defect.status in one.statuses:
            if one.changed in (None, defect.status):
                return defect
            words = f"{defect.words}, and 'local_reply_config' makes {one.changed} of that {defect.status}"
            return replace(defect, words=words, status=one.changed)
    return defect


def _covers(reply: _Reply) -> Iterator[Defect]:
    """Envoy's own failures under another status."""
    mine = sorted(_LOCAL if reply.statuses is None else reply.statuses & _LOCAL)
    if reply.changed is None or not mine:
        return
    shown = ", ".join(map(str, mine)) if len(mine) <= _SHOWN else f"{mine[0]} to {mine[-1]}"
    words = f"'status_code: {reply.changed}' in 'local_reply_config' answers in place of Envoy's own answer"
    if reply.statuses is not None:
        words += f" ({shown})"
    advice = "take that mapper out, or its 'status_code': clients get Envoy's own status, and what failed"
    yield Defect("cover", words, reply.at.at, status=reply.changed, advice=advice)


_SHOWN: Final = 4


#: Filters that answer by what is not known here: a part of their name, and the status.
_ANSWERING: Final = (
    ("filters.http.rbac", (403,)),
    ("filters.http.ext_authz", (401, 403)),
    ("filters.http.jwt_authn", (401, 403)),
    ("filters.http.oauth2", (302, 401)),
    ("filters.http.basic_auth", (401,)),
    ("filters.http.csrf", (403,)),
    ("ratelimit", (429,)),
)


def _filters(manager: Node) -> Iterator[Defect]:
    for one in manager.get("http_filters"):
        name = one.get("name").text
        kind = one.get("typed_config", "@type").text
        for part, statuses in _ANSWERING:
            if part in name or part in kind.replace("/", ".").replace("extensions.", ""):
                words = f"filter '{name}' may answer before any server is asked"
                for status in statuses:
                    yield Defect("answer", words, one.get("name").at, status=status)


def _before_requests(listener: Node) -> Iterator[Defect]:
    """What ends connections that another client may open: a PROXY header or a certificate is asked for."""
    for one in listener.get("listener_filters"):
        allows = one.get("typed_config", "allow_requests_without_proxy_protocol")
        if "proxy_protocol" in one.get("name").text and not allows.is_on:
            words = "this listener filter hangs up on whoever sends no PROXY header in front of the request"
            advice = "allow_requests_without_proxy_protocol: true, or make the load balancer in front send it"
            yield Defect("silent", words, one.get("name").at, advice=advice)
    for chain in listener.get("filter_chains"):
        required = chain.get("transport_socket", "typed_config", "require_client_certificate")
        if required.is_on:
            words = "'require_client_certificate: true' ends TLS with all that have none"
            yield Defect("certificate", words, required.at)


def _tunnel(tree: Tree, target: Target, before: tuple[Defect, ...]) -> Met | None:
    """A listener that passes on bytes: what it is for a WebSocket is a limit alone."""
    for listener, one in _network_filters(tree):
        config = one.either("typed_config", "config")
        port = listener.get("address", "socket_address", "port_value").text
        if "tcp_proxy" not in one.get("name").text or port != str(target.port):
            continue
        idle = config.get("idle_timeout")
        seconds = seconds_of(idle.text) if idle else _TUNNEL_IDLE
        raised = f"{RAISED_SECONDS}s"
        edits = idle.with_value(raised) if idle else config.with_entry("idle_timeout", raised)
        words = f"'idle_timeout: {idle.text}'" if idle else "no 'idle_timeout': its default is 1 h"
        limit = Defect("idle", f"{words}: silence for that long ends it", (idle or one).at, edits, seconds)
        return Met("tcp_proxy", one.get("name").at, before, (limit,) if seconds else ())
    return None


def _upstream(found: Found) -> Iterator[Defect]:
    """The address of the cluster that it is passed to."""
    places = walk(found.cluster, ("load_assignment", "endpoints", "lb_endpoints", "endpoint"))
    for one in places:
        address = one.get("address", "socket_address")
        name = f"{address.get('address').text}:{address.get('port_value').text}"
        words = f"{name} is where it goes: no valid answer came from there"
        at = address.get("port_value").at
        leads = backend_of(name, at)
        if leads is not None:
            leads = leads._replace(is_tls=bool(found.cluster.get("transport_socket")))
        yield Defect("upstream", words, at, backend=leads)


def _words(found: Found) -> str:
    if not found.route:
        return f"virtual host {found.host.get('name').text}" if found.host else "http_connection_manager"
    match = found.route.get("match")
    how = next(
        (
            f"{key} {value.text or value.get('regex').text}"
            for key, value in match.items()
            if key != "headers"
        ),
        "",
    )
    return f"route {found.route.get('name').text or how}".strip()


def _network_filters(tree: Tree) -> Iterator[tuple[Node, Node]]:
    """The network filters of all listeners, each with its listener."""
    for root in tree.roots:
        listeners = [*walk(root, ("static_resources", "listeners")), *walk(root, ("resources",)), root]
        for listener in listeners:
            for one in walk(listener, ("filter_chains", "filters")):
                yield listener, one


def _manager(tree: Tree, target: Target, unsure: list[str]) -> tuple[Node, Node]:
    """The listener of the port and its HTTP connection manager; empty where another filter has it."""
    managers: list[tuple[Node, Node]] = []
    ports: list[str] = []
    for listener, one in _network_filters(tree):
        ports.append(listener.get("address", "socket_address", "port_value").text)
        config = one.either("typed_config", "config")
        if (
            "http_connection_manager" in one.get("name").text
            or "HttpConnectionManager" in config.get("@type").text
        ):
            managers.append((listener, config))
    fitting = [
        pair
        for pair in managers
        if pair[0].get("address", "socket_address", "port_value").text == str(target.port)
    ]
    empty = Node(None, "", "")
    if not fitting and str(target.port) in ports:
        return empty, empty
    if not fitting and len(managers) > 1:
        unsure.append(f"no listener has port {target.port}: the first was taken")
    return next(iter(fitting or managers), (empty, empty))


def _virtual_host(manager: Node, target: Target) -> Node:
    """The one whose domain fits best: exact, a suffix, a prefix, then any."""
    best, rank = manager.get("nothing"), (0, 0)
    # A port in Host is part of the name, unless it is stripped.
    strips = any(manager.get(key).is_on for key in ("strip_any_host_port", "strip_matching_host_port"))
    names = {target.host.lower() if strips else target.authority.lower()}
    for host in walk(manager, ("route_config", "virtual_hosts")):
        for one in host.get("domains"):
            domain = one.text.lower()
            for name in names:
                found = (0, 0)
                if domain == name:
                    found = (4, 0)
                elif domain == "*":
                    found = (1, 0)
                elif domain.startswith("*") and name.endswith(domain[1:]):
                    found = (3, len(domain))
                elif domain.endswith("*") and name.startswith(domain[:-1]):
                    found = (2, len(domain))
                if found > rank:
                    best, rank = host, found
    return best


def _route(host: Node, target: Target, unsure: list[str]) -> Node:
    for one in host.get("routes"):
        try:
            if _matches(one.get("match"), target):
                return one
        except UndecidedError as error:
            unsure.append(f"route at {one.at}: {error} is not known here")
    return host.get("nothing")


def _matches(match: Node, target: Target) -> bool:
    path = target.path
    for key, value in match.items():
        if key == "prefix" and not path.startswith(value.text):
            return False
        if key == "path" and path != value.text:
            return False
        if key == "path_separated_prefix" and not (path == value.text or path.startswith(f"{value.text}/")):
            return False
        if key == "safe_regex" and not search(f"^(?:{value.get('regex').text})$", path):
            return False
    headers = handshake_headers(target) | {
        ":method": "GET",
        ":path": target.target,
        ":authority": target.authority,
    }
    for one in match.get("headers"):
        name = one.get("name").text.lower()
        if name not in headers:
            raise UndecidedError(f"header {name}")
        if _header_fits(one, headers[name]) == one.get("invert_match").is_on:
            return False
    if match.get("query_parameters") or match.get("runtime_fraction"):
        raise UndecidedError("a query parameter or a fraction")
    return True


def _header_fits(one: Node, value: str) -> bool:
    if one.get("present_match"):
        return one.get("present_match").is_on
    text = one.get("string_match")
    exact = one.get("exact_match") or text.get("exact")
    ignores = text.get("ignore_case").is_on
    if exact:
        return exact.text.lower() == value.lower() if ignores else exact.text == value
    for key, check in (
        ("prefix", value.startswith),
        ("suffix", value.endswith),
        ("contains", value.__contains__),
    ):
        if part := (one.get(f"{key}_match") or text.get(key)):
            return bool(check(part.text))
    regex = one.get("safe_regex_match", "regex") or text.get("safe_regex", "regex")
    return bool(search(f"^(?:{regex.text})$", value)) if regex else True


def _defects(found: Found, target: Target) -> Iterator[Defect]:
    route = found.route
    if not route:
        if not found.manager.get("rds"):
            place = found.host or found.manager
            yield Defect("answer", "no route fits this path, so Envoy answers 404", place.at, status=404)
        return
    secured = found.host.get("require_tls")
    if secured.text in ("ALL", "EXTERNAL_ONLY") and not target.is_tls:
        yield Defect("answer", f"'require_tls: {secured.text}' redirects to https", secured.at, status=301)
        return
    direct, redirect = route.get("direct_response"), route.get("redirect")
    if direct:
        status = direct.get("status").text
        yield Defect(
            "answer",
            f"'direct_response' answers {status}",
            direct.at,
            status=whole_number(status) or 200,
        )
        return
    if redirect:
        codes = {"FOUND": 302, "SEE_OTHER": 303, "TEMPORARY_REDIRECT": 307, "PERMANENT_REDIRECT": 308}
        yield Defect(
            "answer",
            "'redirect' answers itself",
            redirect.at,
            status=codes.get(redirect.get("response_code").text, 301),
        )
        return
    action = route.get("route")
    yield from _upgrade(found, action)
    if _is_http2(found.cluster):
        words = "the cluster speaks HTTP/2: upgrades become extended CONNECT, which servers rarely accept"
        yield Defect("h2", words, found.cluster.at)
    yield from _removed(found)
    for key in (
        "host_rewrite_literal",
        "auto_host_rewrite",
        "host_rewrite_header",
        "host_rewrite_path_regex",
    ):
        one = action.get(key)
        if one and one.text != "false":
            yield Defect("host", f"'{key}': the server does not get the client's Host", one.at, one.without())
    rewrite = action.get("prefix_rewrite")
    prefix = route.get("match").either("prefix", "path", "path_separated_prefix").text
    if rewrite and target.path.startswith(prefix):
        becomes = rewrite.text + target.path[len(prefix) :]
        if becomes != target.path:
            yield Defect(
                "path", f"'prefix_rewrite' makes {target.path} into {becomes}", rewrite.at, rewrite.without()
            )
    if regex := action.get("regex_rewrite"):
        yield Defect("path", "'regex_rewrite' changes the path", regex.at, regex.without())


def _upgrade(found: Found, action: Node) -> Iterator[Defect]:
    """On the route, `enabled: false` switches off what the connection manager allows."""
    own = next(
        (one for one in action.get("upgrade_configs") if one.get("upgrade_type").text.lower() == "websocket"),
        None,
    )
    general = [
        one
        for one in found.manager.get("upgrade_configs")
        if one.get("upgrade_type").text.lower() == "websocket"
    ]
    if own is not None and own.get("enabled").text.lower() == "false":
        words, at = "'enabled: false' for websocket on this route", own.get("enabled").at
        edits = own.get("enabled").with_value("true")
    elif own is None and not general:
        words, at = "no upgrade_configs with websocket, so Envoy refuses upgrades", found.manager.at
        edits = found.manager.with_entry("upgrade_configs", _UPGRADE, "- upgrade_type: websocket")
    elif own is None and general[0].get("enabled").text.lower() == "false":
        words, at = "'enabled: false' for websocket", general[0].get("enabled").at
        edits = general[0].get("enabled").with_value("true")
    else:
        return
    yield Defect("upgrade", words, at, edits)
    yield Defect("answer", words, at, edits, status=403)


def _is_http2(cluster: Node) -> bool:
    if cluster.get("http2_protocol_options"):
        return True
    for _, options in cluster.get("typed_extension_protocol_options").items():
        explicit = options.get("explicit_http_config")
        if explicit.get("http2_protocol_options"):
            return True
        return any(key == "http2_protocol_options" for key, _ in explicit.items())
    return False


def _removed(found: Found) -> Iterator[Defect]:
    for scope in (found.route, found.host, found.manager.get("route_config")):
        for one in scope.get("request_headers_to_remove"):
            kind: Kind | None = kind_of_header(one.text)
            if kind is not None:
                yield Defect(kind, f"'request_headers_to_remove' removes {one.text}", one.at, one.without())


def limits(found: Found) -> Iterator[Defect]:
    """How long a stream may be idle, live, and wait for its answer; 0 s is never."""
    if not found.route.get("route"):
        return
    action, manager = found.route.get("route"), found.manager
    idle = action.get("idle_timeout") or manager.get("stream_idle_timeout")
    seconds = seconds_of(idle.text) if idle else _STREAM_IDLE
    if seconds:
        words = (
            f"'{idle.text}' idle"
            if idle
            else "no 'idle_timeout': the default of 'stream_idle_timeout' is 300 s"
        )
        raised = f"{RAISED_SECONDS}s"
        edits = idle.with_value(raised) if idle else action.with_entry("idle_timeout", raised)
        yield Defect("idle", f"{words}: silence for that long ends it", (idle or action).at, edits, seconds)
    timeout = action.get("timeout")
    seconds = seconds_of(timeout.text) if timeout else _ROUTE_TIMEOUT
    if seconds:
        words = f"'timeout: {timeout.text}'" if timeout else "no 'timeout' on the route: its default is 15 s"
        edits = timeout.with_value("60s") if timeout else action.with_entry("timeout", "60s")
        yield Defect(
            "handshake", f"{words}: how long the server has to answer", (timeout or action).at, edits, seconds
        )
    options = manager.get("common_http_protocol_options")
    for one in (
        action.get("max_stream_duration", "max_stream_duration"),
        options.get("max_stream_duration"),
        options.get("max_connection_duration"),
    ):
        seconds = seconds_of(one.text) if one else None
        if one and seconds:
            yield Defect(
                "lifetime", f"'{one.text}': connections end at that age", one.at, one.without(), seconds
            )
