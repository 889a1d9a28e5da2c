"""One open WebSocket: what was read of it, and what could not be."""

from __future__ import annotations

from wsinspect.doctor.talk import PING_PAYLOAD, Talk
from wsinspect.handshake.negotiation import Negotiation
from wsinspect.wire.frame import serialize_frame
from wsinspect.wire.opcodes import Opcode

KEY = b"\1\2\3\4"
PONG = serialize_frame(Opcode.PONG, PING_PAYLOAD)
CLOSE = serialize_frame(Opcode.CLOSE, b"\x03\xe8")
LONG = serialize_frame(Opcode.BINARY, b"x" * 300)


def talk(*events: tuple[str, bytes]) -> Talk:
    """PINGs and CLOSEs of ours, and bytes of the server, a nanosecond apart."""
    one = Talk(Negotiation(status=101), 0)
    for time_ns, (kind, data) in enumerate(events, 1):
        if kind == "ping":
            one.sent(one.ping(KEY), time_ns)
        elif kind == "close":
            one.sent(one.close(KEY), time_ns)
        else:
            one.received(data, time_ns)
    return one


def test_bytes_in_any_pieces_are_the_same() -> None:
    data = LONG + PONG + CLOSE + b"trailing"
    whole = talk(("ping", b""), ("server", data))
    pieces = talk(("ping", b""), *(("server", data[at : at + 1]) for at in range(len(data))))
    for one in (whole, pieces):
        assert one.has_pong
        assert one.has_server_close
        assert [frame.opcode for frame in one.facts()["last_frames"]][:4] == [9, 2, 10, 8]


def test_what_stands_behind_a_frame_that_is_still_coming_is_not_missed() -> None:
    ours = (("ping", b""), ("server", LONG[:100]), ("close", b""))
    assert talk(*ours, ("server", LONG[100:200])).is_unread
    assert talk(*ours, ("server", LONG[100:200])).facts()["events"] == (("unread", {}),)
    # It had all its time, and said no more.
    assert not talk(*ours).is_unread
    assert not talk(*ours, ("server", LONG[100:] + PONG)).is_unread
    assert not talk(("ping", b""), ("close", b""), ("server", LONG)).is_unread


def test_a_flood_and_lost_boundaries_are_not_read_to_the_end() -> None:
    flooded = talk(("ping", b""), ("server", LONG))
    assert flooded.facts()["events"] == ()
    flooded.cut()
    assert flooded.is_unread
    assert talk(("ping", b""), ("server", b"\x82\x7f" + b"\xff" * 8)).is_unread


def test_of_what_is_unfinished_when_we_leave_only_what_is_no_frame_is_kept() -> None:
    """A long message may be on its way; an error page that a gateway writes into the tunnel is not."""
    page = b"HTTP/1.1 504 Gateway Timeout\r\n\r\n"
    for data, kept in ((LONG[:100], []), (page, [page]), (LONG + page, [page]), (page[:1], []), (b"", [])):
        one = talk(("ping", b""), ("server", data), ("close", b""))
        one.ended("client", "fin", 9)
        assert [fact.data for fact in one.facts()["opaque"]] == kept
        other = talk(("ping", b""), ("server", data))
        other.ended("server", "fin", 9)
        rest = data.removeprefix(LONG)
        assert [fact.data for fact in other.facts()["opaque"]] == ([rest] if rest else [])
