"""Whole traces, from packets to what a capture says of them."""

from __future__ import annotations

import contextlib
import json
import random
import sqlite3
import struct
import tempfile
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.certs import Certificates, make_certificates
from tests.support.h2_talk import CONNECT, Talk
from tests.support.packets import CLIENT, REQUEST, RESPONSE, SERVER, START_NS, Tcp, Tls, Wire, said
from tests.support.traces import Imported
from wsinspect.capture.missing import lacks, missing
from wsinspect.capture.reader import Capture
from wsinspect.cli.main import cli, execute
from wsinspect.formats.packets.link import ACK, PSH, SYN
from wsinspect.present.words import end_words

HELLO, HI = said(b"hello"), said(b"hi", masked=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.mark.parametrize("port", [80, 3000, 65535])
def test_a_websocket_on_any_port(tmp_path: Path, port: int) -> None:
    wire = Wire()
    tcp = Tcp(wire, server=("10.0.0.2", port)).upgrade()
    tcp.send(CLIENT, HI)
    tcp.send(SERVER, HELLO)
    tcp.fin(SERVER)
    tcp.fin(CLIENT)
    found = Imported(tmp_path, wire)
    [one] = found.connections
    assert (one.state, one.status, one.client, one.server) == (
        *("closed", 101),
        *("10.0.0.1:50000", f"10.0.0.2:{port}"),
    )
    assert (one.url, one.tap) == (
        f"ws://chat.example{'' if port == 80 else f':{port}'}/chat?room=1",
        f"10.0.0.2:{port}",
    )
    assert (one.ended_by, one.how, one.js_code) == ("server", "fin", 1006)
    assert found.texts() == [("c2s", b"hi"), ("s2c", b"hello")]
    assert found.ends() == [("server", "fin"), ("client", "fin")]
    shake = found.handshake()
    assert (shake.request_in, shake.response_in) == (REQUEST, RESPONSE)
    assert one.attempt_ns == START_NS + 3_000_000
    assert found.notes == []


def test_silence_stays_silence(tmp_path: Path) -> None:
    """A connection of which the trace has no end is open, whatever comes after it."""
    wire = Wire()
    Tcp(wire).upgrade().send(SERVER, HELLO)
    wire.now += 3600 * 10**9
    Tcp(wire, client=("10.0.0.1", 50001)).open()
    [one] = Imported(tmp_path, wire).connections
    assert (one.state, one.closed_ns, one.ended_by) == ("open", None, None)


def test_a_reset_is_a_reset(tmp_path: Path) -> None:
    wire = Wire()
    Tcp(wire).upgrade().rst(CLIENT)
    found = Imported(tmp_path, wire)
    assert found.ends() == [("client", "rst")]
    assert (found.connections[0].ended_by, found.connections[0].how) == ("client", "rst")


def test_addresses_that_are_used_again(tmp_path: Path) -> None:
    wire = Wire()
    Tcp(wire).upgrade()
    again = Tcp(wire)
    again.seq = [77, 88]
    again.upgrade().send(SERVER, HELLO)
    found = Imported(tmp_path, wire)
    assert [one.state for one in found.connections] == ["closed", "open"]
    assert found.texts(2) == [("s2c", b"hello")]


def test_a_lost_packet_is_a_gap_that_no_frame_is_made_of(tmp_path: Path) -> None:
    wire = Wire()
    tcp = Tcp(wire).upgrade()
    tcp.send(SERVER, HELLO)
    tcp.send(SERVER, said(b"lost"), is_lost=True)
    tcp.send(SERVER, said(b"behind"))
    wire.now += 10**9
    tcp.send(CLIENT, HI)  # acknowledges all of it
    wire.now += 10**9
    tcp.send(CLIENT, HI)
    tcp.fin(SERVER)
    tcp.fin(CLIENT)
    found = Imported(tmp_path, wire)
    assert found.texts() == [("s2c", b"hello"), ("c2s", b"hi"), ("c2s", b"hi")]
    assert found.opaque() == [(1, said(b"behind"), "gap")]
    [one] = found.connections
    gone = lacks(one)
    assert gone is not None
    assert gone.words == "6 B from the server not in the trace"
    assert one.ended_by == "unknown"  # a CLOSE frame may have been in it
    assert found.notes == [
        "1 gap in TCP streams: 6 bytes not in the trace (tcpdump dropped packets, or -s cut them)"
    ]


def test_all_gaps_of_a_direction_are_counted_and_blame_the_recording(tmp_path: Path) -> None:
    """Two connections: one ends, of the other the trace has no end."""
    wire = Wire()
    for port in (50000, 50001):
        tcp = Tcp(wire, client=("10.0.0.1", port)).upgrade()
        for _ in range(3):
            tcp.send(SERVER, said(b"lost"), is_lost=True)
            tcp.send(SERVER, said(b"behind"))
            wire.now += 10**9
            tcp.send(CLIENT, HI)  # acknowledges all of it
        wire.now += 10**9
        tcp.send(CLIENT, HI)
    tcp.fin(SERVER)
    tcp.fin(CLIENT)
    found = Imported(tmp_path, wire)
    assert [gone and gone.words for gone in map(lacks, found.connections)] == [
        "18 B from the server not in the trace"
    ] * 2
    assert found.notes[0].startswith("6 gaps in TCP streams: 36 bytes")
    with Capture.open(found.path) as capture:
        gone = missing(capture)
    assert gone is not None
    assert (gone.words, gone.unstored_records) == ("36 B not in the trace", 6)
    done = CliRunner().invoke(cli, ["diagnose", str(found.path), "--json"])
    said_of = json.loads(done.stdout)
    [one] = said_of["findings"]
    assert (one["id"], one["hop"], one["title"]) == (
        *("WS-TOOL-003", "the recording"),
        "Part of the traffic is not in the trace",
    )
    assert one["evidence"] == ["36 bytes: not in the trace"]


@pytest.mark.parametrize(("snaplen", "found"), [(54, 0), (96, 0), (53 + len(REQUEST), 0), (400, 1)])
def test_a_handshake_that_the_snapshot_length_cut_is_said(tmp_path: Path, snaplen: int, found: int) -> None:
    """Also of a connection of another protocol of which nothing is left; not where its first bytes tell."""
    wire = Wire()
    Tcp(wire).upgrade().send(SERVER, said(b"x" * 1000))
    Tcp(wire, client=("10.0.0.1", 50001)).open().send(SERVER, b"SSH-2.0-OpenSSH_9.2 and so on\r\n" * 50)
    wire.packets = [(time_ns, data[:snaplen]) for time_ns, data in wire.packets]
    made = Imported(tmp_path, wire)
    assert len(made.connections) == found
    cut = "1 TCP connection" if snaplen > 54 else "2 TCP connections"
    words = f"{cut} not read: bytes of an opening handshake may be missing (record with tcpdump -s 0)"
    assert (words in made.notes) is not found


def test_a_handshake_whose_packet_was_dropped_is_said(tmp_path: Path) -> None:
    wire = Wire()
    tcp = Tcp(wire).open()
    tcp.send(CLIENT, REQUEST, is_lost=True)
    tcp.send(SERVER, RESPONSE)
    wire.now += 10**9
    for _ in range(2):
        tcp.send(SERVER, HELLO)
    words = "bytes of an opening handshake may be missing (record with tcpdump -B 65536)"
    assert Imported(tmp_path, wire).notes[-1] == f"1 TCP connection not read: {words}"


def test_what_is_missing_may_be_in_packets_that_are_left_out(tmp_path: Path) -> None:
    """A fragment of IP is in the trace: no advice about tcpdump's buffers helps."""
    wire = Wire()
    tcp = Tcp(wire).open()
    tcp.send(CLIENT, REQUEST)
    time_ns, data = wire.packets.pop()
    wire.packets.append((time_ns, data[:20] + b"\x20\0" + data[22:]))
    tcp.send(SERVER, RESPONSE)
    wire.now += 10**9
    for _ in range(2):
        tcp.send(SERVER, HELLO)
    assert Imported(tmp_path, wire).notes == [
        "1 TCP connection not read: bytes of an opening handshake may be missing, or in packets left out",
        "1 packet left out: fragments of IP packets",
    ]


def test_a_gap_may_be_in_packets_that_are_left_out(tmp_path: Path) -> None:
    wire = Wire()
    tcp = Tcp(wire).upgrade()
    tcp.send(SERVER, HELLO)
    time_ns, data = wire.packets.pop()
    wire.packets.append((time_ns, data[:20] + b"\x20\0" + data[22:]))
    wire.now += 10**9
    for _ in range(2):
        tcp.send(CLIENT)
    assert Imported(tmp_path, wire).notes == [
        f"1 gap in TCP streams: {len(HELLO)} bytes not in the trace, or in packets left out",
        "1 packet left out: fragments of IP packets",
    ]


def test_a_trace_without_tcp_says_so_and_one_with_other_packets_does_not(tmp_path: Path) -> None:
    wire = Wire()
    Tcp(wire).upgrade()
    time_ns, data = wire.packets[0]
    other = (time_ns, data[:23] + b"\x01" + data[24:])  # ICMP
    wire.packets = [other, *wire.packets]
    assert Imported(tmp_path, wire).notes == []
    wire.packets = [other]
    (tmp_path / "other").mkdir()
    assert Imported(tmp_path / "other", wire).notes == ["no TCP in 1 packet"]


def test_a_gap_after_which_nothing_can_be_read_has_no_number(tmp_path: Path) -> None:
    """The lost packet of HTTP/2 is counted; what its streams lack after it is not."""
    wire = Wire()
    tcp = Tcp(wire).open()
    talk = Talk(tcp.send)
    talk.connect(1)
    tcp.send(SERVER, b"x" * 9, is_lost=True)
    for _ in range(2):
        wire.now += 10**9
        tcp.send(CLIENT)
    [one] = Imported(tmp_path, wire).connections
    assert (gone := lacks(one)) is not None
    assert gone.words == "bytes from the client not in the trace, bytes from the server not in the trace"


def test_what_is_in_the_trace_and_cannot_be_read_is_not_called_missing(
    tmp_path: Path, certificates: Certificates
) -> None:
    wire, keys = Wire(), tmp_path / "keys.log"
    end = Tls(Tcp(wire).open(), certificates, keys).handshake()
    end.send(CLIENT, REQUEST)
    end.send(SERVER, RESPONSE)
    end.send(SERVER, HELLO)
    time_ns, data = wire.packets[-1]
    wire.packets[-1] = time_ns, data[:-1] + bytes((data[-1] ^ 1,))
    found = Imported(tmp_path, wire, key_log=keys)
    assert (gone := lacks(found.connections[0])) is not None
    assert gone.words == "bytes from the client not read, bytes from the server not read"
    with Capture.open(found.path) as capture:
        whole = missing(capture)
    assert whole is not None
    assert whole.words == "part of the traffic not read (the secrets do not fit)"


@pytest.mark.parametrize("known", [0, 60, len(RESPONSE) - 2])
@pytest.mark.parametrize("ends_first", [CLIENT, SERVER])
@pytest.mark.parametrize("is_encrypted", [False, True])
def test_an_answer_that_is_not_in_the_trace_blames_nobody(
    tmp_path: Path, certificates: Certificates, known: int, ends_first: int, is_encrypted: bool
) -> None:
    """The server answered, and the WebSocket lived; the trace lacks the packet, or its end."""
    wire, keys = Wire(), tmp_path / "keys.log"
    tcp = Tcp(wire).open()
    end = Tls(tcp, certificates, keys).handshake() if is_encrypted else tcp
    end.send(CLIENT, REQUEST)
    if known:
        end.send(SERVER, RESPONSE[:known])
    held = len(wire.packets)
    end.send(SERVER, RESPONSE[known:])
    del wire.packets[held:]
    for _ in range(3):
        end.send(CLIENT, HI)
        end.send(SERVER, HELLO)
        wire.now += 20 * 10**9
    tcp.fin(ends_first)
    tcp.fin(1 - ends_first)
    found = Imported(tmp_path, wire, key_log=keys if is_encrypted else None)
    [one] = found.connections
    assert (one.state, one.ended_by, one.js_code) == ("lost", "unknown", None)
    assert end_words(one) == "its end was not recorded"
    with Capture.open(found.path) as capture:
        gone = missing(capture)
    assert gone is not None
    assert gone.words.startswith("part of the traffic not ")  # nobody can count it
    done = CliRunner().invoke(cli, ["diagnose", str(found.path), "--json"])
    assert [one["id"] for one in json.loads(done.stdout)["findings"]] == ["WS-TOOL-003"]


def test_a_trace_that_begins_in_the_middle(tmp_path: Path) -> None:
    """Of a WebSocket that was open before, nothing is made up; what it carries later over HTTP is found."""
    wire = Wire()
    Tcp(wire).send(SERVER, HELLO)
    later = Tcp(wire, client=("10.0.0.9", 4))
    later.send(SERVER, b"the end of an older answer")
    later.send(CLIENT, REQUEST)
    later.send(SERVER, RESPONSE)
    found = Imported(tmp_path, wire)
    [one] = found.connections
    assert (one.client, one.state) == ("10.0.0.9:4", "open")
    words = "2 TCP connections began before the trace: a WebSocket is found by its opening handshake"
    assert found.notes == [words]


def test_a_trace_with_one_direction_alone_says_what_to_record(tmp_path: Path) -> None:
    """What the server sent is there, what it was asked is not: no advice about a proxy that nobody has."""
    wire = Wire()
    tcp = Tcp(wire)
    for data in (RESPONSE, HELLO, HELLO):
        tcp.send(SERVER, data)
    found = Imported(tmp_path, wire)
    assert found.connections == []
    for path in (found.path, tmp_path / "trace.pcapng"):
        done = CliRunner().invoke(cli, ["diagnose", str(path), "--json"])
        nothing = json.loads(done.stdout)["nothing_to_look_at"]
        assert nothing["reason"].endswith("trace.pcapng has no WebSocket connection")
        assert nothing["advice"].startswith("start tcpdump before the client connects")


def test_both_sides_of_a_hop_in_one_trace(tmp_path: Path) -> None:
    """`tcpdump -i any` next to nginx; the hop takes the response's accept away."""
    wire = Wire()
    edge = Tcp(wire, server=("10.0.0.2", 80)).open()
    origin = Tcp(wire, client=("10.0.0.2", 60000), server=("10.0.0.3", 3000)).open()
    edge.send(CLIENT, REQUEST)
    origin.send(CLIENT, REQUEST)
    origin.send(SERVER, RESPONSE)
    edge.send(SERVER, b"HTTP/1.1 502 Bad Gateway\r\nServer: nginx\r\nContent-Length: 0\r\n\r\n")
    found = Imported(tmp_path, wire, taps={"80": "edge", "10.0.0.3:3000": "origin"})
    assert [(one.tap, one.state) for one in found.connections] == [("edge", "refused"), ("origin", "open")]


@pytest.mark.parametrize("is_embedded", [False, True])
def test_tls_with_secrets(tmp_path: Path, certificates: Certificates, is_embedded: bool) -> None:
    wire = Wire()
    tcp = Tcp(wire, server=("10.0.0.2", 443)).open()
    keys = tmp_path / "keys.log"
    tls = Tls(tcp, certificates, keys).handshake()
    tls.send(CLIENT, REQUEST)
    tls.send(SERVER, RESPONSE + HELLO)
    tls.send(CLIENT, HI)
    tls.close(SERVER)
    tcp.fin(SERVER)
    tls.close(CLIENT)
    tcp.fin(CLIENT)
    data = wire.pcapng(secrets=keys.read_bytes() if is_embedded else b"")
    found = Imported(tmp_path / "to", data, key_log=None if is_embedded else keys)
    [one] = found.connections
    assert (one.scheme, one.url) == ("wss", "wss://chat.example/chat?room=1")
    assert found.texts() == [("s2c", b"hello"), ("c2s", b"hi")]
    assert found.ends() == [("server", "close_notify"), ("client", "close_notify")]
    tls_facts = found.handshake().client_tls
    assert (tls_facts["version"], tls_facts["sni"]) == ("TLSv1.3", "chat.example")
    bare = Imported(tmp_path / "bare", wire)
    assert bare.connections == []
    assert bare.notes == [
        "1 TLS connection not decrypted: no secrets (chat.example); --keylog takes what a client writes to "
        "SSLKEYLOGFILE"
    ]


def test_http2_in_the_clear_and_behind_a_proxy_header(tmp_path: Path) -> None:
    """What HAProxy sends to a server with `send-proxy-v2 proto h2`."""
    header = b"\r\n\r\n\0\r\nQUIT\n" + b"\x21\x11\0\x0c" + bytes(12)
    wire = Wire()
    tcp = Tcp(wire, server=("10.0.0.2", 8443)).open()
    tcp.send(CLIENT, header)
    talk = Talk(lambda side, data: tcp.send(side, data))
    talk.connect(1)
    talk.ends[SERVER].send_data(1, HELLO)
    talk.flush()
    talk.ends[SERVER].reset_stream(1, 2)
    talk.flush()
    found = Imported(tmp_path, wire)
    [one] = found.connections
    assert (one.http_version, one.status, one.scheme, one.path) == (
        "HTTP/2.0",
        200,
        "wss",
        dict(CONNECT)[":path"],
    )
    assert found.texts() == [("s2c", b"hello")]
    assert found.ends() == [("server", "rst")]
    assert (one.state, one.how) == ("closed", "rst")


@pytest.mark.parametrize("step", [0, 1, 5])
@pytest.mark.parametrize("in_tls", [False, True])
def test_http2_whose_server_speaks_first(
    tmp_path: Path, certificates: Certificates, step: int, in_tls: bool
) -> None:
    """Its SETTINGS need not wait for the client's preface (RFC 9113 section 3.4)."""
    wire, keys, held = Wire(), tmp_path / "keys.log", [b""]
    tcp = Tcp(wire, server=("10.0.0.2", 443)).open()
    end: Tcp | Tls = Tls(tcp, certificates, keys).handshake() if in_tls else tcp

    def heard(side: int, data: bytes) -> None:
        if held and side == CLIENT:
            held[0] += data
        elif held:
            size = step or len(data)
            for place in range(0, len(data), size):
                end.send(SERVER, data[place : place + size])
            end.send(CLIENT, held.pop())
        else:
            end.send(side, data)

    talk = Talk(heard)
    talk.connect(1)
    talk.ends[CLIENT].send_data(1, HI)
    talk.ends[SERVER].send_data(1, HELLO)
    talk.flush()
    found = Imported(tmp_path / "a", wire, key_log=keys if in_tls else None)
    assert [(one.http_version, one.status) for one in found.connections] == [("HTTP/2.0", 200)]
    assert sorted(found.texts()) == [("c2s", b"hi"), ("s2c", b"hello")]


@pytest.mark.parametrize(
    "first",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"220 mail.example ESMTP\r\n",
        b"J\0\0\0\n8.0.36\0",
        b"\0\0\6\4\1\0\0\0\0",
        b"\0",
    ],
)
def test_a_server_that_speaks_first_and_not_http2_has_no_connections(tmp_path: Path, first: bytes) -> None:
    wire = Wire()
    tcp = Tcp(wire).open()
    tcp.send(SERVER, first)
    tcp.send(CLIENT, REQUEST)
    tcp.send(SERVER, RESPONSE)
    assert Imported(tmp_path, wire).connections == []


@pytest.mark.parametrize("header", [b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", b"PROXY UNKNOWN\r\n"])
def test_a_proxy_header_of_version_1(tmp_path: Path, header: bytes) -> None:
    wire = Wire()
    tcp = Tcp(wire).open()
    for byte in header:
        tcp.send(CLIENT, bytes((byte,)))
    tcp.send(CLIENT, REQUEST)
    tcp.send(SERVER, RESPONSE)
    assert [one.state for one in Imported(tmp_path, wire).connections] == ["open"]


def test_through_a_forward_proxy(tmp_path: Path, certificates: Certificates) -> None:
    """CONNECT, then TLS: what a browser does with `https_proxy`."""
    wire = Wire()
    tcp = Tcp(wire, server=("10.0.0.2", 3128)).open()
    tcp.send(CLIENT, b"CONNECT chat.example:443 HTTP/1.1\r\nHost: chat.example:443\r\n\r\n")
    tcp.send(SERVER, b"HTTP/1.1 200 Connection established\r\n\r\n")
    keys = tmp_path / "keys.log"
    tls = Tls(tcp, certificates, keys).handshake()
    tls.send(CLIENT, REQUEST)
    tls.send(SERVER, RESPONSE)
    found = Imported(tmp_path / "to", wire, key_log=keys)
    assert [(one.scheme, one.host, one.state) for one in found.connections] == [
        ("wss", "chat.example", "open")
    ]


@pytest.mark.parametrize(
    ("side", "first"),
    [
        (SERVER, b"220 mail.example ESMTP\r\n"),
        (CLIENT, b"\0\0\0\x08\x04\xd2\x16\x2f"),
        (CLIENT, b"SSH-2.0-x\r\n"),
    ],
)
def test_other_protocols_are_left_alone(tmp_path: Path, side: int, first: bytes) -> None:
    wire = Wire()
    tcp = Tcp(wire).open()
    tcp.send(side, first)
    tcp.send(CLIENT, REQUEST)
    found = Imported(tmp_path, wire)
    assert (found.connections, found.notes) == ([], [])


def test_no_answer_is_a_failure(tmp_path: Path) -> None:
    wire = Wire()
    tcp = Tcp(wire).open()
    tcp.send(CLIENT, REQUEST)
    tcp.fin(SERVER)
    tcp.fin(CLIENT)
    [one] = Imported(tmp_path, wire).connections
    assert (one.state, one.error) == ("failed", "the connection ended without a response")


def test_what_is_not_http_after_a_request_is_not_blamed(tmp_path: Path) -> None:
    wire = Wire()
    tcp = Tcp(wire).open()
    tcp.send(CLIENT, REQUEST)
    tcp.send(SERVER, b"\x15\x03\x03\0\x02\x02\x28")  # TLS on the other side
    [one] = Imported(tmp_path, wire).connections
    assert (one.state, one.status) == ("connecting", None)


def test_two_traces_of_a_hop_are_diagnosed_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """tcpdump on each side of a hop that takes Upgrade away; the machines' clocks differ by a minute."""
    edge, origin = Wire(), Wire()
    bad = REQUEST.replace(b"Upgrade: websocket\r\nConnection: Upgrade\r\n", b"Connection: close\r\n")
    answer = b"HTTP/1.1 426 Upgrade Required\r\nServer: nginx\r\nContent-Length: 0\r\n\r\n"
    origin.now += 60 * 10**9
    for wire, server, request in ((edge, ("10.0.0.2", 80), REQUEST), (origin, ("10.0.0.3", 3000), bad)):
        tcp = Tcp(wire, server=server).open()
        tcp.send(CLIENT, request)
        tcp.send(SERVER, answer)
    for name, wire in (("edge", edge), ("origin", origin)):
        (tmp_path / f"{name}.pcapng").write_bytes(wire.pcapng())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    args = ("diagnose", "edge.pcapng", "--origin", "origin.pcapng", "--json")
    assert execute(lambda: cli.main(args, prog_name="wsinspect", standalone_mode=False)) == 1
    found = json.loads(capsys.readouterr().out)
    assert [one["id"] for one in found["findings"]] == ["WS-HS-101"]
    assert found["origin"] == "origin.pcapng"


def test_options_of_packets_need_packets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.har").write_text('{"log": {"entries": []}}')
    for args, words in (
        (("import", "a.har", "-o", "a.db", "--follow"), "--follow is about packets"),
        (("diagnose", "a.har", "--tap", "edge=80"), "--keylog and --tap are about packets"),
        (("import", "a.har", "-o", "a.db", "--tap", "edge"), "write NAME=[HOST:]PORT"),
    ):
        assert execute(partial(cli.main, args, prog_name="wsinspect", standalone_mode=False)) == 2
        err = capsys.readouterr().err
        assert words in err
        assert err.count("\n") == 1


def test_a_syn_that_is_sent_again_and_one_that_is_another(tmp_path: Path) -> None:
    wire = Wire()
    first = Tcp(wire)
    first.send(CLIENT, flags=SYN)  # never answered
    tcp = Tcp(wire)
    tcp.seq = [4242, 99]
    again = tcp.packet(CLIENT, SYN)
    tcp.open()
    wire.add(again)
    tcp.send(CLIENT, REQUEST)
    tcp.send(SERVER, RESPONSE)
    wire.add(again)  # as a trace of two interfaces has it, later than what followed
    tcp.send(SERVER, HELLO)
    found = Imported(tmp_path, wire)
    assert [one.state for one in found.connections] == ["open"]
    assert found.texts() == [("s2c", b"hello")]
    assert found.notes == []


def troubled(seed: int) -> Wire:
    """Some connections with all that happens to segments: lost, late, repeated, cut in two, run together."""
    dice = random.Random(seed)
    wire = Wire()
    tcps = [Tcp(wire, client=("10.0.0.1", 50000 + number)).upgrade() for number in range(4)]
    late: list[bytes] = []
    for number in range(400):
        tcp, side = dice.choice(tcps), dice.choice((CLIENT, SERVER))
        text = said(
            b"%d" % number * dice.choice((1, 1, 40)), masked=side == CLIENT, opcode=dice.choice((1, 1, 9))
        )
        lot = dice.random()
        if lot < 0.1:
            wire.add(tcp.packet(side, ACK))
        elif lot < 0.15:
            wire.add(tcp.packet(side, ACK, seq=tcp.seq[side] - 1, data=b"\0"))  # a keep-alive
        elif lot < 0.2:
            wire.add(tcp.packet(side, PSH | ACK, text))  # what comes again, whole or in part, in a moment
        elif lot < 0.22:
            late.append(tcp.packet(side, PSH | ACK, text))
            tcp.send(side, text, is_lost=True)
            continue
        elif lot < 0.225:
            tcp.send(side, text, is_lost=True)
            continue
        elif lot < 0.3 and late:
            wire.add(late.pop(0))
        cut = dice.randrange(len(text)) if dice.random() < 0.2 else len(text)
        tcp.send(side, text[:cut])
        if cut < len(text):
            tcp.send(side, text[cut:] + text)
        if dice.random() < 0.02:
            wire.now += 300_000_000
    tcps[0].fin(CLIENT)
    tcps[0].send(SERVER, HELLO)
    tcps[0].fin(SERVER)
    tcps[1].rst(SERVER)
    tcps[2].fin(SERVER)
    return wire


def over_ipv6(packet: bytes) -> bytes:
    """The same TCP segment, in Ethernet, between other addresses."""
    tcp = packet[34:]
    addresses = b"".join(bytes(12) + packet[at : at + 4] for at in (26, 30))
    return packet[:12] + b"\x86\xdd" + struct.pack(">IHBB", 0x60000000, len(tcp), 6, 64) + addresses + tcp


@settings(max_examples=20)
@given(
    st.integers(0, 1 << 32),
    st.sampled_from(["vlan", "vlan", "sll", "sll2", "raw", "loopback"]),
    st.booleans(),
    st.booleans(),
)
def test_usual_packets_are_read_as_all_others_are(seed: int, link: str, is_ipv6: bool, is_pcap: bool) -> None:
    """Packets in a VLAN go the long way, one by one; those of common link layers have a short one."""

    def of(packet: bytes) -> bytes:
        kind, rest = packet[12:14], packet[14:]
        return {
            "vlan": packet[:12] + b"\x81\0\0\7" + kind + rest,
            "sll": bytes(14) + kind + rest,
            "sll2": kind + bytes(18) + rest,
            "raw": rest,
            "loopback": b"\2\0\0\0" + rest,
        }[link]

    wire, other = troubled(seed), Wire()
    if is_ipv6:
        wire.packets = [(time_ns, over_ipv6(packet)) for time_ns, packet in wire.packets]
    number = {"vlan": 1, "sll": 113, "sll2": 276, "raw": 101, "loopback": 0}[link]
    other.packets = [(time_ns, of(packet)) for time_ns, packet in wire.packets]
    raw = bytearray(other.pcap(is_nano=True) if is_pcap else other.pcapng())
    at = 20 if is_pcap else 36  # in the file's header, or of the interface behind the section's 28 bytes
    assert raw[at : at + 2] == b"\1\0"
    raw[at : at + 2] = number.to_bytes(2, "little")
    with tempfile.TemporaryDirectory() as folder:
        found = Imported(Path(folder, "a"), bytes(raw))
        expected = Imported(Path(folder, "b"), wire.pcapng())
        assert found.notes == expected.notes
        assert everything(found) == everything(expected)
        assert any(one.c2s_frames or one.s2c_frames for one in expected.connections)


def test_troubles_have_gaps_and_repeats(tmp_path: Path) -> None:
    """What the test above compares is worth it."""
    notes = Imported(tmp_path, troubled(1)).notes
    assert any("gap" in note for note in notes)
    assert any("retransmitted" in note for note in notes)


def everything(imported: Imported) -> list[list[tuple[object, ...]]]:
    """All rows of a capture, table by table."""
    with contextlib.closing(sqlite3.connect(imported.path)) as database:
        return [
            database.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
            for table in ("connection", "handshake", "frame", "stored_message", "ping", "opaque", "event")
        ]
