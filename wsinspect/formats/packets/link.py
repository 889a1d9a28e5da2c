"""A packet's addresses and its TCP segment.

Ethernet, Linux's cooked captures, loopback and bare IP with nothing in between are read here, because nearly
all packets are that and dpkt takes four times as long for each (8.4 and 2.0 us of CPU). All else (VLAN,
MPLS, PPPoE, tunnels, IPv6 with extension headers) is dpkt's to dissect, layer by layer; what it does not look
into (VXLAN, GENEVE, ERSPAN) is taken off for it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

_ETHERNET, _NULL, _RAW, _LOOP, _SLL, _IPV4, _IPV6, _SLL2 = 1, 0, 101, 108, 113, 228, 229, 276
#: Numbers of DLT_RAW of systems that do not agree.
_RAWS: Final = frozenset((_RAW, 12, 14))
_TCP: Final = 6
_PORTS: Final = struct.Struct(">HHIIBBH").unpack_from
#: An IPv4 header without options, and a TCP header: first byte, length, fragment, protocol, addresses, ports,
#: numbers, offset, flags.
_PLAIN: Final = struct.Struct(">BxHxxHxBxx4s4s2s2sIIBB").unpack_from
_PLAIN_BYTES: Final = 40
_PLAIN_IPV4: Final = 0x45
_FRAGMENT: Final = 0x3FFF  # more fragments, or an offset
_IPV4_KIND: Final = b"\x08\x00"
_IPV6_KIND: Final = b"\x86\xdd"
#: By link layer, bytes before its number for IP (None: it has none that matters), and between that and IP.
_BEFORE_IP: Final[dict[int, tuple[int | None, int]]] = {
    _ETHERNET: (12, 0),
    _SLL: (14, 0),
    _SLL2: (0, 18),
    **dict.fromkeys((*_RAWS, _IPV4, _IPV6), (None, 0)),
    **dict.fromkeys((_NULL, _LOOP), (None, 4)),
}
_VXLAN_PORTS: Final = frozenset((4789, 8472))
_GENEVE_PORT: Final = 6081
#: EtherTypes, and of GRE what it carries: Ethernet, ERSPAN of types I and II, and III.
_BRIDGED, _MACSEC_KIND, _ERSPAN, _ERSPAN_3 = b"\x65\x58", 0x88E5, 0x88BE, 0x22EB
_UDP, _FRAGMENT_HEADER, _ESP = 17, 44, 50
#: What packets of IPv4 may be in: IPv4, IPv6, GRE, ESP, AH.
_TUNNELS: Final = frozenset((4, 41, 47, _ESP, 51))
_MOST_LAYERS: Final = 16  # tunnels in tunnels

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
_NOT_USUAL: Final = SYN | FIN | RST | ACK


class Segment(NamedTuple):
    """A TCP segment.

    Attributes:
        source, target: address (4 or 16 bytes) and port (2) of each end, in one.
        seq, ack: its numbers, 32 bits.
        flags: `FIN`, `SYN`, `RST`, `ACK`.
        data: as much of its payload as was recorded.
        size: bytes of its payload on the wire.
        options: of a SYN; of others none are kept.
    """

    source: bytes
    target: bytes
    seq: int
    ack: int
    flags: int
    data: bytes
    size: int
    options: bytes = b""


def ends(source: bytes, target: bytes) -> bytes:
    """Addresses and ports of a packet's ends in the order of its headers, as `Usual.key` has them."""
    return source[:-2] + target[:-2] + source[-2:] + target[-2:]


class Usual(NamedTuple):
    """Where the parts of a usual packet are (`usuals`).

    Attributes:
        key: as `ends` makes it.
        seq, ack: its numbers.
        start, end: of its payload in the packet.
    """

    key: bytes
    seq: int
    ack: int
    start: int
    end: int


class Unread(NamedTuple):
    """Why a packet has no segment: `link` (an unknown link layer), `other` (not TCP), or what hides it."""

    reason: str


class _Short(NamedTuple):
    """How the usual packets of a link layer are read at once.

    Attributes:
        place: where IP begins.
        least: bytes of the shortest packet over IPv6, and over IPv4.
        ipv4, ipv6: their number, headers without options or extensions, and TCP's.
        kind4, kind6: the number.
    """

    place: int
    least4: int
    least6: int
    ipv4: Callable[[bytes], tuple[Any, ...]]
    ipv6: Callable[[bytes], tuple[Any, ...]]
    kind4: bytes
    kind6: bytes


def _short(before: int | None, between: int) -> _Short:
    start = f">{between}x0s" if before is None else f">{before}x2s{between}x"
    # First byte, length, fragment, protocol, both addresses and ports, numbers, offset, flags.
    ipv4 = struct.Struct(start + "BxHxxHxB2x12sIIBB")
    ipv6 = struct.Struct(start + "4xHBx36sIIBB")
    place = between + (0 if before is None else before + 2)
    kinds = (b"", b"") if before is None else (_IPV4_KIND, _IPV6_KIND)
    return _Short(place, ipv4.size, ipv6.size, ipv4.unpack_from, ipv6.unpack_from, *kinds)


#: Of a link layer that is not known: no packet is long enough.
_NEVER: Final = _short(None, 0)._replace(least4=1 << 62)
_SHORT: Final = {link: _short(*where) for link, where in _BEFORE_IP.items()}


def usuals(packets: Sequence[tuple[int, int, bytes]]) -> list[Usual | None]:
    """Of each packet (`files.Packet`): a whole segment without SYN, FIN and RST over plain IP; None for any
    other packet (see `dissect`)."""
    found: list[Usual | None] = []
    add, new = found.append, tuple.__new__
    known = None
    for _, link, data in packets:
        if link != known:
            known, short = link, _SHORT.get(link, _NEVER)
            place, least4, least6, ipv4, ipv6, kind4, kind6 = short
        have = len(data)
        if have < least4:
            add(None)
        elif (version := data[place]) == _PLAIN_IPV4:
            kind, _, size, part, protocol, key, seq, ack, offset, flags = ipv4(data)
            start, end = place + 20 + (offset >> 4) * 4, place + size
            if (
                protocol != _TCP
                or flags & _NOT_USUAL != ACK
                or part & _FRAGMENT
                or kind != kind4
                or not start <= end <= have
            ):
                add(None)
            else:
                add(new(Usual, (key, seq, ack, start, end)))
        elif version >> 4 == 6 and have >= least6:
            kind, size, protocol, key, seq, ack, offset, flags = ipv6(data)
            start, end = place + 40 + (offset >> 4) * 4, place + 40 + size
            if (
                protocol != _TCP
                or flags & _NOT_USUAL != ACK
                or kind != kind6
                or not size
                or not start <= end <= have
            ):
                add(None)
            else:
                add(new(Usual, (key, seq, ack, start, end)))
        else:
            add(None)
    return found


_OTHER: Final = Unread("other")
_PART: Final = Unread("fragments of IP packets")
_IPSEC: Final = Unread("encrypted by IPsec")
_MACSEC: Final = Unread("encrypted by MACsec")
#: Reasons of packets that may well hold TCP.
HIDING: Final = tuple(one.reason for one in (_PART, _IPSEC, _MACSEC))
_UNKNOWN: Final = Unread("link")


def dissect(link: int, data: bytes) -> Segment | Unread:
    """The segment in a packet. Never raises, whatever the bytes."""
    if link == _ETHERNET:
        kind, place = data[12:14], 14
    elif link == _SLL:
        kind, place = data[14:16], 16
    elif link == _SLL2:
        kind, place = data[:2], 20
    elif link in _RAWS or link in (_IPV4, _IPV6):
        kind, place = (b"\x08\x00" if data[:1] and data[0] >> 4 == 4 else b"\x86\xdd"), 0
    elif link in (_NULL, _LOOP):
        kind, place = (b"\x08\x00" if data[4:5] and data[4] >> 4 == 4 else b"\x86\xdd"), 4
    else:
        return _UNKNOWN
    if kind == b"\x08\x00":
        return _ipv4(data, place)
    if kind == b"\x86\xdd" and data[place + 6 : place + 7] == b"\x06":
        size = int.from_bytes(data[place + 4 : place + 6], "big")
        end = place + 40 + size if size else len(data)  # 0: a jumbogram, or segmentation offloading
        return _tcp(data, place + 40, end, data[place + 8 : place + 24], data[place + 24 : place + 40])
    return _by_library(link, data)


def _ipv4(data: bytes, place: int) -> Segment | Unread:
    if len(data) >= place + _PLAIN_BYTES:
        first, size, part, protocol, source, target, out, into, seq, ack, offset, flags = _PLAIN(data, place)
        if first == _PLAIN_IPV4 and protocol == _TCP and size and not part & _FRAGMENT:
            # Nearly every packet; the same as below and in `_tcp`.
            end, body = place + size, place + 20 + (offset >> 4) * 4
            size = end - body if end > body else 0
            options = data[place + _PLAIN_BYTES : body] if flags & SYN else b""
            return tuple.__new__(
                Segment, (source + out, target + into, seq, ack, flags, data[body:end], size, options)
            )
    if len(data) < place + 20:
        return _OTHER
    protocol = data[place + 9]
    if protocol != _TCP:
        is_tunnel = _is_mirrored(data, place) if protocol == _UDP else protocol in _TUNNELS
        return _by_library(_IPV4, data[place:]) if is_tunnel else _OTHER
    if int.from_bytes(data[place + 6 : place + 8], "big") & _FRAGMENT:
        return _PART
    size = int.from_bytes(data[place + 2 : place + 4], "big")
    end = place + size if size else len(data)  # 0: larger than 64 KiB, by segmentation offloading
    start = place + (data[place] & 15) * 4
    return _tcp(data, start, end, data[place + 12 : place + 16], data[place + 16 : place + 20])


def _is_mirrored(data: bytes, place: int) -> bool:
    start = place + (data[place] & 15) * 4
    port = int.from_bytes(data[start + 2 : start + 4], "big")
    return port in _VXLAN_PORTS or port == _GENEVE_PORT


def _tcp(data: bytes, start: int, end: int, source: bytes, target: bytes) -> Segment | Unread:
    if len(data) < start + 20:
        return _OTHER
    _, _, seq, ack, offset, flags, _ = _PORTS(data, start)
    body = start + (offset >> 4) * 4
    return Segment(
        source + data[start : start + 2],
        target + data[start + 2 : start + 4],
        seq,
        ack,
        flags,
        data[body:end],
        max(0, end - body),
        data[start + 20 : body] if flags & SYN else b"",
    )


def _by_library(link: int, data: bytes) -> Segment | Unread:
    """By dpkt, whatever is between link layer and TCP."""
    import dpkt

    try:
        return _inside(_outermost(link, data))
    except (dpkt.UnpackError, ValueError, IndexError, KeyError, AttributeError, TypeError, struct.error):
        return _OTHER
    except RecursionError:  # dpkt calls itself for each packet in a packet, and 20 bytes make one
        return _OTHER


def _outermost(link: int, data: bytes) -> Any:
    import dpkt

    if link == _SLL:  # behind a cooked header is what is behind Ethernet's addresses, tags included
        data = bytes(12) + data[14:]
    elif link == _SLL2:
        data = bytes(12) + data[:2] + data[20:]
    elif link != _ETHERNET:
        return _ip(data[4:] if link in (_NULL, _LOOP) else data)
    return dpkt.ethernet.Ethernet(data)


def _ip(data: bytes) -> Any:
    import dpkt

    return dpkt.ip.IP(data) if data[0] >> 4 == 4 else dpkt.ip6.IP6(data)


def _inside(found: Any) -> Segment | Unread:
    import dpkt

    carrier: Any = None
    for _ in range(_MOST_LAYERS):
        if isinstance(found, dpkt.ip.IP | dpkt.ip6.IP6):
            carrier = found
            if _is_fragment(found):
                return _PART
        if isinstance(found, dpkt.ip.IP) and found.p == _ESP:
            return _IPSEC
        if isinstance(found, dpkt.ip6.IP6) and _ESP in found.extension_hdrs:
            return _IPSEC
        if isinstance(found, dpkt.ethernet.Ethernet) and found.type == _MACSEC_KIND:
            return _MACSEC
        inner = found.data
        if isinstance(inner, dpkt.tcp.TCP):
            return _segment(carrier, found, inner)
        if isinstance(inner, dpkt.udp.UDP):
            inner = _in_udp(inner)
        elif isinstance(found, dpkt.gre.GRE) and isinstance(inner, bytes):
            inner = _in_gre(found)
        if inner is None or isinstance(inner, bytes):
            return _OTHER
        found = inner
    return _OTHER


def _is_fragment(packet: Any) -> bool:
    import dpkt

    if isinstance(packet, dpkt.ip.IP):
        return bool(packet.mf or packet.offset)
    part = packet.extension_hdrs.get(_FRAGMENT_HEADER)
    return part is not None and bool(part.m_flag or part.frag_off)


def _in_udp(datagram: Any) -> Any:
    """What clouds mirror traffic in: VXLAN (RFC 7348) and GENEVE (RFC 8926)."""
    import dpkt

    data = bytes(datagram.data)
    if datagram.dport in _VXLAN_PORTS:
        return dpkt.ethernet.Ethernet(data[8:])
    if datagram.dport == _GENEVE_PORT:
        kind, inner = data[2:4], data[8 + (data[0] & 0x3F) * 4 :]
        return dpkt.ethernet.Ethernet(inner if kind == _BRIDGED else bytes(12) + kind + inner)
    return None


def _in_gre(tunnel: Any) -> Any:
    """What switches mirror traffic in: Ethernet, by itself or behind a header of ERSPAN's."""
    import dpkt

    data = bytes(tunnel.data)
    if tunnel.p == _ERSPAN:  # of type I, it has no header, and GRE no sequence number
        data = data[8:] if tunnel.flags & dpkt.gre.GRE_SP else data
    elif tunnel.p == _ERSPAN_3:
        data = data[20 if data[11] & 1 else 12 :]
    elif tunnel.p != int.from_bytes(_BRIDGED, "big"):
        return None
    return dpkt.ethernet.Ethernet(data)


def _segment(packet: Any, around: Any, segment: Any) -> Segment:
    """A TCP segment in a packet of IP.

    How long it was on the wire is what IP says without headers; Ethernet may have padded it.
    """
    import dpkt

    text = bytes(segment.data)
    if isinstance(packet, dpkt.ip.IP):
        whole, headers = (packet.len - packet.hl * 4 if packet.len else 0), 0
        if isinstance(around, dpkt.ah.AH):
            headers = (around.len + 2) * 4
    else:
        whole, headers = packet.plen, sum(one.length for one in packet.all_extension_headers)
    head = segment.off * 4
    size = max(0, whole - headers - head) if whole else len(text)
    return Segment(
        packet.src + struct.pack(">H", segment.sport),
        packet.dst + struct.pack(">H", segment.dport),
        segment.seq,
        segment.ack,
        segment.flags,
        text[:size],
        size,
        bytes(segment.opts) if segment.flags & SYN else b"",
    )
