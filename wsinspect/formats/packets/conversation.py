"""One TCP connection of a trace: what it carries, and the WebSockets in it.

What a connection carries is read from its first bytes, on any port: TLS (decrypted where there are secrets),
a PROXY protocol header (haproxy.org's proxy-protocol.txt), HTTP/1.1, HTTP/2, a CONNECT or a SOCKS request and
what is in the tunnel behind it. Of all else nothing is kept.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple, Protocol

from wsinspect.formats.packets.http1 import Http1, NotHttpError
from wsinspect.formats.packets.http2 import PREFACE, Http2, may_be_settings
from wsinspect.formats.packets.link import Segment
from wsinspect.formats.packets.socks import NotSocksError, Socks, SocksRefusedError, may_be_socks
from wsinspect.formats.packets.tcp import Counts, Half, Reassembly
from wsinspect.formats.packets.tls import CLOSE_NOTIFY, KeyLog, NotReadableError, Tls
from wsinspect.text import escape, truncate
from wsinspect.vocabulary import NOT_IN_TRACE, NOT_READ

_METHOD: Final = re.compile(rb"[A-Z]{3,20} ")
_MAX_START: Final = 4096
#: A record of TLS that holds a handshake message.
_HELLO: Final = b"\x16\x03"
_PROXY1: Final = b"PROXY "
_PROXY2: Final = b"\r\n\r\n\0\r\nQUIT\n"
#: Nobody answers what was not asked: the request is not in the trace.
_ANSWER: Final = b"HTTP/1."
_CLIENT, _SERVER = 0, 1
#: Tunnels in tunnels.
_MAX_LAYERS: Final = 8
#: Cells of what is quoted of a proxy's status line, and of what a client asked it for.
_MAX_ANSWER: Final = 60
_MAX_TARGET: Final = 260


class Peers(NamedTuple):
    """What a connection was made with.

    Attributes:
        client, server: address and port, as `link.Segment` has them.
        opened_ns: when TCP was open; None where the trace begins later.
        tls: version, cipher, sni and ALPN; None without TLS.
        target: what a proxy was asked for, `host:port`, where the server is one; else empty.
    """

    client: bytes
    server: bytes
    opened_ns: int | None
    tls: dict[str, Any] | None
    target: str = ""


class Log(Protocol):
    """Where what is found goes; the methods but for the first three are `http1.Story`'s."""

    counts: Counts
    secrets: KeyLog

    def unread(self, peers: Peers, reason: str) -> None: ...

    def cut(self) -> None: ...

    def proxied(self, what: str, target: str) -> None: ...

    def tunnelled(self, target: str) -> None: ...

    def attempt(self, peers: Peers, head: bytes, time_ns: int, stream: int | None) -> int: ...

    def informational(self, number: int, head: bytes, time_ns: int) -> None: ...

    def answer(self, number: int, head: bytes, time_ns: int, *, is_open: bool) -> None: ...

    def body(self, number: int, data: bytes, time_ns: int) -> None: ...

    def message(self, number: int, side: int, data: bytes, time_ns: int) -> None: ...

    def hole(self, number: int, side: int | None, size: int | None, time_ns: int, reason: str) -> None: ...

    def ended(self, number: int, side: int, how: str, time_ns: int, http2: str | None = None) -> None: ...

    def failed(self, number: int, error: str, time_ns: int) -> None: ...

    def closed(self, number: int, time_ns: int) -> None: ...


class Conversation:
    """A connection between two addresses.

    Attributes:
        is_ignored: it carries nothing that is kept.
        last_ns: when its last packet came.
        begun_at: the number of the client's SYN; None where the trace begins later.
        joins: the token of the connection of which it is another subflow (`mptcp`), until it has a byte.
        alive: WebSockets in it that have not ended, each with whether it was answered.
        usual: while the next segment's bytes are all that there is to it (`Reassembly.is_quiet`), and are
            those of a WebSocket in the clear: its number, and the side that is the client. Else None.
    """

    __slots__ = (
        *(
            "_doubted",
            "_early",
            "_ends",
            "_http",
            "_is_readable",
            "_layers",
            "_log",
            "_notified",
            "_opened_ns",
            "_outer",
            "_socks",
            "_start",
            "_swapped",
            "_target",
            "_tcp",
            "_through",
        ),
        *("_tls", "alive", "begun_at", "is_ignored", "joins", "last_ns", "usual"),
    )

    def __init__(self, log: Log, first: Segment, *, is_midway: bool) -> None:
        self._log = log
        self._ends = (first.source, first.target)
        self._tcp = Reassembly(self, log.counts, is_midway=is_midway)
        self._swapped: bool | None = None if is_midway else False  # who sent the first packet is the server
        self.begun_at = None if is_midway else first.seq
        self._opened_ns: int | None = None
        self._start = self._early = b""
        self._tls: Tls | None = None
        self._outer: Tls | None = None  # of a proxy: what is in its tunnel is read like another connection
        self._socks: Socks | None = None
        self._layers = 0
        self._target = ""
        self._http: Http1 | Http2 | None = None
        self._through: int | None = None  # the WebSocket that the connection became, in the clear
        self._is_readable = True
        self._notified = self._doubted = 0  # a bit for each side: there are very many conversations
        self.is_ignored = False
        self.joins: bytes | None = None
        self.alive: dict[int, bool] = {}
        self.last_ns = 0
        self.usual: tuple[int, int] | None = None

    @property
    def halves(self) -> tuple[Half, Half]:
        """Where in the numbers of its streams each side is."""
        return self._tcp.halves

    @property
    def is_over(self) -> bool:
        """Whether TCP has ended."""
        return self._tcp.is_over

    def feed(self, side: int, segment: Segment, time_ns: int) -> None:
        """A segment; side 0 is who sent the first one that was seen."""
        self.last_ns = time_ns
        if self._opened_ns is None and side == 1 and not self._tcp.is_midway:
            self._opened_ns = time_ns
        self._tcp.feed(side, segment, time_ns)
        if self._through is not None:
            self.usual = (self._through, int(bool(self._swapped))) if self._tcp.is_quiet else None
        else:
            self.usual = None

    def doubt(self, side: int) -> None:
        """The FIN of a side stands for an end that nobody knows: it is the end of TCP, and blames nobody."""
        self._doubted |= 1 << side

    def meet(self) -> None:
        """Both sides opened it at once: whoever asks for something is the client."""
        if self._http is None and self._tls is None:
            self._swapped = None

    def join(self, token: bytes) -> None:
        """It is a subflow of another connection: its bytes are a part of that one's."""
        self.joins = token
        self.is_ignored = True

    def split(self, time_ns: int) -> None:
        """From now on, bytes of it may be in another subflow."""
        if self._is_readable and not self.is_ignored:
            self.usual = None
            self._abandon(time_ns, f"{NOT_READ}Multipath TCP carries parts of it in another subflow")

    def finish(self, time_ns: int) -> None:
        """The trace ends: what is open stays open."""
        self._tcp.finish(time_ns)

    def replace(self, time_ns: int) -> None:
        """Another connection has its addresses: it ended, and how is not in the trace."""
        self._tcp.finish(time_ns)
        for number in self.alive:
            self._log.closed(number, time_ns)
        self.alive.clear()

    @property
    def is_unanswered(self) -> bool:
        """Whether WebSockets were asked for, and none of them answered."""
        return bool(self.alive) and not any(self.alive.values())

    def forget(self, time_ns: int) -> None:
        """It is followed no further: what becomes of its WebSockets is not known."""
        for number in self.alive:
            self._log.hole(number, None, None, time_ns, f"{NOT_READ}too many connections at once")
            self._log.closed(number, time_ns)
        self.alive.clear()

    # -- tcp.Receiver

    def data(self, side: int, data: bytes, time_ns: int) -> None:
        if self._through is not None:
            self._log.message(self._through, side ^ bool(self._swapped), data, time_ns)  # nearly all there is
            return
        if self.is_ignored or not self._is_readable:
            return
        if self._swapped is None:
            # Of a connection that was there before the trace: whoever asks for something is the client.
            if not _METHOD.match(data) and data[:2] != _HELLO:
                return
            self._swapped = bool(side)
        role = side ^ self._swapped
        try:
            if self._outer is not None:
                self._decrypt(self._outer, role, data, time_ns)
            else:
                self._receive(role, data, time_ns)
        except NotReadableError as error:
            self._log.unread(self._peers(), str(error))
            self._abandon(time_ns, f"{NOT_READ}{error}")
        except NotHttpError as error:
            self._abandon(time_ns, f"{NOT_READ}{error}")

    def gap(self, side: int, size: int, time_ns: int) -> None:
        if self.is_ignored or self._swapped is None or not self._is_readable:
            return
        role = side ^ self._swapped
        try:
            if self._tls is not None or self._outer is not None or self._http is None:
                raise NotHttpError("bytes are missing in the trace")
            self._http.gap(role, size, time_ns)
        except NotHttpError:
            if not self.alive:
                self._log.cut()
            self._abandon(time_ns, NOT_IN_TRACE)

    def end(self, side: int, how: str, time_ns: int) -> None:
        role = side ^ bool(self._swapped)
        if how != "fin" or not (self._notified >> role & 1 or self._doubted >> side & 1):
            for number in self.alive:
                self._log.ended(number, role, how, time_ns)
        if self._tcp.is_over or how == "rst":
            if self._socks is not None and self._socks.is_asked:
                self._log.proxied("not answered by a SOCKS proxy", self._socks.target)
            self._socks = None
            for number, is_answered in self.alive.items():
                if not is_answered and self._is_readable:
                    self._log.failed(number, "the connection ended without a response", time_ns)
                self._log.closed(number, time_ns)
            self.alive.clear()

    # -- http1.Story

    def attempt(self, head: bytes, time_ns: int, stream: int | None = None) -> int:
        number = self._log.attempt(self._peers(), head, time_ns, stream)
        self.alive[number] = False
        return number

    def informational(self, number: int, head: bytes, time_ns: int) -> None:
        self._log.informational(number, head, time_ns)

    def answer(self, number: int, head: bytes, time_ns: int, *, is_open: bool) -> None:
        self.alive[number] = True
        self._log.answer(number, head, time_ns, is_open=is_open)

    def body(self, number: int, data: bytes, time_ns: int) -> None:
        self._log.body(number, data, time_ns)

    def message(self, number: int, side: int, data: bytes, time_ns: int) -> None:
        self._log.message(number, side, data, time_ns)

    def hole(self, number: int, side: int, size: int, time_ns: int) -> None:
        self._log.hole(number, side, size, time_ns, NOT_IN_TRACE)

    def ended(self, number: int, side: int, how: str, time_ns: int, http2: str | None = None) -> None:
        self._log.ended(number, side, how, time_ns, http2)

    def failed(self, number: int, error: str, time_ns: int) -> None:
        self._log.failed(number, error, time_ns)

    def closed(self, number: int, time_ns: int) -> None:
        self.alive.pop(number, None)
        self._log.closed(number, time_ns)

    # -- layers

    def _receive(self, role: int, data: bytes, time_ns: int) -> None:
        """What came over TCP, or in the tunnel of a proxy."""
        is_start = self._http is None and self._socks is None and role == _CLIENT and not self._start
        if self._tls is None and is_start and _is_hello(data):
            self._tls = Tls(self._log.secrets)
        if self._tls is not None:
            self._decrypt(self._tls, role, data, time_ns)
        else:
            self._plain(role, data, time_ns)

    def _decrypt(self, tls: Tls, role: int, data: bytes, time_ns: int) -> None:
        for plain in tls.feed(role, data):
            if plain.alert is None:
                handed_on = self._receive if tls is self._outer else self._plain
                handed_on(plain.side, plain.data, time_ns)
            elif plain.alert == CLOSE_NOTIFY and not self._notified >> plain.side & 1:
                self._notified |= 1 << plain.side
                for number in self.alive:
                    self._log.ended(number, plain.side, "close_notify", time_ns)

    def _plain(self, role: int, data: bytes, time_ns: int) -> None:
        if self._socks is not None:
            self._ask(self._socks, role, data, time_ns)
            return
        http = self._http
        if http is None:
            self._recognise(role, data, time_ns)
            return
        http.feed(role, data, time_ns)
        if not isinstance(http, Http1):
            return
        if self._tls is None and self._outer is None:
            self._through = http.number
        target = truncate(escape(http.target.decode("latin-1")), _MAX_TARGET)
        if http.refusal is not None:
            answer = truncate(escape(http.refusal.decode("latin-1").partition(" ")[2]), _MAX_ANSWER)
            self._log.proxied(f"refused by an HTTP proxy: {answer}", target)
            http.refusal = None
        if http.tunnel:
            self._http = None
            self._enter(target, http.take_rest(), time_ns)

    def _ask(self, socks: Socks, role: int, data: bytes, time_ns: int) -> None:
        """What a client and its SOCKS proxy say to each other."""
        try:
            socks.feed(role, data)
        except NotSocksError:
            self.is_ignored, self._socks = True, None
        except SocksRefusedError as error:
            self._log.proxied(str(error), socks.target)
            self.is_ignored, self._socks = True, None
        else:
            if socks.is_done:
                self._socks = None
                self._enter(socks.target, socks.rest(), time_ns)

    def _enter(self, target: str, early: tuple[bytes, bytes], time_ns: int) -> None:
        """A proxy has opened a tunnel; `early` is what client and server have sent in it by now."""
        self._target = target
        self._log.tunnelled(target)
        self._layers += 1
        if self._layers > _MAX_LAYERS or (self._tls is not None and self._outer is not None):
            self.is_ignored = True
            return
        if self._tls is not None:
            self._outer, self._tls = self._tls, None
        for role, rest in enumerate(early):
            if rest and not self.is_ignored:
                self._receive(role, rest, time_ns)

    def _recognise(self, role: int, data: bytes, time_ns: int) -> None:
        """What the client's first bytes are."""
        if role == _SERVER:
            # RFC 9113 section 3.4: its SETTINGS need not wait for the client's preface. Whatever else
            # speaks first is not HTTP.
            self._early += data
            self.is_ignored = len(self._early) > _MAX_START or not may_be_settings(self._early)
            if self._early.startswith(_ANSWER):
                self._log.cut()
            return
        start = self._start = self._start + data
        if _PROXY2.startswith(start[:12]) or _PROXY1.startswith(start[:6]):
            size = _proxy_size(start)
            if size is None:
                self.is_ignored = len(start) > _MAX_START
                return
            start = self._start = start[size:]
        if PREFACE.startswith(start[: len(PREFACE)]):
            if len(start) < len(PREFACE):
                return
            self._http = Http2(self)
            early, self._early = self._early, b""
            self._http.feed(_SERVER, early, time_ns)
        elif self._early:
            self.is_ignored = True
            return
        elif _is_hello(start) and self._tls is None:
            self._tls = Tls(self._log.secrets)
        elif _METHOD.match(start):
            self._http = Http1(self)
        elif may_be_socks(start):
            self._socks = Socks()
        elif len(start) < 6 and self._tls is None and _HELLO.startswith(start[:2]):
            return  # a hello in tiny segments
        elif len(start) > 20 or not start.isalpha():
            self.is_ignored = True
            return
        else:
            return
        data, self._start = start, b""
        if self._http is None and self._socks is None and self._tls is not None:
            self._decrypt(self._tls, role, data, time_ns)
        else:
            self._plain(role, data, time_ns)

    def _abandon(self, time_ns: int, reason: str) -> None:
        """Nothing can be read of it from here on; its ends still count."""
        self._is_readable = False
        self._http = self._through = self._socks = None
        for number, is_answered in self.alive.items():
            if is_answered:
                for side in (_CLIENT, _SERVER):
                    self._log.hole(number, side, None, time_ns, reason)
            else:
                self._log.hole(number, None, None, time_ns, reason)
        if not self.alive:
            self.is_ignored = True

    def _peers(self) -> Peers:
        first, second = self._ends
        client, server = (second, first) if self._swapped else (first, second)
        tls = None if self._tls is None else dict(self._tls.facts)
        return Peers(client, server, self._opened_ns, tls, self._target)


def _is_hello(data: bytes) -> bool:
    """Whether a client's first bytes are those of TLS: a handshake record with a ClientHello."""
    return len(data) > 5 and data[:2] == _HELLO and data[5] == 1


def _proxy_size(start: bytes) -> int | None:
    """Bytes of a PROXY protocol header; None while it is not whole."""
    if start[:6] == _PROXY1:
        end = start.find(b"\r\n", 0, 110)
        return end + 2 if end >= 0 else None
    if len(start) < 16 or start[:12] != _PROXY2:
        return None
    size = 16 + int.from_bytes(start[14:16], "big")
    return size if len(start) >= size else None
