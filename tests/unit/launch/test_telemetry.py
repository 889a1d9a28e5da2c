"""Which collector `--otlp` and the variables of OpenTelemetry mean."""

from __future__ import annotations

import sys

import pytest

from wsinspect.errors import LocalError, UsageError
from wsinspect.launch import telemetry
from wsinspect.launch.telemetry import Target, target_of

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.mark.parametrize(
    ("option", "environment", "expected"),
    [
        ("http://c:4318", {}, Target("http://c:4318", "http/protobuf", "http://c:4318")),
        ("https://c/otlp", {}, Target("https://c/otlp", "http/protobuf", "https://c/otlp")),
        ("http://c:4317", {}, Target("http://c:4317", "grpc", "http://c:4317")),
        ("grpc://c:9", {}, Target("http://c:9", "grpc", "grpc://c:9")),
        ("grpcs://c:9", {}, Target("https://c:9", "grpc", "grpcs://c:9")),
        ("http://[::1]:4318", {}, Target("http://[::1]:4318", "http/protobuf", "http://[::1]:4318")),
        (
            "http://u:p@c:4318/?key=1",
            {},
            Target("http://u:p@c:4318/?key=1", "http/protobuf", "http://c:4318/"),
        ),
        (
            "http://c:4317",
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
            Target("http://c:4317", "http/protobuf", "http://c:4317"),
        ),
        (
            "http://c:4318",
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            Target("http://c:4318", "grpc", "http://c:4318"),
        ),
        (None, {}, None),
        (None, {"OTEL_SERVICE_NAME": "x"}, None),
        (None, {ENDPOINT: ""}, None),
        (None, {ENDPOINT: "http://c:4318"}, Target(None, "http/protobuf", f"http://c:4318 ({ENDPOINT})")),
        ("http://c:4318", {"OTEL_SDK_DISABLED": "true"}, None),
    ],
)
def test_a_collector_is_found(option, environment, expected):
    assert target_of(option, environment) == expected


@pytest.mark.parametrize("url", ["c:4318", "c", "", "ftp://c", "http://", "http://c:99999", "http://[::1"])
def test_what_is_no_url_is_refused(url):
    with pytest.raises(UsageError, match=r"not the URL of a collector.*http://localhost:4318"):
        target_of(url, {})


def test_a_protocol_that_is_not_spoken_is_refused():
    with pytest.raises(UsageError, match="'http/json' is not spoken"):
        target_of("http://c", {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"})


@pytest.mark.parametrize("signal", ["TRACES", "METRICS"])
def test_nor_is_one_of_a_signal_alone(signal):
    name = f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL"
    with pytest.raises(UsageError, match=f"{name}: 'http/json' is not spoken"):
        target_of("http://c", {name: "http/json"})
    assert target_of("http://c", {name: "grpc"}) is not None


def test_without_the_sdk_the_option_says_how_to_install_it_and_a_variable_is_not_meant_for_us(monkeypatch):
    monkeypatch.setattr(telemetry, "_MODULES", ("wsinspect_has_no_such_module.at_all",))
    with pytest.raises(LocalError, match="wsinspect\\[otel\\]"):
        target_of("http://c", {})
    assert target_of(None, {ENDPOINT: "http://c"}) is None


def test_nothing_of_the_sdk_is_loaded_to_find_out():
    assert target_of("http://c", {}) is not None
    assert "opentelemetry.sdk.trace" not in sys.modules or "wsinspect.telemetry.collector" in sys.modules
