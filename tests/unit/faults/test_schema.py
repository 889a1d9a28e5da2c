"""JSON Schema of rules and scenarios."""

from __future__ import annotations

from wsinspect.faults.kinds import KINDS
from wsinspect.faults.schema import change_schema, fault_schema, scenario_schema


def test_the_schema_knows_every_kind() -> None:
    rules = scenario_schema()["properties"]["rules"]["anyOf"][0]["items"]["oneOf"]
    assert {*KINDS} <= {rule["title"] for rule in rules}


def test_a_form_asks_for_some_settings_and_takes_null_for_a_default() -> None:
    latency = KINDS["latency"]
    whole = fault_schema(latency)
    assert whole["required"] == ["latency"]
    assert set(fault_schema(latency, ("jitter",))["properties"]) == {"jitter"}
    assert "required" not in fault_schema(latency, ("jitter",))
    nullable = fault_schema(latency, takes_null=True)["properties"]
    assert nullable["jitter"]["anyOf"][-1] == {"type": "null"}
    assert "null" not in str(nullable["latency"])


def test_a_scenario_inside_of_another_schema_has_no_header() -> None:
    assert "$schema" in scenario_schema()
    assert "$schema" not in scenario_schema(with_header=False)
    assert scenario_schema()["required"] == ["version"]


def test_any_rule_can_be_armed_or_taken_back_to_its_default() -> None:
    assert change_schema()["properties"]["armed"]["type"] == ["boolean", "null"]
