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
