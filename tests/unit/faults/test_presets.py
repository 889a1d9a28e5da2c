"""Presets: each is whole and says its source."""

from __future__ import annotations

import pytest

from wsinspect.faults.errors import FaultError
from wsinspect.faults.presets import load_preset, preset_names


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_says_its_source_and_can_act(name: str) -> None:
    preset = load_preset(name)
    assert preset.source
    assert preset.name
    assert preset.rules or preset.phases
    assert preset.warnings == ()


def test_the_presets_of_the_issue_are_there() -> None:
    hops = (
        "nginx-default nginx-no-upgrade cloudflare aws-alb gcp-lb azure-lb heroku ingress-reload coraza-waf"
        " haproxy-default apache-default envoy-default caddy-reload"
    )
    networks = "offline flaky-wifi train-tunnel mobile-3g satellite server-deploy"
    assert set(preset_names()) == {*hops.split(), *networks.split()}
    with pytest.raises(FaultError, match="did you mean heroku"):
        load_preset("heroko")


@pytest.mark.parametrize(
    ("name", "kinds"), [("offline", {"hang", "blackhole"}), ("server-deploy", {"refuse"})]
)
def test_an_outage_of_a_preset_holds_for_every_request(name: str, kinds: set[str]) -> None:
    outages = {rule.kind: rule.fault for rule in load_preset(name).rules if hasattr(rule.fault, "only")}
    assert set(outages) == kinds
    assert {getattr(fault, "only", None) for fault in outages.values()} == {"all"}
