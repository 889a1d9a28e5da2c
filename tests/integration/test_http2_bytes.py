"""The byte checker's scripts with both ends on HTTP/2: what holds over HTTP/1.1 holds on a stream.

All scripts of a family share one connection, many at once. END_STREAM is what FIN is there, RST_STREAM what
RST is; a script that needs a header block of its own, or TLS's own ends, has no counterpart.
"""

import asyncio
from collections import defaultdict
from contextlib import asynccontextmanager

import pytest
from h2.exceptions import ProtocolError

from tests.support.cases import all_cases
from tests.support.certs import client_context, make_certificates
from tests.support.engine import Engine
from tests.support.h2_lab import rows
from tests.support.h2_peers import ENABLE_CONNECT, H2Origin, H2Peer

AT_ONCE = 30
#: What each end of a socket is on a stream.
ENDS = {"fin": "end", "bye": "end", "close": "end", "rst": "reset"}
KNOWN = {"send", "sync", "end", *ENDS}


def _fits(case):
    is_plain = case.request_head is None and case.accept is None and not case.before and not case.tls_only
    return is_plain and {step.what for step in case.steps} <= KNOWN


CASES = [case for case in all_cases() if _fits(case)]
ALWAYS = {"ends", "half-close", "closing", "mixed", "hasty", "deliveries-c2s", "fragments-s2c"}
QUICK = [case for number, case in enumerate(CASES) if case.family in ALWAYS or number % 8 == 0]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"))


class Play:
    """One script on one stream."""

    def __init__(self, case, number, client, server):
        self.case = case
        self.path = f"/case/{number}"
        self.peers = {"c": client, "s": server}
        self.streams = {}
        self.sent = defaultdict(bytes)
        self.ended = {}
        self.wrong = []

    def _other(self, who):
        return "s" if who == "c" else "c"

    def _came(self, who):
        return self.peers[who].streams[self.streams[who]]

    async def _send(self, who, data):
        self.sent[who] += data
        peer, stream = self.peers[who], self.streams[who]
        for start in range(0, len(data), 16384):
            piece = data[start : start + 16384]
            if peer.h2.local_flow_control_window(stream) < len(piece):
                await peer.wait(lambda: peer.h2.local_flow_control_window(stream) >= 16384)
            peer.send(stream, piece)

    async def run(self):
        client, server = self.peers["c"], self.peers["s"]
        extra = [line.split(": ", 1) for line in self.case.request_extra]
        self.streams["c"] = client.connect(self.path, *((name.lower(), value) for name, value in extra))
        if self.case.early:
            await self._send("c", self.case.early)
        self.streams["s"] = await server.requested(self.path)
        answer = [line.split(": ", 1) for line in self.case.accept_extra]
        server.respond(self.streams["s"], *((name.lower(), value) for name, value in answer))
        if self.case.joined:
            await self._send("s", self.case.joined)
        await client.answered(self.streams["c"])
        for step in self.case.steps:
            try:
                await self._do(step)
            except ProtocolError:
                break  # nothing more can be sent on this stream
        for who in "cs":
            got, sent = self._came(who).data, self.sent[self._other(who)]
            if self.ended.get(self._other(who)) != "reset" and self.ended.get(who) != "reset" and got != sent:
                self.wrong.append(f"{who} got {len(got)} of {len(sent)} bytes, or others")
            elif not sent.startswith(got):
                self.wrong.append(f"{who} got other bytes")

    async def _do(self, step):
        who, peer, stream = step.who, self.peers[step.who], self.streams[step.who]
        if step.what == "send":
            await self._send(who, step.data)
        elif step.what == "sync":
            wanted = self.sent[self._other(who)]
            await peer.wait(lambda: self._came(who).size >= len(wanted))
        elif step.what == "end":
            await peer.wait(lambda: self._came(who).has_ended or self._came(who).reset is not None)
            how = "reset" if self._came(who).reset is not None else "end"
            if how != self.ended.get(self._other(who)):
                self.wrong.append(f"{who} saw {how}")
        elif who not in self.ended:
            self.ended[who] = ENDS[step.what]
            if step.what == "rst":
                peer.reset(stream, 8)
            else:
                peer.send(stream, b"", end=True)


@asynccontextmanager
async def route(folder, certificates, name, *more):
    """A client and the server that it reaches, by a tap or through a regular proxy."""
    async with H2Origin(certificates.server_context(), {int(ENABLE_CONNECT): 1, 3: 1000}) as origin:
        tap = f"main=127.0.0.1:0=https://127.0.0.1:{origin.port}"
        options = ("--insecure", *more, *(("--tap", tap) if name == "reverse" else ("--listen", "0")))
        run = await asyncio.to_thread(lambda: Engine.start(*options, folder=folder))
        try:
            context = client_context()
            context.set_alpn_protocols(["h2", "http/1.1"])
            if name == "reverse":
                port = run.port("main")
                reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            else:
                reader, writer = await asyncio.open_connection("127.0.0.1", run.port("regular"))
                writer.write(f"CONNECT 127.0.0.1:{origin.port} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
                await writer.start_tls(context, server_hostname="127.0.0.1")
            client = H2Peer(reader, writer, is_client=True, settings=None)
            server = await origin.accepted()
            await client.wait(lambda: client.settings)
            yield client, server, run
            await client.close()
        finally:
            await asyncio.to_thread(run.stop)


async def failures(client, server, cases):
    """What went wrong, by the case's name."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(case, number):
        play = Play(case, number, client, server)
        async with slots:
            try:
                await play.run()
            except TimeoutError as error:
                play.wrong.append(f"did not happen: {error!r}")
            for who in "cs":
                if who not in play.ended and who in play.streams:
                    try:
                        play.peers[who].reset(play.streams[who], 8)
                    except ProtocolError:
                        pass  # it is over
        return case.name, play.wrong

    found = await asyncio.gather(*(one(case, number) for number, case in enumerate(cases)))
    return {name: wrong for name, wrong in found if wrong}


@pytest.mark.parametrize(
    ("name", "cases", "more"),
    [
        pytest.param("reverse", QUICK, (), id="reverse"),
        pytest.param("forward", CASES, (), id="forward", marks=pytest.mark.slow),
        pytest.param("reverse", CASES, ("--no-splice",), id="layers", marks=pytest.mark.slow),
    ],
)
def test_both_ends_see_what_the_other_one_sends(tmp_path, certificates, name, cases, more):
    assert len(cases) > 150

    async def play():
        async with route(tmp_path, certificates, name, *more) as (client, server, run):
            wrong = await failures(client, server, cases)
        return wrong, run

    wrong, run = asyncio.run(play())
    assert wrong == {}
    assert rows(run, "SELECT count(*), count(DISTINCT path) FROM connection") == [(len(cases), len(cases))]
    assert "Traceback" not in run.stderr
