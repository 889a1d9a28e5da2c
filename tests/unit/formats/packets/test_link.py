from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.packets import Tcp, Wire
from wsinspect.formats.packets.link import ACK, PSH, Segment, Unread, dissect

ETHERNET = Tcp(Wire()).packet(0, PSH | ACK, b"hello")
IPV4 = ETHERNET[14:]
TCP = IPV4[20:]
SEGMENT = Segment(
    bytes((10, 0, 0, 1)) + struct.pack(">H", 50000),
    bytes((10, 0, 0, 2)) + struct.pack(">H", 80),
    0xFFFFFF00,
    5000,
    PSH | ACK,
    b"hello",
    5,
)
IPV6_ADDRESSES = bytes(15) + b"\1" + bytes(15) + b"\2"


def ipv6(body: bytes, following: int = 6) -> bytes:
    return struct.pack(">IHBB", 0x60000000, len(body), following, 64) + IPV6_ADDRESSES + body


def as_ipv6(segment: Segment) -> Segment:
    source, target = IPV6_ADDRESSES[:16] + segment.source[4:], IPV6_ADDRESSES[16:] + segment.target[4:]
    return segment._replace(source=source, target=target)


def ethernet(kind: int, body: bytes) -> bytes:
    return ETHERNET[:12] + struct.pack(">H", kind) + body


def ipv4(protocol: int, body: bytes) -> bytes:
    return struct.pack(">BxHxxHxB2x", 0x45, 20 + len(body), 0, protocol) + bytes(8) + body


def udp(port: int, body: bytes) -> bytes:
    return struct.pack(">HHHH", 1, port, 8 + len(body), 0) + body


def gre(kind: int, body: bytes, flags: int = 0) -> bytes:
    return struct.pack(">HH", flags, kind) + body


def authenticated(body: bytes) -> bytes:
    """Behind an authentication header (RFC 4302) of 24 bytes."""
    return bytes((6, 4)) + bytes(22) + body


VXLAN = udp(4789, b"\x08\0\0\0\0\0\1\0" + ETHERNET)
#: By name: link layer, and what is to be read as `SEGMENT`.
PACKETS = {
    "ethernet": (1, ETHERNET),
    "padded to 60 bytes": (1, ETHERNET + bytes(6)),
    "vlan": (1, ethernet(0x8100, b"\0\7\x08\0" + IPV4)),
    "qinq": (1, ethernet(0x88A8, b"\0\7\x81\0\0\7\x08\0" + IPV4)),
    "three tags": (1, ethernet(0x8100, b"\0\7\x81\0\0\7\x81\0\0\7\x08\0" + IPV4)),
    "mpls": (1, ethernet(0x8847, struct.pack(">I", 16 << 12 | 0x1FF) + IPV4)),
    "pppoe": (1, ethernet(0x8864, struct.pack(">BBHHH", 17, 0, 1, len(IPV4) + 2, 33) + IPV4)),
    "raw": (101, IPV4),
    "raw ipv4": (228, IPV4),
    "tcpdump -i any": (276, b"\x08\0" + bytes(18) + IPV4),
    "the same with a tag": (276, b"\x81\0" + bytes(18) + b"\0\7\x08\0" + IPV4),
    "of an older libpcap": (113, bytes(14) + b"\x08\0" + IPV4),
    "of an older one with a tag": (113, bytes(14) + b"\x81\0\0\7\x08\0" + IPV4),
    "null": (0, struct.pack("<I", 2) + IPV4),
    "null of the other byte order": (0, struct.pack(">I", 2) + IPV4),
    "loop": (108, struct.pack(">I", 2) + IPV4),
    "authentication header": (101, ipv4(51, authenticated(TCP))[:12] + IPV4[12:20] + authenticated(TCP)),
    "vxlan": (101, ipv4(17, VXLAN)),
    "vxlan with a tag": (1, ethernet(0x8100, b"\0\7\x08\0" + ipv4(17, VXLAN))),
    "vxlan over ipv6": (229, ipv6(VXLAN, 17)),
    "geneve": (101, ipv4(17, udp(6081, b"\2\0\x65\x58" + bytes(12) + ETHERNET))),
    "geneve without ethernet": (101, ipv4(17, udp(6081, b"\0\0\x08\0" + bytes(4) + IPV4))),
    "ip in ip": (101, ipv4(4, IPV4)),
    "null, ip in ip": (0, struct.pack("<I", 2) + ipv4(4, IPV4)),
    "gre": (101, ipv4(47, gre(0x0800, IPV4))),
    "gre over ipv6": (229, ipv6(gre(0x0800, IPV4), 47)),
    "gre with a key": (101, ipv4(47, gre(0x6558, bytes(4) + ETHERNET, 0x2000))),
    "erspan of type I": (101, ipv4(47, gre(0x88BE, ETHERNET))),
    "erspan of type II": (101, ipv4(47, gre(0x88BE, bytes(12) + ETHERNET, 0x1000))),
    "erspan of type III": (101, ipv4(47, gre(0x22EB, bytes(16) + ETHERNET, 0x1000))),
    "with a subheader": (101, ipv4(47, gre(0x22EB, bytes(15) + b"\1" + bytes(8) + ETHERNET, 0x1000))),
}


@pytest.mark.parametrize(("link", "packet"), PACKETS.values(), ids=PACKETS)
def test_the_segment_in_every_link_layer(link: int, packet: bytes) -> None:
    assert dissect(link, packet) == SEGMENT


@pytest.mark.parametrize(
    "packet",
    [
        ipv6(TCP),
        ipv6(bytes((6, 0, 1, 4, 0, 0, 0, 0)) + TCP, 0),
        ipv6(bytes((60, 0, 1, 4, 0, 0, 0, 0, 6, 0, 1, 4, 0, 0, 0, 0)) + TCP, 43),
        ipv6(authenticated(TCP), 51),
        ipv6(bytes((6, 0, 0, 0, 0, 0, 0, 9)) + TCP, 44),  # all of it (RFC 6946)
    ],
    ids=["plain", "hop-by-hop options", "two headers", "authentication", "atomic fragment"],
)
def test_ipv6(packet: bytes) -> None:
    assert dissect(229, packet) == as_ipv6(SEGMENT)
    assert dissect(1, ETHERNET[:12] + b"\x86\xdd" + packet) == as_ipv6(SEGMENT)


def test_a_packet_that_was_cut_knows_its_size() -> None:
    assert dissect(1, ETHERNET[:-3]) == SEGMENT._replace(data=b"he")


def test_segmentation_offloading_leaves_no_length() -> None:
    assert dissect(101, IPV4[:2] + b"\0\0" + IPV4[4:]) == SEGMENT


@pytest.mark.parametrize(
    ("link", "packet", "reason"),
    [
        (101, IPV4[:6] + b"\x20\0" + IPV4[8:], "fragments of IP packets"),
        (101, IPV4[:6] + b"\0\5" + IPV4[8:], "fragments of IP packets"),
        # The first one has TCP's header, and is none of its segments all the same.
        (229, ipv6(bytes((6, 0, 0, 1, 0, 0, 0, 9)) + TCP, 44), "fragments of IP packets"),
        (229, ipv6(bytes((6, 0, 1, 0, 0, 0, 0, 9)) + TCP, 44), "fragments of IP packets"),
        (1, ethernet(0x8100, b"\0\7\x08\0" + IPV4[:6] + b"\x20\0" + IPV4[8:]), "fragments of IP packets"),
        (101, (lambda whole: whole[:6] + b"\x20\0" + whole[8:])(ipv4(17, VXLAN)), "fragments of IP packets"),
        (101, ipv4(50, TCP), "encrypted by IPsec"),
        (229, ipv6(TCP, 50), "encrypted by IPsec"),
        (1, ethernet(0x88E5, bytes(8) + IPV4), "encrypted by MACsec"),
        (147, IPV4, "link"),
        (101, IPV4[:9] + b"\x11" + IPV4[10:], "other"),
        (101, ipv4(17, udp(53, IPV4)), "other"),
        (101, ipv4(47, gre(0x880B, IPV4)), "other"),  # PPTP
        (1, ethernet(0x0806, bytes(28)), "other"),
    ],
)
def test_what_has_no_segment_says_why(link: int, packet: bytes, reason: str) -> None:
    assert dissect(link, packet) == Unread(reason)


@given(st.sampled_from([0, 1, 12, 101, 108, 113, 228, 229, 276, 999]), st.binary(max_size=120))
def test_no_bytes_raise(link: int, data: bytes) -> None:
    dissect(link, data)


@given(st.sampled_from([*PACKETS.values()]), st.integers(0, 120), st.binary(max_size=8), st.integers(0, 200))
def test_no_damage_raises(whole: tuple[int, bytes], place: int, noise: bytes, size: int) -> None:
    link, packet = whole
    data = bytearray(packet)
    data[place : place + len(noise)] = noise
    dissect(link, bytes(data)[:size])


@pytest.mark.parametrize("protocol", [4, 41, 47, 51])
@pytest.mark.parametrize("count", [1, 14, 100, 900, 3000])
def test_packets_in_packets_without_end_are_left_out(protocol: int, count: int) -> None:
    """20 bytes make one; dpkt calls itself for each."""
    packet = IPV4
    for _ in range(count):
        inner = {4: packet, 41: ipv6(packet[-60_000:], 4), 47: gre(0x800, packet)}.get(protocol, packet)
        if protocol == 51:
            inner = bytes((4, 4)) + bytes(22) + packet
        packet = struct.pack(">BxHxxHxB2x", 0x45, min(20 + len(inner), 65535), 0, protocol) + bytes(8) + inner
    if count == 1:
        assert dissect(101, packet) == SEGMENT
    elif count > 14:
        assert dissect(101, packet) == Unread("other")
