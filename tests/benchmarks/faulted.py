"""What faults cost: a rule that matches nothing, an armed neighbour, and how exact a delay is."""

import dataclasses

from tests.benchmarks.measures import Place, Result, Sizes, echo_p50, run_burst, wait_rows
from tests.benchmarks.pacing import Crowd
from tests.benchmarks.peers import Peer

#: Looked at for every frame, and never true of one.
NOTHING = "drop,match=op:pong"
#: The first connection is the busy one, and its frames are delayed.
NEIGHBOUR = "latency,latency=5ms,match=conn:1"
DELAY_MS = 100.0
DELAY = f"latency:s2c,latency={DELAY_MS:.0f}ms"
DELAYED, DELAYED_RATE = 200, 5
NEIGHBOUR_RATE, NEIGHBOUR_SECONDS = 1_000, 30


def measure(peer: Peer, place: Place, sizes: Sizes) -> Result:
    """All of it; each part on engines of its own."""
    armed = with_fault(peer, NOTHING)
    result: Result = {"armed_per_s": run_burst(armed, place, 64, sizes.small_frames)["frames_per_s"]}
    unarmed_us, armed_us = (_p50(one, place, sizes) for one in (peer, armed))
    result |= {"unarmed_p50_us": unarmed_us, "armed_p50_us": armed_us, "armed_ratio": armed_us / unarmed_us}
    quiet = [_next_to_busy(one, place, sizes) for one in (peer, with_fault(peer, NEIGHBOUR))]
    result |= {"beside_unarmed_us": quiet[0], "beside_armed_us": quiet[1]}
    result["beside_ratio"] = quiet[1] / quiet[0]
    with (
        with_fault(peer, DELAY).serve(place.folder, place.target) as running,
        Crowd(running.port, DELAYED) as crowd,
    ):
        found = crowd.pace(DELAYED * DELAYED_RATE, sizes.delayed_s)
    result["delay_error_p50_ms"] = abs(found["p50_ms"] - DELAY_MS)
    result["delay_error_p99_ms"] = abs(found["p99_ms"] - DELAY_MS)
    return result


def with_fault(peer: Peer, spec: str) -> Peer:
    """The same peer with a rule armed."""
    return dataclasses.replace(peer, options=("--fault", spec))  # type: ignore[call-arg]


def _p50(peer: Peer, place: Place, sizes: Sizes) -> float:
    with peer.serve(place.folder, place.target) as running:
        return echo_p50(running, sizes)


def _next_to_busy(peer: Peer, place: Place, sizes: Sizes) -> float:
    """Echo p50 of a connection without a rule while another one is busy."""
    with peer.serve(place.folder, place.target) as running, Crowd(running.port, 1) as busy:
        busy.begin(NEIGHBOUR_RATE, NEIGHBOUR_SECONDS)
        wait_rows(running, NEIGHBOUR_RATE // 10)
        return echo_p50(running, sizes)
