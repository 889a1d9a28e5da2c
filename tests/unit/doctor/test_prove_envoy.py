"""What `--prove` makes of an Envoy bootstrap that Envoy refuses: it is passed on as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from wsinspect.doctor.configuration.envoy import Envoy
from wsinspect.doctor.configuration.sources import Sources
from wsinspect.doctor.proof.envoy import EnvoyProver
from wsinspect.doctor.proof.model import Stage
from wsinspect.doctor.target import parse_target

BOOTSTRAP = """
static_resources:
  listeners:
  - address: {socket_address: {address: 0.0.0.0, port_value: 80}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          upgrade_configs: [{upgrade_type: websocket}]
          route_config: ROUTES
  clusters:
  - name: app
    load_assignment:
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 3000}}}
"""
GOOD = '{virtual_hosts: [{name: a, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: app}}]}]}'


def _set_up(routes: str, folder: Path) -> str:
    sources = Sources({"envoy.yaml": BOOTSTRAP.replace("ROUTES", routes)})
    tree = Envoy().read(sources, ["envoy.yaml"])
    assert tree is not None
    target, _ = parse_target("ws://h/ws")
    met = Envoy().meets(tree, target, None)
    assert met is not None
    return str(EnvoyProver().setup(tree, met, target, Stage(folder, 8080, 3000, None, scale=10)))


@pytest.mark.parametrize(
    "routes",
    [
        "[{virtual_hosts: 1}]",
        "text",
        "{virtual_hosts: text}",
        "{virtual_hosts: [text, 1, null, [x]]}",
        "{virtual_hosts: [{domains: ['*'], routes: text}]}",
        "{virtual_hosts: [{domains: ['*'], routes: [text, null]}]}",
        "{virtual_hosts: [{domains: ['*'], routes: [{match: {prefix: /}, route: text}]}]}",
    ],
)
def test_routes_of_another_shape_are_left_to_envoy(routes: str, tmp_path: Path) -> None:
    assert "1.500s" not in _set_up(routes, tmp_path)


@pytest.mark.parametrize("action", ["cluster: app", "weighted_clusters: {clusters: text}"])
def test_a_route_without_a_timeout_gets_the_default_to_scale(action: str, tmp_path: Path) -> None:
    assert "1.500s" in _set_up(GOOD.replace("cluster: app", action), tmp_path)
