"""Packets in, the records that make a capture out: connections of a trace side by side, in the order of its
packets.

What is read of a trace is bounded: connections without a WebSocket cost a few hundred bytes while they
live, and the oldest idle ones are forgotten beyond `MAX_CONVERSATIONS`.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from operator import itemgetter
from typing import Final, NamedTuple

from wsinspect.errors import CaptureError
from wsinspect.formats.heads import parse_url
from wsinspect.formats.packets.conversation import Conversation, Peers
from wsinspect.formats.packets.files import TRUNCATED, UNKNOWN_END, Packet, Secrets
from wsinspect.formats.packets.link import (
    ACK,
    HIDING,
    RST,
    SYN,
    Segment,
    Unread,
    dissect,
    ends,
    usuals,
)
from wsinspect.formats.packets.mptcp import token_joined, token_of
from wsinspect.formats.packets.tcp import Counts, Half, is_known, was_there
from wsinspect.formats.packets.tls import KeyLog
from wsinspect.formats.staging import MAX_CONNECTIONS, Feed
from wsinspect.handshake.heads import RawHead
from wsinspect.journal.format import (
    BODY,
    BODY_BYTES,
    HEAD_INFORMATIONAL,
    HEAD_REQUEST_IN,
    HEAD_REQUEST_OUT,
    HEAD_RESPONSE_IN,
    HEAD_RESPONSE_OUT,
    Record,
)
from wsinspect.net import DEFAULT_PORTS, Address, parse_address, parse_endpoint
from wsinspect.text import counted
from wsinspect.vocabulary import events

#: WebSockets at once.
MAX_CONVERSATIONS: Final = 200_000
#: TCP connections without one at once; a quarter of them is forgotten when there are more.
MAX_IDLE: Final = 50_000
#: The same of those with WebSockets of which none has been answered: 2 KB each.
MAX_UNANSWERED: Final = 50_000
#: TCP connections that ended of which late packets are still known for what they are.
_ENDED: Final = 4096
#: Connections that may get more subflows, of which the tokens are known.
_MAX_TOKENS: Final = 20_000
_MOST_HOSTS: Final = 3
_MAX_REASONS: Final = 1000
_ASKS_LOGIN: Final = " HTTP proxy: 407"


class _Later:
    """Gaps of a direction that have one reason: how many, and their bytes (None: not known)."""

    __slots__ = ("bytes", "count")

    def __init__(self) -> None:
        self.count = 0
        self.bytes: int | None = 0

    def add(self, size: int | None) -> None:
        self.count += 1
        self.bytes = None if size is None or self.bytes is None else self.bytes + size


class _Lane(NamedTuple):
    """One direction of a connection, by the addresses in its packets.

    Attributes:
        side: who sends, as `Conversation.feed` has it.
        half, other: its numbers, and those of the other direction.
    """

    conversation: Conversation
    side: int
    half: Half
    other: Half


class PacketReader:
    """Makes records of packets.

    Args:
        feed: where they go.
        secrets: of TLS connections.
        taps: names of places by the server's address (`10.0.0.5:443`) or port (`443`); others have the
            server's address for a name.

    Attributes:
        segments: how many packets were TCP, without those that went the short way (`add`).
        connections: WebSockets found.
        last_ns: the time of the last packet.
    """

    def __init__(self, feed: Feed, secrets: KeyLog, taps: Mapping[str, str]) -> None:
        self.counts = Counts()
        self.secrets = secrets
        self._feed = feed
        self._taps = taps
        self._table: dict[bytes, _Lane] = {}  # by `link.ends`
        self._room = 2 * MAX_IDLE  # lanes, until the idle ones are counted again
        #: Where each direction of a connection that ended was then, by `link.ends`.
        self._ended: dict[bytes, int | None] = {}
        #: By the token of Multipath TCP, a direction of a connection and how that began.
        self._tokens: dict[bytes, tuple[bytes, int | None]] = {}
        self._subflows = 0
        #: By reason, the gaps of a direction after its first one.
        self._holes: dict[tuple[int, int | None], dict[str, _Later]] = {}
        self._bodies: dict[int, int] = {}
        self._reasons: Counter[str] = Counter()
        self._hosts: Counter[str] = Counter()
        self._unread: Counter[str] = Counter()
        #: What became of requests to proxies, and for what they were.
        self._proxied: dict[str, Counter[str]] = {}
        #: What a proxy opened a tunnel to.
        self._tunnels: set[str] = set()
        self._links: Counter[int] = Counter()
        self._midway = self._without_time = self._forgotten = self._given_up = self._cut = 0
        self._is_truncated = self._is_doubted = False
        self.segments = self.connections = 0
        self.last_ns = 0

    def add(self, found: list[Packet] | Secrets) -> None:
        """Read what a file holds next.

        A packet that is the next one of a WebSocket in the clear, over plain IP and TCP, goes a short way:
        nearly all packets of a busy trace. The outcome is that of `_take`, which takes several times as long.
        """
        if isinstance(found, Secrets):
            self._note(found)
            return
        short = usuals(found)
        if self._is_doubted:
            short[0] = None
        get, hand_on, last_ns = self._table.get, self._feed.data, self.last_ns
        for (time_ns, link, data), usual in zip(found, short, strict=True):
            if time_ns > 0:
                self.last_ns = last_ns = time_ns
            else:
                self._without_time += 1
                time_ns = last_ns
            if usual is not None:
                key, seq, ack, start, end = usual
                lane = get(key)
                if lane is not None and (into := lane[0].usual) is not None:
                    conversation, side, half, other = lane
                    if half.next == seq and (other.next == ack or is_known(other, ack)):
                        conversation.last_ns = time_ns
                        if start < end:
                            half.next = seq + end - start & 0xFFFFFFFF
                            number, client = into
                            hand_on(number, side ^ client, time_ns, data[start:end])
                        continue
            self._take(link, data, time_ns)

    def _note(self, found: Secrets) -> None:
        if found is TRUNCATED:
            self._is_truncated = True
        elif found is UNKNOWN_END:
            self._is_doubted = True
        else:
            self.secrets.add(found.text)

    def _take(self, link: int, data: bytes, time_ns: int) -> None:
        segment = dissect(link, data)
        if self._is_doubted:
            self._doubt(segment)
        if not isinstance(segment, Segment):
            self._unread[segment.reason] += 1
            if segment.reason == "link":
                self._links[link] += 1
            return
        self.segments += 1
        key = ends(segment[0], segment[1])
        found = self._table.get(key)
        if found is None or segment[4] & SYN:
            found = self._place(key, found, segment, time_ns)
            if found is None:
                return
            if segment.options:
                self._multipath(key, found.conversation, segment)
        conversation, side = found[:2]
        if conversation.is_ignored:
            conversation.last_ns = time_ns
            if conversation.joins is not None and segment.size:
                self._split(conversation, conversation.joins, time_ns)
            return
        conversation.feed(side, segment, time_ns)
        if conversation.is_over:
            for one in (key, ends(segment[1], segment[0])):
                if (lane := self._table.pop(one, None)) is not None:
                    self._ended.pop(one, None)
                    self._ended[one] = lane.half.next
            while len(self._ended) > 2 * _ENDED:
                del self._ended[next(iter(self._ended))]

    def _multipath(self, key: bytes, conversation: Conversation, syn: Segment) -> None:
        """What the options of a SYN say of subflows."""
        joined = None if syn.flags & ACK else token_joined(syn.options)
        if joined is not None:
            if not conversation.is_ignored:
                conversation.join(joined)
        elif (token := token_of(syn.options)) is not None:
            self._tokens.pop(token, None)
            self._tokens[token] = key, conversation.begun_at
            if len(self._tokens) > _MAX_TOKENS:
                del self._tokens[next(iter(self._tokens))]

    def _split(self, subflow: Conversation, token: bytes, time_ns: int) -> None:
        """The first byte in a subflow that is not the first one."""
        subflow.joins = None
        self._subflows += 1
        key, begun_at = self._tokens.get(token, (b"", None))
        lane = self._table.get(key)
        if lane is not None and lane.conversation.begun_at == begun_at:
            lane.conversation.split(time_ns)

    def _doubt(self, segment: Segment | Unread) -> None:
        """Nobody knows the end that this packet stands for."""
        self._is_doubted = False
        if not isinstance(segment, Segment):
            return
        found = self._table.get(ends(segment.source, segment.target))
        if found is not None:
            found[0].doubt(found[1])

    def _place(self, key: bytes, found: _Lane | None, segment: Segment, time_ns: int) -> _Lane | None:
        """The conversation of a segment that is the first one of its addresses, or a SYN."""
        if segment[4] & (SYN | ACK) == SYN and (found is None or found[0].begun_at != segment[2]):
            if (
                found is not None
                and found.side == 1
                and found.half.next in (None, segment[2] + 1 & 0xFFFFFFFF)
            ):
                # Both sides at once (RFC 9293 section 3.5), or the same again.
                found.conversation.meet()
                return found
            # Another number than before: not sent again, but a new connection between the same addresses.
            return self._begin(key, segment, time_ns, is_midway=False)
        if found is None and segment[6] and not segment[4] & (SYN | RST) and not self._is_late(key, segment):
            return self._begin(key, segment, time_ns, is_midway=True)
        return found

    def _is_late(self, key: bytes, segment: Segment) -> bool:
        """Whether a segment with data is of a connection that ended: sent again, doubled by the network, or
        on its way when a RST came."""
        if key not in self._ended:
            return False
        was_seen = was_there(segment[2], segment[6], self._ended[key])
        self.counts.repeated += bool(was_seen)
        return was_seen is not None

    def _begin(self, key: bytes, segment: Segment, time_ns: int, *, is_midway: bool) -> _Lane:
        before = self._table.get(key)
        if before is not None:
            before[0].replace(time_ns)
        if len(self._table) >= self._room:
            self._forget(time_ns)
        conversation = Conversation(self, segment, is_midway=is_midway)
        self._midway += is_midway
        first, second = conversation.halves
        self._table[key] = found = _Lane(conversation, 0, first, second)
        self._table[ends(segment.target, segment.source)] = _Lane(conversation, 1, second, first)
        return found

    def _forget(self, time_ns: int) -> None:
        """Make room: the oldest connections without a WebSocket go, and of very many whose WebSockets nobody
        answered, too."""
        idle: list[tuple[int, bytes]] = []
        unanswered: list[tuple[int, bytes]] = []
        for key, (one, *_) in self._table.items():
            if not one.alive:
                idle.append((one.last_ns, key))
            elif one.is_unanswered:
                unanswered.append((one.last_ns, key))
        alive = len(self._table) - len(idle)
        oldest = _oldest(idle, 2 * (MAX_IDLE - MAX_IDLE // 4))
        self._forgotten += len(oldest) // 2
        if len(unanswered) > 2 * MAX_UNANSWERED:
            given_up = _oldest(unanswered, 2 * (MAX_UNANSWERED - MAX_UNANSWERED // 4))
            for key in given_up:
                self._table[key].conversation.forget(time_ns)
            oldest += given_up
            self._given_up += len(given_up) // 2
            alive -= len(given_up)
        if alive > 2 * MAX_CONVERSATIONS:
            raise CaptureError(f"there are more than {MAX_CONVERSATIONS:,} WebSockets at once in the trace")
        for key in oldest:
            del self._table[key]
        self._room = alive + 2 * MAX_IDLE

    def finish(self) -> None:
        """The trace is over: what has not ended is open."""
        for conversation, side, _, _ in self._table.values():
            if side == 0 and not conversation.is_ignored:
                conversation.finish(self.last_ns)
        for number in sorted({number for number, _ in self._holes}):
            self._tell_later(number, self.last_ns)

    # -- conversation.Log

    def unread(self, peers: Peers, reason: str) -> None:
        if len(self._reasons) < _MAX_REASONS:
            self._reasons[reason] += 1
        name = (peers.tls or {}).get("sni") or str(_address(peers.server))
        if len(self._hosts) < _MAX_REASONS:
            self._hosts[name] += 1

    def cut(self) -> None:
        self._cut += 1

    def proxied(self, what: str, target: str) -> None:
        if what in self._proxied or len(self._proxied) < _MAX_REASONS:
            targets = self._proxied.setdefault(what, Counter())
            targets[target if target in targets or len(targets) < _MAX_REASONS else ""] += 1

    def tunnelled(self, target: str) -> None:
        if len(self._tunnels) < _MAX_REASONS:
            self._tunnels.add(target)

    def attempt(self, peers: Peers, head: bytes, time_ns: int, stream: int | None) -> int:
        if self.connections >= MAX_CONNECTIONS:
            raise CaptureError(f"there are more than {MAX_CONNECTIONS:,} WebSockets in the trace")
        self.connections += 1
        number = self.connections
        client, server = _address(peers.client), _address(peers.server)
        scheme, host, port, path = _target(
            RawHead.parse(head), _behind(peers.target, server), is_tls=peers.tls is not None
        )
        asked = events.Attempt(
            tap=self._taps.get(str(server)) or self._taps.get(str(server.port)) or str(server),
            client=str(client),
            scheme=scheme,
            host=host,
            port=port,
            path=path,
            http_version="HTTP/2.0" if stream is not None else _version(head),
            tcp_ns=peers.opened_ns,
            client_tls=peers.tls,
        )
        feed = self._feed
        feed.event(number, time_ns, asked)
        for part in (HEAD_REQUEST_IN, HEAD_REQUEST_OUT):
            feed.head(number, part, time_ns, head)
        feed.event(number, time_ns, events.Server(address=str(server), peer=str(server), reused=False))
        if stream is not None:
            feed.event(number, time_ns, events.H2Streams(client=stream, server=stream))
        return number

    def informational(self, number: int, head: bytes, time_ns: int) -> None:
        self._feed.head(number, HEAD_INFORMATIONAL, time_ns, head)

    def answer(self, number: int, head: bytes, time_ns: int, *, is_open: bool) -> None:
        for part in (HEAD_RESPONSE_IN, HEAD_RESPONSE_OUT):
            self._feed.head(number, part, time_ns, head)
        if is_open:
            self._feed.event(number, time_ns, events.Open())
        else:
            self._feed.event(number, time_ns, events.Refused(status=RawHead.parse(head).status))

    def body(self, number: int, data: bytes, time_ns: int) -> None:
        have = self._bodies.get(number, 0)
        if have < BODY_BYTES:
            self._bodies[number] = have + len(data)
            self._feed.add(Record(BODY, 0, number, time_ns, 0, data[: BODY_BYTES - have]))

    def message(self, number: int, side: int, data: bytes, time_ns: int) -> None:
        self._feed.data(number, side, time_ns, data)

    def hole(self, number: int, side: int | None, size: int | None, time_ns: int, reason: str) -> None:
        later = self._holes.get((number, side))
        if later is not None:
            later.setdefault(reason, _Later()).add(size)
            return
        self._holes[number, side] = {}
        self._unstored(number, side, size, 1, time_ns, reason)

    def _unstored(
        self, number: int, side: int | None, size: int | None, records: int, time_ns: int, reason: str
    ) -> None:
        lost = events.Unstored(
            bytes=size,
            records=records,
            reason=reason,
            streams=[] if side is None else [[number, side]],
            stream_bytes=[] if side is None else [size],
            connections=[number] if side is None else [],
        )
        self._feed.event(0, time_ns, lost)

    def _tell_later(self, number: int, time_ns: int) -> None:
        """The gaps after the first one of each direction, one event a reason: a bad trace has very many."""
        for side in (None, 0, 1):
            for reason, later in self._holes.pop((number, side), {}).items():
                self._unstored(number, side, later.bytes, later.count, time_ns, reason)

    def ended(self, number: int, side: int, how: str, time_ns: int, http2: str | None = None) -> None:
        name = "server" if side else "client"
        self._feed.event(number, time_ns, events.TransportEnded(side=name, how=how, http2=http2))

    def failed(self, number: int, error: str, time_ns: int) -> None:
        self._feed.event(number, time_ns, events.Failed(where="response", error=error))

    def closed(self, number: int, time_ns: int) -> None:
        self._bodies.pop(number, None)
        self._tell_later(number, time_ns)
        self._feed.event(number, time_ns, events.Closed())

    # -- for a person

    def notes(self) -> Iterator[str]:
        """What could not be read, one sentence each."""
        if self._is_truncated:
            yield "the trace is cut off in the middle of a packet: read as far as it goes"
        if self.counts.gaps:
            lost = counted(self.counts.lost, "byte")
            gaps = counted(self.counts.gaps, "gap")
            why = self._hidden() or " (tcpdump dropped packets, or -s cut them)"
            yield f"{gaps} in TCP streams: {lost} not in the trace{why}"
        if self._cut:
            unread = f"{counted(self._cut, 'TCP connection')} not read"
            cut = self.counts.cut
            options = " -s 0" * bool(cut) + " -B 65536" * (not cut or self.counts.gaps > cut)
            why = self._hidden() or f" (record with tcpdump{options})"
            yield f"{unread}: bytes of an opening handshake may be missing{why}"
        if self.counts.repeated:
            yield f"{counted(self.counts.repeated, 'retransmitted TCP segment')}, each taken once"
        for reason, count in self._reasons.most_common(3):
            yield f"{counted(count, 'TLS connection')} not decrypted: {reason}{self._advice(reason)}"
        for what, targets in self._refused()[:3]:
            asked = _named_most(targets)
            yield f"{counted(targets.total(), 'request')} {what}{asked and f' ({asked})'}"
        if self._midway:
            began = counted(self._midway, "TCP connection")
            yield f"{began} began before the trace: a WebSocket is found by its opening handshake"
        if self._subflows:
            subflows = counted(self._subflows, "Multipath TCP subflow")
            yield (
                f"{subflows} not read, nor what else its connection sent from then on"
                " (record with Multipath TCP off: sysctl net.mptcp.enabled=0)"
            )
        for hidden in HIDING:
            if count := self._unread[hidden]:
                yield f"{counted(count, 'packet')} left out: {hidden}"
        for link, count in self._links.most_common(3):
            yield f"{counted(count, 'packet')} left out: link layer {link} is not known"
        if self._unread["other"] and not self.segments:
            yield f"no TCP in {counted(self._unread['other'], 'packet')}"
        if self._without_time:
            yield f"{counted(self._without_time, 'packet')} without a time: taken for as late as the last one"
        if self._forgotten:
            yield f"{counted(self._forgotten, 'idle connection')} forgotten: too many at once"
        if self._given_up:
            yield f"{counted(self._given_up, 'unanswered connection')} not read to the end: too many at once"

    def _hidden(self) -> str:
        """What may be in packets of the trace that were not read; empty where there are none."""
        return ", or in packets left out" if any(self._unread[one] for one in HIDING) else ""

    def _refused(self) -> list[tuple[str, Counter[str]]]:
        """What became of requests to proxies, the most frequent first.

        A 407 before a tunnel is how a client learns that it has to log in (RFC 9110 section 15.5.8).
        """
        found = []
        for what, targets in self._proxied.items():
            if _ASKS_LOGIN in what:
                targets = Counter({one: count for one, count in targets.items() if one not in self._tunnels})
            if targets:
                found.append((what, targets))
        return sorted(found, key=lambda one: -one[1].total())

    def _advice(self, reason: str) -> str:
        if reason != "no secrets":
            return ""
        return f" ({_named_most(self._hosts)}); --keylog takes what a client writes to SSLKEYLOGFILE"


def _named_most(names: Counter[str]) -> str:
    """The most frequent of them."""
    known = [name for name, _ in names.most_common() if name]
    return ", ".join(known[:_MOST_HOSTS]) + ", ..." * (len(known) > _MOST_HOSTS)


def _oldest(found: list[tuple[int, bytes]], kept: int) -> list[bytes]:
    """Keys of all but so many, the newest; both directions of a connection have one time."""
    found.sort(key=itemgetter(0))
    return [key for _, key in found[: max(0, len(found) - kept)]]


@lru_cache(maxsize=64)  # there are few servers
def _address(raw: bytes) -> Address:
    return Address(str(ipaddress.ip_address(raw[:-2])), int.from_bytes(raw[-2:], "big"))


def _behind(target: str, server: Address) -> Address:
    """What a client is connected to: the server, or what it asked a proxy for."""
    try:
        return parse_address(target) if ":" in target else server
    except ValueError:
        return server


def _version(head: bytes) -> str:
    return RawHead.parse(head).http_version.decode("latin-1")


def _target(head: RawHead, server: Address, *, is_tls: bool) -> tuple[str, str, int, str]:
    """Scheme, host, port and path that a client asks for: by the target where it is absolute, else by
    Host."""
    if head.is_http2:
        is_tls = is_tls or head.get(":scheme") == b"https"
        authority, path = head.get(":authority"), (head.get(":path") or b"/").decode("latin-1")
    else:
        authority, path = head.get("host"), head.target.decode("latin-1")
        if (url := parse_url(path)) is not None:
            return url.scheme, url.host or server.host, url.port or server.port, url.path
    scheme = "wss" if is_tls else "ws"
    return scheme, *_named(scheme, authority or b"", server), path


@lru_cache(maxsize=64)  # most clients of a trace name few servers
def _named(scheme: str, authority: bytes, server: Address) -> tuple[str, int]:
    """The host and port that a Host field names; those of the server where it names none."""
    try:
        named = parse_endpoint(f"{scheme}://{authority.decode('latin-1')}")
    except ValueError:
        return server.host, server.port
    has_port = named.port != DEFAULT_PORTS[scheme] or authority.endswith(b":%d" % named.port)
    return named.host, named.port if has_port else server.port
