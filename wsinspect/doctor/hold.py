"""Connections held open to find limits: what each sends when, and what came of it. Without I/O.

Each is held in one way, so what ends it and what does not tells what a limit counts (`findings/held.py`).
None of them sends a message of its own: PINGs and unsolicited PONGs (RFC 6455, 5.5.2 and 5.5.3) reach no
application. Times are epoch nanoseconds, keys come from an argument.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from wsinspect.doctor.questions import Question, handshake_fields
from wsinspect.doctor.target import Extras, Target
from wsinspect.findings.facts import S2C, SECOND_NS
from wsinspect.findings.held import Gaps, Held
from wsinspect.handshake.negotiation import Negotiation
from wsinspect.wire.close_codes import is_reserved_locally, parse_close
from wsinspect.wire.frame import Frame, serialize_frame
from wsinspect.wire.opcodes import Opcode
from wsinspect.wire.stream import StreamDecoder

Way = Literal["silent", "mute", "waits", "pings", "pongs", "messages"]

#: Most connections, including those to servers behind the URL.
MAX_HELD: Final = 12
#: The first bytes follow the 101 soon, and the pauses double up to the interval: a limit of a second is found
#: as well as one of an hour.
_FIRST_NS: Final = SECOND_NS // 4
_MOST_NS: Final = 5 * SECOND_NS
#: Beats in a trial, if that makes the interval shorter.
_BEATS: Final = 20
#: A pause between two starts, so that ending at one moment differs from ending at one age.
_SPACING: Final = 40
_SPACING_NS: Final = 2 * SECOND_NS
_PING: Final = b"wsinspect-doctor"
_PAYLOAD: Final = 4096
#: Engine.IO's heartbeat (protocol 4): the server's ping, and the client's pong.
_ENGINEIO: Final = (b"2", b"3")


class Plan(NamedTuple):
    """One connection to hold.

    Attributes:
        place: which server it goes to: 0 is that of the URL.
        start_ns: when it is opened, counted from the first.
        wait_ns: for `waits`, after which silence the PING is sent.
    """

    way: Way
    place: int
    start_ns: int
    wait_ns: int = 0


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What to find out.

    Attributes:
        duration_ns: limits up to this are looked for.
        message: what one of the connections says again and again; empty without.
    """

    duration_ns: int
    message: bytes = b""

    @property
    def interval_ns(self) -> int:
        """The longest pause between two PINGs, PONGs or messages."""
        return max(_FIRST_NS, min(_MOST_NS, self.duration_ns // _BEATS))

    def plans(self, places: int = 1) -> list[Plan]:
        """The connections, at most `MAX_HELD`.

        Args:
            places: servers, that of the URL and those behind it.
        """
        ways: list[tuple[Way, int, int]] = [("silent", 0, 0), ("pings", 0, 0), ("pongs", 0, 0)]
        ways += [("messages", 0, 0)] if self.message else []
        ways += [("mute", 0, 0), ("waits", 0, self.duration_ns // 4), ("waits", 0, self.duration_ns // 2)]
        ways += [("silent", place, 0) for place in range(1, places)]
        spacing = min(_SPACING_NS, self.duration_ns // _SPACING)
        return [
            Plan(way, place, number * spacing, wait)
            for number, (way, place, wait) in enumerate(ways[:MAX_HELD])
        ]


def hold_question(
    target: Target, edge: Target, extras: Extras, key: str, plan: Plan, *, number: int
) -> Question:
    """The opening handshake of one of them: a browser's, as the URL's page sends it."""
    return Question(
        kind=f"held:{plan.way}",
        asks=f"held open ({number})",
        target=target,
        fields=handshake_fields(edge, extras, key),
        is_long=True,
        place=plan.place,
    )


class Hold:
    """One open WebSocket that is held in one way.

    Args:
        agreed: what the handshake agreed.
        is_engineio: answer Engine.IO's pings as its client does.
    """

    def __init__(
        self,
        plan: Plan,
        trial: Trial,
        agreed: Negotiation,
        open_ns: int,
        new_key: Callable[[], bytes],
        *,
        is_engineio: bool = False,
        can_ping: bool = True,
    ) -> None:
        self._plan = plan
        self._trial = trial
        self._new_key = new_key
        self._is_engineio = is_engineio
        self._can_ping = can_ping
        self._decoder = StreamDecoder(
            S2C,
            deflate=agreed.deflate,
            extensions_known=agreed.are_extensions_known,
            snaplen=_PAYLOAD,
            inflate_cap=_PAYLOAD,
        )
        self._open_ns = open_ns
        self._last = dict.fromkeys(Gaps._fields, open_ns)
        self._longest = dict.fromkeys(Gaps._fields, 0)
        self._pause_ns = min(_FIRST_NS, trial.interval_ns)
        self._next_ns: int | None = None
        if plan.way == "waits":
            self._next_ns = open_ns + plan.wait_ns
        elif plan.way not in ("silent", "mute"):
            self._next_ns = open_ns + self._pause_ns
        #: When a PING was sent that is not answered, and the silences at that moment and before.
        self._asked: tuple[int, Gaps, dict[str, int]] | None = None
        self._how: str | None = None
        self._end_ns: int | None = None
        self._final: Gaps | None = None
        self._code: int | None = None
        self._reason = ""
        self._server_pings = 0
        self._server_ping_ns: int | None = None
        self._server_frames = 0

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self._how is not None

    @property
    def is_asking(self) -> bool:
        """Whether a PING of ours has no answer yet."""
        return self._asked is not None

    @property
    def next_ns(self) -> int | None:
        """When `due` has something to send; None for never."""
        return None if self.is_over else self._next_ns

    def due(self, now_ns: int) -> bytes:
        """What is to be sent now."""
        if self._next_ns is None or now_ns < self._next_ns or self.is_over:
            return b""
        way = self._plan.way
        if way == "waits":
            self._next_ns = None
            return self.ask(now_ns)
        self._pause_ns = min(self._pause_ns * 2, self._trial.interval_ns)
        self._next_ns = now_ns + self._pause_ns
        if way == "pings":
            return self.ask(now_ns)
        opcode, payload = (Opcode.PONG, b"") if way == "pongs" else (Opcode.TEXT, self._trial.message)
        return self._say(opcode, payload, now_ns)

    def ask(self, now_ns: int) -> bytes:
        """A PING, to see whether anybody is there."""
        if self._asked is None and self._can_ping:
            self._asked = now_ns, self._gaps(now_ns), dict(self._longest)
        return self._say(Opcode.PING, _PING, now_ns)

    def close(self) -> bytes:
        """A CLOSE frame: 1000, or the server's code back."""
        code = 1000 if self._how is None else self._code
        body = b"" if code is None or is_reserved_locally(code) else code.to_bytes(2, "big")
        return serialize_frame(Opcode.CLOSE, body, key=self._new_key())

    def received(self, data: bytes, now_ns: int) -> bytes:
        """Bytes that came; returns what is to be sent for them."""
        if self.is_over:
            return b""
        was_asked, self._asked = self._asked is not None, None
        batch = self._decoder.feed(data, now_ns)
        # The silence before a CLOSE counts, not the CLOSE.
        if not batch.frames or batch.frames[0].opcode != Opcode.CLOSE:
            self._touch(now_ns, "any", "server")
        answers = [self._take(frame, now_ns, was_asked=was_asked) for frame in batch.frames]
        texts = [one.data for one in batch.messages if one.compressed and one.data is not None]
        if self._is_engineio and _ENGINEIO[0] in texts:
            answers.append(self._beat(now_ns))
        return b"".join(answers[-8:])

    def ended(self, how: str, now_ns: int) -> None:
        """The transport ended: `fin` or `rst`."""
        if self.is_over:
            return
        # A reset in answer to a PING means that nobody knows this connection any more.
        if how == "rst" and self._asked is not None and self._plan.way in ("silent", "mute", "waits"):
            self.vanished()
            return
        self._end(how, now_ns)

    def vanished(self) -> None:
        """The PING was not answered in time."""
        assert self._asked is not None
        self._how = "vanished"
        self._end_ns, self._final, self._longest = self._asked

    def held(self, number: int, now_ns: int, where: str = "") -> Held:
        """What came of it; the end of the trial where nobody ended it."""
        end_ns = self._end_ns or now_ns
        return Held(
            number=number,
            way=self._plan.way,
            place=self._plan.place,
            where=where,
            open_ns=self._open_ns,
            end_ns=end_ns,
            how=self._how,
            code=self._code,
            reason=self._reason,
            last=self._final or self._gaps(end_ns),
            longest=Gaps(**self._longest),
            server_pings=self._server_pings,
            server_ping_ns=self._server_ping_ns,
            server_frames=self._server_frames,
            is_ping_answered=self._can_ping,
        )

    def _end(self, how: str, now_ns: int) -> None:
        self._how, self._end_ns, self._final = how, now_ns, self._gaps(now_ns)

    def _gaps(self, now_ns: int) -> Gaps:
        return Gaps(**{name: now_ns - then for name, then in self._last.items()})

    def _touch(self, now_ns: int, *names: str) -> None:
        for name in names:
            self._longest[name] = max(self._longest[name], now_ns - self._last[name])
            self._last[name] = now_ns

    def _say(self, opcode: int, payload: bytes, now_ns: int) -> bytes:
        self._touch(now_ns, "any", "client", *(["messages"] if opcode == Opcode.TEXT else []))
        return serialize_frame(opcode, payload, key=self._new_key())

    def _beat(self, now_ns: int) -> bytes:
        self._server_pings += 1
        self._server_ping_ns = now_ns
        return b"" if self._plan.way == "mute" else self._say(Opcode.TEXT, _ENGINEIO[1], now_ns)

    def _take(self, frame: Frame, now_ns: int, *, was_asked: bool) -> bytes:
        if frame.opcode == Opcode.CLOSE and frame.fin and not self.is_over:
            self._code, self._reason = parse_close(frame.payload)
            self._end("close-frame", now_ns)
        elif frame.opcode == Opcode.PING:
            self._server_pings += 1
            self._server_ping_ns = now_ns
            if self._plan.way != "mute":
                return self._say(Opcode.PONG, frame.payload, now_ns)
        elif (
            self._is_engineio and frame.opcode == Opcode.TEXT and frame.payload == _ENGINEIO[0] and frame.fin
        ):
            return self._beat(now_ns)
        elif frame.opcode != Opcode.PONG or not was_asked:
            self._server_frames += 1
        return b""
