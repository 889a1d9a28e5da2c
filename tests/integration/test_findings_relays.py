"""Hops that end a WebSocket and begin another: one is a message behind, some accept before they ask."""

import asyncio
import contextlib
import sys
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import WebSocketException

from tests.support.hop_taps import attempts, record_around
from tests.support.hops import LOOPBACK, NGINX_GOOD, Hop, nginx
from tests.support.relay_hop import relay_hop
from tests.support.sandwich_lab import afterwards, stored, told
from tests.support.small_servers import free_port

pytestmark = [pytest.mark.lab, pytest.mark.slow]

#: Seconds after each message of the server: all the same would be as of a hop that only takes its time.
GAPS = (0.3, 0.8, 0.5, 1.1, 0.4)
SAID = len(GAPS)


async def speaks(socket):
    """What the server has to say, well apart, and an echo."""
    with contextlib.suppress(WebSocketException):
        for number, gap in enumerate(GAPS):
            await socket.send(f"news {number}")
            await asyncio.sleep(gap)
        async for message in socket:
            await socket.send(message)


def nginx_before_relay(*options):
    """A real nginx, and behind it the hop that keeps messages or does not; both end together."""

    def start(folder, origin):
        relay = relay_hop(folder / "relay", origin, *options)
        try:
            hop = nginx(
                folder / "nginx", f"location / {{ proxy_pass http://{LOOPBACK}:{relay.port}; {NGINX_GOOD} }}"
            )
        except BaseException:
            relay.stop()
            raise
        stop = hop.stop

        def stop_both():
            stop()
            relay.stop()

        hop.stop = stop_both  # type: ignore[method-assign]
        return hop

    return start


@pytest.mark.parametrize(
    ("options", "arrive"), [(["--behind"], SAID - 1), ([], SAID)], ids=["behind", "at once"]
)
def test_a_hop_that_is_one_message_behind(tmp_path, options, arrive):
    got = []

    async def talk(port):
        async with connect(f"ws://{LOOPBACK}:{port}/news", ping_interval=None, proxy=None) as socket:
            for _ in range(arrive):
                got.append(await asyncio.wait_for(socket.recv(), 20))
            await asyncio.sleep(0.6)

    async def play():
        async with serve(speaks, LOOPBACK, 0, ping_interval=None) as server:
            app = next(iter(server.sockets)).getsockname()[1]
            return await record_around(tmp_path, nginx_before_relay(*options), app, talk)

    engine = asyncio.run(play())
    assert told(engine.events) == stored(engine.capture) == afterwards(engine.capture)
    assert got == [f"news {number}" for number in range(arrive)]
    (one,) = attempts(engine.capture)
    assert one.one == [], "one tap cannot know"
    if not options:
        assert one.all == []
        return
    found = one.all[0]
    assert (found.id, found.severity, found.fault_of) == ("WS-MS-101", "error", "hop")
    assert found.title == "The hop is one message behind: each comes out when the next one goes in"
    assert "and the last one never" in found.evidence[0]


async def answers(socket):
    """A word of equal length for each word."""
    with contextlib.suppress(WebSocketException):
        async for message in socket:
            await socket.send(f"answer {message[-1]}")


@pytest.mark.parametrize(
    ("options", "is_changed"),
    [(["--change", "2"], True), (["--swap"], True), ([], False)],
    ids=["changed", "swapped", "as they are"],
)
@pytest.mark.parametrize("is_chain", [False, True], ids=["relay", "nginx and relay"])
def test_a_hop_that_exchanges_what_messages_say(tmp_path, options, is_changed, is_chain):
    async def talk(port):
        async with connect(f"ws://{LOOPBACK}:{port}/words", ping_interval=None, proxy=None) as socket:
            for number in range(6):
                await socket.send(f"word {number}")
            for _ in range(6):
                await asyncio.wait_for(socket.recv(), 20)

    async def play():
        async with serve(answers, LOOPBACK, 0, ping_interval=None) as server:
            app = next(iter(server.sockets)).getsockname()[1]
            hop = nginx_before_relay(*options) if is_chain else lambda *at: relay_hop(*at, *options)
            return await record_around(tmp_path, hop, app, talk)

    engine = asyncio.run(play())
    assert told(engine.events) == stored(engine.capture) == afterwards(engine.capture)
    (one,) = attempts(engine.capture)
    assert one.one == [], "one tap cannot know"
    assert [(each.id, each.severity, each.fault_of) for each in one.all] == (
        [("WS-MS-102", "error", "hop")] * 2 if is_changed else []
    )


def websocat(folder, origin):
    """The real one, which answers 101 and then asks (`ws_server_peer`, then `ws_client_peer`)."""
    program = Path(sys.executable).parent / "websocat"
    if not program.exists():
        pytest.skip("websocat is not installed")
    folder.mkdir(parents=True)
    port = free_port()
    command = [str(program), "--exit-on-eof", f"ws-l:{LOOPBACK}:{port}", f"ws://{LOOPBACK}:{origin}/room"]
    return Hop.start(command, port, folder)


RELAYS = {"relay": lambda folder, origin: relay_hop(folder, origin), "websocat": websocat}
#: What the application says: its status, and the finding of the cause.
ANSWERS = {
    403: ("WS-HS-010", "server"),
    404: ("WS-HS-011", "server"),
    503: ("WS-HS-021", "server"),
    "nobody": ("WS-HS-032", "server"),
}


async def echo(socket):
    with contextlib.suppress(WebSocketException):
        async for message in socket:
            await socket.send(message)


@pytest.mark.parametrize("relay", RELAYS)
@pytest.mark.parametrize("answer", [*ANSWERS, 101])
def test_a_hop_that_accepted_before_it_asked_and_was_refused(tmp_path, relay, answer):
    async def talk(port):
        with contextlib.suppress(WebSocketException, OSError, TimeoutError):
            async with connect(f"ws://{LOOPBACK}:{port}/room", ping_interval=None, proxy=None) as socket:
                await socket.send("hello")
                await asyncio.wait_for(socket.recv(), 20)

    def respond(connection, _):
        return None if answer == 101 else connection.respond(answer, "no\n")

    async def play():
        async with contextlib.AsyncExitStack() as running:
            app = free_port()
            if answer != "nobody":
                server = await running.enter_async_context(
                    serve(echo, LOOPBACK, 0, process_request=respond, ping_interval=None)
                )
                app = next(iter(server.sockets)).getsockname()[1]
            return await record_around(tmp_path, RELAYS[relay], app, talk)

    engine = asyncio.run(play())
    assert told(engine.events) == stored(engine.capture) == afterwards(engine.capture)
    (one,) = attempts(engine.capture)
    assert one.status == 101
    if answer == 101:
        # websocat leaves without answering a CLOSE, which is said; nothing is wrong with how it opened.
        expected = [] if relay == "relay" else ["WS-CL-031"]
        assert [each.id for each in one.one] == expected
        assert not any(each.severity == "error" for each in one.all)
        return
    # All that one tap sees is a server that accepted and gave up at once.
    assert [each.id for each in one.one] == ["WS-CL-011" if relay == "relay" else "WS-DROP-001"]
    (found,) = one.all
    assert (found.id, found.fault_of) == ANSWERS[answer]
    assert "the hop had accepted its client before, and ended that connection then" in found.evidence
