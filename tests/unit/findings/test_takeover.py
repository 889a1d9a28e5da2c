"""Who lost a compression context, and what proves it."""

import random
import zlib
from dataclasses import replace

import pytest

from tests.unit.findings.facts_made import cut, frame, ping, request
from tests.unit.findings.triggers_contexts import (
    CHROME,
    KEPT,
    SAFARI,
    SENT,
    WORDS,
    compressed,
    deflated,
    page,
    refused,
    with_deflate,
)
from wsinspect.findings.excuses import ActedFault
from wsinspect.findings.facts import C2S, S2C
from wsinspect.findings.registry import diagnose_connection
from wsinspect.findings.takeover import before, inflates, said, whole_frame


def found(facts, rule):
    (one,) = [one for one in diagnose_connection(facts) if one.id == rule]
    return one


def test_a_message_refers_back_or_stands_alone():
    first, second = deflated(2)
    assert inflates(first)
    assert not inflates(second)
    assert inflates(second, WORDS)
    assert all(inflates(one) for one in deflated(2, keeps=False))
    assert not inflates(b"\xff\xff\xff")


def test_what_came_before_is_known_whole_or_not_at_all():
    facts = with_deflate(refused(SENT, 1007))
    frame = whole_frame(facts, 2)
    assert frame is not None
    assert said(before(facts, frame) or []) == WORDS
    assert before(replace(facts, evicted_frames=1), frame) is None
    assert before(replace(facts, first=facts.first[:1]), frame) is None
    assert whole_frame(replace(facts, last_frames=(frame._replace(length=999),)), 2) is None


@pytest.mark.parametrize(("frames", "by", "side"), [(KEPT, "client", "server"), (SENT, "server", "client")])
def test_who_agreed_to_keep_no_context_and_keeps_it_is_named_with_proof(frames, by, side):
    one = found(
        with_deflate(refused(frames, 1002, by), f"; {side}_no_context_takeover", unread=2), "WS-MS-002"
    )
    assert (one.fault_of, one.confidence) == (side, "high")
    assert (
        one.title == f"The {side} keeps its compression context, though {side}_no_context_takeover was agreed"
    )
    assert f"{side}_no_context_takeover left out of the 101" in one.causes[0].tell_apart
    assert len(one.causes) == 2


@pytest.mark.parametrize("parameter", ["", "; {side}_no_context_takeover"], ids=["kept", "reset"])
@pytest.mark.parametrize(("direction", "by", "side"), [(S2C, "client", "server"), (C2S, "server", "client")])
def test_a_window_larger_than_agreed_is_no_kept_context(direction, by, side, parameter):
    content = bytes(random.Random(1).choices(range(97, 123), k=700)) * 80
    compressor = zlib.compressobj(wbits=-15)
    payload = (compressor.compress(content) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]
    with pytest.raises(zlib.error, match="too far back"):
        zlib.decompressobj(-9).decompress(payload)
    small = zlib.compressobj(wbits=-9)
    first = (small.compress(WORDS) + small.flush(zlib.Z_SYNC_FLUSH))[:-4]
    frames = compressed(direction, [first, payload])
    agreed = f"{parameter}; {{side}}_max_window_bits=9".format(side=side)
    one = found(with_deflate(refused(frames, 1002, by), agreed, unread=2), "WS-MS-002")
    assert one.title == f"The {side} compresses with a larger window than agreed ({side}_max_window_bits=9)"
    assert one.fault_of == side
    # Without that parameter this says nothing of windows.
    other = found(with_deflate(refused(frames, 1002, by), parameter.format(side=side), unread=2), "WS-MS-002")
    assert "larger window than agreed (" not in other.title


@pytest.mark.parametrize(
    ("frames", "by", "way"), [(SENT, "server", "c2s"), (KEPT, "client", "s2c")], ids=["server", "client"]
)
def test_a_receiver_that_we_kept_a_message_from_is_not_blamed(frames, by, way):
    facts = with_deflate(refused(frames, 1007, by))
    assert found(facts, "WS-MS-004").fault_of == by
    for direction, is_ours in ((way, True), ({"c2s": "s2c", "s2c": "c2s"}[way], False)):
        rule = ActedFault("mine", "drop", direction, facts.id)
        faulted = diagnose_connection(replace(facts, faults=(rule,)))
        assert any(one.id == "WS-MS-004" and one.fault_of == by for one in faulted) is not is_ours


@pytest.mark.parametrize("words", ["step {}", "ping {}"])
def test_work_that_ends_is_no_heartbeat_that_stopped(words):
    beats = [
        frame(n, C2S, 25 * n, payload=words.format("abcde"[n - 1] if "step" in words else n).encode())
        for n in range(1, 6)
    ]
    lost = cut(*beats, at=205, raw_request_in=request(User_Agent=SAFARI))
    ids = {one.id for one in diagnose_connection(lost)}
    assert ("WS-KA-011" in ids) is ("ping" in words)


def test_a_context_that_nobody_here_has_blames_no_setting():
    facts = with_deflate(refused(KEPT, 1002, "client"), unread=2)
    one = found(facts, "WS-MS-002")
    assert "keeps its compression context" not in one.title
    assert "one compressor for several connections" in one.causes[0].cause
    assert "server_no_context_takeover" in one.causes[0].tell_apart


def test_a_receiver_that_keeps_no_context_is_named_and_the_sender_is_not():
    facts = with_deflate(refused(SENT, 1007))
    one = found(facts, "WS-MS-004")
    assert (one.fault_of, one.confidence, one.severity) == ("server", "medium", "error")
    assert "client_no_context_takeover" in one.causes[0].tell_apart
    assert {each.fault_of for each in diagnose_connection(facts)} == {"server"}


@pytest.mark.parametrize(
    ("agent", "first"),
    [(SAFARI, "the phone's or tablet's system suspended"), (CHROME, "the client's network")],
)
def test_a_browser_that_stopped_answering_is_blamed_for_nothing(agent, first):
    lost = page(agent, pings=(ping(20, S2C, 100, 30), ping(21, S2C, 150), ping(22, S2C, 180)))
    lost = replace(
        lost, how="close-frame", server_close_code=1011, server_close_reason="keepalive ping timeout"
    )
    one = found(lost, "WS-KA-001")
    assert (one.fault_of, one.confidence) == ("network", "medium")
    assert one.causes[0].cause.startswith(first)
    assert len(one.causes) == 3
    # A script has no system that suspends it; a browser that never answered is another thing.
    assert (
        found(
            replace(
                page("python", pings=lost.pings),
                how="close-frame",
                server_close_code=1011,
                server_close_reason="keepalive ping timeout",
            ),
            "WS-KA-001",
        ).fault_of
        == "client"
    )


def test_pongs_without_heartbeats_are_a_page_that_stands_still():
    one = found(page(CHROME, pings=(ping(20, S2C, 150, 31), ping(21, S2C, 180, 32))), "WS-KA-011")
    assert one.fault_of == "client"
    assert one.causes[0].cause.startswith("the page is blocked")
    silent = found(page(SAFARI, pings=(ping(20, S2C, 150), ping(21, S2C, 180))), "WS-KA-011")
    assert silent.fault_of == "network"
    assert "suspended" in silent.causes[0].cause
