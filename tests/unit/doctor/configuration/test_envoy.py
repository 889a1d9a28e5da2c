"""Envoy's static configuration: which route a URL meets, and whether that lets an upgrade through."""

from __future__ import annotations

import json

import pytest
from ruamel.yaml import YAML

from tests.support.configurations import (
    ends_in_an_answer,
    git_applies,
    judgement,
    kinds,
    mend,
    met_in,
    read_in,
)
from wsinspect.doctor.configuration.judging import with_configuration
from wsinspect.doctor.target import parse_target

ROUTES = """
                        - match: {prefix: /closed}
                          direct_response: {status: 403}
                        - match: {prefix: /secure}
                          redirect: {https_redirect: true}
                        - match: {path_separated_prefix: /own}
                          route:
                            cluster: app
                            timeout: 0s
                            upgrade_configs: [{upgrade_type: websocket}]
                        - match: {safe_regex: {regex: "/off/.*"}}
                          route:
                            cluster: app
                            upgrade_configs:
                              - upgrade_type: websocket
                                enabled: false
                        - match: {prefix: /second}
                          route: {cluster: second, upgrade_configs: [{upgrade_type: websocket}]}
                        - match: {path: /moved}
                          route:
                            cluster: app
                            prefix_rewrite: /elsewhere
                            host_rewrite_literal: inside
                            upgrade_configs: [{upgrade_type: websocket}]
                        - match: {prefix: /removed}
                          request_headers_to_remove:
                            - x-other
                            - sec-websocket-protocol
                          route: {cluster: app, upgrade_configs: [{upgrade_type: websocket}]}
                        - match: {prefix: /aged}
                          route:
                            cluster: app
                            idle_timeout: 30s
                            max_stream_duration:
                              max_stream_duration: 600s
                            upgrade_configs: [{upgrade_type: websocket}]
                        - match: {prefix: /token, headers: [{name: x-token, present_match: true}]}
                          direct_response: {status: 401}
                        - match:
                            prefix: /
                            headers:
                              - name: upgrade
                                string_match: {exact: WebSocket, ignore_case: true}
                          route: {cluster: app}
"""
CONFIG = f"""static_resources:
  listeners:
    - name: web
      address:
        socket_address: {{address: 0.0.0.0, port_value: 8080}}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                stat_prefix: web
                route_config:
                  virtual_hosts:
                    - name: none
                      domains: [other.example]
                      routes: []
                    - name: app
                      domains: ["*.example:8080"]
                      routes:{ROUTES}
  clusters:
    - name: app
    - name: second
      typed_extension_protocol_options:
        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
          explicit_http_config:
            http2_protocol_options: {{}}
"""
FILES = {"envoy.yaml": CONFIG}


@pytest.mark.parametrize(
    ("path", "place", "expected"),
    [
        ("/", "route prefix /", ["upgrade", "answer"]),
        ("/closed", "route prefix /closed", ["answer"]),
        ("/secure", "route prefix /secure", ["answer"]),
        ("/own/x", "route path_separated_prefix /own", []),
        ("/ownx", "route prefix /", ["upgrade", "answer"]),
        ("/off/x", "route safe_regex /off/.*", ["upgrade", "answer"]),
        ("/second", "route prefix /second", ["h2"]),
        ("/moved", "route path /moved", ["host", "path"]),
        ("/removed", "route prefix /removed", ["websocket"]),
        ("/token", "route prefix /", ["upgrade", "answer"]),
    ],
)
def test_what_a_url_meets(tmp_path, path, place, expected) -> None:
    found = met_in(tmp_path, FILES, f"ws://app.example:8080{path}")
    assert (found.words, kinds(found)) == (place, expected)
    assert (path == "/token") == any("x-token" in one for one in found.unsure)


def test_a_host_that_none_serves_gets_404(tmp_path) -> None:
    found = met_in(tmp_path, FILES, "ws://nowhere:8080/")
    assert [(one.kind, one.status) for one in found.defects] == [("answer", 404)]


@pytest.mark.parametrize("is_json", [False, True])
@pytest.mark.parametrize("path", ["/", "/off/x", "/moved", "/removed"])
def test_the_diff_mends_it_and_applies(tmp_path, path, is_json) -> None:
    files = FILES
    if is_json:
        plain = YAML(typ="safe", pure=True).load(CONFIG)
        files = {"envoy.json": json.dumps(plain, indent="\t" if path == "/" else 1) + "\n"}
    read = read_in(tmp_path, files)
    url = f"ws://app.example:8080{path}"
    found = read.meets(parse_target(url)[0])
    assert found is not None
    first = found.defects[0]
    assert first.kind not in kinds(mend(read, first, url))
    git_applies(read, first)
    if is_json:
        json.loads((tmp_path / "envoy.json").read_text())


@pytest.mark.parametrize(
    ("path", "rule", "seen", "words"),
    [
        ("/own", "WS-DROP-002", "silence 300.1 s", "default of 'stream_idle_timeout'"),
        ("/aged", "WS-DROP-002", "silence 30.0 s", "'30s' idle"),
        ("/aged", "WS-DROP-003", "age 600.4 s", "'600s'"),
        ("/aged", "WS-HS-108", "504 after 15.0 s", "its default is 15 s"),
        ("/own", "WS-HS-108", "504 after 15.0 s", None),
        ("/own", "WS-DROP-002", "silence 60.0 s", None),
    ],
)
def test_the_limit_that_ended_it(tmp_path, path, rule, seen, words) -> None:
    read = read_in(tmp_path, FILES)
    target = parse_target(f"ws://app.example:8080{path}")[0]
    better, explained = with_configuration(judgement(rule, seen), (read,), target)
    assert (explained is not None) == (words is not None)
    if explained is not None:
        assert words is not None
        assert words in better.headline
        git_applies(read, explained.defect)


def test_a_refusal_of_envoy_is_explained_by_what_is_missing(tmp_path) -> None:
    read = read_in(tmp_path, FILES)
    target = parse_target("ws://app.example:8080/")[0]
    for rule, seen in (("WS-HS-010", "403 Forbidden"), ("WS-HS-101", "the Upgrade headers are gone")):
        better, explained = with_configuration(judgement(rule, seen, hop="Envoy"), (read,), target)
        assert explained is not None
        assert "upgrade_type: websocket" in str(better.findings[0].fixes[0].diff)


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "text",
    [
        "static_resources:\n",
        "static_resources: [\n",
        pytest.param("static_resources: " + "[" * 3000, marks=pytest.mark.slow),
        "static_resources: &a [*a]\nvirtual_hosts: *a\n",
        BOMB + "static_resources: *i\n",
        "static_resources: {listeners: {filter_chains: {filters: {name: http_connection_manager}}}}\n",
        "virtual_hosts:\n\t- bad\n",
        "static_resources: !!python/object/apply:os.system ['true']\n",
        "static_resources: {listeners: [" + "{a: b}, " * 30000 + "]}\n",
    ],
    ids=range(9),
)
def test_odd_files_end_in_an_answer(tmp_path, text) -> None:
    ends_in_an_answer(tmp_path / "envoy.yaml", text, "ws://x.example/" + "a" * 40)


LISTENER = """static_resources:
  listeners:
  - address: {socket_address: {address: 0.0.0.0, port_value: 80}}
    listener_filters: [LISTENING]
    filter_chains:
    - transport_socket: {typed_config: {TLS}}
      filters:
      - name: NAME
        typed_config: {CONFIG}
  clusters: []
"""
MANAGER = (
    "upgrade_configs: [{upgrade_type: websocket}], http_filters: [FILTERS], route_config: {virtual_hosts:"
    " [{domains: ['*'], routes: [{match: {prefix: /}, route: {weighted_clusters: {clusters:"
    " [{name: a}]}}}], MORE}]}"
)


def listener(**parts: str) -> str:
    text = LISTENER.replace("NAME", parts.get("NAME", "envoy.filters.network.http_connection_manager"))
    text = text.replace("CONFIG", parts.get("CONFIG", MANAGER))
    for key in ("LISTENING", "TLS", "FILTERS", "MORE"):
        text = text.replace(key, parts.get(key, ""))
    return text.replace(", }", "}")


@pytest.mark.parametrize(
    ("parts", "expected", "statuses"),
    [
        ({}, [], []),
        ({"FILTERS": "{name: envoy.filters.http.rbac}"}, [], [403]),
        ({"FILTERS": "{name: envoy.filters.http.jwt_authn}"}, [], [401, 403]),
        ({"FILTERS": "{name: envoy.filters.http.router}"}, [], []),
        ({"MORE": "require_tls: ALL"}, ["answer"], []),
        ({"MORE": "require_tls: NONE"}, [], []),
        ({"LISTENING": "{name: envoy.filters.listener.proxy_protocol}"}, ["silent"], []),
        (
            {
                "LISTENING": "{name: envoy.filters.listener.proxy_protocol,"
                " typed_config: {allow_requests_without_proxy_protocol: true}}"
            },
            [],
            [],
        ),
        ({"TLS": "require_client_certificate: true"}, ["certificate"], []),
        ({"NAME": "envoy.filters.network.tcp_proxy", "CONFIG": "cluster: a"}, [], []),
    ],
)
def test_what_is_before_a_route(tmp_path, parts, expected, statuses) -> None:
    found = met_in(tmp_path, {"envoy.yaml": listener(**parts)}, "ws://a/ws")
    assert kinds(found) == expected
    assert [one.status for one in found.possible] == statuses


@pytest.mark.parametrize(("config", "seconds"), [("cluster: a, idle_timeout: 2s", 2), ("cluster: a", 3600)])
def test_a_tunnel_has_a_limit_alone(tmp_path, config, seconds) -> None:
    text = listener(NAME="envoy.filters.network.tcp_proxy", CONFIG=config)
    read = read_in(tmp_path, {"envoy.yaml": text})
    found = read.meets(parse_target("ws://a/ws")[0])
    assert found is not None
    (limit,) = found.limits
    assert (limit.kind, limit.seconds) == ("idle", seconds)
    assert mend(read, limit, "ws://a/ws").limits[0].seconds == 3600
    git_applies(read, limit)
    assert read.meets(parse_target("ws://a:81/ws")[0]) is None
