"""Known limits: which ones a number of seconds fits, and which numbers look like somebody's setting."""

import pytest

from wsinspect.findings.limits import (
    LIMITS,
    SIZES,
    TOLERANCE_SECONDS,
    is_round,
    matching,
    size_words,
    sizes_below,
    words,
)


def test_a_number_fits_limits_of_the_kinds_asked_for_the_nearest_first():
    found = matching(60.4, "idle", "lifetime")
    assert {limit.seconds for limit in found} == {60}
    assert {limit.kind for limit in found} <= {"idle", "lifetime"}
    assert len(found) < len(LIMITS)
    assert matching(60.4) == []


@pytest.mark.parametrize(
    ("seconds", "fits"),
    [(60.0, True), (59.5, True), (59.4, False), (60.0 + TOLERANCE_SECONDS, True), (62.1, False)],
)
def test_timers_of_proxies_are_coarse_within_bounds(seconds, fits):
    assert any(limit.seconds == 60 for limit in matching(seconds, "idle")) is fits


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        *((60.1, True), (59.8, True), (59.6, False), (60.4, True), (60.9, False), (7.0, False)),
        *((1.0, True), (0.4, False), (10.2, True), (3600.0, True), (3700.0, False)),
    ],
)
def test_usual_numbers_of_seconds_look_like_a_setting(seconds, expected):
    assert is_round(seconds) is expected


def test_a_limit_is_one_line():
    (limit,) = (one for one in LIMITS if one.who == "Traefik" and one.setting.endswith("readTimeout"))
    assert words(limit) == "Traefik: respondingTimeouts.readTimeout, 60 s (idle)"


@pytest.mark.parametrize(
    ("size", "who"),
    [
        (32 * 1024 * 1024, []),  # as large as allowed
        (32 * 1024 * 1024 + 1, ["Cloudflare Workers and Durable Objects"]),
        (48 * 1024 * 1024, ["Cloudflare Workers and Durable Objects"]),
        (48 * 1024 * 1024 + 1, []),  # half as much again: it is another limit
        (1_048_577, ["Python websockets", "Socket.IO"]),  # the nearest first
        (8 * 1024, []),
    ],
)
def test_a_size_is_just_above_the_limits_that_it_may_have_met(size, who):
    assert [limit.who for limit in sizes_below(size)] == who


def test_a_size_limit_is_one_line_that_says_of_what():
    frame, message = (one for one in SIZES if one.who == "AWS API Gateway")
    assert size_words(frame) == "AWS API Gateway: WebSocket frame size, 32.0 KiB a frame"
    assert size_words(message) == "AWS API Gateway: message payload size, 128 KiB a message"
