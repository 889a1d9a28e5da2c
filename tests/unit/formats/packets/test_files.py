from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.packets import START_NS, Tcp, Wire
from wsinspect.errors import CaptureError
from wsinspect.formats.packets.files import (
    NO_END,
    TRUNCATED,
    UNKNOWN_END,
    Packet,
    Secrets,
    is_packet_file,
    packets,
)


class Drip:
    """A source that gives so many bytes at a time."""

    def __init__(self, data: bytes, size: int) -> None:
        self._file = io.BytesIO(data)
        self._size = size

    def read1(self, size: int, /) -> bytes:
        return self._file.read(min(size, self._size))


def outcome(data: bytes, size: int) -> list[object]:
    """What comes of a file that arrives so many bytes at a time, and how it ends."""
    found: list[object] = []
    try:
        found.extend(packets(Drip(data, size), "trace"))
    except CaptureError as error:
        found.append(str(error))
    return found


def wire() -> Wire:
    made = Wire()
    Tcp(made).upgrade()
    return made


def read(data: bytes) -> list[Packet | Secrets]:
    return list(packets(io.BytesIO(data), "trace"))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("is_nano", [False, True])
def test_pcap_of_either_byte_order_and_resolution(order: str, is_nano: bool) -> None:
    assert read(wire().pcap(order=order, is_nano=is_nano)) == wire().read()


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_with_secrets(order: str) -> None:
    found = read(wire().pcapng(order=order, secrets=b"CLIENT_RANDOM 00 11\n"))
    assert found[0] == Secrets(b"CLIENT_RANDOM 00 11\n")
    assert found[1:] == wire().read()


def test_our_own_comment_at_a_fin_says_that_nobody_knows_the_end() -> None:
    def with_comment(comment: bytes) -> bytes:
        options = struct.pack("<HH", 1, len(comment)) + comment + bytes(-len(comment) & 3) + bytes(4)
        body = struct.pack("<IIIII", 0, 0, 12, 4, 4) + b"abcd" + options
        size = struct.pack("<I", len(body) + 12)
        return wire().pcapng() + struct.pack("<I", 6) + size + body + size

    packet = Packet(12, 1, b"abcd")
    assert read(with_comment(NO_END.encode()))[-2:] == [UNKNOWN_END, packet]
    assert read(with_comment(b"a long comment of somebody else's, about how this side ended"))[-2:] == [
        wire().read()[-1],
        packet,
    ]


def test_sections_follow_each_other_in_any_byte_order() -> None:
    """What `cat a.pcapng b.pcapng` makes, and what mergecap makes of two interfaces."""
    assert read(wire().pcapng(order="<") + wire().pcapng(order=">")) == wire().read() * 2


def test_a_trace_of_a_tcpdump_that_was_killed_ends_before_its_last_packet() -> None:
    for data in (wire().pcap(), wire().pcapng()):
        assert read(data[:-3]) == [*wire().read()[:-1], TRUNCATED]


def test_other_resolutions_and_an_offset() -> None:
    body = struct.pack("<HHI", 1, 0, 0) + struct.pack("<HHB3x", 9, 1, 0x83)  # eighths of a second
    body += struct.pack("<HHq", 14, 8, 1000) + bytes(4)
    size = struct.pack("<I", len(body) + 12)
    data = wire().pcapng()[:28] + struct.pack("<I", 1) + size + body + size
    packet = struct.pack("<IIIII", 0, 0, 12, 4, 4) + b"abcd"
    size = struct.pack("<I", len(packet) + 12)
    assert read(data + struct.pack("<I", 6) + size + packet + size) == [Packet(1_001_500_000_000, 1, b"abcd")]


def test_a_simple_packet_has_no_time() -> None:
    data = wire().pcapng()
    start = data[: 28 + struct.unpack_from("<I", data, 32)[0]]
    body = struct.pack("<I", 4) + b"abcd"
    size = struct.pack("<I", len(body) + 12)
    assert read(start + struct.pack("<I", 3) + size + body + size) == [Packet(0, 1, b"abcd")]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"GIF89a", "is not a pcap or pcapng file"),
        (b"\xd4\xc3\xb2\xa1\x02\x00", "cut off in its header"),
        (wire().pcap()[:24] + struct.pack("<IIII", 0, 0, 1 << 31, 0), "a packet of 2,147,483,648 bytes"),
        (wire().pcapng()[:28] + struct.pack("<II", 6, 0x7FFFFFFC), "a block of"),
        (wire().pcapng()[:28] + struct.pack("<II", 1, 8), "a block of"),
        (wire().pcapng()[:-4] + b"\0\0\0\0", "the two lengths"),
        (b"\x0a\x0d\x0d\x0a" + bytes(24), "without a byte order"),
    ],
)
def test_what_is_damaged_is_one_line(data: bytes, words: str) -> None:
    with pytest.raises(CaptureError, match=words):
        read(data)


@pytest.mark.parametrize("size", [1, 7, 64, 1 << 18])
@pytest.mark.parametrize("order", ["<", ">"])
def test_it_does_not_matter_in_what_pieces_a_file_arrives(order: str, size: int) -> None:
    secrets = Secrets(b"CLIENT_RANDOM 00 11\n")
    data = wire().pcapng(order=order, secrets=secrets.text) + wire().pcapng(order="<")
    assert outcome(data, size) == [secrets, *wire().read(), *wire().read()]
    assert outcome(data[:-3], size) == [secrets, *wire().read(), *wire().read()[:-1], TRUNCATED]
    for is_nano in (False, True):
        assert outcome(wire().pcap(order=order, is_nano=is_nano), size) == wire().read()


@given(st.binary(max_size=40), st.integers(0, 900), st.booleans(), st.sampled_from([1, 40, 300]))
def test_a_damaged_file_ends_where_it_is_damaged_however_it_arrives(
    noise: bytes, place: int, is_pcapng: bool, size: int
) -> None:
    data = bytearray(wire().pcapng() if is_pcapng else wire().pcap())
    data[place : place + len(noise)] = noise
    assert outcome(bytes(data), size) == outcome(bytes(data), len(data))


def test_interfaces_take_turns() -> None:
    """`tcpdump -i any` of some systems: each packet has the resolution of its own interface."""

    def block(kind: int, body: bytes) -> bytes:
        size = struct.pack("<I", len(body) + 12)
        return struct.pack("<I", kind) + size + body + size

    data = wire().pcapng()[:28] + block(1, struct.pack("<HHI", 1, 0, 0))
    data += block(1, struct.pack("<HHI", 113, 0, 0) + struct.pack("<HHB3xI", 9, 1, 9, 0))
    for number in (0, 1, 1, 0, 0):
        data += block(6, struct.pack("<IIIII", number, 0, 2000, 4, 4) + b"abcd")
    micro, nano = Packet(2_000_000, 1, b"abcd"), Packet(2000, 113, b"abcd")
    assert read(data) == [micro, nano, nano, micro, micro]


@given(st.binary(max_size=200), st.integers(0, 600), st.booleans())
def test_hostile_files_end_in_one_line_or_in_packets(noise: bytes, place: int, is_pcapng: bool) -> None:
    data = bytearray(wire().pcapng(secrets=b"x") if is_pcapng else wire().pcap())
    data[place : place + len(noise)] = noise
    try:
        read(bytes(data))
    except CaptureError:
        pass  # that is how it ends


def test_they_are_told_by_their_first_bytes() -> None:
    assert is_packet_file(wire().pcap())
    assert is_packet_file(wire().pcapng(order=">"))
    assert not is_packet_file(b"{}")
    assert not is_packet_file(b"")
    assert read(wire().pcap())[0] == Packet(START_NS, 1, wire().packets[0][1])


@pytest.mark.parametrize("size", [1, 17, 1 << 20])
def test_rotated_files_one_behind_the_other_are_one_trace(size: int) -> None:
    """`cat trace.pcap trace.pcap1`, also where another machine wrote the next one."""
    expected = wire().read()
    first, second = Wire(), Wire()
    first.packets, second.packets = wire().packets[:3], wire().packets[3:]
    joined = first.pcap() + second.pcap(order=">", is_nano=True)
    assert outcome(joined, size) == expected
    assert outcome(first.pcapng() + second.pcapng(order=">"), size) == expected
    assert outcome(first.pcap() + second.pcap()[:20], size) == [*first.read(), TRUNCATED]


def test_a_packet_of_no_bytes_is_a_packet() -> None:
    made = wire()
    made.packets.insert(1, (START_NS, b""))
    assert outcome(made.pcap(), 1 << 20) == made.read()
