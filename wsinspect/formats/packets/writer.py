"""A capture as packets: synthetic TCP that Wireshark and tshark dissect as HTTP and WebSocket.

Each connection becomes a TCP connection between the addresses that were recorded (those of RFC 5737 for
documentation where there are none), with its opening handshake and each frame in segments of its own, byte
for byte as it came: masks, fragments, compression, protocol errors. Times are those of the last byte. A `wss`
connection is written as it is after decryption, one of HTTP/2 (RFC 8441) with an opening handshake of
HTTP/1.1.

Bounded, whatever a capture says: a byte that it does not hold is not written. A cut payload is a packet that
is longer than what was captured of it, and beyond one packet a hole in the stream's numbers, as tcpdump
leaves them. Wireshark inflates what it shows, so a compressed message that inflates to more than
`MAX_INFLATED` is written without its RSV1 bit, and so are those after it in its direction; a comment says so.
"""

from __future__ import annotations

import base64
import hashlib
import heapq
import ipaddress
import struct
from collections.abc import Iterator
from typing import IO, Any, Final, NamedTuple

from wsinspect.capture.missing import lacks
from wsinspect.capture.queries import packets as queries
from wsinspect.capture.reader import Capture
from wsinspect.capture.records import Connection, Handshake, Opaque
from wsinspect.formats.choice import EVERYTHING, Choice, Ids
from wsinspect.formats.packets.files import NO_END
from wsinspect.formats.packets.link import ACK, FIN, PSH, RST, SYN
from wsinspect.formats.progress import Progress, nobody
from wsinspect.formats.secrets import mask_head
from wsinspect.handshake.heads import RawHead
from wsinspect.net import Address
from wsinspect.version import __version__
from wsinspect.wire.masking import unmask
from wsinspect.wire.opcodes import Direction

#: Inflated bytes of one message up to which Wireshark may inflate it.
MAX_INFLATED: Final = 16 * 1024 * 1024
#: Bytes in one segment: an IPv4 packet has 65,535 with both headers.
_SEGMENT: Final = 65_400
_PAGE: Final = 500
_MOST_ENDS: Final = 8
_ETHERNET: Final = 1
_SNAPLEN: Final = 262_144
_MASK_BIT: Final = 0x80
_RSV1: Final = 0x40
_U32: Final = 0xFFFFFFFF
#: MSS, and a window scale of 14, so that no window is ever full.
_SYN_OPTIONS: Final = b"\x02\x04\xff\xd7\x01\x03\x03\x0e"
_CLEARED: Final = "wsinspect cleared RSV1: this message, or one before it, inflates to more than 16 MiB"
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY: Final = base64.b64encode(b"wsinspect export")
_CLIENT, _SERVER = 0, 1


class PacketsWritten(NamedTuple):
    """What was written.

    Attributes:
        connections, frames, packets: how many.
        cut: frames of which the capture does not hold all bytes.
        not_inflated: frames written without their RSV1 bit.
        over_http2: connections whose opening handshake was one of HTTP/2.
        decrypted: connections that were TLS.
    """

    connections: int
    frames: int
    packets: int
    cut: int
    not_inflated: int
    over_http2: int
    decrypted: int


def write_packets(
    capture: Capture,
    out: IO[bytes],
    *,
    choice: Choice = EVERYTHING,
    include_secrets: bool = False,
    progress: Progress = nobody,
) -> PacketsWritten:
    """Write a pcapng file (draft-ietf-opsawg-pcapng): one Ethernet interface, times in nanoseconds.

    Args:
        capture: what to export.
        out: where to.
        choice: which connections, and which of their frames; of others the bytes are missing.
        include_secrets: leave cookies, credentials and tokens in.
        progress: called with the number of frames.

    Raises:
        CaptureError: the capture is damaged.
    """
    return _Writer(capture, _File(out), choice, include_secrets, progress).write()


class _File:
    """Blocks of a pcapng file."""

    def __init__(self, out: IO[bytes]) -> None:
        self._write = out.write
        self.packets = 0

    def begin(self, comment: str | None) -> None:
        """The section, and its interface."""
        options = _option(4, f"wsinspect {__version__}".encode())
        if comment is not None:
            options = _option(1, comment.encode()) + options
        self._block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + options + bytes(4))
        facts = _option(2, b"wsinspect") + _option(9, b"\x09")
        self._block(1, struct.pack("<HHI", _ETHERNET, 0, _SNAPLEN) + facts + bytes(4))

    def packet(self, time_ns: int, data: bytes, missing: int = 0, comment: str | None = None) -> None:
        """A packet, of which so many bytes at its end were not captured."""
        self.packets += 1
        time_ns = max(time_ns, 0)
        size = len(data)
        padding = -size & 3
        options = b"" if comment is None else _option(1, comment.encode()) + bytes(4)
        whole = 32 + size + padding + len(options)
        head = (6, whole, 0, time_ns >> 32 & _U32, time_ns & _U32, size, size + missing)
        self._write(
            struct.pack("<IIIIIII", *head) + data + bytes(padding) + options + struct.pack("<I", whole)
        )

    def _block(self, kind: int, body: bytes) -> None:
        size = struct.pack("<I", len(body) + 12)
        self._write(struct.pack("<I", kind) + size + body + size)


def _option(code: int, value: bytes) -> bytes:
    value = value[:60_000]
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) & 3)


class _Tcp:
    """One TCP connection that is being written."""

    __slots__ = ("_file", "_heads", "_sums", "ends", "has_ended", "is_ipv6", "is_plain", "seq")

    def __init__(self, file: _File, client: Address, server: Address, number: int) -> None:
        self._file = file
        self.ends = client, server
        source, target = ipaddress.ip_address(client.host), ipaddress.ip_address(server.host)
        self.is_ipv6 = source.version == 6 or target.version == 6
        raw = [_packed(one, self.is_ipv6) for one in (source, target)]
        ports = [struct.pack(">H", one.port) for one in (client, server)]
        macs = (b"\x02wsin\x01", b"\x02wsin\x02")
        kind = b"\x86\xdd" if self.is_ipv6 else b"\x08\x00"
        # By side: Ethernet, addresses, ports, and the sum of what is the same in every checksum.
        self._heads = tuple(
            (macs[1 - side] + macs[side] + kind, raw[side] + raw[1 - side], ports[side] + ports[1 - side])
            for side in (0, 1)
        )
        self._sums = (_sum(raw[0] + raw[1]), _sum(ports[0] + ports[1]))
        # The first numbers differ, so that Wireshark tells connections between the same ports apart.
        self.seq = [(number * 0x9E3779B1 + 1) & _U32, (number * 0x85EBCA6B + 1) & _U32]
        self.has_ended = [False, False]
        self.is_plain = [False, False]

    def open(self, time_ns: int, about: str) -> None:
        """SYN, SYN with ACK, ACK."""
        self._segment(_CLIENT, time_ns, SYN, comment=about)
        self._segment(_SERVER, time_ns, SYN | ACK)
        self._segment(_CLIENT, time_ns, ACK)

    def say(self, side: int, time_ns: int, data: bytes, missing: int = 0, comment: str | None = None) -> None:
        """Bytes of a side, of which so many at the end are not there."""
        if len(data) + missing <= _SEGMENT:
            self._segment(side, time_ns, PSH | ACK, data, missing, comment)
            return
        for start in range(0, len(data), _SEGMENT):
            piece = data[start : start + _SEGMENT]
            is_last = start + _SEGMENT >= len(data)
            lacks = min(missing, _SEGMENT - len(piece)) if is_last else 0
            self._segment(side, time_ns, PSH | ACK, piece, lacks, comment if start == 0 else None)
            missing -= lacks
        self.skip(side, missing)

    def skip(self, side: int, size: int) -> None:
        """So many bytes of a side are not there."""
        self.seq[side] = self.seq[side] + size & _U32

    def end(self, side: int, how: str, time_ns: int) -> None:
        """The end of a side's transport."""
        if self.has_ended[side]:
            return
        self.has_ended[side] = True
        if how == "rst":
            self.has_ended = [True, True]
            self._segment(side, time_ns, RST | ACK)
            return
        self._segment(side, time_ns, FIN | ACK)
        if all(self.has_ended):
            self._segment(1 - side, time_ns, ACK)

    def close(self, time_ns: int) -> None:
        """Nothing more will come: a side whose end was not recorded gets a FIN that says so."""
        for side in (_CLIENT, _SERVER):
            if not self.has_ended[side]:
                self._segment(side, time_ns, FIN | ACK, comment=NO_END)
        self.has_ended = [True, True]

    def _segment(
        self,
        side: int,
        time_ns: int,
        flags: int,
        data: bytes = b"",
        missing: int = 0,
        comment: str | None = None,
    ) -> None:
        ethernet, addresses, ports = self._heads[side]
        seq, ack = self.seq[side], self.seq[1 - side] if flags & ACK else 0
        options = _SYN_OPTIONS if flags & SYN else b""
        size = 20 + len(options) + len(data) + missing
        offset = (5 + len(options) // 4) << 12 | flags
        tcp = struct.pack(">IIHHHH", seq, ack, offset, 0xFFFF, 0, 0) + options
        checksum = 0
        if not missing:
            text = tcp + data if not len(data) & 1 else tcp + data + b"\0"
            checksum = 0xFFFF - (self._sums[0] + self._sums[1] + 6 + size + _sum(text)) % 0xFFFF
        tcp = ports + tcp[:12] + struct.pack(">H", checksum) + tcp[14:]
        if self.is_ipv6:
            ip = struct.pack(">IHBB", 0x60000000, size, 6, 64) + addresses
        else:
            fields = 0x4500 + (size + 20) + 0x4000 + 0x4006 + self._sums[0]
            ip = struct.pack(">HHHHHH", 0x4500, size + 20, 0, 0x4000, 0x4006, 0xFFFF - fields % 0xFFFF)
            ip += addresses
        self._file.packet(time_ns, ethernet + ip + tcp + data, missing, comment)
        self.seq[side] = seq + len(data) + missing + bool(flags & (SYN | FIN)) & _U32


def _packed(address: ipaddress.IPv4Address | ipaddress.IPv6Address, is_ipv6: bool) -> bytes:
    if is_ipv6 and address.version == 4:
        return bytes(10) + b"\xff\xff" + address.packed
    return address.packed


def _sum(data: bytes) -> int:
    """The ones' complement sum of 16-bit words (RFC 1071): all of it modulo 65535."""
    return int.from_bytes(data, "big") % 0xFFFF


class _Due(NamedTuple):
    """Something that a connection does at a time."""

    time_ns: int
    order: int
    connection: int
    kind: str
    side: int = 0
    detail: str = ""


class _Writer:
    def __init__(
        self, capture: Capture, file: _File, choice: Choice, include_secrets: bool, progress: Progress
    ) -> None:
        self._capture = capture
        self._file = file
        self._choice = choice
        self._masks = not include_secrets
        self._progress = progress
        self._open: dict[int, _Tcp] = {}
        self._taken: set[tuple[Address, Address]] = set()
        self._due: list[_Due] = []
        self._loaded = 0
        self._is_all_loaded = False
        self._last_loaded_ns = 0
        self._bombs = Ids()
        self._order = 0
        self._gaps: dict[int, dict[Direction, int | None]] = {}
        self._frames = self._cut = self._cleared = self._connections = 0
        self._over_http2 = self._decrypted = 0

    def write(self) -> PacketsWritten:
        about = None
        if self._choice.source is not None:
            about = f"{self._choice.left_out}: {self._choice.source}"
        self._file.begin(about)
        for number in queries.not_to_inflate(self._capture, MAX_INFLATED):
            self._bombs.add(number)
        opaque = self._opaque()
        piece = next(opaque, None)
        for page in queries.all_frames(self._capture):
            for row in page:
                while piece is not None and (piece.after_frame or 0) < row[0] and piece.time_ns <= row[3]:
                    self._say_opaque(piece)
                    piece = next(opaque, None)
                self._frame(row)
            self._progress(page[-1][0])
        while piece is not None:
            self._say_opaque(piece)
            piece = next(opaque, None)
        self._until(None)
        return PacketsWritten(
            self._connections,
            self._frames,
            self._file.packets,
            self._cut,
            self._cleared,
            self._over_http2,
            self._decrypted,
        )

    # -- frames

    def _frame(self, row: tuple[Any, ...]) -> None:
        number, connection, is_s2c, time_ns, header, payload, message, wire_length = row
        if self._choice.connections is not None and connection not in self._choice.connections:
            return
        if not (isinstance(time_ns, int) and isinstance(header, bytes) and isinstance(wire_length, int)):
            return  # of a stranger's file
        tcp = self._at(connection, time_ns)
        if tcp is None:
            return
        side = int(bool(is_s2c))
        if not self._choice.has("frame", number):
            tcp.skip(side, wire_length)
            return
        payload = payload if isinstance(payload, bytes) else b""
        missing = max(0, wire_length - len(header) - len(payload))
        self._cut += missing > 0
        comment = None
        if header[:1] and header[0] & _RSV1 and (tcp.is_plain[side] or message in self._bombs):
            tcp.is_plain[side] = True
            self._cleared += 1
            comment = _CLEARED
            header = bytes((header[0] & ~_RSV1,)) + header[1:]
        if len(header) >= 6 and header[1] & _MASK_BIT:
            payload = unmask(payload, header[-4:])
        tcp.say(side, time_ns, header + payload, missing, comment)
        self._frames += 1

    def _opaque(self) -> Iterator[Opaque]:
        after = 0
        while found := self._capture.opaque(after=after, limit=_PAGE):
            for one in found:
                chosen = self._choice.connections
                if (chosen is None or one.connection_id in chosen) and self._choice.frames is None:
                    yield one
            after = found[-1].id

    def _say_opaque(self, piece: Opaque) -> None:
        tcp = self._at(piece.connection_id, piece.time_ns)
        if tcp is None:
            return
        side = int(piece.direction)
        if piece.reason == "gap" and piece.direction in (lost := self._gaps.get(piece.connection_id, {})):
            # Nobody can say what is behind a second gap and what before it: all is missing here.
            tcp.skip(side, lost.pop(piece.direction) or 1)
        missing = max(0, _fit(piece.length) - len(piece.data))
        tcp.say(side, piece.time_ns, piece.data, missing)

    # -- connections

    def _at(self, connection: int, time_ns: int) -> _Tcp | None:
        """The connection, once everything before this time is written."""
        self._until(time_ns)
        tcp = self._open.get(connection)
        while tcp is None and not self._is_all_loaded and connection > self._loaded:
            self._load()
            tcp = self._open.get(connection)
        if tcp is None:
            # Its opening comes later by its own time: a clock that was set, or a stranger's file.
            for index, one in enumerate(self._due):
                if one.connection == connection and one.kind == "open":
                    self._due[index] = one._replace(time_ns=time_ns)
                    heapq.heapify(self._due)
                    self._until(time_ns)
                    return self._open.get(connection)
        return tcp

    def _until(self, time_ns: int | None) -> None:
        """Write what connections do before a time, but for frames; None: all of it."""
        while True:
            while not self._is_all_loaded and (
                not self._due or time_ns is None or self._last_loaded_ns <= time_ns
            ):
                self._load()
            if not self._due or (time_ns is not None and not _is_before(self._due[0], time_ns)):
                return
            self._do(heapq.heappop(self._due))

    def _load(self) -> None:
        """Plan what the next connections do."""
        found = self._capture.connections(after=self._loaded, limit=_PAGE)
        if not found:
            self._is_all_loaded = True
            return
        self._loaded = found[-1].id
        ends = queries.transport_ends(self._capture, found[0].id, found[-1].id, _MOST_ENDS)
        for one in found:
            if self._choice.connections is not None and one.id not in self._choice.connections:
                continue
            start_ns = _fit(one.attempt_ns)
            self._last_loaded_ns = max(self._last_loaded_ns, start_ns)
            self._plan(one.id, start_ns, "open")
            for end in ends.get(one.id, ()):
                if end.side in ("client", "server"):
                    self._plan(one.id, end.time_ns, "end", int(end.side == "server"), end.how)
            if one.closed_ns is not None:
                self._plan(one.id, one.closed_ns, "closed")

    def _plan(self, connection: int, time_ns: int, kind: str, side: int = 0, detail: str = "") -> None:
        self._order += 1
        heapq.heappush(self._due, _Due(time_ns, self._order, connection, kind, side, detail))

    def _do(self, due: _Due) -> None:
        if due.kind == "open":
            self._begin(due)
            return
        tcp = self._open.get(due.connection)
        if tcp is None:
            return
        if due.kind == "answer":
            self._answer(tcp, due)
        elif due.kind == "end":
            tcp.end(due.side, due.detail, due.time_ns)
        else:
            tcp.close(due.time_ns)
            del self._open[due.connection]
            self._taken.discard(tcp.ends)
            self._gaps.pop(due.connection, None)

    def _begin(self, due: _Due) -> None:
        one = self._capture.connection(due.connection)
        shake = self._capture.handshake(due.connection)
        if one is None:
            return
        self._connections += 1
        self._decrypted += one.scheme == "wss"
        client, server = _address(one.client, 1, one.id), _address(one.server or one.listener, 2, 80)
        about = f"wsinspect connection {one.id}"
        while (client, server) in self._taken:
            # Streams of one HTTP/2 connection, or a merged capture: TCP needs an address for each.
            client = client._replace(port=client.port % 65535 + 1)
            about = f"wsinspect connection {one.id}, of {one.client}"
        self._taken.add((client, server))
        tcp = _Tcp(self._file, client, server, one.id)
        self._open[one.id] = tcp
        if (gone := lacks(one)) is not None:
            self._gaps[one.id] = dict(gone.gaps)
        tcp.open(due.time_ns, about)
        if shake is None:
            return
        request, response = _heads(shake, one)
        if request is not None and request[1]:
            self._over_http2 += 1
        if request is not None:
            tcp.say(_CLIENT, due.time_ns, self._shown(request[0]))
        if response is not None:
            at_ns = next(
                (
                    time_ns
                    for time_ns in (shake.response_out_ns, shake.response_in_ns, one.open_ns)
                    if isinstance(time_ns, int)
                ),
                due.time_ns,
            )
            if one.open_ns is not None:
                # No frame may precede it, and its own time is hardly ever later than theirs.
                self._answer(tcp, due._replace(time_ns=max(at_ns, due.time_ns)))
            else:
                self._plan(one.id, max(at_ns, due.time_ns), "answer")

    def _answer(self, tcp: _Tcp, due: _Due) -> None:
        one, shake = self._capture.connection(due.connection), self._capture.handshake(due.connection)
        if one is None or shake is None:
            return
        if shake.informational:
            tcp.say(_SERVER, due.time_ns, self._shown(shake.informational))
        response = _heads(shake, one)[1]
        if response is not None:
            body = shake.body or b""
            tcp.say(_SERVER, due.time_ns, self._shown(response) + body)

    def _shown(self, head: bytes) -> bytes:
        return mask_head(head) if self._masks else head


def _is_before(due: _Due, time_ns: int) -> bool:
    """Whether it goes before a frame of that time: what a connection ends with goes after it."""
    return due.time_ns < time_ns or (due.time_ns == time_ns and due.kind in ("open", "answer"))


def _fit(value: Any) -> int:
    """A number; a stranger's file may hold anything in its place."""
    return value if isinstance(value, int) else 0


def _address(text: str | None, place: int, port: int) -> Address:
    """An address as it was recorded; a name becomes one of the addresses for documentation (RFC 5737)."""
    known = Address.read(text or "")
    try:
        if known is not None:
            return Address(str(ipaddress.ip_address(known.host.partition("%")[0])), known.port)
    except ValueError:
        return Address(f"192.0.2.{place}", known.port if known is not None else port & 0x7FFF or 1)
    return Address(f"192.0.2.{place}", port & 0x7FFF or 1)


def _heads(shake: Handshake, one: Connection) -> tuple[tuple[bytes, bool] | None, bytes | None]:
    """Request, whether it was one of HTTP/2, and response: what passed on the client's side."""
    request = shake.request_in or shake.request_out
    response = shake.response_out or shake.response_in
    if not request:
        return None, response
    head = RawHead.parse(request)
    if not head.is_http2:
        return (request, False), response
    answer = RawHead.parse(response) if response else None
    return (_request11(head), True), None if answer is None else _response11(answer, one.open_ns is not None)


def _request11(head: RawHead) -> bytes:
    """An extended CONNECT as the GET that it stands for."""
    lines = [
        b"GET " + (head.get(":path") or b"/") + b" HTTP/1.1",
        b"Host: " + (head.get(":authority") or b""),
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Key: " + _KEY,
        *(one.name + b": " + one.value for one in head.fields if one.name[:1] != b":" and one.key != b"host"),
    ]
    return b"\r\n".join((*lines, b"", b""))


def _response11(head: RawHead, is_open: bool) -> bytes:
    fields = [one.name + b": " + one.value for one in head.fields if one.name[:1] != b":"]
    if is_open:
        accept = base64.b64encode(hashlib.sha1(_KEY + _GUID).digest())  # noqa: S324 - RFC 6455's choice
        first = b"HTTP/1.1 101 Switching Protocols"
        lines = [first, b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Accept: " + accept]
    else:
        lines = [b"HTTP/1.1 " + (head.get(":status") or b"500") + b" "]
    return b"\r\n".join((*lines, *fields, b"", b""))
