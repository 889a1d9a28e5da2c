"""A client whose stream of HTTP/2 takes nothing, or little at a time: its windows stay shut, TCP flows on."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from tests.support.bytes_of_frames import frame
from tests.support.certs import make_certificates
from tests.support.h2_lab import h2_lab, rows
from wsinspect.capture.reader import Capture
from wsinspect.diagnosis.facts import FactReader
from wsinspect.findings.registry import diagnose_connection

pytestmark = [pytest.mark.slow]

#: Twice what a client's windows take at first.
SENT = frame(2, b"x" * 65000) * 2
LITTLE = 2000


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def _has_room(server, stream: int, size: int) -> bool:
    return server.h2.local_flow_control_window(stream) >= size


async def _sent(server, stream: int) -> None:
    """All of it is at the proxy."""
    for at in range(0, len(SENT), 16000):
        piece = SENT[at : at + 16000]
        await server.wait(partial(_has_room, server, stream, len(piece)))
        server.send(stream, piece)


async def _stalls(run) -> int:
    return len(await asyncio.to_thread(rows, run, "SELECT id FROM event WHERE kind = 'stalled'"))


def _diagnosed(run):
    with Capture.open(run.capture) as capture:
        (one,) = capture.connections()
        facts = FactReader(capture.query).connection(one.id)
        assert facts is not None
        return facts, {found.id: found for found in diagnose_connection(facts)}


@pytest.mark.parametrize("options", [(), ("--fault", "latency:s2c,latency=100ms")], ids=["plain", "late"])
@pytest.mark.parametrize("takes", [False, True], ids=["nothing", "little"])
def test_a_stream_that_is_not_read_is_a_fact_and_one_read_slowly_another(
    tmp_path, certificates, takes, options
):
    async def play():
        async with h2_lab(tmp_path, certificates, *options) as lab:
            client, server = await lab.connect()
            client.reads = False
            mine, theirs = await client.opened("/", server)
            await _sent(server, theirs)
            # Until the proxy has reported it, and two seconds more, which a sender may call too long.
            begun = None
            now = asyncio.get_running_loop().time
            while begun is None or now() - begun < 3:
                if takes:
                    for stream in (mine, None):
                        client.h2.increment_flow_control_window(LITTLE // 5, stream)
                    client.flush()
                if begun is None and await _stalls(lab.run):
                    begun = now()
                await asyncio.sleep(0.1)
            server.reset(theirs, 8)
            await client.was_reset(mine)
        return lab.run

    facts, found = _diagnosed(asyncio.run(play()))
    (stall,) = facts.stalls
    assert (stall.side, stall.acknowledges, stall.is_steady) == ("client", None, takes)
    one = found["WS-DROP-015"]
    assert (one.fault_of, one.confidence, one.severity) == ("client", "low", "warning")
    assert one.title.startswith("The client read more slowly" if takes else "The client did not read")


def test_a_stream_that_is_read_has_no_stall(tmp_path, certificates):
    async def play():
        async with h2_lab(tmp_path, certificates) as lab:
            client, server = await lab.connect()
            mine, theirs = await client.opened("/", server)
            for _ in range(20):
                await _sent(server, theirs)
            await client.wait(lambda: client.streams[mine].size == 20 * len(SENT))
            server.reset(theirs, 8)
            await client.was_reset(mine)
        return lab.run

    facts, found = _diagnosed(asyncio.run(play()))
    assert not facts.stalls
    assert not {"WS-DROP-015", "WS-DROP-016"} & found.keys()
