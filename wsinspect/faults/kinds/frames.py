"""Faults on frames and messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from wsinspect.faults.errors import FaultError
from wsinspect.faults.kinds.base import FaultKind, setting
from wsinspect.faults.texts import PAYLOAD, Payload
from wsinspect.faults.values import MILLISECONDS, RATE, SECONDS, SHARE, SIZE, Choice, Number
from wsinspect.units import MS

#: RFC 6455 section 5.5: a control frame's payload has at most 125 bytes.
MAX_CONTROL: Final = 125
OPCODES: Final = ("text", "binary", "ping", "pong", "close")
_WHERE: Final = Choice(("payload", "wire"))
_UNIT: Final = Choice(("message", "frame"))


@dataclass(frozen=True, kw_only=True)
class Drop(FaultKind):
    name = "drop"
    summary = "Drop whole messages; control frames one by one, so that pongs can be swallowed."
    examples = (
        "{kind: drop, direction: s2c, match: 'op:pong'}",
        "{kind: drop, direction: c2s, match: 'op:text', probability: 0.1}",
    )
    alters = True
    unit: str = setting(_UNIT, "`frame` also drops single fragments of a message", default="message")


@dataclass(frozen=True, kw_only=True)
class Latency(FaultKind):
    name = "latency"
    summary = "Delay frames; what follows in the same direction waits behind them."
    examples = (
        "{kind: latency, direction: s2c, latency: 300ms, jitter: 50ms}",
        "{kind: latency, latency: 80ms, jitter: 40ms, distribution: normal}",
    )
    latency: int = setting(MILLISECONDS, "how long")
    jitter: int = setting(MILLISECONDS, "how much more or less", default=0)
    distribution: str = setting(
        Choice(("uniform", "normal", "exponential")),
        "of the jitter: evenly within it, normal with it as deviation, or added with it as mean",
        default="uniform",
    )


@dataclass(frozen=True, kw_only=True)
class Bandwidth(FaultKind):
    name = "bandwidth"
    summary = "Limit the bytes per second, as a slow line does."
    examples = ("{kind: bandwidth, direction: s2c, rate: 100KiB/s}",)
    rate: int = setting(RATE, "bytes or bits per second")
    burst: int = setting(SIZE, "bytes that pass at once after a pause", default=0)


@dataclass(frozen=True, kw_only=True)
class Loss(FaultKind):
    name = "loss"
    summary = (
        "Lose TCP segments in bursts, as a bad line does: what was lost is sent again and comes late, with "
        "all that is behind it; nothing is missing."
    )
    examples = (
        "{kind: loss, loss: 2%}",
        "{kind: loss, direction: s2c, loss: 10%, correlation: 60%, rtt: 80ms}",
    )
    loss: float = setting(SHARE, "how many segments are lost, those sent again too")
    correlation: float = setting(
        SHARE,
        "how far a loss brings the next: a burst has 1 / ((1 - loss) (1 - correlation)) segments on average",
        default=0.0,
    )
    rtt: int = setting(
        MILLISECONDS,
        "round trip, after which a sender knows that something was lost which others have passed",
        default=50_000_000,
    )
    rto: int = setting(
        MILLISECONDS,
        "how much longer it waits where nothing has passed it, doubled each time; 200 ms is Linux's",
        default=200_000_000,
    )
    segment: int = setting(SIZE, "largest segment", default=1448)

    def check(self) -> None:
        for name, value in (("loss", self.loss), ("correlation", self.correlation)):
            if value >= 1:
                raise FaultError(name, "expected less than 100%; a line that loses all is a blackhole")
        if not self.segment:
            raise FaultError("segment", "expected at least 1 B")
        if self.rtt < MS:
            raise FaultError("rtt", "expected at least 1 ms")


@dataclass(frozen=True, kw_only=True)
class Hold(FaultKind):
    """Buffer as some hops do."""

    name = "hold"
    summary = "Hold frames back and release them all at once, as a buffering hop does."
    examples = ("{kind: hold, direction: s2c, count: 10, time: 2s}",)
    count: int | None = setting(Number(1), "until this many frames are held", default=None)
    bytes: int | None = setting(SIZE, "until this many bytes are held", default=None)
    time: int | None = setting(SECONDS, "until the first one has been held this long", default=None)

    def check(self) -> None:
        if self.count is None and self.bytes is None and self.time is None:
            raise FaultError("", "hold needs `count`, `bytes` or `time`: expected one at least")


@dataclass(frozen=True, kw_only=True)
class Break(FaultKind):
    name = "break"
    summary = "Hold messages until somebody passes, edits, drops or answers each (docs/intercept.md)."
    examples = ("{kind: break, direction: c2s, match: 'op:text json:$.type=order'}",)
    alters = True
    timeout: int | None = setting(SECONDS, "pass a message by itself after this long", default=None)


@dataclass(frozen=True, kw_only=True)
class Duplicate(FaultKind):
    name = "duplicate"
    summary = "Send messages again, right after the original."
    examples = ("{kind: duplicate, direction: c2s, match: 'op:text', when: {every: 10}}",)
    alters = True
    copies: int = setting(Number(1, 1000), "how many copies", default=1)


@dataclass(frozen=True, kw_only=True)
class Reorder(FaultKind):
    name = "reorder"
    summary = "Let messages be overtaken by those that follow."
    examples = ("{kind: reorder, direction: s2c, match: 'op:text', when: {every: 5}}",)
    alters = True
    by: int = setting(Number(1, 1000), "how many messages overtake", default=1)
    wait: int = setting(SECONDS, "for them, at most", default=1_000_000_000)


@dataclass(frozen=True, kw_only=True)
class Corrupt(FaultKind):
    name = "corrupt"
    summary = "Change bytes at random places of the payload."
    examples = ("{kind: corrupt, direction: s2c, match: 'op:binary', count: 3, probability: 0.01}",)
    alters = True
    count: int = setting(Number(1, 1000), "how many bytes", default=1)
    where: str = setting(
        _WHERE,
        "`payload` is what the receiver reads, `wire` the bytes as they are on the wire",
        default="payload",
    )


@dataclass(frozen=True, kw_only=True)
class Truncate(FaultKind):
    name = "truncate"
    summary = "Cut messages short."
    examples = (
        "{kind: truncate, direction: s2c, match: 'op:text', to: 10}",
        "{kind: truncate, direction: s2c, to: 5, where: wire, when: {nth: 3}}",
    )
    alters = True
    to: int = setting(SIZE, "how many bytes are left")
    where: str = setting(
        _WHERE,
        "`payload` makes a correct, shorter frame; `wire` ends the connection in the middle of the frame",
        default="payload",
    )
    how: str = setting(Choice(("fin", "rst")), "the end after a cut on the wire", default="fin")


@dataclass(frozen=True, kw_only=True)
class Replace(FaultKind):
    """Put something else in."""

    name = "replace"
    summary = "Replace a message's payload, or a part of it, with other bytes."
    examples = (
        "{kind: replace, direction: s2c, match: 'json:$.price', find: '\"price\":', with: '\"cost\":'}",
        "{kind: replace, direction: s2c, match: 'op:text', with: 'not JSON', when: {nth: 1}}",
    )
    alters = True
    with_: bytes = setting(PAYLOAD, "the new bytes")
    find: bytes | None = setting(
        PAYLOAD, "what to replace, everywhere it occurs; all of it without", default=None
    )


@dataclass(frozen=True, kw_only=True)
class Inject(FaultKind):
    name = "inject"
    summary = "Add a frame that no peer sent."
    examples = (
        '{kind: inject, direction: s2c, opcode: text, payload: \'{"type":"error"}\', when: {after: 5s}}',
        "{kind: inject, direction: c2s, opcode: ping, payload: p1, when: {every: 10s}}",
        "{kind: inject, direction: s2c, raw: {hex: '8300'}, when: {nth: 2}}",
    )
    is_trigger = True
    opcode: str = setting(Choice(OPCODES), "the frame's opcode", default="text")
    payload: bytes = setting(PAYLOAD, "its payload; for a close frame including the code", default=b"")
    raw: bytes | None = setting(
        Payload(least=1),
        "the whole frame as it goes on the wire, correct or not, instead of opcode and payload",
        default=None,
    )
    position: str = setting(
        Choice(("after", "before")), "relative to the frame that matched", default="after"
    )

    def check(self) -> None:
        if self.raw is None and self.opcode in ("ping", "pong", "close") and len(self.payload) > MAX_CONTROL:
            raise FaultError("payload", f"expected at most {MAX_CONTROL} bytes in a control frame")


@dataclass(frozen=True, kw_only=True)
class Fragment(FaultKind):
    name = "fragment"
    summary = "Split data frames into fragments."
    examples = ("{kind: fragment, direction: s2c, size: 16}",)
    size: int = setting(SIZE, "payload bytes of a fragment")
    #: A message is split into at most this many frames: peers have limits on frames, too.
    MAX_PIECES: ClassVar[int] = 10_000

    def check(self) -> None:
        if self.size < 1:
            raise FaultError("size", "expected at least 1 byte")


@dataclass(frozen=True, kw_only=True)
class Slicer(FaultKind):
    name = "slicer"
    summary = "Write the bytes in small TCP segments, without regard to frames."
    examples = ("{kind: slicer, direction: s2c, size: 3, delay: 1ms}",)
    size: int = setting(SIZE, "bytes per segment")
    variation: int = setting(SIZE, "by how much it varies, up or down", default=0)
    delay: int = setting(MILLISECONDS, "between segments", default=0)

    def check(self) -> None:
        if self.size < 1:
            raise FaultError("size", "expected at least 1 byte")
        if self.variation >= self.size and self.variation:
            raise FaultError("variation", f"expected less than `size`, which is {self.size}")


KINDS: Final[tuple[type[FaultKind], ...]] = (
    Drop,
    Latency,
    Bandwidth,
    Loss,
    Hold,
    Break,
    Duplicate,
    Reorder,
    Corrupt,
    Truncate,
    Replace,
    Inject,
    Fragment,
    Slicer,
)
