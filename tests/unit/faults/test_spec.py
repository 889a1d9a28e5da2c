"""One-line rules of the command line."""

from __future__ import annotations

import pytest

from wsinspect.faults.errors import FaultError
from wsinspect.faults.spec import parse_spec


def test_a_spec_is_a_rule_in_one_line() -> None:
    rule = parse_spec('replace:s2c,with="a, b",match=op:text,nth=1,when.after=5s,name=x')
    assert rule.settings() == {
        "name": "x",
        "kind": "replace",
        "direction": "s2c",
        "match": "op:text",
        "when": {"nth": 1, "after": "5s"},
        "armed": True,
        "with": "a, b",
    }
    assert parse_spec("idle_timeout,after=60s").settings()["after"] == "1min"
    assert parse_spec("latency:c>s,latency=250ms").direction == "c2s"
    for wrong in ("", "latency:s2c,300ms", "latency,latency=x"):
        with pytest.raises(FaultError, match="expected"):
            parse_spec(wrong)
