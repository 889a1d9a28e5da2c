"""How long the engine stands still for Python's cycle collector, and for giving memory back.

Nothing else of it holds every connection up at once. The engine is started by a program that notes each
collection and each giving back of memory after its start, in CPU time: another process that takes the
core meanwhile is no pause of ours. Opening handshakes are what leaves something to collect.
"""

import dataclasses
import json
import time

from tests.benchmarks.measures import OPENED, Place, Result, Sizes, open_all, wait_rows
from tests.benchmarks.pacing import Crowd
from tests.benchmarks.peers import Peer
from wsinspect.memory import MANY
from wsinspect.proxy.memory import SETTLE_SECONDS

PROGRAM = """
import gc, json, pathlib, sys, time
from wsinspect import memory
from wsinspect.__main__ import main
from wsinspect.proxy.memory import Relief

found = {"collections": [], "given_back": []}
out, begun = pathlib.Path(sys.argv.pop(1)), 0

def note(phase, info):
    global begun
    if phase == "start":
        begun = time.thread_time_ns()
    else:
        found["collections"].append((time.thread_time_ns() - begun) / 1e6)

def begin(self, begin=Relief.begin):
    begin(self)
    gc.callbacks.append(note)

def give_back(self, count, give_back=memory.HighWater.give_back):
    start = time.thread_time_ns()
    give_back(self, count)
    found["given_back"].append((time.thread_time_ns() - start) / 1e6)

Relief.begin, memory.HighWater.give_back = begin, give_back
try:
    main()
finally:
    out.write_text(json.dumps(found))
"""


def measure(peer: Peer, place: Place, sizes: Sizes) -> Result:
    """Openings one after the other; then many at once, which give memory back after they closed."""
    out = place.folder / "pauses.json"
    noting = dataclasses.replace(peer, program=("-c", PROGRAM, str(out)))  # type: ignore[call-arg]
    made, crowd = sizes.openings, max(MANY + 100, sizes.slow_connections)
    with noting.serve(place.folder, place.target) as running:
        open_all(running, made)
        with Crowd(running.port, crowd) as many:
            many.pace(crowd, 1)
            many.close()
        wait_rows(running, made + crowd, OPENED)
        time.sleep(SETTLE_SECONDS + 1)
    found = json.loads(out.read_text())
    out.unlink()
    return {
        "openings": made + crowd,
        "collections": len(found["collections"]),
        "longest_ms": max(found["collections"], default=0.0),
        "given_back_ms": max(found["given_back"], default=0.0),
    }
