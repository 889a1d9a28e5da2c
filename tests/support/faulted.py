"""A connection with faults on it, without sockets: bytes and times in, what each side gets out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wsinspect.faults.connection import Abort, ConnectionFaults, Context, PassEnd, Send
from wsinspect.faults.rule import Rule
from wsinspect.faults.seeded import Place
from wsinspect.vocabulary.events import Event, Held, Sent
from wsinspect.wire.boundaries import Boundary
from wsinspect.wire.deflate import DeflateParams
from wsinspect.wire.frame import Frame, serialize_frame
from wsinspect.wire.messages import Message
from wsinspect.wire.opcodes import Direction
from wsinspect.wire.stream import StreamDecoder

C2S, S2C = Direction.CLIENT_TO_SERVER, Direction.SERVER_TO_CLIENT
MS = 1_000_000
KEY = b"\x11\x22\x33\x44"


class Facts:
    """A connection as filters see it."""

    id = 1
    tap: str | None = "edge"
    host: str | None = "example.org"
    port: int | None = 80
    path: str | None = "/chat?room=1"
    subprotocol: str | None = None
    client_close_code = server_close_code = js_code = None
    how = ended_by = js_was_clean = None
    is_closed = False
    faults: Sequence[str] = ()
    findings: Sequence[tuple[str, str]] = ()

    def header_values(self, name: str) -> Sequence[str]:
        return ()


class Faulted:
    """One connection under test; the clock stands still until `at` or `run` moves it.

    Attributes:
        got: bytes that each direction's receiver has got.
        sends: each write, with its time and direction.
        ends: ends that were passed on, with their time.
        aborts: what was aborted, with its time.
        ledger: the fault events.
        deliveries: when which frame was held, and when it was sent.
        takes_short_ways: whether chunks that no rule is about leave unseen, as in the relay.
    """

    takes_short_ways = True

    def __init__(
        self,
        *rules: dict[str, Any],
        seed: int = 1,
        deflate: DeflateParams | None = None,
        attempt: int = 1,
        boundaries: tuple[Boundary, Boundary] | None = None,
        path: str = "/chat",
    ) -> None:
        self.now = 0
        context = Context(
            facts=Facts(),
            place=Place("edge", "example.org:80", path, attempt),
            connection_number=attempt,
            attempt_ns=0,
            opened_ns=0,
            deflate=deflate,
            windows=(b"", b""),
        )
        self.faults = ConnectionFaults(context, boundaries or (Boundary(), Boundary()), seed)
        self.got = (bytearray(), bytearray())
        self.sends: list[tuple[int, Direction, bytes]] = []
        self.ends: list[tuple[int, Direction, str]] = []
        self.aborts: list[tuple[int, str, str]] = []
        self.ledger: list[dict[str, Any]] = []
        self.deliveries: list[tuple[int, str, int]] = []
        self.rules = [Rule.parse(rule) for rule in rules]
        for rule in self.rules:
            self.arm(rule)

    def arm(self, rule: Rule | dict[str, Any]) -> Faulted:
        parsed = rule if isinstance(rule, Rule) else Rule.parse(rule)
        if parsed not in self.rules:
            self.rules.append(parsed)
        self.faults.arm(parsed, [each.name for each in self.rules], self.now)
        return self._take()

    def disarm(self, name: str) -> Faulted:
        self.faults.disarm(name, self.now)
        return self._take()

    def feed(self, direction: Direction, *chunks: bytes) -> Faulted:
        for chunk in chunks:
            if self.takes_short_ways and self.faults.passes(direction, chunk, self.now):
                self.got[direction].extend(chunk)
                self.sends.append((self.now, direction, chunk))
                continue
            self.faults.feed(direction, chunk, self.now)
            self._take()
        return self

    def s2c(self, *chunks: bytes) -> Faulted:
        return self.feed(S2C, *chunks)

    def c2s(self, *chunks: bytes) -> Faulted:
        return self.feed(C2S, *chunks)

    def end(self, direction: Direction, how: str = "fin") -> Faulted:
        self.faults.end(direction, how, self.now)
        return self._take()

    def at(self, ms: float) -> Faulted:
        """Let the time pass to this moment, with every timer that comes due."""
        until = int(ms * MS)
        while (due := self.faults.due) is not None and due <= until:
            self.now = max(self.now, due)
            self.faults.wake(self.now)
            self._take()
        self.now = until
        return self

    def do(self) -> Faulted:
        """What was asked of `faults` itself is carried out."""
        return self._take()

    def _take(self) -> Faulted:
        for action in self.faults.take():
            if isinstance(action, Send):
                self.got[action.direction].extend(action.data)
                self.sends.append((self.now, action.direction, action.data))
                self._deliver(self.faults.written(action))
            elif isinstance(action, PassEnd):
                self.ends.append((self.now, action.direction, action.how))
            elif isinstance(action, Abort):
                self.aborts.append((self.now, action.to, action.how))
            elif isinstance(action.event, Held):
                self._deliver([action.event])
            else:
                self.ledger.append(action.event.as_json())
        return self

    def _deliver(self, events: Sequence[Event]) -> None:
        for event in events:
            assert isinstance(event, Held | Sent)
            assert event.frame is not None
            self.deliveries.append((self.now, event.KIND, event.frame))

    def frames(self, direction: Direction = S2C, deflate: DeflateParams | None = None) -> list[Frame]:
        """What a receiver makes of its bytes; nothing may be left over and no frame may be wrong."""
        return self.decoded(direction, deflate)[0]

    def decoded(
        self, direction: Direction = S2C, deflate: DeflateParams | None = None
    ) -> tuple[list[Frame], list[Message]]:
        decoder = StreamDecoder(direction, deflate=deflate)
        batch = decoder.feed(bytes(self.got[direction]), 0)
        assert not batch.opaque
        assert not decoder.end().opaque
        return batch.frames, batch.messages

    def payloads(self, direction: Direction = S2C) -> list[bytes]:
        frames = self.frames(direction)
        assert [frame.violation for frame in frames] == [None] * len(frames)
        return [frame.payload for frame in frames]

    def acted(self) -> list[tuple[str, int | None]]:
        """Rule and frame of each entry of the ledger."""
        return [(event["rule"], event["frame"]) for event in self.ledger]


def text(payload: bytes | str, direction: Direction = S2C, *, fin: bool = True, opcode: int = 1) -> bytes:
    """A frame of a direction, masked as it has to be."""
    raw = payload.encode() if isinstance(payload, str) else payload
    return serialize_frame(opcode, raw, fin=fin, key=KEY if direction is C2S else None)
