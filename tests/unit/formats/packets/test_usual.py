"""The short way of usual packets, against the long one."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.packets import Tcp, Wire
from wsinspect.formats.packets.link import ACK, FIN, PSH, RST, SYN, Segment, dissect, ends, usuals

IPV4 = Tcp(Wire()).packet(0, PSH | ACK, b"hello")[14:]
TCP = IPV4[20:]


def ipv6(body: bytes, following: int = 6) -> bytes:
    return struct.pack(">IHBB", 0x60000000, len(body), following, 64) + bytes(range(32)) + body


LINKS = {
    1: (bytes(12) + b"\x08\0", bytes(12) + b"\x86\xdd"),
    113: (bytes(14) + b"\x08\0", bytes(14) + b"\x86\xdd"),
    276: (b"\x08\0" + bytes(18), b"\x86\xdd" + bytes(18)),
    0: (b"\2\0\0\0", b"\x1e\0\0\0"),
    108: (b"\0\0\0\2", b"\0\0\0\x1e"),
    **dict.fromkeys((12, 14, 101, 228, 229), (b"", b"")),
}


@pytest.mark.parametrize("link", LINKS)
def test_usual_packets_are_known_in_every_link_layer(link: int) -> None:
    """With TCP options, and with padding behind them; not those that change what is known of a connection."""
    before4, before6 = LINKS[link]
    with_options = TCP[:12] + b"\x80" + TCP[13:20] + bytes(12) + TCP[20:]
    plain4 = IPV4[:2] + struct.pack(">H", 20 + len(with_options)) + IPV4[4:20] + with_options
    for packet in (before4 + IPV4, before4 + plain4, before6 + ipv6(TCP), before6 + ipv6(with_options)):
        for padding in (b"", bytes(6)):
            [found] = usuals([(1, link, packet + padding)])
            assert found is not None
            assert packet[found.start : found.end] == b"hello"
            assert_same(link, packet + padding)
        assert usuals([(1, link, packet[:-1])]) == [None]
    for flags in (SYN | ACK, FIN | ACK, RST, RST | ACK, 0, PSH):
        odd = TCP[:13] + bytes((flags,)) + TCP[14:]
        assert usuals([(1, link, before4 + IPV4[:20] + odd), (1, link, before6 + ipv6(odd))]) == [None, None]
    others = [before4 + IPV4[:6] + b"\x20\0" + IPV4[8:], before6 + ipv6(bytes(8) + TCP, 0), before4, b""]
    assert usuals([(1, link, other) for other in others]) == [None] * 4
    assert usuals([(1, 147, before4 + IPV4)]) == [None]


def assert_same(link: int, packet: bytes) -> None:
    """A usual packet is one whose segment is whole, and the long way has the same of it."""
    [found] = usuals([(1, link, packet)])
    if found is None:
        return
    segment = dissect(link, packet)
    assert isinstance(segment, Segment)
    assert ends(segment.source, segment.target) == found.key
    assert (segment.seq, segment.ack) == (found.seq, found.ack)
    assert segment.data == packet[found.start : found.end]
    assert segment.size == len(segment.data)
    assert segment.flags & (SYN | FIN | RST | ACK) == ACK


@given(
    st.sampled_from(list(LINKS)),
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 80), st.binary(min_size=1, max_size=3)), max_size=3),
    st.integers(0, 120),
)
def test_damaged_packets_are_usual_only_where_the_long_way_reads_the_same(
    link: int, is_ipv6: bool, damages: list[tuple[int, bytes]], size: int
) -> None:
    packet = bytearray(LINKS[link][is_ipv6] + (ipv6(TCP) if is_ipv6 else IPV4) + bytes(6))
    for place, noise in damages:
        packet[place : place + len(noise)] = noise
    assert_same(link, bytes(packet)[: size if size < 60 else None])
