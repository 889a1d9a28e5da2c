"""Every kind of fault on the real engine, met by a real client with and without permessage-deflate.

All kinds share one engine; each has a path of its own. In the end the capture must have every kind in its
ledger, and no finding may blame anybody for what was done on purpose.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from tests.support import warm
from tests.support.echo_engine import EchoEngine, echo_engine
from tests.support.engine import Engine
from tests.support.forwarder import Forwarder
from tests.support.small_servers import echo, free_port
from tests.support.threaded_loop import ThreadedLoop
from wsinspect.capture.reader import Capture
from wsinspect.faults.kinds import KINDS

WORDS = [f"the quick brown fox {number} jumps over the lazy dog {'again ' * 9}" for number in range(4)]
DEFLATE = pytest.mark.parametrize("compression", ["deflate", None], ids=["deflate", "plain"])

#: By path: the rule's spec behind its match, and what of four echoed messages a client reads.
ECHOED: dict[str, tuple[str, list[str]]] = {
    "drop": ("drop:s2c,nth=2", [WORDS[0], *WORDS[2:]]),
    "drop-c2s": ("drop:c2s,nth=2", [WORDS[0], *WORDS[2:]]),
    "latency": ("latency:s2c,latency=30ms,jitter=10ms", WORDS),
    "bandwidth": ("bandwidth,rate=20KiB/s", WORDS),
    "loss": ("loss,loss=50%,correlation=20%,rtt=2ms,rto=1ms,segment=40", WORDS),
    "hold": ("hold:s2c,count=2,time=1s", WORDS),
    "break": ("break,timeout=20ms", WORDS),
    "duplicate": ("duplicate:s2c,nth=2", [*WORDS[:2], *WORDS[1:]]),
    "duplicate-c2s": ("duplicate:c2s,nth=2", [*WORDS[:2], *WORDS[1:]]),
    "reorder": ("reorder:s2c,nth=2", [WORDS[0], WORDS[2], WORDS[1], WORDS[3]]),
    "reorder-c2s": ("reorder:c2s,nth=2", [WORDS[0], WORDS[2], WORDS[1], WORDS[3]]),
    "truncate": ("truncate:s2c,to=9,nth=2", [WORDS[0], WORDS[1][:9], *WORDS[2:]]),
    "truncate-c2s": ("truncate:c2s,to=9,nth=2", [WORDS[0], WORDS[1][:9], *WORDS[2:]]),
    "replace": ("replace:s2c,find=fox,with=cat", [word.replace("fox", "cat") for word in WORDS]),
    "replace-c2s": ("replace:c2s,find=fox,with=cat", [word.replace("fox", "cat") for word in WORDS]),
    "inject": ("inject:s2c,payload=mine,nth=2", [*WORDS[:2], "mine", *WORDS[2:]]),
    "inject-c2s": ("inject:c2s,payload=mine,nth=2,position=before", [WORDS[0], "mine", *WORDS[1:]]),
    "fragment": ("fragment,size=9", WORDS),
    "slicer": ("slicer,size=7,delay=1ms", WORDS),
}
#: By path: what ends the connection once the client has sent four messages, and the code that it is told.
ENDING: dict[str, tuple[str, int]] = {
    "close": ("close,code=4004,reason=enough,after=200ms", 4004),
    "close-client": ("close,code=4005,to=client,after=4frames", 4005),
    "abort-fin": ("abort,how=fin,after=4frames", 1006),
    "abort-rst": ("abort,how=rst,after=4frames", 1006),
    "abort-client": ("abort,how=rst,to=client,after=4frames", 1006),
    "abort-server": ("abort,how=rst,to=server,after=4frames", 1006),
    "blackhole-rst": ("blackhole,for=200ms,then=rst,nth=2", 1006),
    "idle-fin": ("idle_timeout,after=300ms", 1006),
    "idle-rst": ("idle_timeout,after=300ms,how=rst", 1006),
    "idle-close": ("idle_timeout,after=300ms,how=close", 1001),
    "lifetime-fin": ("lifetime,after=300ms", 1006),
    "lifetime-rst": ("lifetime,after=300ms,how=rst", 1006),
    "lifetime-close": ("lifetime,after=300ms,how=close,code=1012", 1012),
    "max_message_size": ("max_message_size:c2s,size=60", 1009),
    "max_message_size-s2c": ("max_message_size:s2c,size=60", 1009),
    "max_message_size-rst": ("max_message_size,size=60,how=rst", 1006),
    "limit_data": ("limit_data:s2c,bytes=40", 1006),
    "limit_data-rst": ("limit_data:c2s,bytes=40,how=rst", 1006),
    "cut": ("truncate:s2c,to=5,where=wire,nth=2", 1006),
    "cut-rst": ("truncate:s2c,to=5,where=wire,how=rst,nth=2", 1006),
}
#: By path: what answers the handshake, and the status that the client sees.
REFUSED: dict[str, tuple[str, int]] = {
    "refuse": ("refuse,status=429,body=slow down", 429),
    "redirect": ("redirect,location=https://example.org/", 302),
    "strip_headers": ("strip_headers,names=Upgrade", 426),
    "set_headers": ("set_headers,headers=Connection: close", 426),
    "downgrade_http10": ("downgrade_http10", 505),
}
OTHERS = (
    "corrupt:s2c,match=path:/corrupt/ op:bin,nth=2",
    "corrupt:s2c,name=wire,where=wire,match=path:/corrupt-wire/ op:text,nth=2",
    "blackhole,match=path:/blackhole/ op:text,for=300ms,nth=1",
    "idle_timeout,name=forgets,how=silent,after=200ms,match=path:/silent/",
    "hang,for=300ms,match=path:/hang/",
    "delay,delay=200ms,jitter=50ms,match=path:/delay/",
    "break_handshake,match=path:/break_handshake/,timeout=50ms",
    "delay,name=late,delay=200ms,of=response,match=path:/delay-response/",
    "bad_accept,match=path:/bad_accept/",
    "drop_subprotocol,match=path:/drop_subprotocol/",
    "drop_subprotocol,name=offer,of=request,match=path:/drop_offer/",
    "downgrade_http10,name=old,of=response,match=path:/http10-response/",
    'strip_headers,name=strip-answer,of=response,names="Upgrade,Connection",match=path:/strip-response/',
    "set_headers,name=set-answer,of=response,headers=X-Seen-By: nobody,match=path:/set-response/",
    "tls_error,tap=tls,sni=*.example.org,alert=unrecognized_name",
    "reset_on_accept,tap=reset,nth=1-2",
    "refuse_tcp,tap=gone",
)


def options() -> list[str]:
    specs = list(OTHERS)
    for path, (spec, _) in [*ECHOED.items(), *ENDING.items(), *REFUSED.items()]:
        kind, _, rest = spec.partition(",")
        match = f"path:/{path}/" + (" op:text" if path in ECHOED else "")
        specs.append(f"{kind},name={path},match={match},{rest}".rstrip(","))
    found = [part for spec in specs for part in ("--fault", spec)]
    for tap in ("tls", "reset", "gone"):
        scheme = "https" if tap == "tls" else "http"
        found += ["--tap", f"{tap}=127.0.0.1:0={scheme}://127.0.0.1:9"]
    return [*found, "--seed", "7"]


class Lab:
    def __init__(self, loop: ThreadedLoop, echo: EchoEngine) -> None:
        self.loop, self.echo = loop, echo

    def run(self, coroutine: Any) -> Any:
        return self.loop.run(coroutine, 20)

    def url(self, path: str) -> str:
        return self.echo.url(f"/{path}/x?token=1")

    @asynccontextmanager
    async def opened(self, path: str, **more: Any) -> AsyncIterator[ClientConnection]:
        async with connect(self.url(path), ping_interval=None, close_timeout=2, **more) as client:
            yield client


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with ThreadedLoop() as loop:
        running = echo_engine(tmp_path_factory.mktemp("kinds"), *options(), subprotocol="chat")
        echo = loop.run(running.__aenter__(), 60)
        yield Lab(loop, echo)
        loop.run(running.__aexit__(None, None, None), 60)


@DEFLATE
@pytest.mark.parametrize("path", ECHOED)
def test_a_client_reads_what_the_fault_leaves(lab: Lab, path: str, compression: Any) -> None:
    async def talk() -> list[Any]:
        async with lab.opened(path, compression=compression) as client:
            for word in WORDS:
                await client.send(word)
            got = [await asyncio.wait_for(client.recv(), 20) for _ in ECHOED[path][1]]
            assert (await client.ping()) is not None
            return got

    assert lab.run(talk()) == ECHOED[path][1]


@DEFLATE
@pytest.mark.parametrize("path", ENDING)
def test_a_client_sees_the_end(lab: Lab, path: str, compression: Any) -> None:
    async def talk() -> tuple[int | None, bool]:
        async with lab.opened(path, compression=compression) as client:
            try:
                for word in WORDS:
                    await client.send(word)
                while True:
                    await asyncio.wait_for(client.recv(), 20)
            except ConnectionClosed as closed:
                return client.close_code, closed.rcvd is not None

    code = ENDING[path][1]
    assert lab.run(talk()) == (code, code != 1006)


@pytest.mark.parametrize("path", REFUSED)
def test_a_client_sees_the_status(lab: Lab, path: str) -> None:
    async def talk() -> int:
        try:
            async with lab.opened(path, process_exception=lambda error: error):
                return 101
        except InvalidStatus as error:
            return error.response.status_code
        except InvalidURI:
            return 302  # the library follows a redirection, and https is no WebSocket's scheme

    assert lab.run(talk()) == REFUSED[path][1]


@DEFLATE
def test_corrupt_changes_one_byte(lab: Lab, compression: Any) -> None:
    async def talk() -> list[Any]:
        async with lab.opened("corrupt", compression=compression) as client:
            for word in WORDS:
                await client.send(word.encode())
            return [await asyncio.wait_for(client.recv(), 20) for _ in WORDS]

    got = lab.run(talk())
    assert [got[0], *got[2:]] == [word.encode() for word in (WORDS[0], *WORDS[2:])]
    assert sum(a != b for a, b in zip(got[1], WORDS[1].encode(), strict=True)) == 1


def test_corrupt_on_the_wire_breaks_what_is_compressed(lab: Lab) -> None:
    async def talk() -> ConnectionClosed | None:
        async with lab.opened("corrupt-wire") as client:
            try:
                for word in WORDS:
                    await client.send(word)
                for word in WORDS:
                    if await asyncio.wait_for(client.recv(), 20) != word:
                        return None
            except ConnectionClosed as closed:
                return closed
            raise AssertionError("nothing was changed")

    closed = lab.run(talk())
    assert closed is None or (closed.sent is not None and closed.sent.code in (1002, 1007))


@DEFLATE
def test_a_blackhole_delivers_everything_afterwards(lab: Lab, compression: Any) -> None:
    async def talk() -> tuple[list[Any], float]:
        async with lab.opened("blackhole", compression=compression) as client:
            start = time.perf_counter()
            for word in WORDS:
                await client.send(word)
            got = [await asyncio.wait_for(client.recv(), 20) for _ in WORDS]
            return got, time.perf_counter() - start

    got, seconds = lab.run(talk())
    assert got == WORDS
    assert seconds > 0.25


def test_a_forgotten_connection_is_reset_at_the_next_packet(lab: Lab) -> None:
    async def talk() -> int | None:
        async with lab.opened("silent") as client:
            await asyncio.sleep(0.5)  # the silence that the rule waits for
            assert client.state.name == "OPEN"
            await client.send("is anybody there?")
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(client.recv(), 20)
            return client.close_code

    assert lab.run(talk()) == 1006


@pytest.mark.parametrize(
    ("path", "least"), [("hang", 0.3), ("delay", 0.15), ("delay-response", 0.2), ("break_handshake", 0.05)]
)
def test_a_handshake_takes_its_time(lab: Lab, path: str, least: float) -> None:
    async def talk() -> float:
        start = time.perf_counter()
        async with lab.opened(path) as client:
            seconds = time.perf_counter() - start
            await client.send("x")
            assert await client.recv() == "x"
            return seconds

    assert lab.run(talk()) >= least


def test_answers_that_are_changed_are_seen_by_the_client(lab: Lab) -> None:
    async def header() -> str | None:
        async with lab.opened("set-response") as client:
            assert client.response is not None
            return client.response.headers.get("X-Seen-By")

    async def refusal(path: str) -> str:
        with pytest.raises((InvalidHandshake, ValueError)) as caught:
            async with lab.opened(path, process_exception=lambda error: error):
                pass
        return f"{caught.value} {caught.value.__cause__}"

    async def subprotocol(path: str) -> str | None:
        async with lab.opened(path, subprotocols=["chat"]) as client:
            return client.subprotocol

    assert lab.run(header()) == "nobody"
    assert "Sec-WebSocket-Accept" in lab.run(refusal("bad_accept"))
    assert "Connection" in lab.run(refusal("strip-response"))
    assert "HTTP" in lab.run(refusal("http10-response"))
    assert lab.run(subprotocol("no-rule")) == "chat"
    assert lab.run(subprotocol("drop_subprotocol")) is None
    assert lab.run(subprotocol("drop_offer")) is None


def test_what_happens_before_the_request_happens_to_its_tap_alone(lab: Lab) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE

    async def tls(name: str) -> None:
        port = lab.echo.engine.port("tls")
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
        writer.close()

    async def reset() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", lab.echo.engine.port("reset"))
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        try:
            return await asyncio.wait_for(reader.read(), 20)
        finally:
            writer.close()

    async def gone() -> None:
        await asyncio.open_connection("127.0.0.1", lab.echo.engine.port("gone"))

    lab.run(lab.echo.event("fault", kind="refuse_tcp"))
    with pytest.raises(ConnectionRefusedError):
        lab.run(gone())
    with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized"):
        lab.run(tls("a.example.org"))
    lab.run(tls("example.com"))
    for _ in range(2):
        with pytest.raises(ConnectionResetError):
            lab.run(reset())
    assert lab.run(reset()).startswith(b"HTTP/1.1 502")


def test_every_kind_is_in_the_ledger_and_nobody_is_blamed(lab: Lab) -> None:
    lab.echo.hang_up()
    lab.echo.engine.stop()
    with Capture.open(lab.echo.engine.capture) as capture:
        acted = {row[0] for row in capture.query("SELECT DISTINCT kind FROM fault_event")}
        assert acted == set(KINDS)
        # Connections on which no rule acted are not what this is about.
        touched = {row[0] for row in capture.query("SELECT DISTINCT connection_id FROM fault_event")}
        findings = diagnosed(capture.path)
        told = capture.query("SELECT path, js_code, js_was_clean, ended_by FROM connection WHERE open_ns")
        wrong = [
            one
            for one in ((path.split("/")[1], *verdict) for path, *verdict in told)
            if one[0] in {**ENDING, "silent": None}
            and one[1:] != ((code := ENDING.get(one[0], ("", 1006))[1]), code != 1006, "fault")
        ]
        assert wrong == []
    blaming = [
        (one["id"], one["severity"], one["fault_of"], one["connection"], one["evidence"][:2])
        for one in findings
        if one["severity"] != "note" and one["fault_of"] != "tool" and one["connection"] in touched | {None}
    ]
    assert blaming == []
    named = [one for one in findings if any("your rule `" in line for line in one["evidence"])]
    assert named


def diagnosed(capture: Path) -> list[dict[str, Any]]:
    words = ["diagnose", str(capture), "--json"]
    done = warm.run(words, folder=capture.parent, environment=os.environ)
    assert done.returncode in (0, 1), done.stderr
    return list(json.loads(done.stdout)["findings"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "spec",
    [
        "abort,tap=origin,after=300ms",
        "duplicate:s2c,tap=origin,match=op:text",
        "drop:c2s,tap=edge,match=op:text,nth=2",
        "corrupt:s2c,tap=origin,match=op:bin",
        "strip_headers,tap=edge,names=Sec-WebSocket-Extensions",
        "hang,tap=origin,for=1s",
    ],
)
def test_a_fault_at_one_tap_blames_nobody_at_the_other_one(spec: str, tmp_path: Path) -> None:
    async def talk(url: str) -> None:
        async with connect(url, close_timeout=1) as client:
            with contextlib.suppress(ConnectionClosed, TimeoutError):
                for number in range(3):
                    await client.send(f"message {number}")
                    await client.send(b"bytes")
                while True:
                    await asyncio.wait_for(client.recv(), 0.7)

    async def sandwich() -> Path:
        origin = free_port()
        async with serve(echo, "127.0.0.1", 0, close_timeout=1) as server, Forwarder(origin) as hop:
            port = next(iter(server.sockets)).getsockname()[1]
            taps = (
                f"edge=127.0.0.1:0=http://127.0.0.1:{hop.port}",
                f"origin={origin}=http://127.0.0.1:{port}",
            )
            found = [part for tap in taps for part in ("--tap", tap)]
            engine = await asyncio.to_thread(Engine.start, *found, "--fault", spec, folder=tmp_path)
            await talk(f"ws://127.0.0.1:{engine.port('edge')}/x")
            await asyncio.to_thread(engine.stop)
            return engine.capture

    findings = diagnosed(asyncio.run(sandwich()))
    assert [one for one in findings if one["severity"] != "note" and one["fault_of"] != "tool"] == []
