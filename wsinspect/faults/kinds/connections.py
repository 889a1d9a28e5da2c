"""Faults on open connections: how they end, and when they fall silent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from wsinspect.faults.errors import FaultError
from wsinspect.faults.kinds.base import ONLY, ONLY_HELP, FaultKind, Scope, setting
from wsinspect.faults.kinds.frames import MAX_CONTROL
from wsinspect.faults.values import SECONDS, SIZE, Choice, Number, Text

_TO: Final = Choice(("both", "client", "server"))
_END: Final = Choice(("fin", "rst"))
_ABORT: Final = Choice(("fin", "rst", "goaway", "connection"))
_HOP_END: Final = Choice(("fin", "rst", "close"))
_IDLE_END: Final = Choice(("fin", "rst", "close", "silent"))
#: RFC 6455 section 7.4 forbids most of these in a frame; sending one is a fault like any other.
_CODE: Final = Number(0, 65535)
_REASON: Final = Text(most=MAX_CONTROL - 2)


@dataclass(frozen=True, kw_only=True)
class Close(FaultKind):
    """A closing handshake that nobody asked for."""

    name = "close"
    scope = Scope.CONNECTION
    summary = "Close with a code, in a proper closing handshake."
    examples = (
        "{kind: close, code: 1012, reason: restart, when: {after: 100frames}}",
        "{kind: close, code: 4401, to: client, when: {after: 10s}}",
    )
    is_trigger = True
    code: int = setting(_CODE, "the close code; 0 for an empty close frame", default=1001)
    reason: str = setting(_REASON, "the close reason", default="")
    to: str = setting(_TO, "who gets it; the other side then gets the answer to it", default="both")
    timeout: int = setting(SECONDS, "how long to wait for the answers", default=2_000_000_000)


@dataclass(frozen=True, kw_only=True)
class Abort(FaultKind):
    name = "abort"
    scope = Scope.CONNECTION
    summary = "End without a close frame: JavaScript sees 1006."
    examples = ("{kind: abort, how: rst, when: {after: 30s}}", "{kind: abort, how: fin, match: 'op:ping'}")
    is_trigger = True
    how: str = setting(
        _ABORT,
        "the TCP segment that ends it. Over HTTP/2 `fin` is END_STREAM and `rst` is RST_STREAM; `goaway`"
        " (GOAWAY, then FIN) and `connection` (RST) end the whole connection with all its streams. Over"
        " HTTP/1.1 they are `fin` and `rst`",
        default="rst",
    )
    to: str = setting(_TO, "who gets it; the other side gets a FIN", default="both")


@dataclass(frozen=True, kw_only=True)
class Blackhole(FaultKind):
    name = "blackhole"
    scope = Scope.CONNECTION
    summary = "Accept and forward nothing, not even an end, for a time or forever: a half-open connection."
    examples = ("{kind: blackhole, for: 10s, when: {after: 5s}}", "{kind: blackhole, direction: s2c}")
    is_trigger = True
    for_: int | None = setting(SECONDS, "how long; forever by default", default=None)
    data: str = setting(
        Choice(("keep", "drop")),
        "`keep` delivers it afterwards, as TCP does; `drop` loses it",
        default="keep",
    )
    then: str = setting(Choice(("resume", "fin", "rst")), "what happens afterwards", default="resume")
    only: str = setting(ONLY, ONLY_HELP, default="all")

    def check(self) -> None:
        if self.for_ is None and self.then != "resume":
            raise FaultError("then", "expected `for` too, which says when `then` happens")


@dataclass(frozen=True, kw_only=True)
class _HopEnd(FaultKind):
    """How a hop ends a connection."""

    scope = Scope.CONNECTION
    how: str = setting(_HOP_END, "a FIN or RST without close frame, or a closing handshake", default="fin")
    code: int = setting(_CODE, "with `how: close`", default=1001)
    reason: str = setting(_REASON, "with `how: close`", default="")


@dataclass(frozen=True, kw_only=True)
class IdleTimeout(_HopEnd):
    """What most proxies do."""

    name = "idle_timeout"
    summary = "End the connection when no frame has passed in this direction (or in either) for a time."
    examples = ("{kind: idle_timeout, direction: s2c, after: 60s}",)
    is_clocked = True
    how: str = setting(
        _IDLE_END,
        "as other hops end it; `silent` forgets the connection and answers later data with RST",
        default="fin",
    )
    after: int = setting(SECONDS, "of silence")


@dataclass(frozen=True, kw_only=True)
class Lifetime(_HopEnd):
    """What some load balancers do."""

    name = "lifetime"
    summary = "End the connection at an age, however busy it is."
    examples = ("{kind: lifetime, after: 30s, how: rst}",)
    is_clocked = True
    sees_frames = False
    after: int = setting(SECONDS, "since it opened")


@dataclass(frozen=True, kw_only=True)
class MaxMessageSize(_HopEnd):
    name = "max_message_size"
    summary = "Close when a message is larger than a size."
    examples = ("{kind: max_message_size, direction: c2s, size: 128KiB}",)
    how: str = setting(_HOP_END, "a closing handshake, or a FIN or RST", default="close")
    code: int = setting(_CODE, "with `how: close`", default=1009)
    size: int = setting(SIZE, "of the largest message that passes, inflated")


@dataclass(frozen=True, kw_only=True)
class LimitData(FaultKind):
    """Stop after some bytes."""

    name = "limit_data"
    scope = Scope.CONNECTION
    summary = "End the connection after this many bytes, in the middle of a frame if need be."
    examples = ("{kind: limit_data, direction: s2c, bytes: 64KiB}",)
    bytes: int = setting(SIZE, "that pass in this direction")
    how: str = setting(_END, "the TCP segment that ends it", default="fin")


KINDS: Final[tuple[type[FaultKind], ...]] = (
    Close,
    Abort,
    Blackhole,
    IdleTimeout,
    Lifetime,
    MaxMessageSize,
    LimitData,
)
