"""For each rule over connections that were held open: ends that trigger it, and near ones that do not."""

from __future__ import annotations

from typing import Any

from tests.unit.findings.facts_made import ended
from wsinspect.findings.held import Gaps, Held
from wsinspect.findings.probes import Probe, ProbeFacts

SECOND = 10**9
#: How long the trial takes.
TRIAL = 120.0
#: Silences of each way, in seconds: any, the server's, the client's; None is as long as it lives.
_PAUSES: dict[str, tuple[float | None, float | None, float | None]] = {
    "silent": (None, None, None),
    "mute": (None, None, None),
    "waits": (None, None, None),
    "pings": (5, 5, 5),
    "pongs": (5, None, 5),
    "messages": (5, 5, 5),
}
_ORDER = ("silent", "pings", "pongs", "mute", "messages", "waits")


def held(way: str, age: float = TRIAL, how: str | None = None, **more: Any) -> Held:
    """One connection that carried what its way carries, and ended at that age."""
    start = _ORDER.index(way) * 2 * SECOND
    pauses = [age if pause is None else min(pause, age) for pause in _PAUSES[way]]
    either, server, client = (round(pause * SECOND) for pause in pauses)
    gaps = Gaps(either, server, client, round(age * SECOND))
    if way == "messages":
        gaps = gaps._replace(messages=gaps.client)
    values: dict[str, Any] = {
        "number": 2,
        "way": way,
        "open_ns": start,
        "end_ns": start + round(age * SECOND),
        "how": how,
        "last": gaps,
        "longest": Gaps(*(0 if pause is None else round(pause * SECOND) for pause in _PAUSES[way])),
    }
    return Held(**{**values, **more})


def kept(*connections: Held) -> ProbeFacts:
    """A healthy handshake, and connections that were held open."""
    return ProbeFacts(main=Probe("handshake", "the handshake", ended()), held=connections)


OPEN = [held(way) for way in _ORDER]
IDLE = kept(held("silent", 60, "fin"), held("mute", 60.2, "fin"), held("pings"), held("pongs"))
LIFETIME = kept(*(held(way, 60, "fin") for way in ("silent", "pings", "pongs", "messages")))
HEARTBEAT = kept(
    held("silent"),
    held("pings"),
    held("mute", 40, "close-frame", code=1011, server_pings=1, server_ping_ns=26 * SECOND),
)
GONE = kept(held("silent", 60, "vanished"), held("mute", 60, "vanished"), held("pings"), held("pongs"))
RESTART = kept(*(held(way, 70 - 2 * n, "rst") for n, way in enumerate(_ORDER)))
REFUSED = kept(held("silent"), held("mute"), held("pings", 0.25, "close-frame", code=1008))
ODD = kept(
    held("silent", 31, "fin"), held("mute", 17, "rst"), held("pings", 50, "fin"), held("pongs", 90, "fin")
)
HEALTHY = kept(*OPEN)
REPLACED = kept(*(held(way, 2.05, "close-frame", code=4001) for way in _ORDER[:4]), held("messages"))

CASES: dict[str, tuple[list[Any], list[Any]]] = {
    "WS-DROP-009": (
        [
            IDLE,
            kept(held("silent", 60, "close-frame", code=1001), held("pings")),
            kept(held("silent", 60, "fin"), held("pongs", 60, "fin"), held("pings")),
            kept(held("silent", 60, "fin")),
        ],
        [HEALTHY, LIFETIME, HEARTBEAT, GONE, RESTART, REFUSED, ODD, REPLACED, kept()],
    ),
    "WS-DROP-010": (
        [
            LIFETIME,
            kept(held("silent", 60, "fin"), held("pings", 60, "fin")),
            kept(held("silent", 20, "fin"), held("pings", 60, "fin"), held("messages", 60.1, "fin")),
        ],
        [HEALTHY, IDLE, HEARTBEAT, GONE, RESTART, REFUSED, ODD],
    ),
    "WS-DROP-011": (
        [GONE],
        [HEALTHY, IDLE, LIFETIME, kept(held("silent", 60, "vanished"), held("pings", 60, "vanished"))],
    ),
    "WS-DROP-012": ([RESTART], [HEALTHY, IDLE, LIFETIME, ODD, kept(held("silent", 60, "fin"))]),
    "WS-DROP-014": ([REPLACED], [HEALTHY, IDLE, LIFETIME, RESTART, ODD, REFUSED]),
    "WS-DROP-013": (
        [REFUSED, ODD, kept(held("silent", 60, "vanished"), held("pings", 60, "vanished"))],
        [HEALTHY, IDLE, LIFETIME, HEARTBEAT, GONE, RESTART, REPLACED],
    ),
    "WS-KA-009": (
        [
            HEARTBEAT,
            kept(held("silent"), held("mute", 40, "fin", server_pings=9, server_ping_ns=40 * SECOND)),
        ],
        [HEALTHY, IDLE, kept(held("silent", 40, "fin"), held("mute", 40, "fin", server_pings=2))],
    ),
}
