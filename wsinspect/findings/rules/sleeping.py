"""Browsers that the system suspends: a phone in a pocket, Safari in the background, a closed laptop.

Timers of the page stop, and then the browser's own pongs. Nothing on the wire says so, and a network that is
gone looks the same: the causes are ranked, and nobody is blamed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from statistics import median
from typing import Final

from wsinspect.findings.evidence import end_line, js_sees, seconds
from wsinspect.findings.facts import C2S, S2C, SECOND_NS, ConnectionFacts
from wsinspect.findings.model import Cause, Found
from wsinspect.findings.registry import Rules

rules = Rules()

#: No browser's User-Agent is longer.
_LONG: Final = 1024
_BROWSER: Final = re.compile(rb"^Mozilla/5\.0 .*(?:Gecko|WebKit)")
#: Systems that suspend a browser soon after it is out of sight.
_MOBILE: Final = re.compile(rb"\b(?:iPhone|iPad|iPod|Android|Mobile)\b")
_SAFARI: Final = re.compile(rb"Version/[\d.]+ .{0,80}Safari/")
#: Heartbeats of a page, and by how much they may differ.
_LEAST_BEATS: Final = 3
_LEAST_NS: Final = 2 * SECOND_NS
_JITTER: Final = 0.2
_LARGEST_BEAT: Final = 200
#: Numbers and ids, also hexadecimal ones.
_CHANGING: Final = re.compile(rb"[0-9a-fA-F-]*\d[0-9a-fA-F.-]*")
#: A timer that is this many times as late has stopped.
_STOPPED: Final = 2.5


def _user_agent(facts: ConnectionFacts) -> bytes:
    head = facts.request_in
    return (head.get("user-agent") or b"")[:_LONG] if head is not None else b""


def is_browser(facts: ConnectionFacts) -> bool:
    """Whether the client calls itself a browser, and has the Origin that each sends."""
    head = facts.request_in
    has_origin = head is not None and head.get("origin") is not None
    return has_origin and _BROWSER.match(_user_agent(facts)) is not None


def asleep(facts: ConnectionFacts) -> tuple[Cause, ...]:
    """Why a browser that answered before does not any more, the likeliest first."""
    agent = _user_agent(facts)
    name = "the phone's or tablet's system" if _MOBILE.search(agent) else "the system"
    sleep = Cause(
        f"{name} suspended the browser or the page, or the machine slept",
        "log visibilitychange, freeze and resume in the page: does it reconnect when it is back in sight?",
    )
    network = Cause(
        "the client's network was gone: another Wi-Fi, no reception, a NAT that forgot the connection",
        "log offline and online in the page, and navigator.connection; it happens in sight, too",
    )
    hop = Cause(
        "a hop before this tap lost the pings or the pongs",
        "a second tap in front of that hop",
    )
    is_likely = _MOBILE.search(agent) is not None or _SAFARI.search(agent) is not None
    return (sleep, network, hop) if is_likely else (network, sleep, hop)


def _beats(facts: ConnectionFacts) -> tuple[int, int] | None:
    """The interval of the page's own heartbeat and when the last one came; None without any.

    Heartbeats say the same each time, but for a counter or a time: other messages at regular intervals are
    work, which ends.
    """
    mine = [one for one in facts.last if one.direction == C2S]
    if len({_CHANGING.sub(b"0", one.data) for one in mine}) != 1 or len(mine[0].data) > _LARGEST_BEAT:
        return None
    times = [one.time_ns for one in mine]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    if len(gaps) < _LEAST_BEATS:
        return None
    middle = int(median(gaps))
    is_regular = middle >= _LEAST_NS and all(abs(gap - middle) <= _JITTER * middle for gap in gaps)
    return (middle, times[-1]) if is_regular else None


@rules(
    "WS-KA-011",
    "warning",
    "network",
    "The page's heartbeat stopped, and then the server's side ended the connection",
    meaning="The page sent at regular intervals, and then nothing more. A system suspends pages and browsers"
    " that are out of sight, a page may be blocked, or the network is gone: the wire does not say which.",
    js="Nothing while it is suspended; then close with the server's code, or 1006.",
    topic="suspended",
    rows="T5",
    confidence="medium",
)
def stopped(facts: ConnectionFacts) -> Iterator[Found]:
    if not facts.is_over or facts.ended_by != "server" or facts.has_gap or not is_browser(facts):
        return
    beats = _beats(facts)
    if (
        beats is None
        or facts.end_ns is None
        or (facts.js_was_clean and facts.server_close_code in (1000, 1001))
    ):
        return
    interval, last_ns = beats
    if not facts.has_waited(last_ns, facts.end_ns, int(_STOPPED * interval)):
        return
    after = [one for one in facts.pings if one.direction == S2C and one.time_ns > last_ns]
    answered = [one for one in after if one.pong_id is not None]
    page = Cause(
        "the page is blocked, or its timers are: a tab in the background, a long task, a debugger",
        "log how late the heartbeat's timer runs; the same page in sight",
    )
    causes = asleep(facts)
    if answered:
        causes = (page, *causes[:1])
    elif not after:
        causes = (causes[0], page, *causes[1:])
    yield Found(
        evidence=(
            f"messages c>s every {seconds(interval)}, and none for {seconds(facts.end_ns - last_ns)} at last",
            f"{len(answered)} of {len(after)} later pings were answered: only the page stood still"
            if answered
            else f"{len(after)} later pings were not answered, either"
            if after
            else "",
            end_line(facts),
            js_sees(facts),
        ),
        fault_of="client" if answered else None,
        causes=causes,
    )
