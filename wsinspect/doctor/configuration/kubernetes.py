"""Kubernetes: Ingress with the annotations of its controller, and the Gateway API's HTTPRoute."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from wsinspect.doctor.configuration.annotations import judged
from wsinspect.doctor.configuration.documents import Node, documents, walk
from wsinspect.doctor.configuration.model import (
    RAISED_SECONDS,
    Defect,
    Edit,
    Met,
    handshake_headers,
    kind_of_header,
)
from wsinspect.doctor.configuration.patterns import UndecidedError, search
from wsinspect.doctor.configuration.sources import Sources
from wsinspect.doctor.target import Target
from wsinspect.units import whole_number

_KINDS: Final = re.compile(r"^[\"' ]*kind[\"']?: *[\"']?(Ingress|HTTPRoute|BackendConfig)\b", re.M)
#: A Service counts where it has annotations of a controller.
_READ: Final = re.compile(
    rf"{_KINDS.pattern}|^kind: *Service *$|^[ \"']*(?:traefik\.ingress|alb\.ingress|haproxy)[\w.-]*/", re.M
)
_INGRESS_NGINX: Final = "nginx.ingress.kubernetes.io/"
_NGINX_INC: Final = "nginx.org/"
_HAPROXY: Final = ("haproxy.org/", "haproxy.com/", "haproxy-ingress.github.io/")
_ALB: Final = "alb.ingress.kubernetes.io/"
_TRAEFIK: Final = "traefik.ingress.kubernetes.io/"
_HAPROXY_INGRESS: Final = "haproxy-ingress.github.io/"
_DEFAULT_NGINX: Final = 60.0
_DEFAULT_ALB: Final = 60.0
_DEFAULT_GCE: Final = 30.0
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}
_IDLE_ATTRIBUTE: Final = re.compile(r"idle_timeout\.timeout_seconds=(\d+)")
_HEADER_LINE: Final = re.compile(r"proxy_set_header\s+(\S+)\s+([^;]*);")


class Tree(NamedTuple):
    """The documents of all files."""

    roots: tuple[Node, ...]
    sources: Sources

    def of(self, kind: str) -> Iterator[Node]:
        """The objects of a kind, those in lists as well."""
        for root in self.roots:
            for one in (root, *walk(root, ("items",))):
                if one.get("kind").text == kind:
                    yield one


class Found(NamedTuple):
    """The object and the path or rule in it that a URL meets."""

    owner: Node
    rule: Node
    annotations: dict[str, Node]
    controller: str


def seconds_of(text: str) -> float | None:
    """`60`, `60s`, `1h`; None if it is not a duration."""
    if not re.fullmatch(r"(?:\d{1,9}(?:ms|s|m|h))+|\d{1,9}", text):
        return None
    return sum(int(count) * _UNITS[unit] for count, unit in re.findall(r"(\d+)(ms|s|m|h|)", text) if count)


@dataclass(frozen=True)
class Kubernetes:
    """Reads manifests; those of other kinds are left aside."""

    software: str = "k8s-ingress"

    def recognises(self, name: str, text: str) -> bool:
        """An Ingress or an HTTPRoute among its objects."""
        return "apiVersion" in text and bool(_KINDS.search(text))

    def read(self, sources: Sources, files: Sequence[str]) -> Tree | None:
        """The objects that have to do with routes."""
        roots = [one for file in files for one in documents(sources, file, _READ)]
        tree = Tree(tuple(roots), sources)
        return tree if [*tree.of("Ingress"), *tree.of("HTTPRoute")] else None

    def meets(self, tree: Tree, target: Target, version: tuple[int, ...] | None) -> Met | None:
        """The rule for this URL, and what the annotations of its controller make of a handshake."""
        unsure: list[str] = []
        found = _found(tree, target, unsure)
        if found is None:
            return None
        kind, name = found.owner.get("kind").text, found.owner.get("metadata", "name").text
        is_route = kind == "HTTPRoute"
        defects = list(_route_defects(found, target) if is_route else _ingress_defects(found, target))
        limits = list(_route_limits(found) if is_route else _limits(found, tree))
        if not is_route and not found.controller:
            unsure.append(
                "which controller serves it is not known: neither ingressClassName nor annotations say so"
            )
        doubtful = [one for row, one in judged(found.annotations) if row.is_possible]
        if is_route:
            defects += _backends(found, tree)
            doubtful += _without_protocol(found, tree)
        middlewares = found.annotations.get(f"{_TRAEFIK}router.middlewares")
        if middlewares is not None:
            unsure.append(f"'router.middlewares: {middlewares.text}': what they do is not known here")
        return Met(
            f"{kind} {name}",
            found.rule.at,
            tuple(defects),
            tuple(limits),
            tuple(unsure),
            found,
            possible=tuple(doubtful),
        )


def _found(tree: Tree, target: Target, unsure: list[str]) -> Found | None:
    best: tuple[tuple[int, int, int], Found] | None = None
    for owner in (*tree.of("Ingress"), *tree.of("HTTPRoute")):
        is_route = owner.get("kind").text == "HTTPRoute"
        own = {key: value for key, value in owner.get("metadata", "annotations").items()}
        controller = "" if is_route else _controller(owner, own)
        for rule, rank in (_route_rules if is_route else _ingress_rules)(owner, target, unsure):
            if best is None or rank > best[0]:
                best = (rank, Found(owner, rule, {**own, **_of_service(tree, rule)}, controller))
    return None if best is None else best[1]


def _of_service(tree: Tree, rule: Node) -> dict[str, Node]:
    """The annotations of the Service behind a path, which come before those of the Ingress."""
    name = rule.either("backend").get("service", "name").text or rule.get("serviceName").text
    service = next((one for one in tree.of("Service") if one.get("metadata", "name").text == name), None)
    return {} if service is None else dict(service.get("metadata", "annotations").items())


def _controller(owner: Node, annotations: dict[str, Node]) -> str:
    text = owner.get("spec", "ingressClassName").text.lower()
    old = annotations.get("kubernetes.io/ingress.class")
    text = text or (old.text.lower() if old else "")
    for word in ("nginx", "traefik", "haproxy", "alb", "gce"):
        if word in text:
            return word
    prefixes = {_INGRESS_NGINX: "nginx", _NGINX_INC: "nginx", "traefik.": "traefik", _ALB: "alb"}
    prefixes |= dict.fromkeys(_HAPROXY, "haproxy")
    return next(
        (name for key in annotations for prefix, name in prefixes.items() if key.startswith(prefix)), ""
    )


def _host_rank(pattern: str, host: str) -> int:
    """2 for the very name, 1 for a wildcard or none, 0 if it does not fit."""
    if pattern.lower() == host:
        return 2
    if pattern == "" or (pattern.startswith("*.") and host.partition(".")[2] == pattern[2:].lower()):
        return 1
    return 0


def _ingress_rules(
    owner: Node, target: Target, unsure: list[str]
) -> Iterator[tuple[Node, tuple[int, int, int]]]:
    for rule in owner.get("spec", "rules"):
        host = _host_rank(rule.get("host").text, target.host.lower())
        for path in rule.get("http", "paths") if host else ():
            text, kind = path.get("path").text or "/", path.get("pathType").text
            if kind == "Exact" and text == target.path:
                yield path, (host, 2, len(text))
            elif kind not in ("Exact", "Prefix") and re.search(r"[^.)\]]\*|\?$", text):  # ALB's and GCE's
                if fnmatchcase(target.path, text) or target.path == text.removesuffix("/*"):
                    yield path, (host, 1, len(text.rstrip("*")))
            elif kind != "Exact" and _is_below(target.path, text):
                yield path, (host, 1, len(text))
    default = owner.get("spec").either("defaultBackend", "backend")
    if default:
        yield default, (0, 0, 0)


def _is_below(path: str, prefix: str) -> bool:
    """Element by element, as pathType Prefix."""
    prefix = re.sub(r"\(.*|\.\*$", "", prefix)  # ingress-nginx takes patterns with rewrite-target
    return (
        path == prefix or path.startswith(prefix if prefix.endswith("/") else f"{prefix}/") or prefix == "/"
    )


def _header_fits(one: Node, headers: Mapping[str, str]) -> bool:
    value = headers.get(one.get("name").text.lower(), "")
    if one.get("type").text == "RegularExpression":
        return bool(search(f"^(?:{one.get('value').text})$", value))
    return value.lower() == one.get("value").text.lower()


def _route_rules(
    owner: Node, target: Target, unsure: list[str]
) -> Iterator[tuple[Node, tuple[int, int, int]]]:
    names = [one.text for one in owner.get("spec", "hostnames")] or [""]
    host = max(_host_rank(one, target.host.lower()) for one in names)
    headers = handshake_headers(target)
    for rule in owner.get("spec", "rules") if host else ():
        if not rule.get("matches"):
            yield rule, (host, 1, 1)
        for match in rule.get("matches"):
            text, kind = match.get("path", "value").text or "/", match.get("path", "type").text
            try:
                if not all(_header_fits(one, headers) for one in match.get("headers")):
                    continue
                is_pattern = kind == "RegularExpression"
                if is_pattern and not search(f"^(?:{text})$", target.path):
                    continue
            except UndecidedError as error:
                unsure.append(f"rule at {rule.at}: {error} cannot be decided here")
                continue
            pairs = target.query.split("&")
            wanted = [f"{one.get('name').text}={one.get('value').text}" for one in match.get("queryParams")]
            if match.get("method").text not in ("", "GET") or not set(wanted) <= set(pairs):
                continue
            if is_pattern:
                yield rule, (host, 1, len(text))
            elif kind == "Exact" and text == target.path:
                yield rule, (host, 2, len(text))
            elif kind != "Exact" and _is_below(target.path, text):
                yield rule, (host, 1, len(text))


# -- Ingress


def _ingress_defects(found: Found, target: Target) -> Iterator[Defect]:
    notes = found.annotations
    prefix = _INGRESS_NGINX

    def note(name: str) -> Node | None:
        return notes.get(prefix + name)

    has_tls = bool(found.owner.get("spec", "tls"))
    redirect, forced = note("ssl-redirect"), note("force-ssl-redirect")
    if found.controller == "nginx" and not target.is_tls and not _uses_inc(notes):
        is_forced = forced is not None and forced.is_on
        if is_forced or (has_tls and not (redirect is not None and redirect.text == "false")):
            at = forced.at if is_forced and forced is not None else found.owner.get("spec", "tls").at
            yield Defect("answer", "'ssl-redirect' sends ws:// to https", at, status=308)
    if (snippet := note("configuration-snippet")) is not None:
        for match in _HEADER_LINE.finditer(snippet.text):
            name, value = match[1].lower(), match[2].strip("\"' ")
            kind = kind_of_header(name)
            is_kept = value.startswith(("$http_", "$connection_upgrade")) or "$host" in value
            is_kept = is_kept or (kind == "upgrade" and value.lower() in ("websocket", "upgrade"))
            if kind is not None and not is_kept:
                yield Defect(kind, f"'{match[0]}' in configuration-snippet changes it", snippet.at)
        if answer := re.search(r"^\s*return\s+(\d{3})", snippet.text, re.M):
            yield Defect(
                "answer",
                f"'{answer[0].strip()}' in configuration-snippet answers",
                snippet.at,
                status=int(answer[1]),
            )
    if (one := note("rewrite-target")) is not None and one.text != target.path:
        becomes = _rewritten(found.rule.get("path").text, one.text, target.path)
        if becomes not in (None, target.path):
            yield Defect("path", f"'rewrite-target: {one.text}' makes {target.path} into {becomes}", one.at)
    yield from (one for row, one in judged(notes) if not row.is_possible)
    yield from _websocket_services(found)


def _uses_inc(notes: dict[str, Node]) -> bool:
    return any(key.startswith(_NGINX_INC) for key in notes)


def _websocket_services(found: Found) -> Iterator[Defect]:
    """NGINX Inc's controller carries upgrades to the services alone that this names."""
    if not _uses_inc(found.annotations):
        return
    service = found.rule.either("backend").get("service", "name").text or found.rule.get("serviceName").text
    one = found.annotations.get(f"{_NGINX_INC}websocket-services")
    named = [each.strip() for each in one.text.split(",")] if one is not None else []
    if service and service not in named:
        words = f"'{_NGINX_INC}websocket-services' does not name {service}"
        if one is not None:
            yield Defect("upgrade", words, one.at, one.with_value(",".join((*named, service))))
        else:
            edits = found.owner.get("metadata", "annotations").with_entry(
                f"{_NGINX_INC}websocket-services", f'"{service}"'
            )
            yield Defect("upgrade", words, found.owner.get("metadata", "annotations").at, edits)


def _rewritten(pattern: str, target: str, path: str) -> str | None:
    if "$" not in target:
        return target
    try:
        match = search(f"^{pattern}", path, ignores_case=True)
    except UndecidedError:
        return None
    if not match:
        return None
    groups = [match[0], *match.groups()]
    return re.sub(
        r"\$(\d)", lambda one: (groups[int(one[1])] if int(one[1]) < len(groups) else "") or "", target
    )


def _annotated(found: Found, key: str, value: str) -> tuple[Edit, ...]:
    """An annotation set, or added; with its mapping where there is none."""
    one = found.annotations.get(key)
    if one is not None:
        return one.with_value(value)
    notes = found.owner.get("metadata", "annotations")
    if notes:
        return notes.with_entry(key, f'"{value}"')
    return found.owner.get("metadata").with_entry(
        "annotations", f'{{{key}: "{value}"}}', f'  {key}: "{value}"'
    )


def _limits(found: Found, tree: Tree) -> Iterator[Defect]:
    notes = found.annotations
    if found.controller == "nginx":
        prefix = _NGINX_INC if _uses_inc(notes) else _INGRESS_NGINX
        one = notes.get(f"{prefix}proxy-read-timeout")
        seconds = seconds_of(one.text) if one is not None else _DEFAULT_NGINX
        if seconds is not None:
            words = (
                f"'proxy-read-timeout: {one.text}'"
                if one is not None
                else "no 'proxy-read-timeout': its default is 60 s"
            )
            at = one.at if one is not None else found.owner.get("metadata").at
            edits = _annotated(
                found,
                f"{prefix}proxy-read-timeout",
                f"{RAISED_SECONDS}" + ("s" if prefix == _NGINX_INC else ""),
            )
            yield Defect("idle", f"{words}: silence of the server for that long ends it", at, edits, seconds)
            yield Defect("handshake", f"{words}: how long the server has to answer", at, edits, seconds)
    elif found.controller == "haproxy":
        for prefix in _HAPROXY:
            for name in ("timeout-tunnel", "timeout-client", "timeout-server"):
                one = notes.get(prefix + name)
                seconds = seconds_of(one.text) if one is not None else None
                if one is not None and seconds is not None:
                    raised = f"{RAISED_SECONDS // 3600}h"
                    own = prefix == _HAPROXY_INGRESS or name == "timeout-tunnel"
                    edits = _annotated(found, f"{prefix}timeout-tunnel", raised) if own else ()
                    # HAProxy Technologies' controller takes timeout-tunnel from its ConfigMap alone.
                    advice = "" if own else f"timeout-tunnel: {raised} in the controller's ConfigMap"
                    words = f"'{name}: {one.text}': silence for that long ends it"
                    yield Defect("idle", words, one.at, edits, seconds, advice=advice)
    elif found.controller == "alb":
        yield from _alb(found)
    elif found.controller == "gce":
        config = next(iter(tree.of("BackendConfig")), None)
        timeout = config.get("spec", "timeoutSec") if config is not None else None
        seconds = seconds_of(timeout.text) if timeout else _DEFAULT_GCE
        if seconds is not None:
            at = timeout.at if timeout else found.owner.get("metadata").at
            words = "'timeoutSec'" if timeout else "no BackendConfig with 'timeoutSec': its default is 30 s"
            edits = timeout.with_value(str(RAISED_SECONDS)) if timeout else ()
            yield Defect("lifetime", f"{words}: connections end at that age, busy or not", at, edits, seconds)


def _alb(found: Found) -> Iterator[Defect]:
    key = f"{_ALB}load-balancer-attributes"
    one = found.annotations.get(key)
    match = _IDLE_ATTRIBUTE.search(one.text) if one is not None else None
    seconds = float(match[1]) if match else _DEFAULT_ALB
    raised = f"idle_timeout.timeout_seconds={RAISED_SECONDS}"
    if one is None:
        value = raised
    elif match:
        value = one.text.replace(match[0], raised)
    else:
        value = ",".join(filter(None, (one.text, raised)))
    words = f"'{match[0]}'" if match else "no 'idle_timeout.timeout_seconds': its default is 60 s"
    at = one.at if one is not None else found.owner.get("metadata").at
    yield Defect(
        "idle", f"{words}: silence for that long ends it", at, _annotated(found, key, value), seconds
    )


# -- HTTPRoute


def _route_defects(found: Found, target: Target) -> Iterator[Defect]:
    for one in found.rule.get("filters"):
        kind = one.get("type").text
        if kind == "RequestRedirect":
            code = one.get("requestRedirect", "statusCode").text
            yield Defect(
                "answer",
                "'RequestRedirect' answers itself",
                one.at,
                status=whole_number(code) or 302,
            )
        modifier = one.get("requestHeaderModifier")
        for name in modifier.get("remove"):
            broken = kind_of_header(name.text)
            if broken is not None:
                yield Defect(broken, f"'RequestHeaderModifier' removes {name.text}", name.at, name.without())
        for each in modifier.get("set"):
            broken = kind_of_header(each.get("name").text)
            value = each.get("value").text.lower()
            if (
                broken is not None
                and value != handshake_headers(target).get(each.get("name").text.lower(), "\0").lower()
            ):
                yield Defect(
                    broken, f"'RequestHeaderModifier' sets {each.get('name').text}", each.at, each.without()
                )
        rewrite = one.get("urlRewrite")
        if rewrite.get("hostname"):
            at = rewrite.get("hostname")
            yield Defect(
                "host",
                f"'hostname: {at.text}': the server does not get the client's Host",
                at.at,
                at.without(),
            )
        whole, prefix = rewrite.get("path", "replaceFullPath"), rewrite.get("path", "replacePrefixMatch")
        if whole and whole.text != target.path:
            yield Defect("path", f"'replaceFullPath' makes {target.path} into {whole.text}", whole.at)
        if prefix:
            matched = next((match.get("path", "value").text for match in found.rule.get("matches")), "/")
            becomes = prefix.text.rstrip("/") + target.path[len(matched.rstrip("/")) :] or "/"
            if becomes != target.path:
                yield Defect("path", f"'replacePrefixMatch' makes {target.path} into {becomes}", prefix.at)


def _ports(found: Found, tree: Tree) -> Iterator[Node]:
    """The port of each Service that the rule passes it to."""
    for ref in found.rule.get("backendRefs"):
        for service in tree.of("Service"):
            if service.get("metadata", "name").text != ref.get("name").text:
                continue
            for port in service.get("spec", "ports"):
                if port.get("port").text == ref.get("port").text:
                    yield port


def _backends(found: Found, tree: Tree) -> Iterator[Defect]:
    if not found.rule.get("backendRefs") and not found.rule.get("filters"):
        words = "the rule has no 'backendRefs': it answers 500"
        yield Defect("answer", words, found.rule.at, status=500)
    for port in _ports(found, tree):
        protocol = port.get("appProtocol")
        if protocol.text == "kubernetes.io/h2c":
            words = "'appProtocol: kubernetes.io/h2c': WebSockets need HTTP/1.1 to the server"
            yield Defect("h2", words, protocol.at, protocol.with_value("kubernetes.io/ws"))


def _without_protocol(found: Found, tree: Tree) -> Iterator[Defect]:
    """Some implementations take upgrades to such ports alone (GEP-1911)."""
    for port in _ports(found, tree):
        if not port.get("appProtocol"):
            words = (
                "no 'appProtocol: kubernetes.io/ws' on this port: some implementations refuse upgrades then"
            )
            edits = port.with_entry("appProtocol", "kubernetes.io/ws")
            yield Defect("answer", words, port.get("port").at, edits, status=403)


def _route_limits(found: Found) -> Iterator[Defect]:
    for name in ("request", "backendRequest"):
        one = found.rule.get("timeouts", name)
        seconds = seconds_of(one.text) if one else None
        if one and seconds:
            words = f"'timeouts.{name}: {one.text}': some implementations end WebSockets by it"
            yield Defect("lifetime", words, one.at, one.with_value("0s"), seconds)
            yield Defect("handshake", f"'timeouts.{name}: {one.text}'", one.at, one.with_value("0s"), seconds)
