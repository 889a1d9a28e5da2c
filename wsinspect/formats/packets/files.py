"""pcap and pcapng files as packets, piece by piece, from a disk or out of tcpdump.

pcap: draft-ietf-opsawg-pcap; pcapng: draft-ietf-opsawg-pcapng. Blocks of other kinds are passed over. dpkt's
reader takes the first interface for all, gives times in floating point, and skips TLS secrets.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple, Protocol

from wsinspect.errors import CaptureError

#: No link layer has larger packets; a length beyond it is damage. Wireshark's own limit is 256 KiB, DBus'
#: more.
MAX_PACKET_BYTES: Final = 64 * 1024 * 1024
#: Secrets of thousands of TLS connections.
MAX_SECRETS_BYTES: Final = 16 * 1024 * 1024
_MAX_INTERFACES: Final = 65_536
_READ_BYTES: Final = 1 << 18

_PCAP: Final = {
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
    b"\xa1\xb2\x3c\x4d": (">", 1),
}
_PCAPNG: Final = b"\x0a\x0d\x0d\x0a"
_BYTE_ORDER: Final = 0x1A2B3C4D
_INTERFACE, _OLD_PACKET, _SIMPLE, _ENHANCED, _SECRETS = 1, 2, 3, 6, 10
#: Secrets in the format of SSLKEYLOGFILE.
_TLS_KEY_LOG: Final = 0x544C534B
_OPTION_RESOLUTION, _OPTION_OFFSET = 9, 14
#: What a block with our comment has in addition to its packet.
_COMMENTED: Final = 64


class Packet(NamedTuple):
    """One packet.

    Attributes:
        time_ns: epoch nanoseconds; 0 where the file has none.
        link: its link layer, by the number of LINKTYPE_ (tcpdump.org/linktypes.html).
        data: what was recorded of it, from its link layer on.
    """

    time_ns: int
    link: int
    data: bytes


class Secrets(NamedTuple):
    """Lines of an SSLKEYLOGFILE that the file holds."""

    text: bytes


class Source(Protocol):
    """Where bytes come from: at least one and at most as many as were asked for, none at the end alone."""

    def read1(self, size: int, /) -> bytes: ...


class _Window:
    """The bytes of a source that are in memory.

    Attributes:
        buffer: what was read.
        place: where in it the next byte to take is.
    """

    __slots__ = ("_source", "buffer", "place")

    def __init__(self, source: Source) -> None:
        self._source = source
        self.buffer = b""
        self.place = 0

    def take(self, size: int) -> bytes:
        """As many bytes; fewer at the end alone."""
        have = len(self.buffer) - self.place
        if have < size:
            pieces = [self.buffer[self.place :]]
            while have < size and (more := self._source.read1(_READ_BYTES)):
                pieces.append(more)
                have += len(more)
            self.buffer, self.place = b"".join(pieces), 0
        taken = self.buffer[self.place : self.place + size]
        self.place += len(taken)
        return taken


class _Interface(NamedTuple):
    link: int
    units_per_second: int
    offset_ns: int

    @property
    def unit_ns(self) -> int:
        """Nanoseconds of a unit; 0 where that is no whole number."""
        whole, rest = divmod(1_000_000_000, self.units_per_second)
        return 0 if rest else whole


def is_packet_file(start: bytes) -> bool:
    """Whether a file begins as pcap or pcapng do."""
    return start[:4] == _PCAPNG or start[:4] in _PCAP


def packets(source: Source, name: str) -> Iterator[Packet | Secrets]:
    """What `pages` gives, one by one."""
    for page in pages(source, name):
        if isinstance(page, list):
            yield from page
        else:
            yield page


def pages(source: Source, name: str) -> Iterator[list[Packet] | Secrets]:
    """What the file holds, in its order; packets as many at a time as are there at once.

    A file that ends in the middle of a packet ends before it, as that of a tcpdump that was killed does: the
    last thing that comes is then `TRUNCATED`.

    Raises:
        CaptureError: it is no such file, or damaged; what came before was right.
    """
    window = _Window(source)
    magic = window.take(4)
    if magic in _PCAP:
        yield from _pcap(window, name, *_PCAP[magic])
    elif magic == _PCAPNG:
        yield from _pcapng(window, name)
    elif not magic:
        raise CaptureError(f"{name} is empty")
    else:
        raise CaptureError(f"{name} is not a pcap or pcapng file")


#: The file is cut off in the middle of what would come next.
TRUNCATED: Final = Secrets(b"\0truncated")
#: The FIN in the next packet stands for an end that nobody knows: its comment is our `NO_END`.
UNKNOWN_END: Final = Secrets(b"\0unknown end")
#: The comment of a FIN that an export made up: a TCP connection in a trace has to end in some way.
NO_END: Final = "wsinspect: how this side ended is not in the capture"
_NO_END: Final = NO_END.encode()


def _pcap(window: _Window, name: str, order: str, unit_ns: int) -> Iterator[list[Packet] | Secrets]:
    head = window.take(20)
    if len(head) < 20:
        raise CaptureError(f"{name} is cut off in its header")
    link = _link(head, order)
    unpack, new = struct.Struct(order + "IIII").unpack_from, tuple.__new__
    while True:
        buffer, place, page = window.buffer, window.place, list[Packet]()
        end, add = len(buffer), page.append
        while place + 16 <= end:
            # Nearly every packet: all of it is in memory. The same as below.
            seconds, fraction, size, _ = unpack(buffer, place)
            start = place + 16
            if start + size > end or not size:
                break
            place = start + size
            time_ns = seconds * 1_000_000_000 + fraction * unit_ns
            add(new(Packet, (time_ns, link, buffer[start:place])))
        window.place = place
        if page:
            yield page
        head = window.take(16)
        if len(head) < 16:
            if head:
                yield TRUNCATED
            return
        if head[:4] in _PCAP and not any(head[8:]):
            # Not a packet of no bytes in 2055: files that tcpdump has rotated, one behind the other.
            order, unit_ns = _PCAP[head[:4]]
            head = head[4:] + window.take(8)
            if len(head) < 20:
                yield TRUNCATED
                return
            link, unpack = _link(head, order), struct.Struct(order + "IIII").unpack_from
            continue
        seconds, fraction, size, _ = unpack(head)
        if size > MAX_PACKET_BYTES:
            raise CaptureError(f"{name} is damaged: a packet of {size:,} bytes")
        data = window.take(size)
        if len(data) < size:
            yield TRUNCATED
            return
        yield [Packet(seconds * 1_000_000_000 + fraction * unit_ns, link, data)]


def _link(head: bytes, order: str) -> int:
    """The link layer that a pcap's header, behind its magic number, names."""
    return int(struct.unpack(order + "HHiIII", head)[5]) & 0xFFFF


def _pcapng(window: _Window, name: str) -> Iterator[list[Packet] | Secrets]:
    order = "<"
    interfaces: list[_Interface] = []
    kind_raw = _PCAPNG
    new = tuple.__new__
    known, link, unit_ns, offset_ns = -1, 0, 0, 0  # of the interface of the last packet
    while True:
        if kind_raw == _PCAPNG:
            order = _section(window, name)
            interfaces = []
            known = -1
            unpack = struct.Struct(order + "I").unpack
            enhanced = struct.Struct(order + "IIIII").unpack_from
            block_head = struct.Struct(order + "II").unpack
            whole = struct.Struct(order + "IIIIIII").unpack_from
        buffer, place, page = window.buffer, window.place, list[Packet]()
        end, add = len(buffer), page.append
        while place + 32 <= end:
            # Nearly every block: a packet without comments, all of it in memory. The same as below.
            kind, length, number, high, low, size, _ = whole(buffer, place)
            stop = place + length
            if kind != _ENHANCED or number != known or stop > end or length & 3:
                break
            if (
                not size + 32 <= length < size + _COMMENTED
                or buffer[stop - 4 : stop] != buffer[place + 4 : place + 8]
            ):
                break
            time_ns = (high << 32 | low) * unit_ns + offset_ns
            if not unit_ns or not 0 <= time_ns < _LATEST_NS:
                break
            start = place + 28
            add(new(Packet, (time_ns, link, buffer[start : start + size])))
            place = stop
        window.place = place
        if page:
            yield page
        head = window.take(8)
        if len(head) < 8:
            if head:
                yield TRUNCATED
            return
        kind_raw = head[:4]
        if kind_raw == _PCAPNG:
            window.place -= 4  # the length of a section's header is in the byte order that follows it
            continue
        kind, length = block_head(head)
        if length < 12 or length & 3 or length > MAX_PACKET_BYTES + 4096:
            raise CaptureError(f"{name} is damaged: a block of {length:,} bytes")
        body = window.take(length - 8)
        if len(body) < length - 8:
            yield TRUNCATED
            return
        if body[-4:] != head[4:]:
            raise CaptureError(f"{name} is damaged: the two lengths of a block differ")
        if kind == _ENHANCED:
            if length < 32:
                raise CaptureError(f"{name} is damaged: a packet block of {length} bytes")
            number, high, low, size, _ = enhanced(body)
            if number >= len(interfaces) or size > length - 32:
                raise CaptureError(f"{name} is damaged: a packet block that contradicts itself")
            if number != known:
                its, known = interfaces[number], number
                link, unit_ns, offset_ns = its.link, its.unit_ns, its.offset_ns
            if length >= size + _COMMENTED and _NO_END in body[20 + size :]:
                yield UNKNOWN_END
            time_ns = (high << 32 | low) * unit_ns + offset_ns
            if not unit_ns or not 0 <= time_ns < _LATEST_NS:
                time_ns = _time_ns(high << 32 | low, interfaces[number])
            yield [Packet(time_ns, link, body[20 : 20 + size])]
        elif kind == _INTERFACE and length >= 20:
            if len(interfaces) >= _MAX_INTERFACES:
                raise CaptureError(f"{name} is damaged: it has more than {_MAX_INTERFACES:,} interfaces")
            interfaces.append(_interface(body, order))
        elif kind == _SIMPLE and interfaces and length >= 16:
            size = min(unpack(body[:4])[0], length - 16)
            yield [Packet(0, interfaces[0].link, body[4 : 4 + size])]
        elif kind == _OLD_PACKET and length >= 32:
            number = struct.unpack_from(order + "H", body)[0]
            _, high, low, size, _ = enhanced(body)
            if number >= len(interfaces) or size > length - 32:
                raise CaptureError(f"{name} is damaged: a packet block that contradicts itself")
            its = interfaces[number]
            yield [Packet(_time_ns(high << 32 | low, its), its.link, body[20 : 20 + size])]
        elif kind == _SECRETS and length >= 20:
            secrets, size = struct.unpack_from(order + "II", body)
            if secrets == _TLS_KEY_LOG:
                yield Secrets(body[8 : 8 + min(size, MAX_SECRETS_BYTES)])


def _section(window: _Window, name: str) -> str:
    """The byte order of a section, of which the magic number has been read."""
    head = window.take(8)
    if len(head) < 8:
        raise CaptureError(f"{name} is cut off in its header")
    for order in "<>":
        length, magic = struct.unpack(order + "II", head)
        if magic == _BYTE_ORDER:
            break
    else:
        raise CaptureError(f"{name} is damaged: a section without a byte order")
    if length < 28 or length & 3 or length > 1 << 24:
        raise CaptureError(f"{name} is damaged: a section header of {length:,} bytes")
    if len(window.take(length - 12)) < length - 12:
        raise CaptureError(f"{name} is cut off in its header")
    return order


def _interface(body: bytes, order: str) -> _Interface:
    link = struct.unpack_from(order + "H", body)[0]
    units, offset_ns, place = 1_000_000, 0, 8
    while place + 4 <= len(body) - 4:
        option, size = struct.unpack_from(order + "HH", body, place)
        value = body[place + 4 : place + 4 + size]
        if option == 0:
            break
        if option == _OPTION_RESOLUTION and len(value) == 1:
            exponent = value[0] & 0x7F
            units = min(2**exponent if value[0] & 0x80 else 10**exponent, 1 << 64)
        elif option == _OPTION_OFFSET and len(value) == 8:
            offset_ns = struct.unpack(order + "q", value)[0] * 1_000_000_000
        place += 4 + (size + 3 & ~3)
    return _Interface(link, units, offset_ns)


_LATEST_NS: Final = 1 << 62


def _time_ns(units: int, its: _Interface) -> int:
    """What an interface's units are in nanoseconds; 0 where it cannot be read as a time."""
    if its.units_per_second == 1_000_000:
        time_ns = units * 1000 + its.offset_ns
    else:
        time_ns = units * 1_000_000_000 // its.units_per_second + its.offset_ns
    return time_ns if 0 <= time_ns < _LATEST_NS else 0
