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


@pytest.mark.parametrize(
    ("link", "packet"),
    [
        (1, ETHERNET),
        (1, ETHERNET + bytes(6)),  # padded to 60 bytes
        (1, ETHERNET[:12] + b"\x81\0\0\7" + ETHERNET[12:]),  # VLAN
        (1, ETHERNET[:12] + b"\x88\xa8\0\7\x81\0\0\7" + ETHERNET[12:]),  # QinQ
        (101, IPV4),
        (228, IPV4),
        (113, bytes(14) + b"\x08\0" + IPV4),  # tcpdump -i any
        (276, b"\x08\0" + bytes(18) + IPV4),
        (0, struct.pack("<I", 2) + IPV4),
        (108, struct.pack(">I", 2) + IPV4),
        # AWS Traffic Mirroring: VXLAN
        (
            101,
            IPV4[:9]
            + b"\x11"
            + IPV4[10:20]
            + struct.pack(">HHHH", 1, 4789, 0, 0)
            + b"\x08\0\0\0\0\0\1\0"
            + ETHERNET,
        ),
    ],
)
def test_the_segment_in_every_link_layer(link: int, packet: bytes) -> None:
    assert dissect(link, packet) == SEGMENT


@pytest.mark.parametrize(
    "packet",
    [ipv6(TCP), ipv6(bytes((6, 0, 1, 4, 0, 0, 0, 0)) + TCP, 0)],
    ids=["plain", "hop-by-hop options"],
)
def test_ipv6(packet: bytes) -> None:
    assert dissect(229, packet) == as_ipv6(SEGMENT)
    assert dissect(1, ETHERNET[:12] + b"\x86\xdd" + packet) == as_ipv6(SEGMENT)


def test_a_packet_that_was_cut_knows_its_size() -> None:
    assert dissect(1, ETHERNET[:-3]) == SEGMENT._replace(data=b"he")


def test_segmentation_offloading_leaves_no_length() -> None:
    assert dissect(101, IPV4[:2] + b"\0\0" + IPV4[4:]) == SEGMENT


def test_fragments_and_unknown_link_layers_are_said() -> None:
    assert dissect(101, IPV4[:6] + b"\x20\0" + IPV4[8:]) == Unread("fragment")
    assert dissect(147, IPV4) == Unread("link")
    assert dissect(101, IPV4[:9] + b"\x11" + IPV4[10:]) == Unread("other")


@given(st.sampled_from([0, 1, 12, 101, 108, 113, 228, 229, 276, 999]), st.binary(max_size=120))
def test_no_bytes_raise(link: int, data: bytes) -> None:
    dissect(link, data)


@given(st.integers(0, len(ETHERNET) + 4), st.binary(max_size=8), st.integers(0, 80))
def test_no_damage_raises(place: int, noise: bytes, size: int) -> None:
    tagged = ETHERNET[:12] + b"\x81\0\0\7" + ETHERNET[12:]
    for whole in (ETHERNET, tagged):
        data = bytearray(whole)
        data[place : place + len(noise)] = noise
        dissect(1, bytes(data)[:size])
