"""`traceparent` as the W3C's Trace Context has it: sections 3.2.2 and 4.3."""

from __future__ import annotations

import pytest

from wsinspect.handshake.tracing import TraceParent, parse_traceparent, trace_id_of

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(("flags", "is_sampled"), [("01", True), ("00", False), ("03", True), ("02", False)])
def test_a_valid_one_is_read(flags, is_sampled):
    assert parse_traceparent(f" 00-{TRACE}-{PARENT}-{flags} ") == TraceParent(TRACE, PARENT, is_sampled)


def test_a_later_version_may_have_more():
    assert trace_id_of(f"01-{TRACE}-{PARENT}-01") == TRACE
    assert trace_id_of(f"cc-{TRACE}-{PARENT}-01-what-the-future-will-be-like") == TRACE


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "00",
        f"00-{TRACE}-{PARENT}",
        f"00-{TRACE}-{PARENT}-01-more",
        f"01-{TRACE}-{PARENT}-01.more",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE[:-1]}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-0g",
        f"00-{TRACE}-{PARENT}-01\n",
        f"٠٠-{TRACE}-{PARENT}-01",
    ],
)
def test_what_is_not_valid_is_as_if_it_were_not_there(value):
    expected = None if not (value or "").endswith("\n") else TRACE
    assert trace_id_of(value) == expected
