"""Envoy: the connection manager of the URL again, with its routes, around our own listener and one
cluster.
"""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass
from typing import Any, Final

from wsinspect.doctor.configuration.documents import Node
from wsinspect.doctor.configuration.envoy import Found, Tree, seconds_of
from wsinspect.doctor.configuration.model import Met, Place
from wsinspect.doctor.proof.model import Setup, Stage
from wsinspect.doctor.target import Target

_API: Final = "type.googleapis.com/envoy.extensions"
#: Fields of the connection manager that are taken over; filters run code or call other servers.
_MANAGER: Final = (
    *(
        "upgrade_configs",
        "stream_idle_timeout",
        "request_timeout",
        "common_http_protocol_options",
        "server_name",
    ),
    *(
        "merge_slashes",
        "normalize_path",
        "path_with_escaped_slashes_action",
        "use_remote_address",
        "codec_type",
    ),
    *("http_protocol_options", "http2_protocol_options", "strip_any_host_port", "strip_matching_host_port"),
)
_UNSAID: Final = ("@type", "stat_prefix", "route_config", "access_log", "http_filters", "tracing", "rds")
_PER_FILTER: Final = (
    "typed_per_filter_config",
    "per_filter_config",
    "request_mirror_policies",
    "rate_limits",
    "tracing",
)
_CONNECT_SECONDS: Final = 2


@dataclass(frozen=True)
class EnvoyProver:
    """Envoy with one worker, and without its administration."""

    programs: tuple[str, ...] = ("envoy",)
    version_arguments: tuple[str, ...] = ("--version",)

    def refuses(self, version: str) -> str | None:
        """1.x all take version 3 of the API, since 1.14."""
        numbers = tuple(int(one) for one in re.findall(r"\d+", version)[:2])
        return None if numbers >= (1, 14) else f"Envoy {version}: 1.14 is needed"

    def setup(self, tree: Tree, met: Met, target: Target, stage: Stage) -> Setup:
        """A bootstrap with one listener, the routes that the URL may meet, and their clusters."""
        found: Found = met.found
        left_out = [
            f"http_filters: {one.get('name').text}"
            for one in found.manager.get("http_filters")
            if not one.get("name").text.endswith(".router")
        ]
        manager: dict[str, Any] = {
            "@type": f"{_API}.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "proof",
            "route_config": _cleaned(found.manager.get("route_config").plain()),
            "http_filters": [
                {
                    "name": "envoy.filters.http.router",
                    "typed_config": {"@type": f"{_API}.filters.http.router.v3.Router"},
                }
            ],
        }
        for key, value in found.manager.items():
            if key in _MANAGER:
                manager[key] = value.plain()
            elif key not in _UNSAID:
                left_out.append(key)
        if stage.scale != 1:
            # Their defaults are not scaled unless they are written.
            manager.setdefault("stream_idle_timeout", "300s")
            manager.setdefault("delayed_close_timeout", "1s")
            _with_timeouts(manager["route_config"])
        names = sorted(set(_clusters_of(manager["route_config"])))
        http2 = {
            one.get("name").text: one
            for root in tree.roots
            for one in root.get("static_resources", "clusters")
        }
        chain: dict[str, Any] = {
            "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
        }
        if stage.certificate is not None:
            chain["transport_socket"] = _tls(str(stage.certificate))
        bootstrap = {
            "static_resources": {
                "listeners": [
                    {"name": "proof", "address": _address(stage.port), "filter_chains": [chain]},
                ],
                "clusters": [_cluster(name, stage, http2.get(name)) for name in names],
            },
        }
        command = ["-c", "envoy.json", "--disable-hot-restart", "--concurrency", "1", "-l", "error"]
        text = json.dumps(_scaled(bootstrap, stage.scale), indent=1)
        return Setup(
            {"envoy.json": text},
            command,
            [*command, "--mode", "validate"],
            list(dict.fromkeys(left_out)),
            {},
            refusal=lambda said: _refusal(said, found.manager),
        )

    def missing_variable(self, words: str, setup: Setup) -> str | None:
        """Envoy does not miss variables."""
        return None


#: What of Envoy's words says where, and why; protobuf puts blanks into them at will.
_WHERE: Final = re.compile(
    r" @ (?P<path>[\w.\[\]<>]+): .*?\(offset \d+\): (?P<why>.*?)\)?(?:: \{|\) has unknown fields|$)"
)
_WHY: Final = re.compile(r"error initializing configuration '[^']*': (.*?)(?:: goo\.gle/\w+)?$")
_STEP: Final = re.compile(r"(\w+)(?:\[(\d+)\])?")
_INSIDE: Final = ".typed_config.<any>."


def _refusal(said: str, manager: Node) -> str | None:
    """Which field Envoy does not take, why, and where that stands in the file that was given."""
    lines = [" ".join(one.split()) for one in said.splitlines()]
    line = next((one for one in lines if "error initializing configuration" in one), None)
    if line is None:
        return None
    where = _WHERE.search(line)
    if where is None:
        why = _WHY.search(line)
        return None if why is None else why[1]
    path = where["path"].rpartition(_INSIDE)[2]
    place = _place(manager, path) if _INSIDE in where["path"] else None
    field = f"{path.rpartition('.')[2]}: {where['why']}"
    return field if place is None else f"{field} in {place}"


def _place(node: Node, path: str) -> Place:
    """Where a value stands that protobuf names by its path, or what is around it."""
    for name, index in _STEP.findall(path):
        below = node.get(name)
        if index:
            below = next(itertools.islice(below, int(index), None), below)
        if not below:
            break
        node = below
    return node.at


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _tls(certificate: str) -> dict[str, Any]:
    pair = {"certificate_chain": {"filename": certificate}, "private_key": {"filename": certificate}}
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{_API}.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {"tls_certificates": [pair]},
        },
    }


def _cluster(name: str, stage: Stage, defined: Any) -> dict[str, Any]:
    """A cluster at our application, with the HTTP version of the one that it stands for."""
    found: dict[str, Any] = {
        "name": name,
        "connect_timeout": f"{_CONNECT_SECONDS}s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(stage.application)}}]}],
        },
    }
    if defined is not None:
        for key in ("http2_protocol_options", "typed_extension_protocol_options"):
            value = defined.get(key)
            if value:
                found[key] = value.plain()
    return found


def _cleaned(value: Any) -> Any:
    """Routes without what belongs to filters."""
    if isinstance(value, dict):
        return {key: _cleaned(one) for key, one in value.items() if key not in _PER_FILTER}
    if isinstance(value, list):
        return [_cleaned(one) for one in value]
    return value


def _with_timeouts(value: Any) -> None:
    """The default of each route that has none of its own."""
    for host in _mappings(value, "virtual_hosts"):
        for route in _mappings(host, "routes"):
            if isinstance(route.get("route"), dict):
                route["route"].setdefault("timeout", "15s")


def _mappings(value: Any, key: str) -> list[dict[str, Any]]:
    """Those in the list that a mapping has for a key; Envoy says itself what is wrong with all else."""
    found = value.get(key) if isinstance(value, dict) else None
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _clusters_of(value: Any) -> list[str]:
    found: list[str] = []
    if isinstance(value, dict):
        for key, one in value.items():
            if key == "cluster" and isinstance(one, str):
                found.append(one)
            elif key == "weighted_clusters" and isinstance(one, dict):
                found += [str(each.get("name")) for each in _mappings(one, "clusters")]
            else:
                found += _clusters_of(one)
    elif isinstance(value, list):
        for one in value:
            found += _clusters_of(one)
    return found


def _scaled(value: Any, scale: float) -> Any:
    """All durations, divided by the same number."""
    if isinstance(value, dict):
        return {key: one if key == "connect_timeout" else _scaled(one, scale) for key, one in value.items()}
    if isinstance(value, list):
        return [_scaled(one, scale) for one in value]
    seconds = seconds_of(value) if isinstance(value, str) and scale != 1 else None
    return value if not seconds else f"{seconds / scale:.3f}s"
