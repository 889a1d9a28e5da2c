"""The words that the engine, the recorder and all readers share, each with the value that is stored.

`events` has what the engine writes into the journal in addition to bytes. Members are equal to their values,
so a column of a capture, or a JSON object of an older engine, compares as it is.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Final

#: Why bytes of a trace are missing: the program that recorded it dropped their packet, or cut it.
NOT_IN_TRACE: Final = "not in the trace"
#: How the reason begins where they are in the trace.
NOT_READ: Final = "not read: "


class Direction(IntEnum):
    """Which way bytes travel; "sent" and "received" would be ambiguous in a proxy."""

    CLIENT_TO_SERVER = 0
    SERVER_TO_CLIENT = 1

    @property
    def short(self) -> str:
        """`c2s` or `s2c`: options, files and filters."""
        return "s2c" if self else "c2s"

    @property
    def arrow(self) -> str:
        """`c>s` or `s>c`: screens."""
        return "s>c" if self else "c>s"

    @property
    def other(self) -> Direction:
        return Direction(1 - self)

    @classmethod
    def from_short(cls, text: str) -> Direction:
        """The direction written `c2s` or `s2c`.

        Raises:
            ValueError: for any other text.
        """
        if text not in ("c2s", "s2c"):
            raise ValueError(f"not a direction: {text!r}")
        return cls(text == "s2c")


class Side(StrEnum):
    """A party of a connection, as this tap sees it."""

    CLIENT = "client"
    SERVER = "server"
    PROXY = "proxy"


class State(StrEnum):
    """The state of a connection; `LOST` is one whose end was not recorded."""

    CONNECTING = "connecting"
    OPEN = "open"
    CLOSED = "closed"
    REFUSED = "refused"
    FAILED = "failed"
    LOST = "lost"


class End(StrEnum):
    """How a transport ended."""

    FIN = "fin"
    RST = "rst"
    CLOSE_NOTIFY = "close_notify"
    TIMEOUT = "timeout"


class EndedBy(StrEnum):
    """Who ended a connection; `BOTH` where each side sent CLOSE before it had the other's."""

    CLIENT = "client"
    SERVER = "server"
    BOTH = "both"
    PROXY = "proxy"
    FAULT = "fault"
    UNKNOWN = "unknown"


class How(StrEnum):
    """By what a connection ended first: a CLOSE frame, the end of a transport, or a refused handshake."""

    CLOSE_FRAME = "close-frame"
    FIN = "fin"
    RST = "rst"
    TIMEOUT = "timeout"
    REFUSED = "refused"


class Lack(StrEnum):
    """What the format that a connection was imported from does not record, or left out: no evidence that it
    was not there.

    `PINGS`: PING and PONG frames. `END`: CLOSE frames, and how TCP ended. `TRANSPORT`: how TCP ended, while
    the first CLOSE frame is there. `MESSAGES`: all that was said. `TIMES`: when the attempt was made.
    `CREDENTIALS`: Cookie and Authorization. `REQUEST`: the request's header fields. `ANSWER`: those of the
    answer, or whether there was one. `BODY`: its body.
    """

    PINGS = "pings"
    END = "end"
    TRANSPORT = "transport"
    MESSAGES = "messages"
    TIMES = "times"
    CREDENTIALS = "credentials"
    REQUEST = "request"
    ANSWER = "answer"
    BODY = "body"


#: What an export lacks where a filter chose its frames: ends are events, and remain.
FILTERED: Final = frozenset((Lack.PINGS, Lack.MESSAGES))
#: Without one of these nobody knows how long nothing had come before an end.
NO_SILENCES: Final = frozenset((Lack.PINGS, Lack.END, Lack.TRANSPORT, Lack.MESSAGES))


class EventKind(StrEnum):
    """What an event is about; see `events`."""

    ALPN = "alpn"
    ALT_SVC = "alt_svc"
    ATTEMPT = "attempt"
    CLIENT_LEFT = "client_left"
    CLOSED = "closed"
    DRAINED = "drained"
    EARLY_DATA = "early_data"
    END = "end"
    ENGINE = "engine"
    ENGINE_STOP = "engine_stop"
    EVICTED = "evicted"
    FAILED = "failed"
    FAULT = "fault"
    FAULT_SKIPPED = "fault_skipped"
    GAP = "gap"
    HAR_ENTRY = "har_entry"
    HELD = "held"
    HTTP = "http"
    H2_CONNECT_REFUSED = "h2_connect_refused"
    H2_ERROR = "h2_error"
    H2_FLOOD = "h2_flood"
    H2_SETTINGS = "h2_settings"
    H2_STREAMS = "h2_streams"
    IMPORTED = "imported"
    LAG = "lag"
    LATE = "late"
    LIBRARY_ASKED = "library_asked"
    LISTENING = "listening"
    OPEN = "open"
    PAGE = "page"
    PASSED_UNREAD = "passed_unread"
    PHASE = "phase"
    POLLING = "polling"
    RECORDER_ERROR = "recorder_error"
    REFUSED = "refused"
    REQUEST_FAILED = "request_failed"
    REPORTED_ERROR = "reported_error"
    RULE = "rule"
    SENT = "sent"
    SERVER = "server"
    STALLED = "stalled"
    TLS_FAILED = "tls_failed"
    UNREADABLE = "unreadable"
    UNSTORED = "unstored"
    WALL_STEP = "wall_step"
