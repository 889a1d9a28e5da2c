"""Known limits: which ones a number of seconds fits, and which numbers look like somebody's setting."""

from typing import Literal

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
    ("setting", "early", "late"),
    [
        *((1, 0.1, 0.25), (2, 0.2, 0.25), (10, 0.3, 0.25), (15, 0.3, 0.3), (55, 0.3, 1.1), (60, 0.3, 1.2)),
        *((90, 0.3, 1.8), (100, 0.3, 2.0), (120, 0.3, 2.0), (3600, 0.3, 2.0), (3660, 0.3, 2.0)),
    ],
)
def test_usual_numbers_of_seconds_look_like_a_setting_within_one_tolerance(setting, early, late):
    for off in (-early + 0.01, 0, late / 2, late - 0.01):
        assert is_round(setting + off), off
    for off in (-early - 0.01, late + 0.01):
        assert not is_round(setting + off), off


@pytest.mark.parametrize("seconds", [0.0, 0.4, 7.0, 37.6, 59.5, 75.0, 425.0, 3700.0, 86_370.0])
def test_other_numbers_look_like_nobody_s_setting(seconds):
    assert not is_round(seconds)


SERVICES: list[tuple[str, Literal["idle", "lifetime"], int]] = [
    ("Google Cloud Run", "lifetime", 300),
    ("Google Cloud Run", "lifetime", 3600),
    ("OpenAI Realtime and Responses", "lifetime", 3600),
    ("Gemini Live", "lifetime", 600),
    ("Cartesia", "idle", 60),
    ("Azure Front Door", "idle", 300),
    ("Azure Front Door", "lifetime", 14_400),
]


@pytest.mark.parametrize(("who", "kind", "seconds"), SERVICES)
def test_services_of_today_are_named_for_their_limit_of_that_kind_alone(who, kind, seconds):
    assert who in {limit.who for limit in matching(seconds, kind)}
    others = matching(seconds, "idle" if kind == "lifetime" else "lifetime")
    assert (who, seconds) not in {(limit.who, limit.seconds) for limit in others}


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
        (
            1_048_577,
            ["Python websockets", "Apple's URLSession (iOS, macOS)", "Socket.IO"],
        ),  # the nearest first
        (8 * 1024, []),
        (8 * 1024 + 1, ["Tomcat"]),
        (32 * 1024 + 1, ["AWS API Gateway", "SignalR", "coder/websocket for Go"]),
        (128 * 1024 + 1, ["AWS API Gateway"]),
    ],
)
def test_a_size_is_just_above_the_limits_that_it_may_have_met(size, who):
    assert [limit.who for limit in sizes_below(size)] == who


def test_a_size_limit_is_one_line_that_says_of_what():
    url, frame, message = (one for one in SIZES if one.who == "AWS API Gateway")
    assert size_words(frame) == "AWS API Gateway: WebSocket frame size, 32.0 KiB a frame"
    assert size_words(message) == "AWS API Gateway: message payload size, 128 KiB a message"
    assert size_words(url) == "AWS API Gateway: URL of a WebSocket API, 4,096 characters"
