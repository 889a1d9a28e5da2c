"""Traefik's configuration in labels and flags of a Compose file, as the tree that its own files would have.

`traefik.http.middlewares.a.stripprefix.prefixes=/ws` becomes `http: {middlewares: {a: {stripPrefix: ...}}}`,
each value where its label stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

from wsinspect.doctor.configuration.documents import Node

#: A label or a flag of a Compose file that is Traefik's.
LABELS: Final = re.compile(r"^\s*(?:-\s*)?[\"']?traefik\.http\.(?:routers|middlewares|services)\.", re.M)
#: Labels ignore case; files do not.
_NAMES: Final = {
    one.lower(): one
    for one in (
        *("entryPoints", "entryPoint", "redirections", "respondingTimeouts", "readTimeout", "idleTimeout"),
        *("stripPrefix", "stripPrefixRegex", "addPrefix", "replacePath", "replacePathRegex", "prefixes"),
        *("customRequestHeaders", "customResponseHeaders", "redirectScheme", "redirectRegex", "forwardAuth"),
        *("basicAuth", "digestAuth", "ipAllowList", "ipWhiteList", "loadBalancer", "passHostHeader"),
        *("serversTransport", "rateLimit", "inFlightReq", "statusRewrites"),
    )
}
#: Values that are lists, with commas in between.
_LISTS: Final = ("middlewares", "prefixes", "entryPoints", "status")
#: Below these the names are the user's own.
_GIVEN: Final = ("routers", "middlewares", "services", "customRequestHeaders", "customResponseHeaders")
_MAX_PARTS: Final = 16


@dataclass(frozen=True)
class _Mark:
    """Where something begins or ends, as the YAML reader says it."""

    index: int
    line: int
    column: int


class _Label(NamedTuple):
    """One label.

    Attributes:
        key: where all of it stands; in a mapping, its key.
        at: where its value stands.
    """

    name: str
    value: str
    key: ScalarNode
    at: ScalarNode


def from_labels(root: Node) -> Iterator[Node]:
    """The tree of each service that has labels of Traefik's, or flags of its own."""
    for _, service in root.get("services").items():
        tree = _Tree(service)
        for labels in (service.get("labels"), service.get("deploy", "labels")):
            for one in _labels(labels):
                tree.add(one.name.removeprefix("traefik."), one)
        for one in _labels(service.get("command")):
            if one.name.lower().startswith("--entrypoints."):
                tree.add(one.name[2:], one)
        if tree.found:
            yield tree.node()


def _labels(node: Node) -> Iterator[_Label]:
    """Those of a mapping, and of a list of `name=value`."""
    for name, value in node.items():
        if isinstance(value.raw, ScalarNode):
            yield _Label(name, value.text.replace("$$", "$"), value.key, value.raw)
    for one in () if node.is_mapping else node:
        name, equals, text = one.text.partition("=")
        if equals and isinstance(one.raw, ScalarNode):
            yield _Label(name, text.replace("$$", "$"), one.raw, _value_in(one.raw, text, one.source))


def _value_in(item: ScalarNode, value: str, text: str) -> ScalarNode:
    """Where the value of `name=value` stands."""
    start, end = item.start_mark, item.end_mark
    at = text.rfind(value, start.index, end.index)
    if not value or at < 0 or end.line != start.line:
        return item
    marks = [_Mark(index, start.line, start.column + index - start.index) for index in (at, at + len(value))]
    return ScalarNode(item.tag, value, *marks)


class _Tree:
    """Nested mappings, made of labels."""

    def __init__(self, service: Node) -> None:
        self._service = service
        self.found: dict[str, Any] = {}

    def add(self, name: str, label: _Label) -> None:
        """One label, by its name without `traefik.`."""
        parts = name.split(".")
        if not 2 <= len(parts) <= _MAX_PARTS or parts[0].lower() not in ("http", "entrypoints"):
            return
        keys: list[str] = []
        for part in parts:
            is_given = bool(keys) and keys[-1] in _GIVEN
            keys.append(part if is_given else _NAMES.get(part.lower(), part.lower()))
        place = self.found
        for key in keys[:-1]:
            inside = place.setdefault(key, {})
            if not isinstance(inside, dict):
                return
            place = inside
        place[keys[-1]] = label

    def node(self) -> Node:
        """All of them as one document."""
        return Node(_mapping(self.found), self._service.file, self._service.source)


def _mapping(found: Mapping[str, Any]) -> MappingNode:
    pairs = []
    for name, value in found.items():
        first = _first(value)
        key = ScalarNode(first.key.tag, name, first.key.start_mark, first.key.end_mark)
        pairs.append((key, _mapping(value) if isinstance(value, dict) else _value(name, value)))
    first = _first(found)
    return MappingNode("tag:yaml.org,2002:map", pairs, first.key.start_mark, first.at.end_mark)


def _value(name: str, label: _Label) -> SequenceNode | ScalarNode:
    start, end = label.at.start_mark, label.at.end_mark
    if name not in _LISTS:
        return ScalarNode(label.at.tag, label.value, start, end)
    items = [ScalarNode(label.at.tag, one.strip(), start, end) for one in label.value.split(",")]
    return SequenceNode("tag:yaml.org,2002:seq", items, start, end)


def _first(found: Any) -> _Label:
    """The first label below a mapping: where that is said to stand."""
    while isinstance(found, dict):
        found = next(iter(found.values()))
    assert isinstance(found, _Label)
    return found
