"""Packets in and out, with Wireshark's own programs."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from tests.support import warm_command
from tests.support.certs import make_certificates
from tests.support.chats import Chat, store
from tests.support.h2_asked import SAID, Place, ask, over_http2
from tests.support.h2_servers import hypercorn
from tests.support.marionette import Marionette, firefox_program
from tests.support.packets import CLIENT, REQUEST, RESPONSE, SERVER, Tcp, Tls, Wire, said
from tests.support.small_servers import echo_server
from tests.support.traces import Imported
from tests.support.tshark import Dissected, frames, rows
from wsinspect.capture.reader import Capture
from wsinspect.errors import CaptureError
from wsinspect.formats.importing import PacketOptions, import_file
from wsinspect.formats.packets.writer import write_packets

pytestmark = pytest.mark.lab
DEFLATE = b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"


def of_capture(path: Path) -> Counter[Dissected]:
    with Capture.open(path) as capture:
        return Counter(
            Dissected(one.time_ns, one.opcode, bool(one.masked), bool(one.fin))
            for one in capture.frames(limit=1 << 30)
        )


def exported(path: Path) -> Path:
    target = path.with_suffix(".pcapng")
    with Capture.open(path) as capture, target.open("wb") as out:
        write_packets(capture, out)
    return target


@pytest.mark.parametrize("seed", range(3))
def test_tshark_finds_every_frame_at_its_time(tmp_path: Path, seed: int) -> None:
    from tests.support.busy import busy_capture

    path = busy_capture(tmp_path / "a.db", seed)
    found = frames(exported(path))
    assert found == of_capture(path)
    assert sum(found.values()) > 60
    checked = ("-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE")
    wrong = "tcp.checksum.status == 0 or ip.checksum.status == 0 or tcp.analysis.flags"
    assert rows(exported(path), ("frame.number",), *checked, only=wrong) == []


def test_compressed_and_masked_texts_are_read(tmp_path: Path) -> None:
    import zlib

    squeeze = zlib.compressobj(wbits=-15)
    script = Chat()
    script.begin(1, REQUEST[:-2] + DEFLATE, "/chat")
    script.answer(1, RESPONSE[:-2] + DEFLATE)
    script.event(1, "open")
    for text in (b"a compressed hello", b"a compressed hello, again"):
        script.client(1, (squeeze.compress(text) + squeeze.flush(zlib.Z_SYNC_FLUSH))[:-4], rsv=4)
    script.server(1, b"a plain answer")
    trace = exported(store(tmp_path / "a.db", script))
    texts = [row[0] for row in rows(trace, ("websocket.payload.text",))]
    assert texts == ["a compressed hello", "a compressed hello, again", "a plain answer"]
    assert rows(trace, ("http.host",), only="http.request") == [["chat.example"]]


@pytest.mark.parametrize("size", [100, 70_000, 400_000])
def test_frames_behind_a_cut_one_are_found(tmp_path: Path, size: int) -> None:
    script = Chat(meta={"snaplen": 40})
    script.accept(1)
    script.server(1, b"before")
    script.server(1, bytes(size), opcode=2)
    script.server(1, b"after")
    path = store(tmp_path / "a.db", script)
    assert frames(exported(path)) == of_capture(path)


def test_large_frames_are_put_together(tmp_path: Path) -> None:
    script = Chat()
    script.accept(1)
    for size in (65_535, 65_536, 1_000_000):
        script.server(1, b"x" * size)
    path = store(tmp_path / "a.db", script)
    found = frames(exported(path))
    assert found == of_capture(path)


def test_what_is_decrypted_is_what_tshark_decrypts(tmp_path: Path) -> None:
    wire = Wire()
    tcp = Tcp(wire, server=("10.0.0.2", 443)).open()
    keys = tmp_path / "keys.log"
    tls = Tls(tcp, make_certificates(tmp_path), keys).handshake()
    tls.send(CLIENT, REQUEST)
    tls.send(SERVER, RESPONSE)
    for number in range(20):
        tls.send(CLIENT, said(b"to %d" % number, masked=True))
        tls.send(SERVER, said(b"from %d" % number))
    found = Imported(tmp_path / "a", wire.pcapng(), key_log=keys)
    theirs = frames(tmp_path / "a" / "trace.pcapng", "-o", f"tls.keylog_file:{keys}")
    assert sum(theirs.values()) == 40
    assert theirs == of_capture(found.path)


def test_tcpdump_through_a_pipe(tmp_path: Path) -> None:
    """`tcpdump -U -w - | wsinspect import -`, as a production machine has it."""
    target = tmp_path / "a.db"

    async def talk(port: int, begun: asyncio.Event) -> None:
        await begun.wait()
        async with connect(f"ws://127.0.0.1:{port}/live") as socket:
            for number in range(5):
                await socket.send(f"hello {number}")
                await socket.recv()

    async def main() -> tuple[int, bytes]:
        async with serve(lambda socket: _echo(socket), "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            command = ["tcpdump", "-i", "lo", "-U", "-Z", "root", "-w", "-", "tcp", "port", str(port)]
            read, write = os.pipe()
            dump = await asyncio.create_subprocess_exec(*command, stdout=write, stderr=subprocess.PIPE)
            os.close(write)
            importing = await asyncio.create_subprocess_exec(
                *(str(warm_command.program()), "import", "-", "-o", str(target)),
                stdin=read,
                stderr=subprocess.PIPE,
            )
            os.close(read)
            assert dump.stderr is not None
            while b"listening on" not in (line := await dump.stderr.readline()):
                if not line:
                    pytest.skip("tcpdump needs the right to capture")
            begun = asyncio.Event()
            begun.set()
            await talk(port, begun)
            async with asyncio.timeout(120):  # where the machine is busy, the program starts late
                while not _has_ended(target):  # noqa: ASYNC110 - another process writes it
                    await asyncio.sleep(0.1)
            dump.terminate()
            await dump.wait()
            _, err = await importing.communicate()
            return importing.returncode or 0, err

    code, err = asyncio.run(main())
    assert (code, err.decode().splitlines()[-1]) == (0, f"wsinspect: {target}: 1 connection, 12 frames")
    with Capture.open(target) as capture:
        [one] = capture.connections()
        assert (one.path, one.state, one.js_code) == ("/live", "closed", 1000)


def test_a_websocket_over_http2_in_tls_is_read_with_the_clients_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """tcpdump beside a server that speaks HTTP/2 (RFC 8441); secrets from a file, and within the trace."""
    trace, keys, whole = tmp_path / "trace.pcap", tmp_path / "keys.log", tmp_path / "whole.pcapng"
    monkeypatch.setenv("SSLKEYLOGFILE", str(keys))
    with hypercorn(tmp_path / "server", make_certificates(tmp_path / "certificates")) as server:
        command = ["tcpdump", "-i", "lo", "-U", "--immediate-mode", "-Z", "root", "-w", str(trace)]
        command += ["tcp", "port", str(server.port)]
        dump = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert dump.stderr is not None
        try:
            while "listening on" not in (line := dump.stderr.readline()):
                if not line:
                    pytest.skip("tcpdump needs the right to capture")
            for number in range(2):
                assert ask(over_http2, Place(server.port), f"/room/{number}").said == SAID
            _until_all_have_ended(trace, 2)
        finally:
            dump.terminate()
            dump.communicate(timeout=20)
    monkeypatch.delenv("SSLKEYLOGFILE")
    subprocess.run(["editcap", "--inject-secrets", f"tls,{keys}", str(trace), str(whole)], check=True)
    for name, options in (("file", [str(trace), "--keylog", str(keys)]), ("within", [str(whole)])):
        path = tmp_path / f"{name}.db"
        importing = [str(warm_command.program()), "import", *options, "-o", str(path)]
        done = subprocess.run(importing, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        with Capture.open(path) as capture:
            found = capture.connections()
            assert [(one.path, one.http_version, one.status) for one in found] == [
                ("/room/0", "HTTP/2.0", 200),
                ("/room/1", "HTTP/2.0", 200),
            ]
            assert {(one.scheme, one.server_close_code, one.server_close_reason) for one in found} == {
                ("wss", 4001, "asked")
            }
            for one in found:
                kinds = [(frame.direction.short, frame.opcode) for frame in capture.frames(one.id)]
                assert sorted(kinds) == [("c2s", 1), ("c2s", 8), ("s2c", 1), ("s2c", 8)]
                texts = [
                    (message.direction.short, capture.message_payload(message))
                    for message in capture.messages(one.id)
                ]
                assert texts == [("c2s", b"hello"), ("s2c", b"got hello")]
    bare = [str(warm_command.program()), "import", str(trace), "-o", str(tmp_path / "bare.db")]
    assert "TLS" in subprocess.run(bare, capture_output=True, text=True, check=False).stderr


def _until_all_have_ended(trace: Path, count: int) -> None:
    """Until tcpdump has written the end of so many TCP connections."""
    ended = "tcp.flags.fin == 1 or tcp.flags.reset == 1"
    until = time.monotonic() + 30
    while len({stream for (stream,) in rows(trace, ("tcp.stream",), only=ended)}) < count:
        assert time.monotonic() < until
        time.sleep(0.2)


async def _echo(socket: object) -> None:
    async for message in socket:  # type: ignore[attr-defined]
        await socket.send(message)  # type: ignore[attr-defined]


def _has_ended(target: Path) -> bool:
    """Whether the capture has it while tcpdump still runs."""
    if not target.exists() or not target.stat().st_size:
        return False
    try:
        with Capture.open(target) as capture:
            return [one.state for one in capture.connections()] == ["closed"]
    except CaptureError:
        return False  # its tables are still being made


@pytest.mark.skipif(firefox_program() is None, reason="no Firefox is installed")
def test_a_live_firefox_is_read_with_its_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NSS writes an SSLKEYLOGFILE of its own, with other lines than OpenSSL's."""
    trace, keys, page = tmp_path / "trace.pcap", tmp_path / "keys.log", tmp_path / "page.html"
    page.write_text("<!doctype html><title>page</title>")
    monkeypatch.setenv("SSLKEYLOGFILE", str(keys))
    talk = """const [url, done] = arguments; const socket = new WebSocket(url); let seen = 0;
        socket.onopen = () => { socket.send("hello"); socket.send("x".repeat(3000)); };
        socket.onmessage = () => { if (++seen == 2) socket.close(1000, "bye"); };
        socket.onclose = ({ code }) => done([seen, code]);"""
    with echo_server(make_certificates(tmp_path / "certificates").server_context()) as port:
        command = ["tcpdump", "-i", "lo", "-U", "--immediate-mode", "-Z", "root", "-w", str(trace)]
        dump = subprocess.Popen([*command, "tcp", "port", str(port)], stderr=subprocess.PIPE, text=True)
        assert dump.stderr is not None
        try:
            while "listening on" not in (line := dump.stderr.readline()):
                if not line:
                    pytest.skip("tcpdump needs the right to capture")
            with Marionette(tmp_path / "firefox", accepts_certificates=True) as firefox:
                firefox.open(page.as_uri())
                assert firefox.run(talk, f"wss://localhost:{port}/chat") == [2, 1000]
            _until_all_have_ended(trace, 1)
        finally:
            dump.terminate()
            dump.communicate(timeout=20)
    path = tmp_path / "a.db"
    assert import_file(trace, path, packets=PacketOptions(key_log=keys)).connections == 1
    with Capture.open(path) as capture:
        [one] = capture.connections()
        assert (one.scheme, one.path, one.js_code, one.server_close_reason) == ("wss", "/chat", 1000, "bye")
        texts = [capture.message_payload(message) for message in capture.messages(one.id)]
        assert sorted(texts) == sorted([b"hello", b"x" * 3000] * 2)
