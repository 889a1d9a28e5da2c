"""Which breakpoint a filter means."""

from __future__ import annotations

import pytest

from wsinspect.faults.breakpoints import breakpoint_rule
from wsinspect.faults.errors import FaultError


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("op:text json:$.type=order", "break"),
        ("", "break"),
        ("path:/chat op:text", "break"),
        ("conn:2", "break"),
        ("path:/chat", "break_handshake"),
        ("host:example.org | header:Origin=x", "break_handshake"),
    ],
)
def test_a_filter_about_the_connection_alone_means_its_handshake(text, kind):
    rule = breakpoint_rule(text)
    assert (rule.kind, rule.match, rule.armed) == (kind, text, True)


@pytest.mark.parametrize("text", ["op:nope", "rtt>5ms", "("])
def test_a_wrong_filter_is_refused(text):
    with pytest.raises(FaultError):
        breakpoint_rule(text)
