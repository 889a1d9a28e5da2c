"""What a client that left had waited for, before its request could be sent on: the steps of the way there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from wsinspect.findings.facts import ConnectionFacts
from wsinspect.findings.model import FaultOf

#: While what, whose fault, the topic of the fixes, and two causes.
Way = tuple[str, FaultOf, str, tuple[str, str], tuple[str, str]]
#: What a client that left on the way had waited for, by the last step that was made.
WAY: Final[Mapping[str, Way]] = {
    "server_tcp_start_ns": (
        "while the connection to the server was not open yet",
        "network",
        "connect",
        (
            "packets to this address are dropped without an answer: a firewall, or a wrong address",
            "nc -vz HOST PORT on the proxy's machine: does it hang, too?",
        ),
        (
            "the server accepts no more connections: its queue is full, or its process hangs",
            "its log and load at that time; does a restart help?",
        ),
    ),
    "server_tcp_done_ns": (
        "while TLS with the server was not finished yet",
        "server",
        "scheme",
        (
            "what listens there does not speak TLS, and waits for something else",
            "the same port with http:// or ws://: does it answer?",
        ),
        (
            "the server, or a proxy on the way that was asked for it, accepts connections, and then hangs",
            "its log and load at that time; does a restart help?",
        ),
    ),
    "server_tls_done_ns": (
        "before its request could be sent on",
        "server",
        "gave-up",
        (
            "the server finishes TLS and then hangs: over HTTP/2 its SETTINGS come first (RFC 8441, 3)",
            "its log and load at that time; is it the same with --http2-websocket off?",
        ),
        (
            "this proxy had not sent it yet",
            "the load of this machine at that time",
        ),
    ),
}


#: The same through another proxy, which opens the way: what it does before that is not seen here.
UPSTREAM: Final[Way] = (
    "while the upstream proxy had not opened the way to the server",
    "hop",
    "forward-proxy",
    (
        "the upstream proxy does not answer CONNECT: it hangs, or waits for a server that it cannot reach",
        "curl -v -x PROXY URL: does CONNECT get an answer?",
    ),
    (
        "packets to the upstream proxy are dropped without an answer: a firewall, or a wrong address",
        "nc -vz PROXY PORT on this machine: does it hang, too?",
    ),
)


def way_of(facts: ConnectionFacts) -> tuple[int, Way] | None:
    """Since when the step was tried that was not done, and what is to be said of it."""
    step = next((one for one in reversed(list(WAY)) if facts.times.get(one)), None)
    begun = facts.times.get(step or "request_in_ns")
    # Taps of that mode have its name; a rule of ours holds requests as well.
    is_ours = bool(facts.faults or facts.rule)
    is_through = re.fullmatch(r"upstream(?:-\d+)?", facts.tap or "") is not None and not is_ours
    if begun is None or (step is None and not is_through):
        return None
    is_open = step == "server_tls_done_ns"
    return begun, UPSTREAM if is_through and not is_open else WAY[step or "server_tcp_start_ns"]
