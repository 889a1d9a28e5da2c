"""Captures as packets, read again: nothing is lost on the way, and nothing is made up.

tshark reads them in tests/e2e/test_packets_tshark.py.
"""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import pytest

from tests.support.busy import ANSWER, REQUEST, busy_capture
from tests.support.chats import Chat, chat_capture, store
from tests.support.h2_talk import Talk as H2
from tests.support.packets import CLIENT, SERVER, Tcp, Wire, said
from tests.support.traces import Imported
from wsinspect.capture.missing import lacks
from wsinspect.capture.reader import Capture
from wsinspect.capture.records import FrameRow
from wsinspect.filters import parse
from wsinspect.formats.choice import EVERYTHING, Choice, choose
from wsinspect.formats.packets import writer as module
from wsinspect.formats.packets.files import UNKNOWN_END, Packet, packets
from wsinspect.formats.packets.link import Segment, dissect
from wsinspect.formats.packets.writer import PacketsWritten, write_packets


def written(path: Path, **options: object) -> tuple[PacketsWritten, bytes]:
    out = io.BytesIO()
    with Capture.open(path) as capture:
        result = write_packets(capture, out, **options)  # type: ignore[arg-type]
    return result, out.getvalue()


def again(folder: Path, path: Path, **options: object) -> Imported:
    return Imported(folder / "again", written(path, **options)[1])


def frames(path: Path) -> list[FrameRow]:
    with Capture.open(path) as capture:
        return capture.frames(limit=1 << 30)


def facts(one: FrameRow) -> tuple[object, ...]:
    return (one.connection_id, one.direction, one.time_ns, one.header, one.payload, one.violation)


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_every_frame_comes_back_with_its_time(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_INFLATED", 1 << 30)
    path = busy_capture(tmp_path / "a.db", seed)
    back = again(tmp_path, path, include_secrets=True)
    assert [facts(one) for one in frames(path)] == [facts(one) for one in frames(back.path)]
    assert back.notes == []
    with Capture.open(path) as capture:
        for one, other in zip(capture.connections(), back.connections, strict=True):
            if one.ended_by == "proxy":
                # The engine's own end is nobody's whom the trace knows.
                assert (other.ended_by, other.how, other.state) == ("unknown", None, "closed")
                continue
            assert (one.how, one.ended_by, one.js_code, one.extensions) == (
                *(other.how, other.ended_by, other.js_code),
                other.extensions,
            )
            assert one.attempt_ns == other.attempt_ns
            shake, its = capture.handshake(one.id), back.handshake(one.id)
            assert shake is not None
            assert (shake.request_in, shake.response_out) == (its.request_in, its.response_in)


def test_what_the_engine_ended_is_closed(tmp_path: Path) -> None:
    """What the engine ended itself gets a FIN with a comment."""
    back = again(tmp_path, busy_capture(tmp_path / "a.db", 1))
    assert [one.state for one in back.connections] == ["closed", "closed", "closed"]


def test_a_refusal_with_its_body(tmp_path: Path) -> None:
    back = again(tmp_path, chat_capture(tmp_path / "a.db"))
    assert [one.state for one in back.connections] == ["closed", "refused"]
    assert back.handshake(2).body == b"no entry"


def test_secrets_are_masked_unless_asked(tmp_path: Path) -> None:
    path = chat_capture(tmp_path / "a.db")
    masked, plain = written(path)[1], written(path, include_secrets=True)[1]
    for secret in (b"s3cr3t", b"t0k3n", b"abc123", b"c00k1e"):
        assert secret in plain
        assert secret not in masked
    assert b"Cookie: sid=***" in masked


def test_checksums_are_right(tmp_path: Path) -> None:
    """By the arithmetic of RFC 1071, done in the slow way."""
    seen = 0
    for packet in packets(io.BytesIO(written(busy_capture(tmp_path / "a.db", 3))[1]), "a"):
        if not isinstance(packet, Packet):
            assert packet is UNKNOWN_END
            continue
        ip, tcp = packet.data[14:34], packet.data[34:]
        pseudo = ip[12:20] + b"\0\6" + len(tcp).to_bytes(2, "big")
        for data in (ip, pseudo + tcp):
            data += b"\0" * (len(data) & 1)
            total = sum(int.from_bytes(data[place : place + 2], "big") for place in range(0, len(data), 2))
            while total > 0xFFFF:
                total = (total & 0xFFFF) + (total >> 16)
            assert total == 0xFFFF
            seen += 1
    assert seen > 100


def test_what_a_filter_left_out_is_missing_and_said(tmp_path: Path) -> None:
    path = chat_capture(tmp_path / "a.db")
    with Capture.open(path) as capture:
        choice = choose(capture, parse("op:ping"))
    result, data = written(path, choice=choice)
    assert result.frames == 1
    assert b"6 of 7 frames and 1 of 2 connections are left out by the filter: op:ping" in data
    assert b"welcome" not in data
    assert written(path, choice=Choice(frozenset({2})))[0].connections == 1


def cut_capture(path: Path, size: int, kept: int) -> Path:
    script = Chat(meta={"snaplen": kept})
    script.accept(1)
    script.server(1, b"before")
    script.server(1, bytes(size), opcode=2)
    script.server(1, b"after")
    script.event(1, "end", side="server", how="fin")
    return store(path, script)


@pytest.mark.parametrize("size", [100, 60_000, 70_000, 300_000])
def test_a_cut_frame_is_a_packet_that_was_cut(tmp_path: Path, size: int) -> None:
    result, data = written(cut_capture(tmp_path / "a.db", size, 50))
    assert (result.frames, result.cut) == (3, 1)
    assert len(data) < 5000
    segments = [
        dissect(one.link, one.data) for one in packets(io.BytesIO(data), "a") if isinstance(one, Packet)
    ]
    [cut] = [one for one in segments if isinstance(one, Segment) and one.size > len(one.data)]
    assert len(cut.data) < 100 < cut.size
    back = Imported(tmp_path / "again", data)
    assert back.texts() == [("s2c", b"before")]  # and where the next one begins nobody can know
    assert "not in the trace" in back.notes[0]


def test_the_length_that_a_frame_claims_costs_nothing(tmp_path: Path) -> None:
    """A stranger's capture may say that a frame had an exabyte."""
    import sqlite3
    from contextlib import closing

    path = chat_capture(tmp_path / "a.db")
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE frame SET wire_length = 1 << 60 WHERE id = 2")
        database.commit()
    assert len(written(path)[1]) < 10_000


def test_a_bomb_is_written_without_its_fuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_INFLATED", 100_000)
    squeeze = zlib.compressobj(wbits=-15)

    def compressed(data: bytes) -> bytes:
        return (squeeze.compress(data) + squeeze.flush(zlib.Z_SYNC_FLUSH))[:-4]

    script = Chat()
    script.begin(1, REQUEST, "/room")
    script.answer(1, ANSWER)
    script.event(1, "open")
    for data in (b"small", bytes(200_000), b"small again"):
        script.server(1, compressed(data), rsv=4)
    script.client(1, b"not compressed")
    path = store(tmp_path / "a.db", script)
    result, data = written(path)
    assert (result.frames, result.not_inflated) == (4, 2)
    assert data.count(b"wsinspect cleared RSV1") == 2
    back = Imported(tmp_path / "again", data)
    assert [one.rsv1 for one in frames(back.path)] == [True, False, False, False]
    monkeypatch.setattr(module, "MAX_INFLATED", 1 << 24)
    assert written(path)[0].not_inflated == 0


def test_over_http2_it_gets_a_handshake_of_http1(tmp_path: Path) -> None:
    wire = Wire()
    tcp = Tcp(wire, server=("10.0.0.2", 8443)).open()
    talk = H2(lambda side, data: tcp.send(side, data))
    talk.connect(1)
    talk.ends[SERVER].send_data(1, said(b"hello"))
    talk.ends[CLIENT].send_data(1, said(b"hi", masked=True))
    talk.flush()
    talk.connect(3, "403")
    first = Imported(tmp_path / "first", wire)
    result, data = written(first.path)
    assert (result.over_http2, result.decrypted) == (2, 2)
    back = Imported(tmp_path / "again", data)
    assert sorted(back.texts()) == [("c2s", b"hi"), ("s2c", b"hello")]
    assert [one.state for one in back.connections] == ["open", "refused"]
    assert back.handshake().problems == []


@pytest.mark.parametrize(
    ("client", "server"),
    [("[::1]:5", "[::2]:80"), ("127.0.0.1:5", "[::2]:80"), ("nobody", "chat.example:80"), (None, None)],
)
def test_any_addresses(tmp_path: Path, client: str | None, server: str | None) -> None:
    import sqlite3
    from contextlib import closing

    path = chat_capture(tmp_path / "a.db")
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE connection SET client = ?, server = ?, listener = NULL", (client, server))
        database.commit()
    back = again(tmp_path, path)
    assert len(back.texts()) == 7
    if server == "[::2]:80" and client == "[::1]:5":
        assert (back.connections[0].client, back.connections[0].server) == (client, server)


def test_bytes_that_are_no_frames(tmp_path: Path) -> None:
    script = Chat()
    script.accept(1)
    script.server(1, b"one")
    script.data(1, 1, b"\x82\x7f" + b"\xff" * 8 + b"rest")
    script.data(1, 1, b"more of it")
    script.event(1, "end", side="server", how="rst")
    path = store(tmp_path / "a.db", script)
    back = again(tmp_path, path)
    assert b"".join(data for _, data, _ in back.opaque()) == b"\x82\x7f" + b"\xff" * 8 + b"restmore of it"
    assert back.texts() == [("s2c", b"one")]


def test_an_end_that_nobody_knows_stays_unknown_and_one_that_is_known_does_not(tmp_path: Path) -> None:
    script = Chat()
    for number in (1, 2):
        script.accept(number)
        script.server(number, b"one")
    script.event(1, "closed")
    script.end(2, "client")
    path = store(tmp_path / "a.db", script)
    back = again(tmp_path, path)
    assert [(one.state, one.ended_by, one.how) for one in back.connections] == [
        ("closed", "unknown", None),
        ("closed", "client", "fin"),
    ]
    assert (back.ends(1), back.ends(2)) == ([], [("client", "fin")])


def test_a_gap_stays_a_gap(tmp_path: Path) -> None:
    script = Chat()
    script.accept(1)
    script.server(1, b"one")
    lost = {"streams": [[1, 1]], "stream_bytes": [40]}
    script.event(0, "unstored", bytes=40, records=1, reason="full", connections=[], **lost)
    script.server(1, b"two")
    script.client(1, b"three")
    script.end(1, "client")
    back = again(tmp_path, store(tmp_path / "a.db", script))
    assert back.texts() == [("s2c", b"one"), ("c2s", b"three")]
    gone = lacks(back.connections[0])
    assert gone is not None
    assert gone.words == "40 B from the server not in the trace"


def test_two_gaps_are_as_long_as_they_were(tmp_path: Path) -> None:
    script = Chat()
    script.accept(1)
    for text in (b"two", b"three"):
        lost = {"streams": [[1, 1]], "stream_bytes": [40]}
        script.event(0, "unstored", bytes=40, records=1, reason="full", connections=[], **lost)
        script.server(1, text)
    script.end(1, "client")
    back = again(tmp_path, store(tmp_path / "a.db", script))
    gone = lacks(back.connections[0])
    assert gone is not None
    assert gone.words == "80 B from the server not in the trace"


def test_nothing_at_all(tmp_path: Path) -> None:
    result, data = written(store(tmp_path / "a.db", Chat()))
    assert result.packets == 0
    assert list(packets(io.BytesIO(data), "a")) == []
    assert EVERYTHING.source is None
