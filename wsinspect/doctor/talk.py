"""What was said on a WebSocket that the doctor opened, as facts for the rules; without I/O.

Our own reader decodes both directions, as the recorder does (wire/stream.py). Clock and keys are arguments.
"""

from __future__ import annotations

from typing import Any, Final

from wsinspect.findings.facts import C2S, S2C, EndFact, FrameFact, MessageFact, OpaqueFact, PingFact
from wsinspect.handshake.negotiation import Negotiation
from wsinspect.vocabulary import Side
from wsinspect.wire.close_codes import is_reserved_locally, parse_close
from wsinspect.wire.closing import CloseSeen, TransportEnd, close_facts
from wsinspect.wire.frame import Frame, serialize_frame
from wsinspect.wire.header import whole_header
from wsinspect.wire.opcodes import Direction, Opcode
from wsinspect.wire.reader import header_violations
from wsinspect.wire.stream import StreamDecoder

PING_PAYLOAD: Final = b"wsinspect-doctor"
#: Bytes of what a server says that are looked at.
MAX_FRAMES: Final = 256
_PAYLOAD: Final = 1024


class Talk:
    """One open WebSocket.

    Args:
        agreed: what the handshake agreed.
        open_ns: when the 101 came.
    """

    def __init__(self, agreed: Negotiation, open_ns: int) -> None:
        known = agreed.are_extensions_known
        self._agreed = agreed
        self._open_ns = open_ns
        self._decoders = {
            side: StreamDecoder(
                side,
                deflate=agreed.deflate,
                extensions_known=known,
                snaplen=64 * 1024,
                inflate_cap=64 * 1024,
            )
            for side in (C2S, S2C)
        }
        self._frames: list[FrameFact] = []
        self._counts = [0, 0]
        self._sizes = [0, 0]
        self._framed = [0, 0]
        self._came_ns = [0, 0]
        self._is_cut = False
        self._messages: list[MessageFact] = []
        self._opaque: list[OpaqueFact] = []
        self._closes: list[CloseSeen] = []
        self._reasons: dict[Direction, tuple[int | None, str]] = {}
        self._ends: list[EndFact] = []
        self._next_id = 1
        self.pings: list[PingFact] = []

    @property
    def has_pong(self) -> bool:
        """Whether our ping was answered."""
        return any(one.pong_id is not None for one in self.pings if one.direction == C2S)

    @property
    def has_server_close(self) -> bool:
        """Whether the server has sent CLOSE."""
        return S2C in self._reasons

    @property
    def has_client_close(self) -> bool:
        """Whether we have sent CLOSE."""
        return C2S in self._reasons

    @property
    def is_unread(self) -> bool:
        """Whether what the server still had to say, such as a pong, could not be read."""
        # Inside a frame that is still coming, all that follows has to wait.
        is_inside = self._framed[S2C] < self._sizes[S2C]
        closed_ns = next((one.time_ns for one in self._closes if one.direction is C2S), None)
        is_coming = closed_ns is not None and self._came_ns[S2C] > closed_ns
        return self._is_cut or self._decoders[S2C].lost is not None or (is_inside and is_coming)

    def cut(self) -> None:
        """No more is read, however much the server has to say."""
        self._is_cut = True

    def ping(self, key: bytes) -> bytes:
        """A PING frame to send."""
        return serialize_frame(Opcode.PING, PING_PAYLOAD, key=key)

    def pong(self, payload: bytes, key: bytes) -> bytes:
        """The PONG frame that answers a PING."""
        return serialize_frame(Opcode.PONG, payload, key=key)

    def close(self, key: bytes) -> bytes:
        """A CLOSE frame to send: 1000, or the server's own code back."""
        code, _ = self._reasons.get(S2C, (1000, ""))
        body = b"" if code is None or is_reserved_locally(code) else code.to_bytes(2, "big")
        return serialize_frame(Opcode.CLOSE, body, key=key)

    def sent(self, data: bytes, time_ns: int) -> None:
        """Bytes that were sent."""
        self._take(C2S, data, time_ns)

    def received(self, data: bytes, time_ns: int) -> list[bytes]:
        """Bytes that came; returns the payloads of the PINGs among them."""
        frames = self._take(S2C, data, time_ns)
        return [frame.payload for frame in frames if frame.opcode == Opcode.PING and frame.fin]

    def ended(self, side: str, how: str, time_ns: int) -> None:
        """A side ended the transport."""
        if any(one.side == side for one in self._ends):
            return
        self._ends.append(EndFact(side, how, time_ns))
        for direction in (S2C,) if side == "server" else (C2S, S2C):
            rest = self._decoders[direction].end().opaque
            # Where we leave, a frame of the server's may be on its way; one whose header is none never ends.
            if rest and (direction is C2S or side == "server" or self._is_broken(rest)):
                fact = OpaqueFact(direction, time_ns, len(rest), rest[:_PAYLOAD], "unfinished-frame", None)
                self._opaque.append(fact)

    def _is_broken(self, rest: bytes) -> bool:
        """Whether an unfinished frame of the server's breaks the protocol by its header alone."""
        header, agreed = whole_header(rest), self._agreed
        return bool(header) and any(
            header_violations(
                header,
                S2C,
                deflate=agreed.deflate is not None,
                extensions_known=agreed.are_extensions_known,
            )
        )

    def facts(self) -> dict[str, Any]:
        """What `ConnectionFacts` has of it."""
        seen = [TransportEnd(side=Side(e.side), time_ns=e.time_ns, how=e.how) for e in self._ends]
        lost = self._decoders[S2C].lost is not None
        broke = lost or any(f.violation for f in self._frames if f.direction == S2C and not f.is_close)
        end = close_facts(self._closes, seen, server_broke_protocol=broke)
        client, server = self._reasons.get(C2S), self._reasons.get(S2C)
        last_ns = [
            max((f.time_ns for f in self._frames if f.direction == side), default=None) for side in (C2S, S2C)
        ]
        return {
            **end._asdict(),
            "client_close_code": client[0] if client else None,
            "client_close_reason": client[1] if client else None,
            "server_close_code": server[0] if server else None,
            "server_close_reason": server[1] if server else None,
            "frames": tuple(self._counts),
            "sizes": tuple(self._sizes),
            "ends": tuple(self._ends),
            "first": tuple(self._messages[:16]),
            "last": tuple(self._messages[-64:]),
            "last_frames": tuple(self._frames[-64:]),
            "last_ns": tuple(last_ns),
            "violations": tuple(self._violations()),
            "opaque": tuple(self._opaque[:4]),
            "pings": tuple(self.pings),
            "events": (("unread", {}),) if self.is_unread else (),
        }

    def _take(self, side: Direction, data: bytes, time_ns: int) -> list[Frame]:
        self._sizes[side] += len(data)
        self._came_ns[side] = time_ns
        batch = self._decoders[side].feed(data, time_ns)
        for frame in batch.frames:
            self._framed[side] += frame.wire_length
            self._note(side, frame)
        for message in batch.messages:
            if len(self._messages) < MAX_FRAMES:
                content = message.data if message.compressed else None
                self._messages.append(
                    MessageFact(
                        message.ordinal + 1,
                        side,
                        time_ns,
                        message.opcode,
                        message.length,
                        (content if content is not None else self._content(side, message.ordinal))[:_PAYLOAD],
                        message.compressed,
                        message.problem,
                    )
                )
        if batch.opaque and len(self._opaque) < MAX_FRAMES:
            reason = self._decoders[side].lost
            last = self._frames[-1].id if self._frames else None
            self._opaque.append(
                OpaqueFact(side, time_ns, len(batch.opaque), batch.opaque[:_PAYLOAD], reason, last)
            )
        return batch.frames

    def _note(self, side: Direction, frame: Frame) -> None:
        number, self._next_id = self._next_id, self._next_id + 1
        self._counts[side] += 1
        is_first_close = frame.opcode == Opcode.CLOSE and side not in self._reasons
        if len(self._frames) < MAX_FRAMES or is_first_close:
            self._frames.append(
                FrameFact(
                    number,
                    side,
                    frame.time_ns,
                    frame.opcode,
                    frame.fin,
                    frame.length,
                    frame.header,
                    frame.payload[:_PAYLOAD],
                    frame.violation,
                    frame.message,
                    frame.time_ns - frame.first_ns,
                )
            )
        if frame.opcode == Opcode.CLOSE and frame.fin and side not in self._reasons:
            code, reason = parse_close(frame.payload)
            self._reasons[side] = code, reason
            valid = not frame.violation or (code is not None and not is_reserved_locally(code))
            self._closes.append(CloseSeen(direction=side, time_ns=frame.time_ns, code=code, is_valid=valid))
        elif frame.opcode == Opcode.PING and len(self.pings) < MAX_FRAMES:
            self.pings.append(PingFact(number, side, frame.time_ns, None, None))
        elif frame.opcode == Opcode.PONG:
            self._match(side.other, number, frame)

    def _match(self, pinger: Direction, number: int, pong: Frame) -> None:
        """The ping that a pong answers: by its payload."""
        payloads = {one.id: one.payload for one in self._frames if one.opcode == Opcode.PING}
        for index, ping in enumerate(self.pings):
            if ping.direction == pinger and ping.pong_id is None and payloads.get(ping.id) == pong.payload:
                self.pings[index] = ping._replace(pong_id=number, rtt_ns=pong.time_ns - ping.time_ns)
                return

    def _content(self, side: Direction, ordinal: int) -> bytes:
        parts = [f.payload for f in self._frames if f.direction == side and f.message_id == ordinal]
        return b"".join(parts)

    def _violations(self) -> list[tuple[FrameFact, int]]:
        """The first frame of each violation of each direction, with how many there are."""
        seen: dict[tuple[Direction, str], tuple[FrameFact, int]] = {}
        for frame in self._frames:
            for code in filter(None, (frame.violation or "").split(",")):
                first, count = seen.get((frame.direction, code), (frame._replace(violation=code), 0))
                seen[frame.direction, code] = first, count + 1
        return list(seen.values())[:16]
