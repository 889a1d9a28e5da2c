"""What is told in several ways without a row: outages by rules, and requests that come to a listener.

Rules are at the first tap; in two captures a refusal is tried behind the hop, too. What is said while a rule
holds is judged as well as what is said afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import re
from collections.abc import Sequence
from typing import Any

import aiohttp
import pytest

from tests.support.bytes_of_frames import CLOSE, KEY, TEXT
from tests.support.engine import Engine, wsinspect_json
from tests.support.matrix_odd import CLIENTS, SERVERS, Odd, Socket, server
from tests.support.small_servers import free_ports
from tests.support.three_ways import WAYS, all_ended, echo, look, play
from wsinspect.capture.reader import Capture
from wsinspect.control.client import ControlClient

pytestmark = [pytest.mark.lab, pytest.mark.slow]

POLLING = "/socket.io/?EIO=4&transport=polling"


def told(found: Sequence[dict[str, Any]]) -> list[str]:
    return [f"{one['id']} {one['severity']} {one['fault_of']}: {one['title']}" for one in found]


@pytest.mark.parametrize(
    ("rule", "polled"),
    [("refuse,status=503,name=outage", 503), ("refuse,status=503,name=outage,only=websocket", 404)],
    ids=["every request", "WebSockets alone"],
)
@pytest.mark.parametrize("way", WAYS[:3], ids=lambda way: way.name)
def test_an_outage_refuses_polling_too_and_blames_nobody(tmp_path, way, rule, polled):
    """In two captures the rule is behind the hop, which passes its answer on."""
    statuses: list[int] = []

    def poll(port: int) -> None:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as link:
            link.request("GET", POLLING)
            statuses.append(link.getresponse().status)

    async def then(port: int) -> None:
        await asyncio.to_thread(poll, port)

    options = ["--fault", rule]
    odd = Odd("healthy", None)
    here = [] if way.apart else options
    column = asyncio.run(play(way, tmp_path, [[odd]], {"echo": echo}, CLIENTS, here, options, then))
    assert statuses == [polled]
    if polled == 503:  # a 404 for Engine.IO's first request is the server's own
        assert (column.code, column.found.get("", [])) == (0, [])
    found = column.found[odd.path]
    assert "WS-TOOL-010" in {one["id"] for one in found}
    assert {(one["severity"], one["fault_of"]) for one in found} == {("note", "tool")}, told(found)


async def _unheard(socket: Socket) -> None:
    """Says hello and a CLOSE, hears nothing, and leaves."""
    await socket.send(TEXT, b"hello")
    await socket.send(CLOSE, (1000).to_bytes(2))
    await socket.next(0.3)
    socket.cut()


SILENCES = [
    "hang,name=hang,match=path:byhang",
    "blackhole,name=hole,match=path:byhole",
]
HUNG = Odd("hung", None, client="gives-up", tail="?byhang")
HOLED = Odd("holed", None, client="unheard", tail="?byhole")
FINE = Odd("fine", None)


def _arrived(engine: Engine) -> list[tuple[str, str | None]]:
    """The ends on record at the first tap: path, and who ended it."""
    with Capture.open(engine.capture) as capture:
        return [(str(one.path), one.ended_by) for one in capture.connections() if one.tap == "edge"]


@pytest.mark.parametrize("way", WAYS[:5], ids=lambda way: way.name)
def test_silence_by_a_rule_is_the_tools_before_it_ends_and_afterwards(tmp_path, way):
    """A blackhole passes no end on: until the rule is gone, its connections are rightly half-open."""
    before: dict[str, Any] = {}

    async def meanwhile(engines: Sequence[Engine]) -> None:
        control = ControlClient.open(engines[0].ready["control"])
        try:
            await asyncio.to_thread(engines[0].wait_for_event, "fault", rule="hole")
            _, said = await asyncio.to_thread(
                wsinspect_json, tmp_path / "before", "diagnose", engines[0].capture
            )
            before.update(said)
            for rule in ("hole", "hang"):
                await asyncio.to_thread(control.request, "DELETE", f"/v1/faults/{rule}")
        finally:
            control.close()

    options = [part for rule in SILENCES for part in ("--fault", rule)]
    clients = {**CLIENTS, "unheard": _unheard}
    rows = [[HUNG], [HOLED], [FINE]]
    column = asyncio.run(play(way, tmp_path, rows, {"echo": echo}, clients, options, [], meanwhile=meanwhile))
    assert told([one for one in before["findings"] if one["severity"] != "note"]) == []
    assert told(column.found.get(FINE.path, [])) == []
    for odd in (HUNG, HOLED):
        found = column.found.get(odd.path, [])
        assert {(one["severity"], one["fault_of"]) for one in found} <= {("note", "tool")}, told(found)
    gave_up = [one for one in column.found[HUNG.path] if one["id"] == "WS-HS-036"]
    assert re.search(r"gave up after (\d+ ms|[1-9][\d.]* s), before", gave_up[0]["title"])
    assert dict(_arrived(column.engines[0])) == {
        HUNG.path: "client",
        HOLED.path: "client",
        FINE.path: "client",
    }
    assert {one["rule"] for one in column.said["on_purpose"]["acted"]} == {"hang", "hole"}


@pytest.mark.parametrize("way", WAYS[:3], ids=lambda way: way.name)
def test_a_refused_port_is_on_record_and_blames_nobody(tmp_path, way):
    """No tap sees what was refused so; that it was done on purpose is said."""
    refused: list[bool] = []

    async def meanwhile(engines: Sequence[Engine]) -> None:
        control = ControlClient.open(engines[0].ready["control"])
        rule = {"name": "down", "kind": "refuse_tcp", "tap": "edge"}
        try:
            await asyncio.to_thread(control.request, "POST", "/v1/faults", rule)
            await asyncio.to_thread(engines[0].wait_for_event, "fault", rule="down")
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", engines[0].port("edge"))
            except ConnectionRefusedError:
                refused.append(True)
            else:
                writer.close()
            await asyncio.to_thread(control.request, "DELETE", "/v1/faults/down")
        finally:
            control.close()

    column = asyncio.run(play(way, tmp_path, [[FINE]], {"echo": echo}, CLIENTS, meanwhile=meanwhile))
    assert refused == [True]
    assert column.code == 0
    everything = [one for found in column.found.values() for one in found]
    assert {(one["severity"], one["fault_of"]) for one in everything} <= {("note", "tool")}, told(everything)
    assert [one["rule"] for one in column.said["on_purpose"]["acted"]] == ["down"]


# -- 12, 26: however a request comes to a listener


TOLD = {
    "echo": ("talk", []),
    "utf8": ("strict", [("WS-MS-001", "server")]),
    "403": ("talk", [("WS-HS-010", "server")]),
}


async def _into(engine: Engine, form: str, target: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A way through a listener, so far that the request is next."""
    tap = "socks5" if form == "socks5" else "regular"
    reader, writer = await asyncio.open_connection("127.0.0.1", engine.port(tap))
    if form == "socks5":
        writer.write(b"\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01" + target.to_bytes(2))
        await reader.readexactly(2 + 10)
    elif form == "connect":
        writer.write(f"CONNECT 127.0.0.1:{target} HTTP/1.1\r\n\r\n".encode())
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def _by_aiohttp(engine: Engine, odd: Odd, target: int) -> None:
    proxy = f"http://127.0.0.1:{engine.port('regular')}"
    async with aiohttp.ClientSession() as session:
        with contextlib.suppress(aiohttp.WSServerHandshakeError):
            async with session.ws_connect(f"ws://127.0.0.1:{target}{odd.path}", proxy=proxy) as socket:
                await socket.send_str("hello")
                await socket.receive()


@pytest.mark.parametrize("way", WAYS[:3], ids=lambda way: way.name)
def test_a_listener_says_what_a_tap_says_however_the_request_comes(tmp_path, way):
    """In pieces through CONNECT and SOCKS5, in absolute form, and as aiohttp's `proxy=` writes it."""
    odds = {
        (form, name): Odd(f"{form} {name}", None, server=name, client=TOLD[name][0])
        for form in ("connect", "socks5", "absolute", "aiohttp")
        for name in TOLD
    }

    async def run() -> list[Engine]:
        async with contextlib.AsyncExitStack() as running:
            app = await running.enter_async_context(server({**SERVERS, "echo": echo}))
            target, taps = app, []
            engines: list[Engine] = []
            if way.hop is not None:
                ports = dict(zip(("origin", "dead", "untrusted"), free_ports(3), strict=True))
                taps = ["--tap", f"origin=127.0.0.1:{ports['origin']}=http://127.0.0.1:{app}"]
                hop = await asyncio.to_thread(way.hop, tmp_path / "hop", ports)
                running.callback(hop.stop)
                target = hop.port
            modes = ("--listen", "0", "--mode", "regular", "--mode", "socks5")
            for words in ((*modes,), (*taps,)) if way.apart else ((*modes, *taps),):
                folder = tmp_path / f"engine{len(engines)}"
                engines.append(await asyncio.to_thread(Engine.start, *words, folder=folder))
                running.callback(engines[-1].stop)
            engine = engines[0]
            begun = []
            for (form, _), odd in odds.items():
                if form != "aiohttp":
                    reader, writer = await _into(engine, form, target)
                    raw = odd.request(target)
                    if form == "absolute":
                        raw = raw.replace(b"GET ", b"GET ws://127.0.0.1:%d" % target, 1)
                    writer.write(raw[:30])
                    begun.append((odd, raw[30:], reader, writer))
            for (form, _), odd in odds.items():
                if form == "aiohttp":  # when that is over, the engine has read all first pieces
                    await _by_aiohttp(engine, odd, target)
            for odd, rest, reader, writer in begun:
                writer.write(rest)
                socket = Socket(reader, writer, KEY)
                if b" 101 " in (await socket.head())[:13]:
                    await CLIENTS[odd.client](socket)
                await socket.end()
            for one in engines:
                await asyncio.to_thread(all_ended, one, len(odds))
        return engines

    engines = asyncio.run(run())
    seen = look(engines, tmp_path)
    for (form, name), odd in odds.items():
        found = [one for one in seen.found.get(odd.path, []) if one["severity"] != "note"]
        assert [(one["id"], one["fault_of"]) for one in found] == TOLD[name][1], (form, name, told(found))
    assert [event for event in engines[0].events if event["event"] == "passed_unread"] == []
